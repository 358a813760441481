"""Labels and indices out of range, on the GPU: one sentence, and the GPU stays usable."""

import numpy as np
import pytest

import caffe

INPUTS = (
    'force_backward: true layer {{ name: "x" type: "Input" top: "x"'
    " input_param {{ shape {{ dim: 3 dim: 4 }} }} }}"
    'layer {{ name: "t" type: "Input" top: "t" input_param {{ shape {{ dim: 3 }} }} }}'
    'layer {{ name: "l" bottom: "{bottoms}" top: "y" {layer} }}'
)
H = 'infogain_loss_param { source: "H.binaryproto" }'
LAYERS = {
    "Accuracy": ("Accuracy", "", "label"),
    "HingeLoss": ("HingeLoss", "", "label"),
    "MultinomialLogisticLoss": ("MultinomialLogisticLoss", "", "label"),
    "SoftmaxWithLoss": ("SoftmaxWithLoss", "", "label"),
    "InfogainLoss": ("InfogainLoss", H, "label"),
    "BatchReindex": ("BatchReindex", "", "index"),
    "Embed": (
        "Embed",
        'embed_param { input_dim: 4 num_output: 2 weight_filler { type: "gaussian" } }',
        "index",
    ),
}
LAST = {"BatchReindex": 2}  # the largest index that fits; of the others it is 3


@pytest.fixture
def net_of(net_from, tmp_path, monkeypatch):
    """net_of("HingeLoss"): a net of that layer "l" over inputs x (3, 4) and t (3,)."""
    monkeypatch.chdir(tmp_path)
    identity = caffe.io.array_to_blobproto(np.eye(4)[None, None])
    (tmp_path / "H.binaryproto").write_bytes(identity.SerializeToString())

    def build(name):
        kind, settings, _ = LAYERS[name]
        bottoms = "t" if name == "Embed" else 'x" bottom: "t'
        net = net_from(INPUTS.format(bottoms=bottoms, layer=f'type: "{kind}" {settings}'))
        scores = np.random.default_rng(0).random((3, 4)) + 0.1
        net.blobs["x"].data[...] = scores / scores.sum(1, keepdims=True)
        net.blobs["t"].data[...] = [0, 2, LAST.get(name, 3)]
        return net

    return build


@pytest.mark.parametrize("wrong", [-1, "next", 1e9, np.nan])
@pytest.mark.parametrize("name", LAYERS)
def test_an_index_out_of_range_is_one_sentence(net_of, name, wrong):
    net, last = net_of(name), LAST.get(name, 3)
    right = net.forward()["y"].copy()
    wrong = last + 1 if wrong == "next" else wrong
    net.blobs["t"].data[1] = wrong
    shown = "nan" if np.isnan(wrong) else int(wrong)
    sentence = rf"layer 'l' \({name}\): {LAYERS[name][2]} {shown} is outside 0\.\.{last}$"
    with pytest.raises(caffe.CaffeError, match=sentence):
        net.forward()
    net.blobs["t"].data[1] = 2
    np.testing.assert_array_equal(net.forward()["y"], right)  # the GPU still computes


def test_an_index_changed_before_backward_is_checked(net_of):
    net = net_of("SoftmaxWithLoss")
    net.forward()
    net.blobs["t"].data[0] = 4
    with pytest.raises(caffe.CaffeError, match=r"label 4 is outside 0\.\.3$"):
        net.backward()


@pytest.mark.parametrize("name", ["Accuracy", "SoftmaxWithLoss", "InfogainLoss"])
def test_an_ignored_label_may_be_out_of_range(net_of, net_from, tmp_path, name):
    """Its item counts for nothing: the value is that of the other two items."""
    net_of(name)
    text = (tmp_path / "net.prototxt").read_text()
    field = "accuracy_param" if name == "Accuracy" else "loss_param"
    net = net_from(text.replace(f'"{name}"', f'"{name}" {field} {{ ignore_label: 255 }}'))
    scores = np.log(np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 7]], np.float32))
    net.blobs["x"].data[...] = scores
    net.blobs["t"].data[...] = [3, 255, 2]
    # softmax: 4/10 for the first label, 1/10 for the last; the first one is a hit, the last is not
    wanted = 0.5 if name == "Accuracy" else -(np.log(0.4) + np.log(0.1)) / 2
    np.testing.assert_allclose(net.forward()["y"], wanted, rtol=1e-5)


def test_accuracy_per_class(net_from):
    """Class 0: one of two right; class 1: one of one; classes 2 and 3 have no items."""
    text = INPUTS.format(bottoms='x" bottom: "t', layer='type: "Accuracy"')
    net = net_from(text.replace('top: "y"', 'top: "y" top: "each"'))
    net.blobs["x"].data[...] = [[9, 1, 1, 1], [1, 1, 1, 9], [1, 9, 1, 1]]
    net.blobs["t"].data[...] = [0, 0, 1]
    found = net.forward()
    np.testing.assert_allclose(found["y"], 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["each"], [0.5, 1, 0, 0], rtol=1e-6)


SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 50 display: {display}
snapshot: {snapshot} snapshot_prefix: "s" random_seed: 1 snapshot_after_train: false
"""
TRAINED = INPUTS.replace("{{", "{").replace("}}", "}").partition('layer { name: "l"')[0] + (
    'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {'
    ' num_output: 4 weight_filler { type: "xavier" } } }'
    'layer { name: "l" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }'
)


@pytest.mark.parametrize(("display", "snapshot"), [(1, 0), (10, 0), (0, 10), (0, 0)])
def test_a_training_with_a_wrong_label_ends(tmp_path, monkeypatch, capfd, display, snapshot):
    """At the next display, before the next snapshot, or at the end: the loss is never shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(TRAINED)
    (tmp_path / "s.prototxt").write_text(SOLVER.format(display=display, snapshot=snapshot))
    solver = caffe.get_solver("s.prototxt")
    solver.net.blobs["x"].data[...] = np.random.default_rng(0).random((3, 4))
    solver.net.blobs["t"].data[...] = [0, 1, 2]
    solver.step(5)
    solver.net.blobs["t"].data[...] = [0, 1, 4]
    capfd.readouterr()
    with pytest.raises(
        caffe.CaffeError, match=r"'l' \(SoftmaxWithLoss\): label 4 is outside 0\.\."
    ):
        solver.step(20)
    assert solver.iter <= 25
    assert "loss =" not in capfd.readouterr().err
    assert not list(tmp_path.glob("s_iter_10*"))
