"""Running a net over any number of items, a batch at a time (pycaffe: forward_all)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.pycaffe import Net

Key = TypeVar("Key", bound=Hashable)


def run(
    net: Net,
    run_batch: Callable[[Mapping[str, np.ndarray]], Mapping[Key, np.ndarray]],
    arrays: Mapping[str, npt.ArrayLike],
) -> dict[Key, np.ndarray]:
    """Run a function over arrays of items and join what it returns.

    Parameters
    ----------
    net : Net
        The first axis of its first input is the batch.
    run_batch : callable
        Takes and returns {name: ndarray} of one batch.  The last batch is padded with zeros.
    arrays : dict
        {blob name: ndarray of shape (n, ...)}; all of the net's inputs must be there.

    Returns
    -------
    dict
        {name: ndarray of shape (n, ...)}; an output that is a single number has one per batch.

    Raises
    ------
    CaffeError
        An input is missing, or the arrays differ in length or are empty.
    """
    lengths = {len(array) for array in arrays.values()}
    if set(net.inputs) - arrays.keys():
        raise CaffeError(
            f"{net.file}: expected the inputs {', '.join(net.inputs)}; got"
            f" {', '.join(arrays) or 'none'}"
        )
    if len(lengths) != 1 or 0 in lengths:
        raise CaffeError(
            f"{net.file}: the arrays must hold the same number of items, at least one, not"
            f" {sorted(lengths)}"
        )
    (count,) = lengths
    size = net.blobs[net.inputs[0]].shape[0]
    found: dict[Key, list[np.ndarray]] = {}
    for start in range(0, count, size):
        batch = {name: _padded(array[start : start + size], size) for name, array in arrays.items()}
        for key, value in run_batch(batch).items():
            found.setdefault(key, []).append(np.array(value))
    return {
        key: np.concatenate(values)[:count] if values[0].ndim else np.array(values)
        for key, values in found.items()
    }


def _padded(items: npt.ArrayLike, size: int) -> np.ndarray:
    """The items as float32, padded with zeros to `size` items."""
    part = np.asarray(items, dtype=np.float32)
    missing = np.zeros((size - len(part), *part.shape[1:]), dtype=np.float32)
    return np.concatenate([part, missing]) if len(missing) else part
