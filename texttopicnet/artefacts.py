"""Artefact names, where they lie, and how they are written: whole or not at all.

Every stage writes below one work folder, laid out like the project itself
(``LDA/``, ``CNN/<net>/``, ``experiments/``).  The default work folder is the
project's root, so that ``cd LDA && python learn_LDA_model.py`` finds and
leaves its files beside the script, as the original did.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"

TRAIN_DICT = "LDA/train_dict_ImageCLEF_Wikipedia.json"
DICTIONARY = "LDA/dictionary.dict"
BOW = "LDA/bow.mm"
TOPICS_PAGE = "LDA/topics.html"


def lda_model(num_topics=40):
    """Name of the gensim LDA model with `num_topics` topics, below the work folder."""
    return f"LDA/ldamodel{num_topics}.lda"


def training_labels(num_topics=40):
    """Name of the JSON file of image labels, below the work folder."""
    return f"LDA/training_labels{num_topics}.json"


class UserError(Exception):
    """What the user can mend: one sentence that names the file and the command that makes or mends it."""


def run(main):
    """Call `main()` and exit with its status; a UserError becomes one line on stderr and status 1."""
    try:
        sys.exit(main())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: nothing half written was left behind", file=sys.stderr)
        sys.exit(130)


def existing(path, made_by):
    """Return `path` as a Path, or raise UserError naming the command that makes it.

    Parameters
    ----------
    path : str or Path
    made_by : str
        The command or step that makes the file, for the error's sentence.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: make it with {made_by}")
    return path


def refuse_existing(path, force):
    """Raise UserError if `path` exists and `force` is false: no output is overwritten unasked."""
    if Path(path).exists() and not force:
        raise UserError(f"{path} exists already: give --force to make it anew")


@contextlib.contextmanager
def written_whole(*paths):
    """Yield temporary paths beside `paths`; rename them when the block ends, delete them when it fails.

    The temporaries lie in one new folder ``.tmp-*`` beside the first path and keep the final names, so that
    side files (gensim's ``.state``, an LMDB folder's two files) are renamed along with their owner:
    whatever the block left in the folder moves to the first path's parent.

    Yields
    ------
    Path or list of Path
        One temporary path for one argument, a list for several.  All `paths` must share one parent.
    """
    paths = [Path(p) for p in paths]
    parent = paths[0].parent
    if any(p.parent != parent for p in paths):
        raise ValueError("written_whole: all paths must share one folder")
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=parent))
    try:
        temporaries = [folder / p.name for p in paths]
        yield temporaries[0] if len(paths) == 1 else temporaries
        # side files first, the named outputs last: who sees an output sees it complete
        names = {p.name for p in paths}
        for item in sorted(folder.iterdir(), key=lambda f: f.name in names):
            final = parent / item.name
            if final.is_dir() and not final.is_symlink():
                shutil.rmtree(final)
            os.replace(item, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path, value):
    """Write `value` as JSON (keys in the order given, one top-level entry a line), whole or not at all."""
    with written_whole(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as f:
            if isinstance(value, dict):
                rows = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
                f.write("{" + ",\n".join(rows) + "}\n")
            else:
                json.dump(value, f)
                f.write("\n")


def read_json(path, made_by):
    """Read a JSON artefact; a missing or broken file raises UserError naming the command that makes it."""
    path = existing(path, made_by)
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): make it anew with {made_by}") from error


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
