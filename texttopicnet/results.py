"""The result record: numbers, with all that is needed to understand and reproduce them.

One JSON file per result.  Tables are made from these files alone (experiments/make_tables.py).
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from texttopicnet import artefacts, atomic_files, json_files
from texttopicnet.errors import UserError

LIBRARIES = ("gensim", "nltk", "numpy", "opencv-python", "scikit-learn", "scipy", "torch")
FIELDS = (
    "experiment",
    "corpus",
    "split",
    "paper_set",
    "values",
    "seed",
    "note",
    "commit",
    "inputs",
    "versions",
    "hardware",
    "seconds",
)


def commit(root: Path | str = artefacts.ROOT) -> str:
    """The project's git commit, with ``-dirty`` if tracked files differ from it; ``'unknown'``
    without git.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout

    try:
        # a project that was unpacked inside another checkout must not take that one's commit
        if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != Path(root).resolve():
            return "unknown"
        dirty = git("status", "--porcelain", "--untracked-files=no").strip()
        return git("rev-parse", "HEAD").strip() + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """{'python' or library: version} of what can change the numbers, without missing libraries."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def hardware(gpu: str = "none") -> dict[str, str | int | None]:
    """{'cpu': model name, 'cores': those that this process may use, 'gpu': `gpu`}.

    `gpu` is the name of the GPU that computed, or 'none': a machine may have one that was not used.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu_model(), "cores": cores, "gpu": gpu}


def portable(path: Path | str) -> str:
    """`path` in the form of a record: relative to the project if it is inside, else its last two
    parts.
    """
    path = Path(path).resolve()
    if path.is_relative_to(artefacts.ROOT):
        return path.relative_to(artefacts.ROOT).as_posix()
    return "/".join(path.parts[-2:])


def command(arguments: Sequence[str] | None = None) -> str:
    """The command line of this process, as a record has it.

    Parameters
    ----------
    arguments : sequence of str, optional
        The script and its arguments (default: ``sys.argv``).

    Returns
    -------
    str
        ``python`` and the arguments, quoted for a shell.  Paths have the form of `portable`: if all
        are inside the project, the line can be run from the project's folder.
    """
    arguments = sys.argv if arguments is None else arguments
    return shlex.join(["python", *map(_portable_argument, arguments)])


def _portable_argument(argument: str) -> str:
    """An argument whose path, if it is one, has the form of `portable`."""
    option, equals, value = (
        argument.partition("=") if argument.startswith("-") else ("", "", argument)
    )
    if "/" not in value or not (os.path.isabs(value) or os.path.exists(value)):
        return argument
    try:
        return f"{option}{equals}{portable(value)}"
    except OSError:  # a loop of links
        return argument


def checksum(path: Path | str | Iterable[Path | str]) -> str:
    """SHA-256 of a file or, for a folder or a list of files, of their sorted ``<sha256>  <name>``
    lines.

    The names are relative to the folder, or to the deepest common folder of the listed files.
    """
    if isinstance(path, (str, os.PathLike)):
        path = Path(path)
        if path.is_file():
            return artefacts.sha256(path)
        files, base = sorted(f for f in path.rglob("*") if f.is_file()), path
    else:
        files = sorted(Path(f) for f in path)
        base = Path(os.path.commonpath([f.parent for f in files]))
    rows = [f"{artefacts.sha256(f)}  {f.relative_to(base).as_posix()}\n" for f in files]
    return hashlib.sha256("".join(sorted(rows)).encode()).hexdigest()


def _input(path: Path | str | Iterable[Path | str]) -> dict[str, str]:
    if isinstance(path, (str, os.PathLike)):
        return {"path": portable(path), "sha256": checksum(path)}
    files = list(path)
    base = os.path.commonpath([Path(f).parent for f in files])
    return {"path": f"{portable(base)} ({len(files)} files)", "sha256": checksum(files)}


def record(
    experiment: str,
    corpus: str,
    values: dict[str, Any],
    split: dict[str, Any],
    seed: int | list[int] | None,
    inputs: dict[str, Path | str | Iterable[Path | str]],
    seconds: float,
    note: str = "",
    paper_set: bool = False,
    gpu: str = "none",
    **more: Any,
) -> dict[str, Any]:
    """Make a result record.

    Parameters
    ----------
    experiment : str
        Name of the measurement, e.g. ``'voc2007_svm'``.
    corpus : str
        The data of the evaluation.
    values : dict
        {name: number, or dict of numbers}; fractions, not percent.
    split : dict
        {split: number of items, or dict of numbers} on which the values were measured.
    seed : int, list of int or None
    inputs : dict
        {name: file, folder or list of files}; each is stored with its SHA-256.
    seconds : float
        Wall-clock time of the script.
    note : str
        What a reader must know besides the numbers (training corpus, schedule).
    paper_set : bool
        Whether the evaluation set has the classes and sizes of the paper's.  It does not describe
        the training.
    gpu : str
        Name of the GPU that computed the values, or 'none'.
    **more
        Further entries, JSON values (a layer, a name, an option).

    Returns
    -------
    dict
        `FIELDS` and the command of this process, then `more`.
    """
    result = {
        "experiment": experiment,
        "corpus": corpus,
        "split": split,
        "paper_set": bool(paper_set),
        "values": values,
        "seed": seed,
        "note": note,
        "commit": commit(),
        "command": command(),
        "inputs": {name: _input(path) for name, path in inputs.items()},
        "versions": versions(),
        "hardware": hardware(gpu),
        "seconds": round(float(seconds), 1),
    }
    clash = result.keys() & more.keys()
    if clash:
        raise ValueError(f"these entries are set already: {sorted(clash)}")
    return result | more


def save(path: Path | str, result: dict[str, Any]) -> None:
    """Write a record as indented JSON, whole or not at all; ValueError for NaN and infinity."""
    text = json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_files.written_whole(path) as temporary:
        # bytes of a note that are not UTF-8 become JSON's own \\udc.. escapes
        Path(temporary).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def load(path: Path | str) -> dict[str, Any]:
    """Read a record; UserError if it is not JSON or lacks one of `FIELDS`."""
    result = json_files.read(path, "the scripts in experiments/")
    lacking = [f for f in FIELDS if not isinstance(result, dict) or f not in result]
    if lacking:
        raise UserError(f"{path} is not a result record: it lacks {', '.join(lacking)}")
    return result


def load_all(folder: Path | str) -> dict[str, dict[str, Any]]:
    """{file stem: record} of every ``*.json`` in `folder`, sorted by name; empty without the
    folder.
    """
    return {f.stem: load(f) for f in sorted(Path(folder).glob("*.json"))}
