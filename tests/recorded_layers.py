"""The recorded layer cases of BVLC Caffe: the nets, and the comparison with what was recorded."""

import json

import numpy as np
import recorded

import caffe

SHAPES = json.loads((recorded.caffe() / "layers" / "index.json").read_text("utf-8"))
CASES = sorted(SHAPES)
REFUSED = [case for case in CASES if case.endswith("_emptywindow")]
IMAGES = [
    case
    for case in CASES
    if case not in REFUSED
    and any(
        len(shape) == 4 for key, shape in SHAPES[case]["arrays"].items() if key.startswith("in.")
    )
]


def load(golden, case):
    """The net of a case with the recorded parameters, and the arrays of the case."""
    arrays = dict(np.load(golden / "layers" / f"{case}.npz", allow_pickle=False))
    phase = caffe.TRAIN if str(arrays["phase"]) == "TRAIN" else caffe.TEST
    net = caffe.Net(str(golden / "layers" / f"{case}.prototxt"), phase)
    for key, value in of(arrays, "param"):
        layer, index = key.rsplit(".", 1)
        net.params[layer][int(index)].data[...] = value
    return net, arrays


def of(arrays, kind):
    """The arrays of a kind, each as (the rest of its name, array)."""
    return [
        (key[len(kind) + 1 :], value) for key, value in arrays.items() if key.startswith(f"{kind}.")
    ]


def agree(what, found, wanted):
    """On the CPU: 1e-5, or 1e-4 of the number."""
    assert found.shape == wanted.shape, what
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=what)


def compare(net, arrays, agree=agree):
    """Run the net forward and backward; `agree(name, found, wanted)` for each recorded array."""
    net.forward()
    for name, wanted in of(arrays, "out"):
        agree(f"out.{name}", net.blobs[name].data, wanted)
    for name, diff in of(arrays, "topdiff"):
        net.blobs[name].diff[...] = diff
    net.backward()
    for name, wanted in of(arrays, "grad_in"):
        agree(f"grad_in.{name}", net.blobs[name].diff, wanted)
    for kind, attribute in (("grad_param", "diff"), ("param_after", "data")):
        for key, wanted in of(arrays, kind):
            layer, index = key.rsplit(".", 1)
            agree(f"{kind}.{key}", getattr(net.params[layer][int(index)], attribute), wanted)
