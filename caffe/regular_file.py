"""Opening files that must be regular ones: a FIFO would block for ever, a device may never end."""

import errno
import os
import stat

from caffe.error import CaffeError

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_regular(path, mode="rb", **keywords):
    """Open a regular file for reading.

    Parameters
    ----------
    path : str or PathLike
        Symbolic links are followed.
    mode : str
        ``'rb'`` or ``'r'``.
    **keywords
        As for the built-in ``open``, e.g. ``encoding``.

    Returns
    -------
    file object

    Raises
    ------
    CaffeError
        The file is missing, cannot be read, or is not a regular file; the message names it.
    """
    try:
        # O_NONBLOCK: opening a named pipe that nobody writes to returns at once
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # Linux's answer for a socket
            raise CaffeError(f"{_name(path)}: is a socket or a device, not a regular file") from error
        raise CaffeError(f"{_name(path)}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL character in the name
        raise CaffeError(f"{_name(path)}: is not a file name ({error})") from error
    try:
        _check(path, os.fstat(number).st_mode)
        return open(number, mode, **keywords)
    except BaseException:
        os.close(number)
        raise


def check_regular(path):
    """Raise CaffeError unless `path` is a regular file (or a symbolic link to one) that can be opened for reading."""
    open_regular(path).close()


def _check(path, mode):
    if stat.S_ISREG(mode):
        return
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), "something else")
    raise CaffeError(f"{_name(path)}: is {kind}, not a regular file")


def _name(path):
    """The path as one printable line."""
    text = os.fsdecode(path)
    return text if text.isprintable() else repr(text)[1:-1]
