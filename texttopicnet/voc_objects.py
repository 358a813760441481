"""Objects of VOC2007: annotations, proposals, and the devkit's result files."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io

from texttopicnet import artefacts, boxes, features, files, voc
from texttopicnet import images as pixels
from texttopicnet.errors import UserError

README = "data/VOC2007/README.md"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Objects(NamedTuple):
    """The objects of one image.

    names : list of str
    boxes : ndarray of float64, shape (n, 4)
        As in texttopicnet.boxes; the file counts pixels from 1.
    difficult : ndarray of bool, shape (n,)
    """

    names: list[str]
    boxes: np.ndarray
    difficult: np.ndarray


class Detection(NamedTuple):
    """A row of a result file.

    box : ndarray of float64, shape (4,)
    """

    image: str
    score: float
    box: np.ndarray


def images(year: Path, split: str) -> list[str]:
    """Image ids of ImageSets/Main/<split>.txt; UserError if the list is missing or empty."""
    path = artefacts.downloaded(year / "ImageSets" / "Main" / f"{split}.txt", README)
    ids = files.read(path).decode("utf-8", "replace").split()
    for image in ids:
        if wrong := files.name_error(image):
            raise UserError(
                f"{path}: {files.quoted(image)} is not the id of an image of the set ({wrong}):"
                f" {voc.REMEDY}"
            )
    if not ids or len(set(ids)) != len(ids):
        raise UserError(f"{path} must hold image ids, each of them once: {voc.REMEDY}")
    return ids


def read_objects(year: Path, image: str) -> Objects:
    """The annotation of an image.

    Parameters
    ----------
    year : Path
        VOCdevkit/VOC2007.
    image : str

    Raises
    ------
    UserError
        The file is missing or is not an annotation with boxes.
    """
    path = artefacts.downloaded(year / "Annotations" / f"{image}.xml", README)
    try:
        rows = ElementTree.fromstring(files.read(path)).findall("object")
        names = [row.findtext("name", "").strip() for row in rows]
        corners = [[float(row.find("bndbox").findtext(c)) - 1 for c in CORNERS] for row in rows]
        difficult = [int(row.findtext("difficult") or 0) != 0 for row in rows]
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not an annotation with the boxes of its objects ({error}): {README} says"
            " how to get it"
        ) from error
    found = np.array(corners, dtype=np.float64).reshape(-1, 4)
    in_order = np.isfinite(found).all() and (found[:, :2] <= found[:, 2:]).all()
    if "" in names or not in_order:
        raise UserError(
            f"{path}: an object has no name, or a box that ends before it starts: {README} says how"
            " to get it"
        )
    return Objects(names, found, np.array(difficult, dtype=bool))


def read_proposals(path: Path, ids: Sequence[str]) -> list[np.ndarray]:
    """Proposals of each image, from a file of one split.

    Either the selective search files of Fast R-CNN (``voc_2007_<split>.mat``: cell arrays `boxes`,
    rows y1 x1 y2 x2 from 1, and `images`, the ids, in the split's order), or an ``.npz`` with `ids`
    (n_images,), `boxes` (n, 4) x1 y1 x2 y2 from 0, and `image` (n,), the row of `ids` of each box.

    Parameters
    ----------
    path : Path
    ids : list of str
        The images whose proposals are wanted, in this order.

    Returns
    -------
    list of ndarray of float64, shape (n, 4)

    Raises
    ------
    UserError
        The file is missing or damaged, or lacks an image.
    """
    path = artefacts.downloaded(path, README)
    try:
        known, found = _read_mat(path, ids) if path.suffix == ".mat" else _read_npz(path)
    except features.MAT_ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is not a file of proposals ({why}): {README} says what it must hold"
        ) from error
    if not all(np.isfinite(rows).all() for rows in found):
        raise UserError(f"{path}: a proposal is not finite: {README} says what it must hold")
    if not all((rows[:, :2] <= rows[:, 2:]).all() for rows in found):
        raise UserError(
            f"{path}: a proposal ends before it starts: {README} says what it must hold"
        )
    number = {image: i for i, image in enumerate(known)}
    if len(number) < len(known):
        raise UserError(f"{path} names an image twice: {README} says what it must hold")
    missing = [image for image in ids if image not in number]
    if missing:
        raise UserError(
            f"{path} lacks proposals of {len(missing)} of {len(ids)} images; the first is"
            f" {missing[0]}: give the file of the right split"
        )
    return [found[number[image]] for image in ids]


def proposals(year: Path, ids: Sequence[str], path: Path | None) -> list[np.ndarray]:
    """Proposals of each image: those in a file (`read_proposals`), or without one a fixed grid
    (`texttopicnet.boxes.sliding`).
    """
    if path is not None:
        return read_proposals(path, ids)
    found = []
    for image in ids:
        size = pixels.size(files.read(image_file(year, image)))
        if size is None:
            raise UserError(
                f"{image_file(year, image)} is not an image: {README} says how to get it"
            )
        found.append(boxes.sliding(*size))
    return found


def image_file(year: Path, image: str) -> Path:
    """JPEGImages/<image>.jpg; UserError if it is missing."""
    return artefacts.downloaded(year / "JPEGImages" / f"{image}.jpg", README)


def _read_mat(path: Path, ids: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
    data = scipy.io.loadmat(path)
    found = [
        np.asarray(cell, dtype=np.float64)[:, [1, 0, 3, 2]] - 1 for cell in data["boxes"].ravel()
    ]
    if "images" in data:
        known = [str(cell.ravel()[0]) for cell in data["images"].ravel()]
    else:
        known = list(ids)
    if len(known) != len(found):
        raise ValueError(f"{len(found)} cells of boxes for {len(known)} images")
    return known, found


def _read_npz(path: Path) -> tuple[list[str], list[np.ndarray]]:
    with np.load(path, allow_pickle=False) as data:
        ids, found, image = data["ids"], data["boxes"], data["image"]
    if ids.ndim != 1 or image.ndim != 1:
        raise ValueError(f"ids {ids.shape} and image {image.shape} are not lists")
    if image.dtype.kind not in "iu":
        raise ValueError(f"image holds {image.dtype}, not whole numbers")
    known = ids.tolist()
    if found.shape != (len(image), 4) or image.min() < 0 or image.max() >= len(known):
        raise ValueError(f"boxes {found.shape} and image {image.shape} do not fit")
    return known, [found[image == i].astype(np.float64) for i in range(len(known))]


def average_precision(
    detections: Iterable[Detection], truth: dict[str, Objects], name: str, least: float = 0.5
) -> dict[str, float] | None:
    """The devkit's AP of one class.

    Detections are matched from the best score down.  Each looks at the object of its image that it
    overlaps most: with less than `least` it is a false positive; on a difficult object it is
    ignored; on an object that is found already it is a false positive.

    Parameters
    ----------
    detections : iterable of Detection
    truth : dict
        {image: Objects} of all images of the split.
    name : str
        The class.
    least : float
        Intersection over union.

    Returns
    -------
    dict or None
        voc_11_point (VOC2007's) and area (VOC2010's: under the precision that never rises with
        recall), in [0, 1], and objects (their number without difficult ones); None if there is
        none.

    Notes
    -----
    Equal scores keep their order in `detections`; the devkit leaves it to MATLAB's sort.
    """
    of_class = {image: np.array([n == name for n in o.names], bool) for image, o in truth.items()}
    count = sum(int((own & ~truth[i].difficult).sum()) for i, own in of_class.items())
    if not count:
        return None
    found = {image: np.zeros(own.sum(), bool) for image, own in of_class.items()}
    right = []
    for image, _, box in sorted(detections, key=lambda d: -d.score):
        objects, own = truth[image], of_class[image]
        near = boxes.overlaps(box[None], objects.boxes[own])[0]
        best = int(near.argmax()) if len(near) else -1
        if best < 0 or near[best] < least:
            right.append(False)
        elif not objects.difficult[own][best]:
            right.append(not found[image][best])
            found[image][best] = True
    return precisions(np.array(right, dtype=bool), count) | {"objects": count}


def precisions(right: np.ndarray, count: int) -> dict[str, float]:
    """voc_11_point and area of ranked detections.

    Parameters
    ----------
    right : ndarray of bool, shape (n,)
        Whether each is a true positive, best first.
    count : int
        Objects that there are.
    """
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    # recall >= i / 10 in integers, as in texttopicnet.average_precision
    first = np.searchsorted(10 * hits, count * np.arange(11))
    steps = np.flatnonzero(right)
    area = float(envelope[steps].sum() / count) if len(steps) else 0.0
    return {"voc_11_point": float(envelope[first].mean()), "area": area}


def result_rows(detections: Iterable[Detection]) -> str:
    """The text of comp3_det_test_<class>.txt: image, score, and the box counted from 1."""
    rows = []
    for image, score, box in detections:
        corners = " ".join(f"{corner + 1:.1f}" for corner in box)
        rows.append(f"{image} {score:.6f} {corners}\n")
    return "".join(rows)
