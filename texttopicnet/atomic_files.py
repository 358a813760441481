"""Files that are written whole or not at all: under a temporary name first, renamed when complete."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

from texttopicnet.errors import FULL, writing

LEAVING = re.compile(
    r"(.+)\.tmp(\d+)"
)  # of a process that writes without `written_whole`, as the runtime does


@contextlib.contextmanager
def temporary_file(folder):
    """Yield a nameless binary file in `folder`; it is gone afterwards.  UserError names the folder
    if it cannot be written to.
    """
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)
    with writing(f"a temporary file in {folder}", FULL), file:
        yield file


@contextlib.contextmanager
def written_whole(*paths):
    """Yield temporary paths beside `paths`; rename them when the block ends, delete them when it
    fails.

    The temporaries lie in one new folder ``.tmp-*`` beside the first path and keep the final names,
    so that side files (gensim's ``.state``, an LMDB folder's two files) are renamed along with
    their owner: whatever the block left in the folder moves to the first path's parent.  A process
    that is killed while it renames leaves no output that mixes old files with new ones: the old
    outputs go first, the new ones come last.  The next call removes what killed processes left:
    their folders, and their files ``<name>.tmp<process>`` of the same names.

    Yields
    ------
    Path or list of Path
        One temporary path for one argument, a list for several.  All `paths` must share one parent.

    Raises
    ------
    UserError
        The folder cannot be written to, or the disk is full: the sentence names the paths.
    """
    paths = [Path(p) for p in paths]
    parent = paths[0].parent
    if any(p.parent != parent for p in paths):
        raise ValueError("written_whole: all paths must share one folder")
    with writing(paths[0]):
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leavings(parent, [p.name for p in paths])
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


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _locked_folder(parent):
    """(a new folder .tmp-*, its open lock): the lock falls with the process, however that ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # nobody took it for a leaving before it was locked
            return folder, lock
        os.close(lock)


def _remove_leavings(parent, names):
    """Remove the temporary folders of processes that were killed, and their files
    <name>.tmp<process> of these names.
    """
    for folder in parent.glob(".tmp-*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody is writing there
            pass
        finally:
            os.close(lock)
    for path in parent.iterdir():
        name, process = (
            LEAVING.fullmatch(path.name).groups() if LEAVING.fullmatch(path.name) else ("", "")
        )
        if name in names and not _is_running(int(process)):
            with contextlib.suppress(OSError):
                _remove(path)


def _is_running(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        pass
    return True
