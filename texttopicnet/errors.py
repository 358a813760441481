"""Errors that the user can correct: one sentence that names the file and the remedy."""

import contextlib
import errno
from collections.abc import Collection, Iterator
from pathlib import Path

# no space left, over the quota, larger than a file may be
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
}


class UserError(Exception):
    """An error that the user can correct.

    Its text is one sentence that names the file and the command that makes or repairs it.
    """

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of the traceback."""
        return [f"error: {self}"]


@contextlib.contextmanager
def writing(path: Path | str, errors: Collection[int] = UNWRITABLE) -> Iterator[None]:
    """Turn the OSError of a file that cannot be written into a UserError that names it.

    Parameters
    ----------
    path : str or Path
        The file that the block writes, for the error.
    errors : collection of int
        The errno values that become a UserError; a block that also reads other files passes `FULL`.
    """
    try:
        yield
    except OSError as error:
        # NumPy's error has no errno, but says how many of how many numbers it has written
        short = error.errno is None and "written" in str(error)
        if not short and error.errno not in errors:
            raise
        why = "No space left on device" if short else error.strerror
        remedy = "free space there" if short or error.errno in FULL else "correct this"
        raise UserError(
            f"{path} cannot be written ({why}): {remedy} or give another folder, and run this again"
        ) from error
