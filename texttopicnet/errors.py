"""Errors that the user can correct: one sentence that names the file and the remedy."""

import contextlib
import errno

FULL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
}  # no space left, over the quota, larger than a file may be
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
    """What the user can mend: one sentence that names the file and the command that makes or mends
    it.
    """


@contextlib.contextmanager
def writing(path, errors=UNWRITABLE):
    """Turn the OSError of a file that cannot be written into a UserError that names it.

    Parameters
    ----------
    path : str or Path
        What the block writes, for the error.
    errors : set of int
        The errno values that are turned; a block that reads other files, too, passes `FULL`.
    """
    try:
        yield
    except OSError as error:
        short = error.errno is None and "written" in str(
            error
        )  # NumPy's, which says how many numbers of how many
        if not short and error.errno not in errors:
            raise
        why = "No space left on device" if short else error.strerror
        remedy = "free space there" if short or error.errno in FULL else "mend that"
        raise UserError(
            f"{path} cannot be written ({why}): {remedy} or give another folder, and run this again"
        ) from error
