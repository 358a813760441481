"""Files that are written whole or not at all: under a temporary name, and renamed at the end."""

import contextlib
import errno
import os
from collections.abc import Iterator

from caffe import leftovers
from caffe.error import CaffeError

REMEDIES = {
    errno.ENOENT: "; does the folder exist?",
    errno.ENOSPC: "; make room on the disk",
    errno.EDQUOT: "; make room on the disk",
}


@contextlib.contextmanager
def renamed_when_whole(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a temporary name beside `path`; rename the file to `path` unless the block fails.

    After a failure, the temporary file is deleted and `path` is as it was.

    Raises
    ------
    CaffeError
        The file cannot be written: no such folder, no permission, a full disk.
    """
    path = os.fspath(path)
    temporary = f"{path}.tmp{os.getpid()}"
    leftovers.remove(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        why = f"{error.strerror or error}{REMEDIES.get(error.errno, '')}"
        raise CaffeError(f"{path}: cannot be written ({' '.join(why.split())})") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)
