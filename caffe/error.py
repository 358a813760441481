"""The one exception of the runtime: a sentence that names file, layer and field."""


class CaffeError(RuntimeError):
    """Raised where Caffe ends with SIGABRT: bad files, misfitting shapes, unsupported settings.

    The message is one line; the command line prints it and ends with status 1.
    """
