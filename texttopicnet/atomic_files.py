"""Files that are written whole or not at all: under a temporary name, and renamed when complete."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from texttopicnet.errors import FULL, writing

# left by a process that writes without `written_whole`, as the runtime does
LEFTOVER = re.compile(r"(.+)\.tmp(\d+)")


@contextlib.contextmanager
def temporary_file(folder: Path | str) -> Iterator[BinaryIO]:
    """Yield a nameless binary file in `folder` and delete it afterwards; UserError if the folder
    cannot be written to.
    """
    with writing(f"a temporary file in {folder}", FULL), contextlib.ExitStack() as stack:
        with writing(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        yield file


@contextlib.contextmanager
def written_whole(*paths: Path | str) -> Iterator[Any]:
    """Yield temporary paths beside `paths`; rename them when the block ends, delete them if it
    fails.

    The temporaries are in one new folder ``.tmp-*`` beside the first path and keep the final names,
    so that side files (gensim's ``.state``, an LMDB folder's two files) are renamed with their
    owner: everything that the block left in the folder moves to the first path's parent.  A process
    that is killed while it renames leaves no mixture of old and new files: the old outputs are
    removed first, and the new ones come last.  The next call removes what killed processes left:
    their folders, and their files ``<name>.tmp<process>`` of the same names.

    Yields
    ------
    Path or list of Path
        One temporary path for one argument, a list for several.  All `paths` must have one parent.

    Raises
    ------
    UserError
        The folder cannot be written to, or the disk is full; the sentence names the paths.
    """
    paths = [Path(p) for p in paths]
    parent = paths[0].parent
    if any(p.parent != parent for p in paths):
        raise ValueError("written_whole: all paths must be in one folder")
    with writing(paths[0]):
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent, [p.name for p in paths])
        folder, lock = _locked_folder(parent)
    try:
        temporaries = [folder / p.name for p in paths]
        with writing(" or ".join(map(str, paths)), FULL):
            yield temporaries[0] if len(paths) == 1 else temporaries
        names = [p.name for p in paths]
        items = sorted(
            folder.iterdir(), key=lambda f: names.index(f.name) if f.name in names else -1
        )
        with writing(paths[0]):
            if len(items) > 1:
                for path in reversed(paths):
                    _remove(path)
            for item in items:
                if (parent / item.name).is_dir():
                    _remove(parent / item.name)
                os.replace(item, parent / item.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder .tmp-* and its open lock, which the system releases when the process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # no other process removed it as a leftover before it was locked
            return folder, lock
        os.close(lock)


def _remove_leftovers(parent: Path, names: list[str]) -> None:
    """Remove the temporary folders of killed processes, and their files <name>.tmp<process> of
    these names.
    """
    for folder in parent.glob(".tmp-*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # a living process is writing there
            pass
        finally:
            os.close(lock)
    for path in parent.iterdir():
        match = LEFTOVER.fullmatch(path.name)
        if match and match[1] in names and not _is_running(int(match[2])):
            with contextlib.suppress(OSError):
                _remove(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        pass
    return True
