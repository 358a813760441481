"""net.backward() may run at any time: as in BVLC Caffe, it uses the blobs' current values.

It also uses what the layers have kept of their last forward.  Random nets run random sequences of
forward, backward, solver steps and changes by hand.  A NumPy twin that follows the C++ layers
(reference_net.py) does the same.
"""

from pathlib import Path

import numpy as np
import pytest
from reference_net import ReferenceNet

import caffe

FUNCTIONS = {
    "ReLU": "",
    "LeakyReLU": "relu_param { negative_slope: 0.2 }",
    "OddReLU": "relu_param { negative_slope: -0.5 }",
    "Sigmoid": "",
    "TanH": "",
    "ELU": "elu_param { alpha: 0.5 }",
    "Exp": "exp_param { scale: 0.3 }",
    "Power": "power_param { power: 2 scale: 0.3 shift: 1 }",
    "Dropout": "dropout_param { dropout_ratio: 0.4 }",
    "PReLU": "",
    "Scale": 'scale_param { bias_term: true filler { type: "gaussian" mean: 0.5 std: 0.5 } }',
    "BatchNorm": "",
}
TYPES = {"LeakyReLU": "ReLU", "OddReLU": "ReLU"}


class Writer:
    """Prototxt text, layer by layer."""

    def __init__(self, rng):
        self.rng, self.text, self.count = rng, "force_backward: true\n", 0

    def layer(self, kind, bottoms, fields="", top=None):
        """Append a layer, and return the name of its top."""
        self.count += 1
        name = f"l{self.count}"
        wires = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{top or name}"'])
        self.text += (
            f'layer {{ name: "{name}" type: "{TYPES.get(kind, kind)}" {wires} {fields} }}\n'
        )
        return top or name

    def input(self, name, *shape):
        dims = " ".join(f"dim: {d}" for d in shape)
        self.text += (
            f'layer {{ name: "{name}" type: "Input" top: "{name}"'
            f" input_param {{ shape {{ {dims} }} }} }}\n"
        )
        return name

    def functions(self, blob, count, overwrite=True):
        """Layers of one bottom and top of the same shape, in place or not."""
        before = None
        for _ in range(count):
            # not twice: the mean of normalised values is 0, and rounding leaves no digit to compare
            kind = before = self.rng.choice(
                [kind for kind in FUNCTIONS if (kind, before) != ("BatchNorm", "BatchNorm")]
            )
            in_place = overwrite and self.rng.random() < 0.6
            blob = self.layer(kind, [blob], FUNCTIONS[kind], blob if in_place else None)
            overwrite = True
        return blob

    def product(self, blob, outputs, names=""):
        filler = '{ type: "gaussian" std: 0.5 }'
        fields = f"num_output: {outputs} weight_filler {filler} bias_filler {filler}"
        return self.layer("InnerProduct", [blob], f"{names} inner_product_param {{ {fields} }}")


def random_net(rng):
    """Text of a net from the input "x" (3, 2, 4, 4) and the targets "t" to a loss."""
    w = Writer(rng)
    x = w.input("x", 3, 2, 4, 4)
    loss = rng.choice(["EuclideanLoss", "SoftmaxWithLoss", "SigmoidCrossEntropyLoss"])
    t = w.input("t", 3) if loss == "SoftmaxWithLoss" else w.input("t", 3, 4)
    blob = w.functions(x, rng.integers(2))
    if rng.random() < 0.6:
        filler = '{ type: "gaussian" std: 0.3 }'
        fields = f"num_output: 2 kernel_size: 3 weight_filler {filler} bias_filler {filler}"
        blob = w.functions(
            w.layer("Convolution", [blob], f"convolution_param {{ {fields} }}"), rng.integers(4)
        )
    if rng.random() < 0.6:
        blob = w.layer(
            "Pooling",
            [blob],
            f"pooling_param {{ pool: {rng.choice(['MAX', 'AVE'])} kernel_size: 2 stride: 2 }}",
        )
        blob = w.functions(blob, rng.integers(3))
    if rng.random() < 0.5:
        branches = [w.functions(blob, 1 + rng.integers(2), overwrite=False) for _ in range(2)]
        blob = w.layer(
            "Eltwise",
            branches,
            f"eltwise_param {{ operation: {rng.choice(['PROD', 'SUM', 'MAX'])} }}",
        )
    if rng.random() < 0.5:
        blob = w.functions(w.layer("Flatten", [blob]), rng.integers(3))
    blob = w.functions(w.product(blob, 4), rng.integers(4))
    shared = 'param { name: "w" } param { name: "b" }'
    for _ in range(rng.integers(3)):
        blob = w.functions(w.product(blob, 4, shared), rng.integers(3))
    w.layer(loss, [blob, t], f"loss_weight: {rng.choice([1, 0.5])}", "loss")
    return w.text, loss


