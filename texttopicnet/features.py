"""Features files, which extract_features.py writes and the experiments read.

One ``.npz`` per blob: ``ids`` (N,) str, ``features`` (N, D) float32, ``blob`` str,
``weights_sha256`` str.
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io.matlab import MatReadError

from texttopicnet import artefacts, atomic_files
from texttopicnet.counts import counted, first_of
from texttopicnet.errors import UserError

MADE_BY = "python experiments/extract_features.py"
REMEDY = f"compute them again with {MADE_BY} --force"
# Features that are not a blob of the net: {name: blob}, the maximum of each of the blob's channels
# over all positions.  max5 is the strongest response of each of conv5's 256 filters in the whole
# image, after its ReLU (Owens et al., Ambient sound provides supervision for visual learning,
# ECCV 2016).
MAXIMA = {"max5": "conv5"}

# what np.load raises for a damaged file: errors of the zip archive, its compression and its arrays
READ_ERRORS = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    SyntaxError,
    RuntimeError,  # also NotImplementedError and RecursionError
    OverflowError,
    MemoryError,
)

# and what scipy.io.loadmat raises besides; NameError is a fault of its own, in damaged files
MAT_ERRORS = (*READ_ERRORS, MatReadError, NameError)


@dataclass(frozen=True)
class Features:
    """One blob's activations for a set of images.

    Attributes
    ----------
    ids : list of str
        Image ids, each once.
    array : ndarray of float32, shape (n_images, n_dims)
        Row i belongs to ``ids[i]``; finite.
    blob : str
        Name of the blob, e.g. ``'pool5'``.
    weights_sha256 : str
        Of the .caffemodel that computed them.
    """

    ids: list[str]
    array: np.ndarray
    blob: str
    weights_sha256: str

    def rows(self, ids: Sequence[str], where: str) -> np.ndarray:
        """Row numbers of images.

        Parameters
        ----------
        ids : sequence of str
        where : str
            Which list names the images and which file holds the features, for the error's sentence.

        Returns
        -------
        ndarray of int64, shape (len(ids),)

        Raises
        ------
        UserError
            An image is missing; the sentence names the first one.
        """
        number = {image: i for i, image in enumerate(self.ids)}
        missing = [image for image in ids if image not in number]
        if missing:
            raise UserError(
                f"{where}: {len(missing)} of {counted(len(ids), 'image')}"
                f" {'has' if len(missing) == 1 else 'have'} no features"
                f"{first_of(len(missing), missing[0])}; compute those of all images with {MADE_BY}"
                " --force"
            )
        return np.array([number[image] for image in ids], dtype=np.int64)


def rows_of(data: np.ndarray, name: str) -> np.ndarray:
    """A batch's features from the data of its blob.

    Parameters
    ----------
    data : ndarray of float32, shape (n_images, ...)
        Of the blob `name`, or of ``MAXIMA[name]``: (n_images, channels, height, width).
    name : str

    Returns
    -------
    ndarray of float32, shape (n_images, n_dims)
        The activations in C order; for a maximum, one number per channel.
    """
    if name in MAXIMA:
        return data.max(axis=(2, 3))
    return data.reshape(len(data), -1)


def check(ids: Sequence[str], array: np.ndarray, name: Path | str) -> None:
    """Raise UserError, naming `name`, unless `ids` are unique and `array` is finite float32 with a
    row per id.
    """
    if array.ndim != 2 or array.dtype != np.float32 or len(ids) != len(array):
        raise UserError(
            f"{name}: {len(ids)} ids and features {array.dtype}{array.shape} are not (N,) and"
            f" float32 (N, D): {REMEDY}"
        )
    if len(ids) == 0:
        raise UserError(f"{name} holds no images: {REMEDY}")
    seen: set[str] = set()
    for image in ids:
        if image in seen:
            raise UserError(f"{name} holds the image id {image} twice: {REMEDY}")
        seen.add(image)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name}: the features of image {ids[int(np.argmin(finite))]} are not finite numbers;"
            f" perhaps the weights are not either, else {REMEDY}"
        )


def save(path: Path | str, features: Features) -> None:
    """Write a features file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.npz``.
    features : Features

    Raises
    ------
    UserError
        `check` refuses the features, or the file cannot be written.
    """
    check(features.ids, features.array, path)
    try:
        with atomic_files.written_whole(path) as temporary:
            np.savez(
                temporary,
                ids=np.array(features.ids, dtype=np.str_),
                features=features.array,
                blob=features.blob,
                weights_sha256=features.weights_sha256,
            )
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): free space there or give"
            " another --out"
        ) from error


def load(path: Path | str, blob: str | None = None) -> Features:
    """Read a features file.

    Parameters
    ----------
    path : str or Path
    blob : str, optional
        The blob it must hold.

    Returns
    -------
    Features

    Raises
    ------
    UserError
        Missing or broken file, repeated ids, numbers that are not finite, or another blob than
        `blob`.
    """
    path = artefacts.existing(path, MADE_BY)
    if not path.is_file():  # opening a named pipe would block
        raise UserError(f"{path} is not a regular file: give a features file made with {MADE_BY}")
    try:
        with np.load(path, allow_pickle=False) as f:
            found = _features(f["ids"], f["features"], f["blob"], f["weights_sha256"])
    except READ_ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is not a features file ({why}): rebuild it with {MADE_BY} --force"
        ) from error
    check(found.ids, found.array, path)
    if blob is not None and found.blob != blob:
        raise UserError(
            f"{path} holds blob {found.blob}, not {blob}: give --features the file of {blob}"
        )
    return found


def _features(ids: np.ndarray, array: np.ndarray, blob: np.ndarray, digest: np.ndarray) -> Features:
    """Features of the arrays in a file; ValueError if `save` does not write such arrays."""
    if (
        ids.ndim != 1
        or ids.dtype.kind != "U"
        or array.ndim != 2
        or len(ids) != len(array)
        or array.shape[1] == 0
    ):
        raise ValueError(
            f"ids {ids.dtype}{ids.shape} and features {array.dtype}{array.shape} are not str (N,)"
            " and float32 (N, D)"
        )
    if not blob.ndim == digest.ndim == 0 or not blob.dtype.kind == digest.dtype.kind == "U":
        raise ValueError("blob and weights_sha256 are not one string each")
    return Features(ids.tolist(), array, blob.item(), digest.item())
