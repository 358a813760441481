"""Pascal VOC2007 classification splits: images, labels, and the treatment of difficult objects.

``VOCdevkit/VOC2007/ImageSets/Main/<class>_<split>.txt`` holds one row per image, ``<id>  1``,
``<id> -1`` or ``<id>  0``; 0 means that all objects of the class in the image are marked difficult.
The classes are those that have such files, so that a part of VOC2007 works as the whole does.
(The class `train` has ``train_train.txt``; ``train.txt`` belongs to no class.)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texttopicnet import files
from texttopicnet.counts import counted, first_of
from texttopicnet.errors import UserError

MAIN = Path("VOCdevkit", "VOC2007", "ImageSets", "Main")
SPLITS = ("train", "val", "trainval", "test")
DIFFICULT = ("leave-out", "positive")
REMEDY = "unpack the set again (data/VOC2007/README.md), or correct the list"
# the whole of VOC2007, on which the paper's numbers were measured
PAPER_CLASSES, PAPER_TRAINVAL, PAPER_TEST = 20, 5011, 4952


@dataclass(frozen=True)
class Table:
    """The labels of one split for all classes.

    Attributes
    ----------
    ids : list of str
        Images that count for at least one class, in the order of the first list that has them.
    labels : ndarray of int8, shape (n_images, n_classes)
        1, -1, or 0 where the image does not count for the class: all its objects of the class are
        difficult, or the class's list does not have it.
    """

    ids: list[str]
    labels: np.ndarray


def holder(voc: Path | str) -> Path:
    """The folder that holds VOCdevkit: `voc` itself or `voc`/VOC2007; `voc` if neither does."""
    places = [Path(voc), Path(voc) / "VOC2007"]
    for part in (MAIN, "VOCdevkit"):  # a whole VOC set comes first
        for place in places:
            if (place / part).is_dir():
                return place
    return places[0]


def year_folder(voc: Path | str) -> Path:
    """VOCdevkit/VOC2007 in the `holder`; UserError if it has no lists."""
    main = holder(voc) / MAIN
    if not main.is_dir():
        raise UserError(
            f"{main} does not exist: give --voc the folder that holds VOCdevkit"
            " (data/VOC2007/README.md says how to get it)"
        )
    return main.parent.parent


def split_file(voc: Path | str, name: str | None, split: str) -> Path:
    """Path of the list of a class's split, or of the whole set's if `name` is None."""
    file = f"{name}_{split}.txt" if name else f"{split}.txt"
    return year_folder(voc) / "ImageSets" / "Main" / file


def classes(voc: Path | str) -> list[str]:
    """Sorted names of the classes of the VOC set below `voc`.

    Raises
    ------
    UserError
        There is no class, or a class lacks one of its four split files.
    """
    main = year_folder(voc) / "ImageSets" / "Main"
    names = set()
    for ending in ("_trainval.txt", "_test.txt"):
        names |= {f.name.removesuffix(ending) for f in main.glob(f"*{ending}")}
    names.discard("")  # a file named `_test.txt` belongs to no class
    if not names:
        raise UserError(
            f"{main} holds no <class>_trainval.txt: it is not the Main folder of a VOC set"
        )
    for name in sorted(names):
        for split in SPLITS:
            if not (main / f"{name}_{split}.txt").is_file():
                raise UserError(
                    f"{main / f'{name}_{split}.txt'} is missing: class '{name}' needs"
                    f" {', '.join(SPLITS)}; {REMEDY}"
                )
    return sorted(names)


def read_split(
    voc: Path | str, name: str, split: str, difficult: str = "leave-out"
) -> tuple[list[str], np.ndarray]:
    """Image ids and labels of one class and split.

    Parameters
    ----------
    voc : str or Path
        Folder that holds VOCdevkit.
    name : str
        Class, e.g. ``'bus'``.
    split : {'train', 'val', 'trainval', 'test'}
    difficult : {'leave-out', 'positive'}
        Rows with 0: 'leave-out' drops them from every split, as the VOC devkit's evaluation does
        (D3); 'positive' counts them as the class, as the original's script did by splitting
        ``<id>  0`` at single blanks.

    Returns
    -------
    ids : list of str
        In the file's order, each once.
    labels : ndarray of int64, shape (n_images,)
        1 or -1.

    Raises
    ------
    UserError
        A row is malformed or repeated; the sentence names its line.
    """
    if difficult not in DIFFICULT:
        raise ValueError(f"difficult must be one of {DIFFICULT}, not {difficult!r}")
    path = split_file(voc, name, split)
    if not path.is_file():
        raise UserError(f"{path} is missing: class '{name}' has no {split} split; {REMEDY}")
    labels = {}
    for number, row in enumerate(files.read(path).decode("utf-8", "replace").splitlines(), start=1):
        fields = row.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("1", "-1", "0"):
            raise UserError(
                f"{path}, line {number}: {files.quoted(row.strip())} is not '<id> 1', '<id> -1' or"
                f" '<id> 0': {REMEDY}"
            )
        image, label = fields[0], int(fields[1])
        if wrong := files.name_error(image):
            raise UserError(
                f"{path}, line {number}: {files.quoted(image)} is not the id of an image of the set"
                f" ({wrong}): {REMEDY}"
            )
        if image in labels:
            raise UserError(
                f"{path}, line {number}: image {image} is in this list a second time: {REMEDY}"
            )
        labels[image] = label
    if difficult == "leave-out":
        labels = {image: label for image, label in labels.items() if label != 0}
    ids = list(labels)
    return ids, np.array([-1 if labels[i] == -1 else 1 for i in ids], dtype=np.int64)


def read_class(
    voc: Path | str, name: str, difficult: str = "leave-out"
) -> dict[str, tuple[list[str], np.ndarray]]:
    """All four splits of one class, checked against each other.

    Returns
    -------
    dict
        {split: (ids, labels)} of `read_split` for 'train', 'val', 'trainval' and 'test'.

    Raises
    ------
    UserError
        trainval is not the union of train and val, splits overlap, or one lacks positives or
        negatives.
    """
    splits = {split: read_split(voc, name, split, difficult) for split in SPLITS}
    rows = {
        split: dict(zip(ids, labels.tolist(), strict=True))
        for split, (ids, labels) in splits.items()
    }
    for a, b in (("train", "val"), ("trainval", "test")):
        both = rows[a].keys() & rows[b].keys()
        if both:
            raise UserError(
                f"{split_file(voc, name, b)}: {counted(len(both), 'image is', 'images are')} in"
                f" {a} too{first_of(len(both), min(both))}; {REMEDY}"
            )
    if rows["train"] | rows["val"] != rows["trainval"]:
        raise UserError(
            f"{split_file(voc, name, 'trainval')} is not the union of {name}_train.txt and"
            f" {name}_val.txt: {REMEDY}"
        )
    for split, (_, labels) in splits.items():
        if len(set(labels.tolist())) != 2:
            raise UserError(
                f"{split_file(voc, name, split)}: class '{name}' needs both positives and"
                " negatives: add such images, or move the four lists of the class away"
            )
    return splits


def tables(voc: Path | str, difficult: str = "leave-out") -> dict[str, Table]:
    """{split: Table} of 'train', 'val', 'trainval' and 'test', checked by `read_class`; the columns
    are the classes in the order of `classes`.
    """
    names = classes(voc)
    by_class = [read_class(voc, name, difficult) for name in names]
    found = {}
    for split in SPLITS:
        ids = list(dict.fromkeys(image for splits in by_class for image in splits[split][0]))
        row = {image: i for i, image in enumerate(ids)}
        labels = np.zeros((len(ids), len(names)), dtype=np.int8)
        for column, splits in enumerate(by_class):
            images, values = splits[split]
            labels[[row[image] for image in images], column] = values
        found[split] = Table(ids, labels)
    return found


def is_paper_set(voc: Path | str) -> bool:
    """Whether the set has the classes and sizes of the paper's."""
    lists = [split_file(voc, None, split) for split in ("trainval", "test")]
    sizes = [len(files.read(path).split()) if path.is_file() else 0 for path in lists]
    return (len(classes(voc)), *sizes) == (PAPER_CLASSES, PAPER_TRAINVAL, PAPER_TEST)


def write_results(
    folder: Path, name: str, ids: list[str], scores: np.ndarray, split: str = "test"
) -> Path:
    """Write a class's scores as the VOC devkit reads them, ``comp1_cls_<split>_<class>.txt``.

    A row is ``<id> <score>``; the score has all its digits, so the devkit's AP is this project's.
    The devkit itself leaves difficult images out, so all images of the split belong into the file.

    Parameters
    ----------
    folder : Path
        ``results/VOC2007/Main`` for the devkit; it exists.
    name : str
        Class.
    ids : list of str
    scores : ndarray of float64, shape (n_images,)
        Higher is more likely to show the class.
    split : str
    """
    path = folder / f"comp1_cls_{split}_{name}.txt"
    rows = [f"{image} {float(score)!r}\n" for image, score in zip(ids, scores, strict=True)]
    path.write_text("".join(rows), encoding="utf-8")
    return path