class Pair:
    """A solver's net and its twin, on which the same is done."""

    RATE, MOMENTUM, DECAY = 0.01, 0.9, 0.05

    def __init__(self, folder, rng, look):
        text, self.loss = random_net(rng)
        self.rng, self.look = rng, look
        (folder / "net.prototxt").write_text(text)
        (folder / "solver.prototxt").write_text(
            f'net: "{folder}/net.prototxt" base_lr: {self.RATE} lr_policy: "fixed"'
            f" momentum: {self.MOMENTUM}"
            f' weight_decay: {self.DECAY} snapshot_prefix: "{folder}/s"'
        )
        caffe.set_random_seed(int(rng.integers(1000)))
        self.solver = caffe.get_solver(str(folder / "solver.prototxt"))
        self.net, self.last = self.solver.net, len(self.solver.net._layer_names) - 1
        self.twin = ReferenceNet(self.net)
        self.change_targets()
        self.set("x", self.net.blobs["x"].shape)
        self.forward(0, self.last)  # Caffe's own buffers are not filled before

    def draw(self, name):
        """The mask that Dropout has just drawn, the one number that the twin cannot compute."""
        return self.net.layer_dict[name].remembered["mask"].numpy()

    def set(self, name, shape, what="data"):
        value = self.rng.standard_normal(shape)
        getattr(self.net.blobs[name], what)[...] = value
        getattr(self.twin.blobs[name], what)[...] = value

    # ---- what can happen
    def forward(self, start=None, end=None):
        start = int(self.rng.integers(self.last + 1)) if start is None else start
        end = int(self.rng.integers(start, self.last + 1)) if end is None else end
        self.net.forward(start=self.net._layer_names[start], end=self.net._layer_names[end])
        self.twin.forward(start, end, self.draw)

    def whole_forward(self):
        self.forward(0, self.last)

    def backward(self):
        self.net.backward()
        self.twin.backward(self.last, 0)

    def part_of_backward(self):
        start = int(self.rng.integers(self.last + 1))
        end = int(self.rng.integers(start + 1))
        self.net.backward(start=self.net._layer_names[start], end=self.net._layer_names[end])
        self.twin.backward(start, end)

    def step(self):
        self.solver.step(1)
        self.twin.clear()
        self.twin.forward(0, self.last, self.draw)
        self.twin.backward(self.last, 0)
        self.twin.update(self.RATE, self.MOMENTUM, self.DECAY)

    def apply_update(self):
        self.solver.apply_update()
        self.twin.update(self.RATE, self.MOMENTUM, self.DECAY)

    def clear(self):
        self.net.clear_param_diffs()
        self.twin.clear()

    def change_weights(self):
        layer = self.rng.choice(list(self.net.params))
        index = int(self.rng.integers(len(self.net.params[layer])))
        value = np.abs(self.rng.standard_normal(self.net.params[layer][index].shape)) / 2
        self.net.params[layer][index].data[...] = value
        self.twin.params[layer][index].data[...] = value

    def change_data(self):
        name = self.rng.choice([n for n in self.net.blobs if not n.startswith("t") and n != "loss"])
        self.set(name, self.net.blobs[name].shape)

    def change_diff(self):
        name = self.rng.choice([n for n in self.net.blobs if n != "loss"])
        self.set(name, self.net.blobs[name].shape, "diff")

    def change_targets(self):
        shape = self.net.blobs["t"].shape
        value = (
            self.rng.integers(4, size=shape)
            if self.loss == "SoftmaxWithLoss"
            else self.rng.random(shape)
        )
        self.net.blobs["t"].data[...] = value
        self.twin.blobs["t"].data[...] = value

    def change_loss_weight(self):
        self.net.blobs["loss"].diff[...] = self.twin.blobs["loss"].diff[...] = 1.5

    ACTIONS = (
        *(whole_forward, forward, backward, backward, part_of_backward, step, apply_update),
        *(clear, change_weights, change_data, change_diff, change_targets),
    )

    def compare(self, did):
        for name, blob in self.net.blobs.items():
            for what in ("data", "diff"):
                agree(
                    getattr(blob, what),
                    getattr(self.twin.blobs[name], what),
                    f"{name}.{what} after {did}",
                )
        for layer, blobs in self.net.params.items():
            for k, (blob, twin) in enumerate(zip(blobs, self.twin.params[layer], strict=True)):
                agree(blob.data, twin.data, f"{layer}[{k}].data after {did}")
                agree(blob.diff, twin.diff, f"{layer}[{k}].diff after {did}")


