"""Removing what killed processes left behind: files and LMDBs named `<name>.tmp<process id>`."""

import contextlib
import glob
import os
import re
import shutil


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # another user's process, or a number that no process can have
    return True


def remove(name: str | os.PathLike[str], pattern: str = "") -> None:
    """Remove the temporary files of processes that no longer run.

    Parameters
    ----------
    name : str
        The finished file's name, or its beginning.
    pattern : str
        A glob pattern for the rest of the finished file's name; '' if `name` is the whole name.
    """
    for path in glob.glob(f"{glob.escape(os.fspath(name))}{pattern}.tmp*"):
        process = re.fullmatch(r".*\.tmp(\d+)", path, re.DOTALL)
        if process and not _runs(int(process[1])):
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.remove(path)
