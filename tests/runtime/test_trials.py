"""Ways to compute a layer: the same numbers, the fastest is taken, a wrong one never."""

import os
import subprocess
import sys
from pathlib import Path

import emulated_gpu
import pytest
import small_trainings
import torch

import caffe
from caffe import trials
from caffe.layer_parts import convolution_ways

CPU = torch.device("cpu")
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", FORMATS, ids=["contiguous", "channels last"])
@pytest.mark.parametrize(
    ("group", "names"),
    [
        (2, ["plain", "other layout", "groups apart", "one dense product"]),
        (
            1,
            [
                *("plain", "other layout", "channels padded to a multiple of 4"),
                "channels padded to a multiple of 8",
            ],
        ),
    ],
)
def test_ways_of_a_convolution_are_equal(group, names, layout):
    torch.manual_seed(0)
    ways = convolution_ways.ways([2, 1], [1, 2], [1, 1], group)
    assert list(ways) == names
    x = torch.randn(2, 6, 9, 8).contiguous(memory_format=layout)
    inputs = [x, torch.randn(4, 6 // group, 3, 3), torch.randn(4)]
    for bias in (inputs[2], None):
        given = [t if t is None else t.requires_grad_() for t in (*inputs[:2], bias)]
        right = trials._with_gradients(ways["plain"], given)
        assert len(right) == 3 + (bias is not None)
        for way in ways.values():
            found = trials._with_gradients(way, given)
            for a, b in zip(found, right, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
            assert found[0].is_contiguous(memory_format=layout)


class Clock(trials.Trials):
    """Trials in which a way takes as many seconds as `takes` says."""

    def __init__(self, takes):
        super().__init__(CPU)
        self.takes, self.tried = takes, []

    def _time(self, way, inputs):
        self.tried.append(way)
        return self.takes[way]


def double(x):
    return x * 2


def twice(x):
    return x + x


def wrong(x):
    return x * 2.2


def fails(x):
    raise RuntimeError("no such kernel\nand more")


def test_the_fastest_is_taken_and_tried_once_per_shape():
    clock = Clock({double: 3.0, twice: 2.0})
    ways = {"double": double, "twice": twice}
    x = torch.ones(3, requires_grad=True)
    for _ in range(2):
        assert clock.run("a", ways, [x]).tolist() == [2, 2, 2]
    assert clock.tried == [double, twice]
    assert set(clock.chosen.values()) == {"twice"}
    assert list(clock.seconds.values()) == [{"double": 3.0, "twice": 2.0}]
    clock.run("a", ways, [torch.ones(4)])
    clock.run("b", ways, [x])
    assert len(clock.tried) == 6


def test_wrong_and_failing_ways_are_never_taken(capfd):
    clock = Clock({double: 3.0, wrong: 1.0, fails: 0.5})
    ways = {"double": double, "wrong": wrong, "fails": fails}
    assert clock.run("a", ways, [torch.ones(2)]).tolist() == [2, 2]
    said = capfd.readouterr().err
    assert "a: wrong gives other numbers than double" in said
    assert "a: fails cannot be used: no such kernel\n" in said
    assert clock.tried == [double]


def test_a_wrong_gradient_is_noticed():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return dy

    clock = Clock({double: 3.0, Wrong.apply: 1.0})
    clock.run("a", {"double": double, "w": Wrong.apply}, [torch.ones(2, requires_grad=True)])
    assert set(clock.chosen.values()) == {"double"}


def test_a_run_before_the_timed_ones_leaves_them_its_memory():
    """Getting memory from CUDA would let the GPU wait for the host in the timed part."""
    said = []

    def way(x):
        said.append("way")
        return x * 2

    with emulated_gpu.present(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_sleep", lambda _: said.append("idle"))
        assert trials.Trials(emulated_gpu.DEVICE)._time(way, [torch.ones(2)]) > 0
    assert said == ["way", "idle", *["way"] * trials.REPEATS]


def test_nothing_is_tried_in_a_capture():
    clock = Clock({double: 3.0, twice: 2.0})
    clock.open = False
    clock.run("a", {"double": double, "twice": twice}, [torch.ones(2)])
    assert clock.tried == []
    assert clock.chosen == {}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """trained(taken): weights after three iterations; of a convolution's ways, `taken` is taken."""
    (tmp_path / "net.prototxt").write_text(small_trainings.WAYS)
    (tmp_path / "s.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9'
        " random_seed: 1 max_iter: 3 snapshot_after_train: false solver_mode: CPU"
    )

    def trained(taken=None):
        names = []

        class Taking(trials.Trials):
            def _try(self, name, ways, inputs):
                names.append(name)
                return {taken if taken in ways else next(iter(ways)): 1.0}

        found = Taking(CPU)
        monkeypatch.setattr(trials, "of", lambda net: found if taken else None)
        solver = caffe.get_solver(str(tmp_path / "s.prototxt"))
        solver.net.keep_blobs = False
        solver.step(3)
        assert ("c" in names) == bool(taken)
        return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]

    return trained


@pytest.mark.parametrize("way", ["plain", "groups apart", "one dense product", "other layout"])
def test_a_training_is_the_same_in_every_way(trained, way):
    for a, b in zip(trained(way), trained(), strict=True):
        torch.testing.assert_close(torch.from_numpy(a), torch.from_numpy(b), rtol=1e-4, atol=1e-6)


def test_the_cpu_and_fp32_try_nothing(net_from):
    net = net_from(small_trainings.WAYS)
    assert trials.of(net) is None
    with trials.none_new(net):
        pass


KERNEL = """
import itertools, torch
from caffe.layer_parts import lrn_kernel
from caffe.layers.lrn import _AcrossChannels, _scale
torch.manual_seed(0)
settings = [(5, 1e-4, 0.75, 1.0), (3, 0.5, 0.6, 2.0)]
shapes = [(2, 7, 3, 5), (2, 96, 2, 2), (1, 130, 2, 3)]
for shape, layout, (size, alpha, beta, k) in itertools.product(
    shapes, (torch.contiguous_format, torch.channels_last), settings
):
    x = 3 * torch.randn(shape).contiguous(memory_format=layout)
    x.requires_grad_()
    dy = torch.randn(shape)
    found = lrn_kernel.AcrossChannels.apply(x, size, alpha, beta, k)
    right = _AcrossChannels.apply(x, _scale(x.detach(), size, alpha, k), size, alpha, beta)
    torch.testing.assert_close(found, right, rtol=2e-6, atol=1e-6)
    assert found.stride() == right.stride()
    gradients = [torch.autograd.grad(y, x, dy)[0] for y in (found, right)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
print("equal")
"""


def test_the_kernel_of_lrn_in_tritons_interpreter():
    pytest.importorskip("triton", reason="Triton is not installed; PyTorch for CUDA brings it")
    done = subprocess.run(
        [sys.executable, "-c", KERNEL],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr[-2000:]


COMPILED = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from caffe.layer_parts import lrn_kernel, lrn_triton
numbers = {"half": 2, "P": lrn_kernel.POSITIONS, "C": lrn_kernel.CHANNELS}
kinds = dict.fromkeys(["x", "y", "dx", "dy", "scales"], "*fp32")
kinds |= dict.fromkeys(["positions", "inner", "channels", "step_c", "step_p"], "i32")
kinds |= dict.fromkeys(["share", "ratio", "k", "beta"], "fp32")
kinds |= dict.fromkeys(numbers, "constexpr")
for kernel in (lrn_triton.forward, lrn_triton.backward):
    types = {name: kinds[name] for name in kernel.arg_names}
    made = triton.compile(
        ASTSource(kernel, types, numbers),
        target=GPUTarget("cuda", int(sys.argv[1]), 32),
        options={"num_warps": lrn_kernel.WARPS},
    )
    assert made.asm["cubin"]
print("compiled")
"""


@pytest.mark.parametrize("capability", [75, 80, 90, 100])
def test_the_kernel_of_lrn_compiles_for_gpus(capability):
    pytest.importorskip("triton", reason="Triton is not installed; PyTorch for CUDA brings it")
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(capability)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "compiled\n", done.stderr[-2000:]