def agree(found, wanted, what):
    # single against double precision, over several updates
    scale = max(0.5, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=2e-4 * scale, err_msg=what)


@pytest.mark.parametrize("seed", range(40))
def test_random_sequences(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pair, did = Pair(tmp_path, rng, look=seed % 2), []
    for _ in range(12):
        action = Pair.ACTIONS[rng.integers(len(Pair.ACTIONS))]
        did.append(action.__name__)
        action(pair)
        if pair.look:  # the other half leaves the runtime free to move its memory
            pair.compare(", ".join(did))
    pair.compare(", ".join(did))


# ----------------------------------------------------------- single cases, worked out by hand
SIGMOID = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "s" type: "Sigmoid" bottom: "y" top: "y" }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def solver_of(tmp_path, text, extra=""):
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1 lr_policy: "fixed"'
        f' snapshot_prefix: "{tmp_path}/s" {extra}'
    )
    return caffe.get_solver(str(tmp_path / "solver.prototxt"))


@pytest.mark.parametrize("times", [1, 2])
def test_an_in_place_layer_after_a_step(tmp_path, times):
    """The Sigmoid is not run again on its own output: sigmoid(0) stays 0.5, its slope 0.25."""
    solver = solver_of(tmp_path, "force_backward: true" + SIGMOID)
    net = solver.net
    net.params["ip"][0].data[...] = [[0.5, -0.25]]
    net.blobs["x"].data[...] = [[1, 2]]  # 0.5 - 0.5 = 0
    net.blobs["t"].data[...] = 0.9
    solver.step(1)
    slope = (0.5 - 0.9) * 0.25
    np.testing.assert_allclose(
        net.params["ip"][0].data, [[0.5 - slope, -0.25 - 2 * slope]], rtol=1e-6
    )
    net.clear_param_diffs()
    for _ in range(times):
        net.backward()
    assert net.blobs["y"].data == 0.5
    np.testing.assert_allclose(net.blobs["y"].diff, [[slope]], rtol=1e-6)
    np.testing.assert_allclose(
        net.blobs["x"].diff, [[slope * (0.5 - slope), slope * (-0.25 - 2 * slope)]], rtol=1e-6
    )
    np.testing.assert_allclose(
        net.params["ip"][0].diff, [[times * slope, times * 2 * slope]], rtol=1e-6
    )


def test_backward_reads_an_overwritten_top_as_it_is(tmp_path):
    """Caffe's Sigmoid reads its top when backward runs, even after a Power layer has doubled it.

    The slope is then 1 * (1 - 1) = 0.
    """
    twice = 'layer { name: "twice" type: "Power" bottom: "y" top: "y" power_param { scale: 2 } }'
    end = 'layer { name: "loss"'
    doubled = SIGMOID.replace(end, f"{twice}\n{end}")
    assert "twice" in doubled
    solver = solver_of(tmp_path, doubled)
    solver.net.blobs["t"].data[...] = 5
    solver.step(1)
    assert solver.net.blobs["y"].data == 1
    assert not solver.net.params["ip"][0].data.any()
    solver.net.blobs["y"].data[...] = 0.5
    solver.net.backward(end="s")  # the loss keeps its difference, 1 - 5
    np.testing.assert_allclose(solver.net.blobs["y"].diff, [[-4 * 2 * 0.25]])


