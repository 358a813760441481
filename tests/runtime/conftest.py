"""Nets of one layer, small solvers, and what the commands print."""

import gc
import threading

import numpy as np
import pytest
import recorded

import caffe
from caffe.database import Writer
from caffe.proto import caffe_pb2

CASES = recorded.SHARED / "cases" / "caffe"


@pytest.fixture(scope="session")
def shared_cases():
    """The folder of inputs from users' reports; tests that need it are skipped without it."""
    if not CASES.is_dir():
        pytest.skip(f"the inputs from users' reports are not here ({CASES})")
    return CASES


@pytest.fixture
def no_nets_of_other_tests():
    """The nets that earlier tests have left are gone, and their data layers read no more."""
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("data layer"):
            thread.join(timeout=60)


@pytest.fixture
def float_lmdb(tmp_path):
    """float_lmdb(rows): the folder of an LMDB with one Datum of float_data per row of numbers."""

    def build(rows):
        with Writer(tmp_path / "db") as database:
            for i, row in enumerate(rows):
                datum = caffe_pb2.Datum(channels=len(row), height=1, width=1, float_data=row)
                database.put(f"{i:04}", datum)
        return tmp_path / "db"

    return build


class OneLayer:
    """A net of one layer, called "layer", over Input layers that hold the given arrays."""

    def __init__(self, net, bottoms, tops):
        self.net, self.bottoms, self.tops = net, bottoms, tops

    @property
    def blobs(self):
        """The layer's parameters."""
        return self.net.params["layer"]

    def forward(self):
        """The top as ndarray; a list of them if there are several."""
        self.net.forward()
        out = [self.net.blobs[name].data.copy() for name in self.tops]
        return out[0] if len(out) == 1 else out

    def backward(self, *diffs):
        """The bottoms' diffs from the tops' (by default, what the loss weights have put there)."""
        for name, diff in zip(self.tops, diffs, strict=False):
            self.net.blobs[name].diff[...] = diff
        self.net.backward()
        out = [self.net.blobs[name].diff.copy() for name in self.bottoms]
        return out[0] if len(out) == 1 else out


@pytest.fixture
def one_layer(net_from):
    """one_layer('type: "ReLU"', x=[-1, 2]): a OneLayer with these bottoms and `tops` tops."""

    def build(text, tops=1, phase=caffe.TRAIN, **bottoms):
        arrays = {name: np.asarray(value, dtype=np.float32) for name, value in bottoms.items()}
        inputs = "".join(
            f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
            + " ".join(f"dim: {d}" for d in array.shape)
            + " } } }\n"
            for name, array in arrays.items()
        )
        names = [f"top{i}" for i in range(tops)]
        wires = " ".join([f'bottom: "{n}"' for n in arrays] + [f'top: "{n}"' for n in names])
        net = net_from(
            f'force_backward: true\n{inputs}layer {{ name: "layer" {wires} {text} }}', phase
        )
        for name, array in arrays.items():
            net.blobs[name].data[...] = array
        return OneLayer(net, list(arrays), names)

    return build


@pytest.fixture
def refused(one_layer):
    """refused(match, text, ...): the layer raises a CaffeError of one line that matches `match`.

    The error may come when the layer is made or when it runs.
    """

    def check(match, text, **keywords):
        with pytest.raises(caffe.CaffeError, match=match) as caught:
            one_layer(text, **keywords).forward()
        message = str(caught.value)
        assert "layer" in message
        assert "\n" not in message

    return check


@pytest.fixture
def fatal(capsys):
    """fatal(main, arguments...): the one fatal line with which a command ends; its status is 1."""

    def run(main, *arguments):
        assert main([str(a) for a in arguments]) == 1
        error = capsys.readouterr().err
        (line,) = [row for row in error.splitlines() if row.startswith("F")]
        assert "Traceback" not in error
        assert error.splitlines()[-1] == line
        return line

    return run


@pytest.fixture
def output_of(tmp_path):
    """output_of(main, text): the file that a tool writes if its input file holds `text`."""

    def run(main, text):
        source, target = tmp_path / "in", tmp_path / "out"
        source.write_text(text)
        assert main([str(source), str(target)]) == 0
        return target.read_text()

    return run


REGRESSION = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0.25 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.fixture
def regression_net(tmp_path):
    """The file of a net for solvers: a linear regression of constants, (2, 3) -> (2, 2).

    Its layers are "x", "ip" and "loss".
    """
    path = tmp_path / "net.prototxt"
    path.write_text(REGRESSION)
    return path
