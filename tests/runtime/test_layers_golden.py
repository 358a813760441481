"""Every recorded layer case of BVLC Caffe: tops, gradients, changed parameters."""

import functools
import operator

import numpy as np
import pytest
import torch
from recorded_layers import CASES, IMAGES, REFUSED, agree, compare, load, of

import caffe


@pytest.mark.parametrize("case", CASES)
def test_as_recorded(golden, case):
    if case in REFUSED:  # Caffe computes NaN and writes out of bounds
        with pytest.raises(caffe.CaffeError, match="wholly outside the bottom"):
            load(golden, case)
        return
    net, arrays = load(golden, case)
    for name, value in of(arrays, "in"):
        net.blobs[name].data[...] = value
    compare(net, arrays)


@pytest.mark.parametrize("case", IMAGES)
def test_channels_last(golden, case):
    """The same numbers with images that are channels last, as in the solver's pass on the CPU."""
    net, arrays = load(golden, case)
    for name, value in of(arrays, "in"):
        tensor = torch.from_numpy(value)
        if tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        net.blobs[name].put(tensor)
    compare(net, arrays)


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_backward_at_any_time(golden, case):
    """Before any forward, backward only has to run.

    After a forward, a second backward gives the same gradients, adds to the parameters' diffs, and
    changes no data.
    """
    net, arrays = load(golden, case)
    for name, value in of(arrays, "in"):
        net.blobs[name].data[...] = value
    before = [
        blob.data.copy()
        for blob in (*net.blobs.values(), *functools.reduce(operator.iadd, net.params.values(), []))
    ]
    net.backward()
    for blob, value in zip(
        (*net.blobs.values(), *functools.reduce(operator.iadd, net.params.values(), [])),
        before,
        strict=True,
    ):
        np.testing.assert_array_equal(blob.data, value)
    for blob in functools.reduce(operator.iadd, net.params.values(), []):
        blob.diff[...] = 0
    compare(net, arrays)
    seen = {name: blob.data.copy() for name, blob in net.blobs.items()}
    for name, diff in of(arrays, "topdiff"):  # in place, it was overwritten by the bottom's
        net.blobs[name].diff[...] = diff
    net.backward()
    for name, wanted in of(arrays, "grad_in"):
        agree(f"grad_in.{name}", net.blobs[name].diff, wanted)
    for key, wanted in of(arrays, "grad_param"):
        layer, index = key.rsplit(".", 1)
        agree(f"grad_param.{key}", net.params[layer][int(index)].diff, 2 * wanted)
    for name, blob in net.blobs.items():
        np.testing.assert_array_equal(blob.data, seen[name])
