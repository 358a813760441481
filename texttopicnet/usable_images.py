"""Which images of a corpus are used: regular files inside the collection that decode and are large
enough.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2

from texttopicnet import files, images
from texttopicnet.errors import UserError

SMALLEST_SIDE = 256  # pixels; the paper's rule


class LeftOut(Exception):
    """An image that is not used, and why."""


@contextlib.contextmanager
def left_out_unless_usable(what: str) -> Iterator[None]:
    """Turn an unusable file into a reason to leave its image out."""
    try:
        yield
    except files.Unusable as error:
        raise LeftOut(
            f"{what} file is missing"
            if error.is_missing
            else f"{what} cannot be read: {error.reason}"
        ) from error


def check_image(
    collection: Path | str, name: str, smallest: int = SMALLEST_SIDE, only_jpeg: bool = True
) -> None:
    """Raise LeftOut for an image that is missing, unreadable, too large to decode, or too small.

    Parameters
    ----------
    collection : str or Path
    name : str
        Of the image, below the collection.
    smallest : int
        Fewest pixels of either side.
    only_jpeg : bool
        Whether other kinds of images are left out, as the paper does.
    """
    with left_out_unless_usable("image"):
        data = files.read_member(collection, name)
    is_jpeg = data.startswith(b"\xff\xd8")
    if only_jpeg and not is_jpeg:
        raise LeftOut("named .jpg but is not a JPEG")
    height, width = images.size(data) or (0, 0)
    if height * width > images.MOST_PIXELS:
        raise LeftOut(f"image has more than {images.MOST_PIXELS:,} pixels")
    try:
        image = images.decode(data, name, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except UserError as error:
        raise LeftOut("image cannot be decoded") from error
    if is_jpeg and b"\xff\xd9" not in data[-64 * 1024 :]:
        raise LeftOut("image cannot be decoded")
    if min(image.shape[:2]) < smallest:
        raise LeftOut(f"smaller than {smallest} pixels")