def test_views_and_a_second_run_before_backward(net_from):
    """Views, and a second run of a layer, between forward and backward."""
    net = net_from("force_backward: true" + SIGMOID)
    net.params["ip"][0].data[...] = [[1, 1]]
    net.blobs["x"].data[...] = [[0, 0]]
    net.forward()
    assert all(
        blob.data.shape == blob.diff.shape for blob in [*net.blobs.values(), *net.params["ip"]]
    )
    net.forward(start="ip", end="s")
    assert net.params["ip"][0].data.sum() == 2
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, [[0.125, 0.125]])  # (0.5 - 0) * 0.25


def test_backward_uses_weights_changed_after_forward(net_from):
    net = net_from("force_backward: true" + SIGMOID)
    net.forward()
    net.params["ip"][0].data[...] = [[8, 16]]
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, [[1, 2]])  # 0.125 * weights


def test_backward_after_a_part_of_the_net(net_from):
    """The loss has not run, and its difference is still 0."""
    net = net_from("force_backward: true" + SIGMOID)
    net.blobs["t"].data[...] = 3
    net.forward(end="s")
    net.backward()
    assert not net.blobs["x"].diff.any()
    assert net.blobs["y"].data == 0.5


DRAWS = """
force_backward: true
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 8 dim: 4 }
  data_filler { type: "gaussian" } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }
layer { name: "loss" type: "Reduction" bottom: "bn" top: "loss" loss_weight: 2 }
"""


@pytest.mark.parametrize("before", ["forward", "step", "nothing"])
def test_backward_neither_draws_nor_counts(tmp_path, before):
    caffe.set_random_seed(3)
    solver = solver_of(tmp_path, DRAWS)
    net = solver.net
    {"forward": net.forward, "step": lambda: solver.step(1), "nothing": lambda: None}[before]()
    data = {name: blob.data.copy() for name, blob in net.blobs.items()}
    statistics = [blob.data.copy() for blob in net.params["bn"]]
    mask = data["bn"] != 0
    diffs = []
    for _ in range(2):
        net.backward()
        diffs.append({name: blob.diff.copy() for name, blob in net.blobs.items()})
    for name in data:
        np.testing.assert_array_equal(net.blobs[name].data, data[name])
        np.testing.assert_array_equal(diffs[1][name], diffs[0][name])
    for blob, value in zip(net.params["bn"], statistics, strict=True):
        np.testing.assert_array_equal(blob.data, value)
    if before != "nothing":
        # 2 * mask / (1 - 0.5), then through the normalisation, which takes the mean away
        np.testing.assert_array_equal(net.blobs["bn"].diff, 4.0 * mask)
        np.testing.assert_allclose(net.blobs["x"].diff.sum(0), 0, atol=1e-4)


def test_backward_after_a_reshape(net_from):
    """As many of the values kept by forward are used as fit the new shape."""
    net = net_from("force_backward: true" + SIGMOID)
    net.params["ip"][0].data[...] = [[1, 1]]
    net.blobs["t"].data[...] = 1
    net.forward()
    for size in (3, 1, 2):
        for name in ("x", "t"):
            net.blobs[name].reshape(size, net.blobs[name].shape[1])
        net.backward()
        assert net.blobs["x"].diff.shape == (size, 2)
        assert np.isfinite(net.blobs["x"].diff).all()
    net.blobs["x"].data[...] = [[0, 0], [1, -1]]
    net.blobs["t"].data[...] = 1
    net.forward()
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, np.full((2, 2), (0.5 - 1) / 2 * 0.25))


def test_blobs_that_share_memory(net_from):
    """Split, Flatten and Reshape pass their bottom on: a value written into one is in both."""
    net = net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param {'
        " shape { dim: 1 dim: 2 dim: 2 } } }"
        'layer { name: "f" type: "Flatten" bottom: "x" top: "f" }'
        ' layer { name: "r" type: "Reshape" bottom: "f" top: "r"'
        " reshape_param { shape { dim: 2 dim: 2 } } }"
        ' layer { name: "a" type: "Power" bottom: "r" top: "a" }'
        'layer { name: "b" type: "Power" bottom: "r" top: "b" }'
    )
    views = {name: blob.data for name, blob in net.blobs.items()}
    views["r_r_0_split_1"][...] = [[1, 2], [3, 4]]
    assert views["x"].tolist() == [[[1, 2], [3, 4]]]
    assert views["f"].tolist() == [[1, 2, 3, 4]]
    net.blobs["a"].diff[...], net.blobs["b"].diff[...] = 1, 10
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[[11, 11], [11, 11]]]
    net.blobs["x"].reshape(1, 3, 2)
    net.forward(end="f")
    net.blobs["x"].data[...] = 7
    assert net.blobs["f"].data.tolist() == [[7] * 6]


