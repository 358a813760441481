"""SUN397 in its official format: photographs of 397 scenes, and 10 partitions.

``ClassName.txt`` has a class per line, such as ``/a/abbey``; ``Training_01.txt`` and
``Testing_01.txt`` to ``Testing_10.txt`` have an image per line, such as
``/a/abbey/sun_aaalbzqrimafwbiv.jpg``, a path below the folder SUN397/; its folder is its class.
Source: Xiao et al., CVPR 2010, https://vision.princeton.edu/projects/2010/SUN/.
"""

from pathlib import Path

import numpy as np

from texttopicnet import artefacts, files, image_sets
from texttopicnet.errors import UserError

PAPER_CLASSES, PAPER_PARTITIONS, PAPER_IMAGES = 397, 10, 50  # images: per class, train and test
README = "data/SUN397/README.md"


def rows_of(path: Path) -> list[str]:
    """The lines of a list, without the leading slash; UserError if the file is missing or empty."""
    text = files.read(artefacts.downloaded(path, README)).decode("utf-8", "replace")
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    if not rows:
        raise UserError(f"{path} is empty: unpack it again ({README})")
    for number, row in enumerate(rows, start=1):
        if not row.startswith("/") or files.name_error(row[1:]):
            raise UserError(
                f"{path}, line {number}: {files.quoted(row)} is not a path such as /a/abbey: unpack"
                f" it again ({README})"
            )
    return [row[1:] for row in rows]


def lists(folder: Path) -> Path:
    """The folder of the lists: `folder` or Partitions in it."""
    inner = folder / "Partitions"
    return inner if inner.is_dir() and not (folder / "ClassName.txt").exists() else folder


def partitions(folder: Path) -> list[str]:
    """The numbers of the partitions, '01' to '10'; UserError if one of them, or half of one, is
    missing.
    """
    found = sorted(
        path.stem.partition("_")[2]
        for kind in ("Training", "Testing")
        for path in folder.glob(f"{kind}_*.txt")
    )
    last = max((int(name) for name in found if name.isdecimal()), default=1)
    names = sorted({*found, *(f"{number:02d}" for number in range(1, last + 1))})
    for name in names:
        for kind in ("Training", "Testing"):
            artefacts.downloaded(folder / f"{kind}_{name}.txt", README)
    return names


def read(folder: Path) -> image_sets.ImageSet:
    """The images of all partitions.

    Raises
    ------
    UserError
        A list or an image is missing, an image is of no class of ClassName.txt, or an image is in
        both lists of a partition.
    """
    where = lists(artefacts.downloaded(folder, README))
    images = folder / "SUN397" if (folder / "SUN397").is_dir() else folder
    classes = rows_of(where / "ClassName.txt")
    if len(set(classes)) != len(classes):
        raise UserError(
            f"{where / 'ClassName.txt'} names a class twice: unpack it again ({README})"
        )
    number_of = {name: i for i, name in enumerate(classes)}
    row_of: dict[str, int] = {}
    labels: list[int] = []
    folds, sources = [], [where / "ClassName.txt"]
    for name in partitions(where):
        parts = []
        for kind in ("Training", "Testing"):
            path = where / f"{kind}_{name}.txt"
            sources.append(path)
            rows = rows_of(path)
            if len(set(rows)) != len(rows):
                raise UserError(f"{path} names an image twice: unpack it again ({README})")
            for number, row in enumerate(rows, start=1):
                if row.rpartition("/")[0] not in number_of:
                    raise UserError(
                        f"{path}, line {number}: {files.quoted('/' + row)} is of no class of"
                        f" ClassName.txt: unpack both again ({README})"
                    )
                if row not in row_of:
                    row_of[row] = len(labels)
                    labels.append(number_of[row.rpartition("/")[0]])
            parts.append(np.array([row_of[row] for row in rows], dtype=np.int64))
        folds.append(image_sets.Fold(name, *parts))
    per_fold = PAPER_CLASSES * PAPER_IMAGES
    sizes = {(len(fold.train), len(fold.test)) for fold in folds}
    found = image_sets.ImageSet(
        name="sun397",
        classes=classes,
        paths=[images / row for row in row_of],
        labels=np.array(labels, dtype=np.int64),
        folds=folds,
        sources=sources,
        paper_set=(len(classes), len(folds)) == (PAPER_CLASSES, PAPER_PARTITIONS)
        and sizes == {(per_fold, per_fold)},
    )
    image_sets.check_files(found.paths, where)
    image_sets.check_folds(found, where)
    return found
