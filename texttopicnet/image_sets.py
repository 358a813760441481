"""Sets of images with one class each, and the folds in which they are split into train and test.

The official formats have a module each: stl10.py, sun397.py, and image_folder.py for any folder per
class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texttopicnet import files
from texttopicnet.counts import counted, first_of
from texttopicnet.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Fold:
    """One split.

    Attributes
    ----------
    name : str
        For folders and progress, such as ``'01'``.
    train, test : ndarray of int64
        Rows of the set.
    """

    name: str
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class ImageSet:
    """Image files, their classes and folds.

    Attributes
    ----------
    name : str
        In records and file names.
    classes : list of str
    paths : list of Path
        Each once; a file's name without its ending is unique in its folder.
    labels : ndarray of int64, shape (n_images,)
        Rows of `classes`.
    folds : list of Fold
    sources : list of Path
        The files that say which image is of which class and fold, for the record's checksums.
    paper_set : bool
        Whether it has the classes, images and folds of the official set.
    """

    name: str
    classes: list[str]
    paths: list[Path]
    labels: np.ndarray
    folds: list[Fold]
    sources: list[Path]
    paper_set: bool

    @property
    def ids(self) -> list[str]:
        """The paths without their endings."""
        return [str(path.with_suffix("")) for path in self.paths]


def check_files(paths: Sequence[Path], where: Path | str) -> None:
    """Raise UserError, naming `where`, if image files are missing or share an id."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{where}: {counted(len(missing), 'image')} of {len(paths)}"
            f" {'is' if len(missing) == 1 else 'are'} missing"
            f"{first_of(len(missing), files.printable(missing[0]))}; unpack the set again"
        )
    by_id: dict[Path, Path] = {}
    for path in paths:
        other = by_id.setdefault(path.with_suffix(""), path)
        if other is not path:
            raise UserError(f"{where}: {other} and {path} differ only in their ending: rename one")


def check_folds(image_set: ImageSet, where: Path | str) -> None:
    """Raise UserError, naming `where`, unless every fold has all classes in train and test, and no
    image twice.
    """
    for fold in image_set.folds:
        both = np.intersect1d(fold.train, fold.test)
        if len(both):
            raise UserError(
                f"{where}, split {fold.name}: {counted(len(both), 'image is', 'images are')} in"
                f" train and in test{first_of(len(both), image_set.paths[both[0]].name)}; take it"
                " out of one of the two"
            )
        for part, rows in (("train", fold.train), ("test", fold.test)):
            present = np.bincount(image_set.labels[rows], minlength=len(image_set.classes))
            if not present.all():
                name = image_set.classes[int(np.argmin(present))]
                raise UserError(
                    f"{where}, split {fold.name}: {part} has no image of class '{name}': add some,"
                    " or leave the class out"
                )
