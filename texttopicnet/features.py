"""Features files: what extract_features.py writes and the experiments read.

One ``.npz`` a blob: ``ids`` (N,) str, ``features`` (N, D) float32, ``blob`` str, ``weights_sha256`` str.
"""

import zipfile
from dataclasses import dataclass

import numpy as np

from texttopicnet import artefacts
from texttopicnet.artefacts import UserError

MADE_BY = "python experiments/extract_features.py"


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

    ids: list
    array: np.ndarray
    blob: str
    weights_sha256: str

    def rows(self, ids, where):
        """Row numbers of `ids`, in their order, as ndarray of int64; UserError naming the first one that is missing.

        `where` says, for the error's sentence, who asks for the ids and from which file these features came.
        """
        number = {image: i for i, image in enumerate(self.ids)}
        missing = [image for image in ids if image not in number]
        if missing:
            raise UserError(f"{where}: {len(missing)} of {len(ids)} images have no features, the first is {missing[0]}")
        return np.array([number[image] for image in ids], dtype=np.int64)


def check(ids, array, name):
    """Raise UserError, naming `name`, unless `ids` are unique and `array` is finite float32 with a row for each."""
    if array.ndim != 2 or array.dtype != np.float32 or len(ids) != len(array):
        raise UserError(f"{name}: {len(ids)} ids and features {array.dtype}{array.shape} are not (N,) and float32 (N, D)")
    if len(ids) == 0:
        raise UserError(f"{name} holds no image")
    seen = set()
    for image in ids:
        if image in seen:
            raise UserError(f"{name}: image id {image} stands there twice")
        seen.add(image)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise UserError(f"{name}: the features of image {ids[int(np.argmin(finite))]} are not finite numbers")


def save(path, features):
    """Write a features file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.npz``.
    features : Features
    """
    check(features.ids, features.array, path)
    with artefacts.written_whole(path) as temporary:
        np.savez(
            temporary,
            ids=np.array(features.ids, dtype=np.str_),
            features=features.array,
            blob=features.blob,
            weights_sha256=features.weights_sha256,
        )


def load(path, blob=None):
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
        Missing or broken file, repeated ids, numbers that are not finite, or another blob than `blob`.
    """
    path = artefacts.existing(path, MADE_BY)
    try:
        with np.load(path, allow_pickle=False) as f:
            found = Features(f["ids"].tolist(), f["features"], f["blob"].item(), f["weights_sha256"].item())
    except (OSError, EOFError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no features file ({error}): make it anew with {MADE_BY}") from error
    check(found.ids, found.array, path)
    if blob is not None and found.blob != blob:
        raise UserError(f"{path} holds blob {found.blob}, not {blob}: give --features the file of {blob}")
    return found
