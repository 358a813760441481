"""STL-10 in its official binary format: 96 x 96 colour images of 10 classes, 10 folds.

``train_X.bin`` and ``test_X.bin`` hold uint8, 27,648 per image: the red, green and blue channel,
each column by column.  ``train_y.bin`` and ``test_y.bin`` hold a uint8 per image, 1 to 10.
``fold_indices.txt`` has a line per fold, the rows of its training images, counted from 0; every
fold is tested on all test images.  Source: Coates, Lee and Ng, AISTATS 2011,
https://cs.stanford.edu/~acoates/stl10/.
"""

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from texttopicnet import artefacts, atomic_files, files, image_sets
from texttopicnet.counts import counted
from texttopicnet.errors import UserError

SIDE, CLASSES, FOLDS = 96, 10, 10
BYTES = 3 * SIDE * SIDE
PAPER_TRAIN, PAPER_TEST = 5000, 8000
README = "data/STL10/README.md"


def holder(folder: Path) -> Path:
    """The folder with the binary files: `folder` or stl10_binary in it."""
    inner = folder / "stl10_binary"
    return inner if inner.is_dir() and not (folder / "train_X.bin").exists() else folder


def images(path: Path) -> np.ndarray:
    """The images of a file, without reading them: uint8 (n_images, 96, 96, 3), RGB.

    Raises
    ------
    UserError
        The file is missing, or is not a whole number of images.
    """
    size = files.check_regular(artefacts.downloaded(path, README)).st_size
    if size == 0 or size % BYTES:
        raise UserError(
            f"{path} has {size:,} bytes, not a multiple of {BYTES:,}, the size of an image: it is"
            f" truncated or not a file of STL-10; unpack it again ({README})"
        )
    data = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, SIDE, SIDE)
    return data.transpose(0, 3, 2, 1)


def labels(path: Path, count: int) -> np.ndarray:
    """The labels of `count` images, int64 from 0 to 9.

    Raises
    ------
    UserError
        The file is missing, has another number of labels, or one that is not 1 to 10.
    """
    found = np.frombuffer(files.read(artefacts.downloaded(path, README)), np.uint8).astype(np.int64)
    if len(found) != count:
        raise UserError(
            f"{path} has {counted(len(found), 'label')} for {counted(count, 'image')} in"
            f" {path.name.replace('_y', '_X')}: the two files do not belong together, unpack both"
            f" again ({README})"
        )
    if found.min() < 1 or found.max() > CLASSES:
        row = int(np.argmax((found < 1) | (found > CLASSES)))
        raise UserError(
            f"{path}: label {row} is {found[row]}, not 1 to {CLASSES}: unpack it again ({README})"
        )
    return found - 1


def folds(path: Path, count: int) -> list[np.ndarray]:
    """The training rows of each fold.

    Raises
    ------
    UserError
        The file is missing, or a line is not a list of different rows below `count`; the lines have
        different lengths, or the official set does not have all 10.
    """
    text = files.read(artefacts.downloaded(path, README)).decode("utf-8", "replace")
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows = np.array([int(field) for field in line.split()], dtype=np.int64)
        except (ValueError, OverflowError):
            raise UserError(
                f"{path}, line {number} is not a list of row numbers: unpack it again ({README})"
            ) from None
        if rows.min() < 0 or rows.max() >= count:
            wrong = rows[(rows < 0) | (rows >= count)][0]
            raise UserError(
                f"{path}, line {number}: row {wrong} is not one of the {count} training images:"
                f" unpack it again ({README})"
            )
        if len(np.unique(rows)) != len(rows):
            raise UserError(
                f"{path}, line {number} names an image twice: unpack it again ({README})"
            )
        found.append(rows)
    if not found:
        raise UserError(f"{path} has no folds: unpack it again ({README})")
    sizes = [len(rows) for rows in found]
    if len(set(sizes)) > 1 or (count == PAPER_TRAIN and len(found) != FOLDS):
        raise UserError(
            f"{path} has {counted(len(found), 'fold')} of {min(sizes):,} to {max(sizes):,} images,"
            f" not {FOLDS} folds of one size: it is truncated, unpack it again ({README})"
        )
    return found


def unpack(source: Path, folder: Path) -> list[Path]:
    """Write the images of a binary file as PNG files, once.

    Parameters
    ----------
    source : Path
    folder : Path
        Gets 00000.png, 00001.png, ...

    Returns
    -------
    list of Path
        The files, in the order of the images.
    """
    found = images(source)
    paths = [folder / f"{i:05d}.png" for i in range(len(found))]
    stamp = folder / "source.txt"
    made_from = f"{source.stat().st_size} bytes, SHA-256 {artefacts.sha256(source)}\n"
    if stamp.is_file() and stamp.read_text() == made_from:
        return paths
    with atomic_files.written_whole(folder) as temporary:
        temporary.mkdir()
        for i, image in enumerate(tqdm(found, desc=source.name, unit="image")):
            cv2.imwrite(str(temporary / f"{i:05d}.png"), np.ascontiguousarray(image[:, :, ::-1]))
        (temporary / stamp.name).write_text(made_from)
    return paths


def read(folder: Path, unpacked: Path) -> image_sets.ImageSet:
    """The whole set; its images are written as PNG files below `unpacked`, once.

    Raises
    ------
    UserError
        A file is missing, truncated, or does not fit the others.
    """
    source = holder(artefacts.downloaded(folder, README))
    parts = {part: images(source / f"{part}_X.bin") for part in ("train", "test")}
    numbers = {part: labels(source / f"{part}_y.bin", len(x)) for part, x in parts.items()}
    n_train, n_test = len(parts["train"]), len(parts["test"])
    training = folds(source / "fold_indices.txt", n_train)
    names = [str(number) for number in range(1, CLASSES + 1)]
    named = source / "class_names.txt"
    if named.is_file():
        names = files.read(named).decode("utf-8", "replace").split()
        if len(names) != CLASSES:
            raise UserError(
                f"{named} has {len(names)} names, not {CLASSES}: unpack it again ({README})"
            )
    paths = [p for part in parts for p in unpack(source / f"{part}_X.bin", unpacked / part)]
    test = np.arange(n_train, n_train + n_test)
    found = image_sets.ImageSet(
        name="stl10",
        classes=names,
        paths=paths,
        labels=np.concatenate([numbers["train"], numbers["test"]]),
        folds=[image_sets.Fold(f"{i:02d}", rows, test) for i, rows in enumerate(training, 1)],
        sources=[source / name for name in ("train_y.bin", "test_y.bin", "fold_indices.txt")],
        paper_set=(n_train, n_test, len(training)) == (PAPER_TRAIN, PAPER_TEST, FOLDS),
    )
    image_sets.check_folds(found, source / "fold_indices.txt")
    return found
