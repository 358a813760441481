"""The files of a topic index: a stopped build resumes, and a finished one has its mark last."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from texttopicnet import atomic_files, errors, retrieval
from texttopicnet.counts import counted
from texttopicnet.errors import UserError
from texttopicnet.topic_index import WHOLE, TopicIndex, identity, note

PROGRESS, OUTPUTS, LOCK = "progress.json", "outputs.npy", "lock"
BLOCK = 1 << 14  # rows that are derived at once
KEEP = 16  # batches between two notes of the progress

# compute(names): float32 (n_names, n_topics), the net's outputs; a row of NaN for an image that
# cannot be read
Compute = Callable[[Sequence[str]], np.ndarray]


def build(
    folder: Path,
    inputs: dict[str, Any],
    images: Sequence[tuple[str, str]],
    articles: Sequence[str],
    vectors: np.ndarray,
    compute: Compute,
    batch: int = 50,
) -> TopicIndex:
    """Compute the outputs for all images, and write an index.

    A build that was stopped goes on with the images that are missing, if the inputs are the same.
    An index that is open elsewhere keeps its old files.

    Parameters
    ----------
    folder : Path
        Made if it is missing; holds nothing else.
    inputs : dict
        JSON values that change whenever the outputs would, such as checksums.
    images : sequence of (str, str)
        Image and its article, in the order of the images' names.
    articles : sequence of str
        Sorted.
    vectors : ndarray of float32, shape (n_articles, n_topics)
    compute : callable
        See `Compute`.
    batch : int
        Images per call of it.

    Returns
    -------
    TopicIndex

    Raises
    ------
    UserError
        No image can be read; outputs are negative or infinite; another process builds this index;
        the folder cannot be written.
    """
    with _locked(folder):
        outputs = _outputs(folder, inputs, [name for name, _ in images], vectors, compute, batch)
        readable = np.flatnonzero(~np.isnan(outputs[:, 0]))
        if not len(readable):
            raise UserError(
                f"none of the {len(images)} images of the train dict can be read, the first is"
                f" {images[0][0]}: give the --data and --collection that stage 1 had"
            )
        if left_out := len(images) - len(readable):
            print(f"left out of the index: {counted(left_out, 'image')} that cannot be read")
        with errors.writing(folder):
            _write(folder, outputs, readable, images, articles, vectors)
            _save_note(folder / WHOLE, identity(inputs))
            for name in (OUTPUTS, PROGRESS):
                (folder / name).unlink()
    found = TopicIndex.open(folder, inputs)
    if found is None:
        raise UserError(f"{folder} was changed while it was written: start again")
    return found


def _save_note(path: Path, value: Any) -> None:
    with atomic_files.written_whole(path) as temporary:
        temporary.write_text(json.dumps(value), "utf-8")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when the process ends."""
    with contextlib.ExitStack() as stack:
        with errors.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(folder / LOCK, "w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is building {folder}: wait until it is done, and start again"
            ) from None
        yield


def _outputs(
    folder: Path,
    inputs: dict[str, Any],
    names: list[str],
    vectors: np.ndarray,
    compute: Compute,
    batch: int,
) -> np.ndarray:
    """The outputs of all images, float32 (n_images, n_topics), beginning with a stopped build's."""
    shape = (len(names), vectors.shape[1])
    before = note(folder / PROGRESS)
    going_on = isinstance(before, dict) and before.get("inputs") == identity(inputs)
    try:
        outputs = np.lib.format.open_memmap(folder / OUTPUTS, "r+") if going_on else None
    except (OSError, ValueError, EOFError):
        outputs = None
    done = int(before["done"]) if outputs is not None and outputs.shape == shape else 0
    if not done:
        for name in (WHOLE, PROGRESS, OUTPUTS):  # removed, not emptied: somebody may have them open
            (folder / name).unlink(missing_ok=True)
        with errors.writing(folder):
            outputs = _mapped(folder / OUTPUTS, np.float32, shape)

    def keep() -> None:
        outputs.flush()
        _save_note(folder / PROGRESS, {"inputs": identity(inputs), "done": done})

    try:
        with tqdm(desc="images", unit="image", initial=done, total=len(names)) as bar:
            for number, start in enumerate(range(done, len(names), batch), start=1):
                rows = compute(names[start : start + batch])
                _check(rows, names[start : start + batch])
                outputs[start : start + len(rows)] = rows
                done = start + len(rows)
                bar.update(len(rows))
                if number % KEEP == 0:
                    keep()
    finally:  # also after Ctrl-C
        keep()
    return outputs


def _check(rows: np.ndarray, names: Sequence[str]) -> None:
    wrong = ((rows < 0) | np.isinf(rows)).any(axis=1)
    if wrong.any():
        raise UserError(
            f"the net's outputs for {names[int(wrong.argmax())]} are negative or not finite: the"
            " weights are not those of a net that predicts topics"
        )


def _write(
    folder: Path,
    outputs: np.ndarray,
    readable: np.ndarray,
    images: Sequence[tuple[str, str]],
    articles: Sequence[str],
    vectors: np.ndarray,
) -> None:
    """The arrays of an index, of the images that are readable."""
    article_names = _names(articles)
    shares, own = retrieval.shares_of_texts(vectors)
    found = {
        "image_names": _names([images[i][0] for i in readable]),
        "article_of": np.searchsorted(article_names, _names([images[i][1] for i in readable])),
        "articles": np.asarray(vectors, np.float32),
        "article_shares": shares,
        "article_own": own,
        "article_names": article_names,
    }
    for name, array in found.items():
        with _new(folder, name, array.dtype, array.shape) as file:
            file[...] = array
    shape = (len(readable), vectors.shape[1])
    with (
        _new(folder, "images", np.float32, shape) as kept,
        _new(folder, "image_logs", np.float64, shape) as logs,
    ):
        for start in range(0, len(readable), BLOCK):
            rows = slice(start, start + BLOCK)
            kept[rows] = outputs[readable[rows]]
            logs[rows] = retrieval.log_shares_of_images(kept[rows])


def _names(names: Sequence[str]) -> np.ndarray:
    """Names as UTF-8 in one array of bytes, whose order is that of the names' code points."""
    return np.array([name.encode() for name in names], dtype=np.bytes_)


@contextlib.contextmanager
def _new(folder: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """A new array file, complete under its name when the block ends."""
    temporary = folder / f"{name}.npy.new"
    array = _mapped(temporary, dtype, shape)
    yield array
    array.flush()
    os.replace(temporary, folder / f"{name}.npy")


def _mapped(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new array in a file whose space on the disk is reserved.

    A full disk is an OSError here; it would be a fatal signal where the array is written.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array
