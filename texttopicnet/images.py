"""Image file -> the network's input: the one way in which training, features and retrieval see an image (D6)."""

from pathlib import Path

import cv2
import numpy as np

from texttopicnet import artefacts

SIDE = 256  # images are warped to SIDE x SIDE before the crop
CROP = 227  # what CaffeNet takes
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # ImageNet's mean, as in the prototxts
JPEG_QUALITY = 95


def decode(data, where):
    """Decode an image file's bytes.

    Grey, CMYK and palette images become BGR.  A camera's orientation tag is not heeded: Caffe's OpenCV did not, and the
    original's PIL does not.

    Parameters
    ----------
    data : bytes
    where : str or Path
        The file, for the error.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        BGR.

    Raises
    ------
    UserError
        The bytes are no image that OpenCV can decode.
    """
    image = None
    if data:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise artefacts.UserError(f"{where}: is no image that OpenCV can decode; repair it or leave it out")
    return image


def read_image(path):
    """Read an image file as uint8 (H, W, 3), BGR; see `decode`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise artefacts.UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return decode(data, path)


def resized(image, side=SIDE):
    """Warp an image to side x side as Caffe's convert_imageset does: bilinear, without antialiasing.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    side : int

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)
    """
    if image.shape[:2] == (side, side):
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)


def resized_side(crop):
    """The side an image is warped to before a crop of `crop` pixels is taken: 256 for 227, in proportion for other nets."""
    return round(crop * SIDE / CROP)


def encoded(image):
    """An image as JPEG bytes of quality 95."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {image.shape}")
    return data.tobytes()


def network_input(image, crop=CROP, mean_bgr=MEAN_BGR):
    """What the net is fed in TEST: warped, cropped in the middle (offset floor((side - crop) / 2)), mean subtracted.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    crop : int
        The net's input size.
    mean_bgr : sequence of 3 floats

    Returns
    -------
    ndarray of float32, shape (3, crop, crop)
        Channels B, G, R; about -124 to 151.
    """
    side = resized_side(crop)
    start = (side - crop) // 2
    middle = resized(image, side)[start : start + crop, start : start + crop]
    return (middle.astype(np.float32) - np.array(mean_bgr, np.float32)).transpose(2, 0, 1)
