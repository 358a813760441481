"""Only regular files are read: a FIFO would make a run wait forever, a device would fill memory."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from caffe import wire
from caffe.error import CaffeError

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
# what `pipes` allows: the shell's <(command), for example, has a writer at its other end
PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")


def check(path: Path | str, pipes: bool = False) -> None:
    """Refuse anything but a regular file, before it is opened.

    Parameters
    ----------
    path : str or Path
        Links are followed.
    pipes : bool
        Accept /dev/stdin, /dev/fd/N and /proc/self/fd/N as well.

    Raises
    ------
    CaffeError
        The file is missing, or it is a folder, a FIFO, a device or a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise CaffeError(f"{_shown(path)}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISREG(mode) or (
        pipes and not stat.S_ISDIR(mode) and os.fsdecode(path).startswith(PIPES)
    ):
        return
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), "not a regular file")
    raise CaffeError(f"{_shown(path)}: is {kind}; a file is needed here")


def open_regular(path: Path | str, pipes: bool = False) -> BinaryIO:
    """Open a regular file for reading bytes.

    Parameters and errors are those of `check`; a file without read permission is an error, too.

    Returns
    -------
    file object
    """
    check(path, pipes)
    try:
        return open(path, "rb")
    except OSError as error:
        raise CaffeError(f"{_shown(path)}: {error.strerror or error}") from error


def _shown(path: Path | str):
    return wire.shown(os.fsdecode(path))
