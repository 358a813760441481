"""The one exception of the runtime: a sentence that names file, layer and field."""


class CaffeError(RuntimeError):
    """What Caffe ends with SIGABRT for: bad files, shapes that do not fit, unsupported settings.

    The message is one line; the command line prints it and ends with status 1.
    """
