"""net.backward() at any time: from the blobs as they are and what the layers have kept, as in BVLC Caffe.

Random nets run random sequences of forward, backward, solver steps and changes by hand, beside a NumPy twin that follows the
C++ layers (reference_net.py).
"""

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
        """Append a layer; its top's name, a new one unless given."""
        self.count += 1
        name = f"l{self.count}"
        wires = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{top or name}"'])
        self.text += f'layer {{ name: "{name}" type: "{TYPES.get(kind, kind)}" {wires} {fields} }}\n'
        return top or name

    def input(self, name, *shape):
        dims = " ".join(f"dim: {d}" for d in shape)
        self.text += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
        return name

    def functions(self, blob, count, overwrite=True):
        """Layers of one bottom and top of the same shape, in place or not."""
        for _ in range(count):
            kind = self.rng.choice(list(FUNCTIONS))
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
        blob = w.functions(w.layer("Convolution", [blob], f"convolution_param {{ {fields} }}"), rng.integers(4))
    if rng.random() < 0.6:
        blob = w.layer("Pooling", [blob], f"pooling_param {{ pool: {rng.choice(['MAX', 'AVE'])} kernel_size: 2 stride: 2 }}")
        blob = w.functions(blob, rng.integers(3))
    if rng.random() < 0.5:
        branches = [w.functions(blob, 1 + rng.integers(2), overwrite=False) for _ in range(2)]
        blob = w.layer("Eltwise", branches, f"eltwise_param {{ operation: {rng.choice(['PROD', 'SUM', 'MAX'])} }}")
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
            f'net: "{folder}/net.prototxt" base_lr: {self.RATE} lr_policy: "fixed" momentum: {self.MOMENTUM}'
            f' weight_decay: {self.DECAY} snapshot_prefix: "{folder}/s"'
        )
        caffe.set_random_seed(int(rng.integers(1000)))
        self.solver = caffe.get_solver(str(folder / "solver.prototxt"))
        self.net, self.last = self.solver.net, len(self.solver.net.layer_names) - 1
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
        self.net.forward(start=self.net.layer_names[start], end=self.net.layer_names[end])
        self.twin.forward(start, end, self.draw)

    def whole_forward(self):
        self.forward(0, self.last)

    def backward(self):
        self.net.backward()
        self.twin.backward(self.last, 0)

    def part_of_backward(self):
        start = int(self.rng.integers(self.last + 1))
        end = int(self.rng.integers(start + 1))
        self.net.backward(start=self.net.layer_names[start], end=self.net.layer_names[end])
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
        value = self.rng.integers(4, size=shape) if self.loss == "SoftmaxWithLoss" else self.rng.random(shape)
        self.net.blobs["t"].data[...] = value
        self.twin.blobs["t"].data[...] = value

    def change_loss_weight(self):
        self.net.blobs["loss"].diff[...] = self.twin.blobs["loss"].diff[...] = 1.5

    ACTIONS = (whole_forward, forward, backward, backward, part_of_backward, step, apply_update, clear, change_weights,
               change_data, change_diff, change_targets)  # fmt: skip

    def compare(self, did):
        for name, blob in self.net.blobs.items():
            for what in ("data", "diff"):
                agree(getattr(blob, what), getattr(self.twin.blobs[name], what), f"{name}.{what} after {did}")
        for layer, blobs in self.net.params.items():
            for k, (blob, twin) in enumerate(zip(blobs, self.twin.params[layer], strict=True)):
                agree(blob.data, twin.data, f"{layer}[{k}].data after {did}")
                agree(blob.diff, twin.diff, f"{layer}[{k}].diff after {did}")


def agree(found, wanted, what):
    scale = max(0.05, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4 * scale, err_msg=what)


@pytest.mark.parametrize("seed", range(60))
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
