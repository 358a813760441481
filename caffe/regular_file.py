"""Only regular files are read: a FIFO would make a run wait for ever, a device would fill the memory."""

import os
import stat

from caffe.error import CaffeError

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check(path, pipes: bool = False):
    """Refuse what is not a regular file, before it is opened.

    Parameters
    ----------
    path : str or Path
        Links are followed.
    pipes : bool
        Let /dev/stdin and /dev/fd/N pass: the shell's ``<(command)`` always has a writer at its other end.

    Raises
    ------
    CaffeError
        Nothing is there, or it is a folder, a FIFO, a device or a socket.
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise CaffeError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISREG(mode):
        return
    if pipes and not stat.S_ISDIR(mode) and (path == "/dev/stdin" or path.startswith(("/dev/fd/", "/proc/self/fd/"))):
        return
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), "not a regular file")
    raise CaffeError(f"{path}: is {kind}; a file is needed here")