def test_gradients_do_not_share_memory(net_from):
    net = net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" top: "y" input_param {'
        " shape { dim: 2 } } }"
        'layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "sum" }'
    )
    net.forward()
    net.blobs["sum"].diff[...] = 3
    net.backward()
    net.blobs["x"].diff[...] = 0
    assert (net.blobs["y"].diff == 3).all()
    assert (net.blobs["sum"].diff == 3).all()


def test_each_layers_own_rate_decides_whether_it_adds_to_a_shared_gradient(net_from):
    """As in Caffe.  The owner's lr_mult is 0; the other layer gives none, so its is 1."""
    fields = "inner_product_param { num_output: 1 bias_term: false }"
    net = net_from(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }'
        f'layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a"'
        f' param {{ name: "w" lr_mult: 0 }} {fields} }}'
        f'layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b"'
        f' param {{ name: "w" }} {fields} }}'
        'layer { name: "r" type: "Reduction" bottom: "b" top: "r" loss_weight: 1 }'
    )
    net.params["a"][0].data[...] = 3
    net.blobs["x"].data[...] = 5
    for run in (lambda: (net.forward(), net.backward()), net.forward_backward):
        net.clear_param_diffs()
        run()
        assert net.params["a"][0].diff == 15  # b's input only


GAUSS = 'weight_filler { type: "gaussian" std: 0.4 }'
# Every layer type that keeps something or has a backward of its own: (bottom's shape, other
# bottoms, number of tops, layer)
KINDS = {
    "conv": ((2, 4, 5, 6), {}, 1,
        f'type: "Convolution" conv {{ num_output: 6 kernel_size: 3 group: 2 pad: 1 {GAUSS} }}'),
    "conv_0d": ((3, 4), {}, 1, f'type: "Convolution" conv {{ num_output: 2 {GAUSS} }}'),
    "conv_1d": ((2, 4, 7), {}, 1,
        f'type: "Convolution" conv {{ num_output: 2 kernel_size: 2 stride: 2 {GAUSS} }}'),
    "conv_late": ((2, 3, 4, 5), {}, 1,
        f'type: "Convolution" conv {{ num_output: 2 axis: 2 kernel_size: 2 {GAUSS} }}'),
    "deconv": ((2, 4, 3, 3), {}, 1, f'type: "Deconvolution" conv {{ num_output: 6 kernel_size: 3'
                                    f' stride: 2 group: 2 {GAUSS} }}'),
    "deconv_0d": ((3, 4), {}, 1,
        f'type: "Deconvolution" conv {{ num_output: 2 group: 2 {GAUSS} }}'),
    "im2col": ((2, 3, 4, 4), {}, 1, 'type: "Im2col" convolution_param { kernel_size: 2 }'),
    "product": ((2, 3, 4), {}, 1,
        f'type: "InnerProduct" inner_product_param {{ num_output: 2 transpose: true {GAUSS} }}'),
    "embed": ((5,), {}, 1, f'type: "Embed" embed_param {{ input_dim: 6 num_output: 3 {GAUSS} }}'),
    "max": ((2, 3, 5, 6), {}, 1,
        'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 pad: 1 }'),
    "mask": ((2, 3, 5, 6), {}, 2, 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }'),
    "average": ((2, 3, 5, 6), {}, 1,
        'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }'),
    "spp": ((2, 3, 6, 5), {}, 1, 'type: "SPP" spp_param { pyramid_height: 2 }'),
    "spp_one": ((2, 3, 6, 5), {}, 1, 'type: "SPP" spp_param { pyramid_height: 1 pool: AVE }'),
    "lrn": ((2, 7, 3, 3), {}, 1, 'type: "LRN" lrn_param { alpha: 0.5 local_size: 3 }'),
    "lrn_within": ((2, 3, 5, 5), {}, 1,
        'type: "LRN" lrn_param { alpha: 0.5 local_size: 3 norm_region: WITHIN_CHANNEL }'),
    "mvn": ((2, 3, 4, 4), {}, 1, 'type: "MVN"'),
    "mvn_mean": ((2, 3, 4, 4), {}, 1,
        'type: "MVN" mvn_param { normalize_variance: false across_channels: true }'),
    "norm": ((4, 3, 2, 2), {}, 1, 'type: "BatchNorm"'),
    "norm_global": ((4, 3, 2, 2), {}, 1,
        'type: "BatchNorm" batch_norm_param { use_global_stats: true }'),
    "swish": ((3, 4), {}, 1, 'type: "Swish" swish_param { beta: 2 }'),
    "softmax": ((2, 5, 3), {}, 1, 'type: "Softmax"'),
    "power": ((3, 4), {}, 1, 'type: "Power" power_param { power: 3 scale: 0.5 shift: 2 }'),
    "prelu": ((3, 4), {}, 1, 'type: "PReLU" prelu_param { channel_shared: true }'),
    "dropout": ((3, 4), {}, 1, 'type: "Dropout"'),
    "tile": ((3, 4), {}, 1, 'type: "Tile" tile_param { tiles: 3 }'),
    "slice": ((3, 4), {}, 2, 'type: "Slice"'),
    "one_slice": ((3, 4), {}, 1, 'type: "Slice"'),
    "one_concat": ((3, 4), {}, 1, 'type: "Concat"'),
    "reduction": ((3, 4), {}, 1, 'type: "Reduction" reduction_param { operation: ASUM axis: 1 }'),
    "filter": ((4, 3), {"s": [0, 1, 0, 1]}, 1, 'type: "Filter"'),
    "reindex": ((4, 3), {"s": [3, 1, 1]}, 1, 'type: "BatchReindex"'),
    "crop": ((2, 3, 5, 5), {"s": np.zeros((2, 3, 3, 2))}, 1,
        'type: "Crop" crop_param { offset: 1 }'),
    "scale_two": ((3, 4), {"s": np.arange(4)}, 1,
        'type: "Scale" scale_param { bias_term: true axis: 1 }'),
    "max_of_two": ((3, 4), {"s": np.zeros((3, 4))}, 1,
        'type: "Eltwise" eltwise_param { operation: MAX }'),
    "rnn": ((3, 2, 4), {"s": np.ones((3, 2))}, 1,
        f'type: "RNN" recurrent_param {{ num_output: 3 {GAUSS} }}'),
    "lstm": ((3, 2, 4), {"s": np.ones((3, 2))}, 1,
        f'type: "LSTM" recurrent_param {{ num_output: 3 {GAUSS} }}'),
    "lstm_unit": ((1, 2, 3), {"s": np.full((1, 2, 12), 0.4), "cont": [[1, 0]]}, 2,
        'type: "LSTMUnit"'),
    "parameter": ((1,), {}, 1, 'type: "Parameter" parameter_param { shape { dim: 3 } }'),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_backward_alone_after_the_solvers_pass(net_from, kind):
    """After the solver's pass, backward alone gives the same gradients, and so does a repeat."""
    shape, others, tops, fields = KINDS[kind]

    def quoted(word, names):
        return " ".join(f'{word}: "{name}"' for name in names)

    def input_of(name, shape):
        dims = " ".join(f"dim: {d}" for d in shape)
        return (
            f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{'
            f" shape {{ {dims} }} }} }}\n"
        )

    text = "force_backward: true\n" + input_of("x", shape)
    text += "".join(input_of(name, np.shape(value)) for name, value in others.items())
    names = [f"y{k}" for k in range(tops)]
    wires = (
        quoted("bottom", [] if kind == "parameter" else ["x", *others]) + " " + quoted("top", names)
    )
    text += f'layer {{ name: "l" {wires} {fields.replace(" conv {", " convolution_param {")} }}\n'
    for k, name in enumerate(names[:1] if kind == "mask" else names):
        reduction = f'type: "Reduction" loss_weight: {k + 1} reduction_param {{ operation: SUMSQ }}'
        text += f'layer {{ name: "r{k}" bottom: "{name}" top: "r{k}" {reduction} }}\n'
    caffe.set_random_seed(1)
    net = net_from(text)
    rng = np.random.default_rng(5)
    net.blobs["x"].data[...] = (
        rng.integers(5, size=shape) if kind == "embed" else rng.standard_normal(shape)
    )
    for name, value in others.items():
        net.blobs[name].data[...] = value
    for blob in net.params.get("l", ()):
        blob.data[...] = rng.random(blob.shape) + 0.1
    net.forward_backward()
    blobs = [net.blobs["x"], *(net.blobs[name] for name in others), *net.params.get("l", ())]
    first = [blob.diff.copy() for blob in blobs]
    assert any(diff.any() for diff in first)
    data = {name: blob.data.copy() for name, blob in net.blobs.items()}
    for _ in range(2):
        net.clear_param_diffs()
        net.backward()
        for blob, diff in zip(blobs, first, strict=True):
            np.testing.assert_allclose(blob.diff, diff, rtol=1e-4, atol=1e-6)
        for name, value in data.items():
            np.testing.assert_array_equal(net.blobs[name].data, value)


@pytest.mark.parametrize(
    ("types", "needed"),
    [
        ("InnerProduct BatchNorm Scale ReLU Dropout", False),  # the usual chains run as one graph
        ("InnerProduct ReLU Dropout", False),
        ("InnerProduct PReLU", False),
        ("InnerProduct ELU", False),
        ("InnerProduct Sigmoid", False),
        ("InnerProduct Sigmoid Dropout", True),  # the Sigmoid's gradient reads what Dropout leaves
        ("InnerProduct ReLU BatchNorm", True),  # the ReLU's reads the normalised signs
        ("InnerProduct ELU Dropout", True),
        ("InnerProduct Power", True),
        ("TanH Scale", False),  # no gradient goes below
        ("Power ReLU InnerProduct", False),
    ],
)
def test_which_nets_need_their_overwritten_blobs(net_from, types, needed):
    first, *others = types.split()
    text = X
    fields = {
        "InnerProduct": "inner_product_param { num_output: 2 }",
        "Power": "power_param { power: 2 }",
    }
    for k, kind in enumerate((first, *others)):
        bottom, top = "y" if k else "x", "z" if k and kind == "InnerProduct" else "y"
        wires = f'bottom: "{bottom}" top: "{top}"'
        text += f'layer {{ name: "{kind}" type: "{kind}" {wires} {fields.get(kind, "")} }}'
    text += f'layer {{ name: "loss" type: "Reduction" bottom: "{top}" top: "loss" loss_weight: 1 }}'
    assert net_from(text).overwrites_needed is needed


def test_the_papers_net_runs_as_one_graph():
    net = caffe.Net(
        str(Path(__file__).resolve().parents[2] / "CNN" / "CaffeNet" / "deploy.prototxt"),
        caffe.TRAIN,
    )
    assert not net.overwrites_needed


X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5, 6, 7])  # the loss of 1 overflows
@pytest.mark.parametrize("keep_blobs", [True, False])
def test_both_ways_train_alike(tmp_path, seed, keep_blobs):
    """As one graph and, because of a callback, blob by blob; with all blobs kept and without."""
    text, loss = random_net(np.random.default_rng(100 + seed))
    text = text.replace("force_backward: true", "")
    weights = []
    for layer_by_layer in (False, True):
        caffe.set_random_seed(seed)
        solver = solver_of(tmp_path, text, "momentum: 0.9 weight_decay: 0.1")
        net, rng = solver.net, np.random.default_rng(seed)
        solver.param.base_lr, net.keep_blobs = 1e-3, keep_blobs
        if layer_by_layer:
            net.before_forward(lambda i: None)
        for _ in range(3):
            net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
            shape = net.blobs["t"].shape
            net.blobs["t"].data[...] = (
                rng.integers(4, size=shape) if loss == "SoftmaxWithLoss" else rng.random(shape)
            )
            solver.step(1)
        weights.append([p.blob.data.copy() for p in net.learnable])
    for one, other in zip(*weights, strict=True):
        agree(one, other, text)
