"""Artefact names, where they lie, and how they are written: whole or not at all.

Every stage writes below one work folder, laid out like the project itself
(``LDA/``, ``CNN/<net>/``, ``experiments/``).  The default work folder is the
project's root, so that ``cd LDA && python learn_LDA_model.py`` finds and
leaves its files beside the script, as the original did.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ijson

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
DEEPEST = 100  # levels of nesting in a JSON file that is read as a stream
LEAVING = re.compile(r"(.+)\.tmp(\d+)")  # of a process that writes without `written_whole`, as the runtime does

TRAIN_DICT = "LDA/train_dict_ImageCLEF_Wikipedia.json"
TOKENS = "LDA/tokens.sqlite"
DICTIONARY = "LDA/dictionary.dict"
BOW = "LDA/bow.mm"
TOPICS_PAGE = "LDA/topics.html"


def lda_model(num_topics=40):
    """Name of the gensim LDA model with `num_topics` topics, below the work folder."""
    return f"LDA/ldamodel{num_topics}.lda"


def embedding_model(name, num_topics=40):
    """Name of the gensim model of another text embedding than LDA, below the work folder."""
    return f"LDA/{name}{num_topics}.model"


def training_labels(num_topics=40, embedding="lda"):
    """Name of the JSON file of image labels, below the work folder."""
    return f"LDA/training_labels{'' if embedding == 'lda' else f'_{embedding}'}{num_topics}.json"


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no space left, over the quota, larger than a file may be
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
    """What the user can mend: one sentence that names the file and the command that makes or mends it."""


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
        short = error.errno is None and "written" in str(error)  # NumPy's, which says how many numbers of how many
        if not short and error.errno not in errors:
            raise
        why = "No space left on device" if short else error.strerror
        remedy = "free space there" if short or error.errno in FULL else "mend that"
        raise UserError(f"{path} cannot be written ({why}): {remedy} or give another folder, and run this again") from error


def run(main):
    """Call `main()` and exit with its status; a UserError becomes one line on stderr and status 1."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # texttopicnet.startup's
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show ends no stage
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        _fail(error)
    except sqlite3.OperationalError as error:  # Pairs and Labels; the token store names its own file
        _fail(f"SQLite's temporary file in {tempfile.gettempdir()} cannot be written ({error}): free space there, or set TMPDIR")
    except BrokenPipeError:  # the reader of the output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _fail(f"{error.filename or 'the output'} cannot be written ({error.strerror}): free space there, and run this again")
    except KeyboardInterrupt:
        print("interrupted: nothing half written was left behind", file=sys.stderr)
        sys.exit(130)
    sys.exit(status)


def _fail(error):
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def existing(path, made_by):
    """Return `path` as a Path, or raise UserError naming the command that makes it.

    Parameters
    ----------
    path : str or Path
    made_by : str
        The command or step that makes the file, for the error's sentence.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist: make it with {made_by}")
    return path


def refuse_existing(path, force):
    """Raise UserError if `path` exists and `force` is false: no output is overwritten unasked."""
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} exists already: give --force to replace it, or another --work folder to keep it")


@contextlib.contextmanager
def temporary_file(folder):
    """Yield a nameless binary file in `folder`; it is gone afterwards.  UserError names the folder if it cannot be written to."""
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)
    with writing(f"a temporary file in {folder}", FULL), file:
        yield file


@contextlib.contextmanager
def written_whole(*paths):
    """Yield temporary paths beside `paths`; rename them when the block ends, delete them when it fails.

    The temporaries lie in one new folder ``.tmp-*`` beside the first path and keep the final names, so that
    side files (gensim's ``.state``, an LMDB folder's two files) are renamed along with their owner:
    whatever the block left in the folder moves to the first path's parent.  A process that is killed while it renames
    leaves no output that mixes old files with new ones: the old outputs go first, the new ones come last.  The next call removes
    what killed processes left: their folders, and their files ``<name>.tmp<process>`` of the same names.

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
        items = sorted(folder.iterdir(), key=lambda f: names.index(f.name) if f.name in names else -1)
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
    """Remove the temporary folders of processes that were killed, and their files <name>.tmp<process> of these names."""
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
        name, process = LEAVING.fullmatch(path.name).groups() if LEAVING.fullmatch(path.name) else ("", "")
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


def write_json(path, value):
    """Write `value` as JSON (keys in the order given, one top-level entry a line), whole or not at all.

    Parameters
    ----------
    path : str or Path
    value : dict, JSON value or iterator of (key, value)
        Of an iterator's pairs one object is made, without ever holding them all.

    Returns
    -------
    int
        Number of entries (1 for what is not an object).
    """
    count = 0
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8") as f:
        if isinstance(value, (dict, Iterator)):
            f.write("{")
            for key, entry in value.items() if isinstance(value, dict) else value:
                f.write(",\n" if count else "")
                f.write(f"{json.dumps(key)}: {json.dumps(entry)}")
                count += 1
            f.write("}\n")
        else:
            json.dump(value, f)
            f.write("\n")
            count = 1
    return count


def _check_regular(path, made_by):
    """Refuse a FIFO, which would be waited for without end, and a device."""
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise UserError(f"{path} cannot be read (not a regular file): make it again with {made_by}")


def read_json(path, made_by):
    """Read a JSON artefact; a missing or broken file raises UserError naming the command that makes it."""
    path = existing(path, made_by)
    _check_regular(path, made_by)
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({_short(error)}): make it again with {made_by}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): make it again with {made_by}") from error


def stream_json(path, made_by):
    """(key, value) of the entries of a JSON object, one at a time: memory does not grow with the file.

    Parameters and errors as `read_json`; numbers are float or int, a key that is there twice comes twice.
    """
    path = existing(path, made_by)
    _check_regular(path, made_by)
    try:
        with open(path, "rb") as f:
            yield from _entries(f)
    except (ijson.JSONError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({_short(error)}): make it again with {made_by}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): make it again with {made_by}") from error


def _entries(file):
    """(key, value) of the JSON object in a file; nothing for JSON of another kind.

    ijson's own `kvitems` keeps a path per level of nesting: 200,000 levels would fill the memory.
    """
    depth, key, builder, in_object = 0, None, None, False
    for event, value in ijson.basic_parse(file, use_float=True):
        opens, closes = event in ("start_map", "start_array"), event in ("end_map", "end_array")
        depth += opens - closes
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        if opens and depth == 1:
            in_object = event == "start_map"
        elif event == "map_key" and depth == 1:
            key, builder = value, ijson.ObjectBuilder()
        elif in_object and builder:
            builder.event(event, value)
            if depth == 1:
                yield key, builder.value
                builder = None


def _short(error):
    return str(error).partition("\n")[0].strip()[:200]


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
