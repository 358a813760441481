"""Any folder with a folder of images per class, with or without its own split.

``DIR/train/<class>/*.jpg`` and ``DIR/test/<class>/*.jpg`` are one fold.  ``DIR/<class>/*.jpg`` is
split into folds here, with the same shares of the classes in each (scikit-learn's StratifiedKFold).
"""

from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from texttopicnet import artefacts, files, image_sets
from texttopicnet.counts import counted
from texttopicnet.errors import UserError

README = "data/README.md"


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """{class: images} of the folders in a folder, sorted.

    A folder that holds only other files is not a class, and neither is one whose name begins with a
    dot; an empty one is a UserError.
    """
    found = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name.startswith("."):
            continue
        inside = sorted(Path(f) for f in files.walk(inner))
        if not inside:
            raise UserError(f"{inner} is empty: add images of this class, or move the folder away")
        paths = [path for path in inside if path.suffix.lower() in image_sets.ENDINGS]
        if paths:
            found[inner.name] = paths
    if len(found) < 2:
        raise UserError(
            f"{folder} has {counted(len(found), 'folder')} with images: it needs a folder per"
            " class, and two classes or more"
        )
    return found


def read(folder: Path, folds: int, seed: int) -> image_sets.ImageSet:
    """The images of a folder.

    Parameters
    ----------
    folder : Path
    folds : int
        Into how many folds a folder without a split of its own is split, 2 or more.
    seed : int

    Raises
    ------
    UserError
        There is train without test or test without train, the two have other classes, or a class
        has fewer images than there are folds.
    """
    artefacts.downloaded(folder, README)
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    if len(parts) == 1:
        other = "test" if parts == ["train"] else "train"
        raise UserError(
            f"{folder} has {parts[0]} but no {other}: give both splits, or only the"
            " classes' folders"
        )
    by_part = [class_folders(folder / part) for part in parts] or [class_folders(folder)]
    classes = list(by_part[0])
    if different := set(classes) ^ set(by_part[-1]):
        name = min(different)
        raise UserError(
            f"{folder}: class '{name}' is only in {parts[int(name not in classes)]}: both splits"
            " need images of every class"
        )
    paths, labels, ends = [], [], []
    for found in by_part:
        for number, name in enumerate(classes):
            paths += found[name]
            labels += [number] * len(found[name])
        ends.append(len(paths))
    labels = np.array(labels, dtype=np.int64)
    if parts:
        split = [image_sets.Fold("01", np.arange(ends[0]), np.arange(ends[0], ends[1]))]
    else:
        split = drawn(folder, classes, labels, folds, seed)
    image_sets.check_files(paths, folder)
    resolved = folder.resolve()
    # "images" says nothing, as in Wikipedia/images
    name = (resolved.parent if resolved.name == "images" else resolved).name
    return image_sets.ImageSet(name, classes, paths, labels, split, [], False)


def drawn(
    folder: Path, classes: list[str], labels: np.ndarray, folds: int, seed: int
) -> list[image_sets.Fold]:
    """Folds of which each image is tested in one.  Their names tell them from those of another seed
    or number, so that what was made for one is not used for another.
    """
    counts = np.bincount(labels)
    if counts.min() < folds:
        name = classes[int(np.argmin(counts))]
        raise UserError(
            f"{folder}: class '{name}' has {counted(int(counts.min()), 'image')}, fewer than"
            f" {folds} folds need: give a smaller --splits, or more images"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [
        image_sets.Fold(f"{i}of{folds}_seed{seed}", train, test)
        for i, (train, test) in enumerate(splitter.split(labels, labels), 1)
    ]
