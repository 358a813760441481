"""The tests of tests/gpu/ on the emulated GPU, and the emulation itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import emulated_gpu
import numpy as np
import pytest
import torch

import caffe
from caffe import allocation, cli

GPU_TESTS = Path(__file__).resolve().parents[1] / "gpu"


def test_the_gpu_tests_pass_on_the_emulated_gpu():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(GPU_TESTS)],
        env=os.environ | {"TTN_TEST_DEVICE": "emulated"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 150


def test_without_cuda_the_gpu_tests_say_why_they_are_skipped(tmp_path):
    """They need only caffe's dependencies, so that they also run where nothing was installed for
    us.
    """
    others = ("gensim", "ijson", "lxml", "nltk", "numba", "psutil", "sklearn", "tqdm", "dask")
    for name in others:
        (tmp_path / f"{name}.py").write_text("raise ImportError('it is hidden')")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(GPU_TESTS)],
        env={k: v for k, v in os.environ.items() if k != "TTN_TEST_DEVICE"}
        | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{tmp_path}:{GPU_TESTS.parents[1]}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "there is no CUDA device here" in done.stdout
    assert "passed" not in done.stdout
    assert int(re.search(r"(\d+) skipped", done.stdout)[1]) > 200


def test_features_are_computed_on_the_gpu_without_copies_of_the_input(
    net_from, tmp_path, load_script
):
    """The same numbers as on the CPU; only the features come back, once per batch."""
    import cv2

    script = load_script("experiments/extract_features.py")
    draw, paths = np.random.default_rng(0), []
    for i in range(5):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), draw.integers(0, 256, (256, 256, 3), np.uint8))
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape {'
        " dim: 1 dim: 3 dim: 24 dim: 24 } } }"
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {'
        ' num_output: 2 kernel_size: 9 stride: 5 weight_filler { type: "gaussian" std: 0.01 } } }'
        'layer { name: "s" type: "Sigmoid" bottom: "c" top: "s" }'
    )
    caffe.set_random_seed(1)
    wanted = script.extract(net_from(text, caffe.TEST), paths, ["c", "s"], 2)
    with emulated_gpu.present() as gpu:
        caffe.set_mode_gpu()
        try:
            caffe.set_random_seed(1)
            net = net_from(text, caffe.TEST)
            gpu.waits.clear()
            found = script.extract(net, paths, ["c", "s"], 2)
        finally:
            caffe.set_mode_cpu()
    assert net.device.type == "cuda"
    for blob in ("c", "s"):
        np.testing.assert_allclose(found[blob], wanted[blob], rtol=1e-5, atol=1e-6)
    assert gpu.waits == ["to", "cpu", "cpu"] * 3  # per batch, images there and two blobs back


def test_the_emulation_refuses_what_a_gpu_refuses():
    with emulated_gpu.present() as gpu:
        x = torch.arange(6.0).view(2, 3).to("cuda")
        assert x.device.type == (x * 2).device.type == "cuda"
        assert not gpu.waits or gpu.waits == ["to"]
        gpu.waits.clear()
        with pytest.raises(RuntimeError, match="on the same device"):
            x + torch.ones(3)
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()
        assert not gpu.waits
        assert float(x.sum()) == 15
        assert x.cpu().tolist() == [[0, 1, 2], [3, 4, 5]]
        assert gpu.waits == ["_local_scalar_dense", "cpu"]
        x.view(-1)[1:3].zero_()
        assert x.tolist() == [[0, 0, 0], [3, 4, 5]]
        with pytest.raises(RuntimeError, match="device-side assert"):
            x.gather(1, torch.full((2, 1), 3, device="cuda"))
        with pytest.raises(RuntimeError, match="device-side assert"):
            x + 1  # nothing works any more
    assert torch.zeros(1).device.type == "cpu"


# ------------------------------------------------------------------------ which GPU, and none


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", lambda *_: None)
    yield
    caffe.set_mode_cpu()
    caffe.set_device(0)


def test_a_gpu_that_does_not_exist(two_gpus, monkeypatch):
    with pytest.raises(
        caffe.CaffeError, match=r"^GPU 7 does not exist: PyTorch finds the GPUs 0 to"
    ):
        caffe.set_device(7)
    caffe.set_mode_gpu()
    assert caffe.mode.device() == torch.device("cuda", 0)  # the choice before
    caffe.set_device(1)
    assert caffe.mode.device() == torch.device("cuda", 1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(
        caffe.CaffeError, match=r"^GPU 1 does not exist: PyTorch finds only GPU 0 here"
    ):
        caffe.set_mode_gpu()


@pytest.mark.parametrize("command", ["train", "time"])
def test_gpu_7_is_one_fatal_line(two_gpus, tmp_path, regression_net, fatal, command):
    (tmp_path / "s.prototxt").write_text(
        f'net: "{regression_net}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
    )
    given = (
        ("-solver", tmp_path / "s.prototxt") if command == "train" else ("-model", regression_net)
    )
    assert "GPU 7 does not exist" in fatal(cli.main, command, *given, "-gpu", "7")


def test_pycaffe_without_a_gpu_warns_and_stays_on_the_cpu(monkeypatch, capfd):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    caffe.set_device(3)
    caffe.set_mode_gpu()
    assert caffe.mode.device() == torch.device("cpu")
    assert "THE CPU COMPUTES" in capfd.readouterr().err
    caffe.set_device(0)


# ------------------------------------------------------------------------------------ out of memory

CUDA_OOM = (
    "CUDA out of memory. Tried to allocate 7.45 GiB. GPU 0 has a total capacity of 79.19 GiB of"
    " which 2.00 GiB is free."
)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_out_of_memory_on_the_gpu_names_the_layer_and_the_field(
    regression_net, tmp_path, monkeypatch, where, fatal
):
    from caffe.layers.inner_product import InnerProduct

    def fails(*_):
        raise torch.OutOfMemoryError(CUDA_OOM)

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        backward = staticmethod(fails)

    good = InnerProduct.forward
    late = lambda layer, *x: Fails.apply(good(layer, *x))  # noqa: E731
    monkeypatch.setattr(InnerProduct, "forward", fails if where == "forward" else late)
    (tmp_path / "s.prototxt").write_text(
        f'net: "{regression_net}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
    )
    line = fatal(cli.main, "train", "-solver", tmp_path / "s.prototxt")
    named = "layer 'ip' (InnerProduct)" if where == "forward" else "net.prototxt: the backward pass"
    assert f"{named}: not enough memory on the GPU; lower" in line
    assert line.rsplit("lower ", 1)[1] == ("num_output" if where == "forward" else "the batch size")


@pytest.mark.parametrize(
    ("text", "gpu"),
    [
        (CUDA_OOM, True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory", False),
    ],
)
def test_whose_memory_it_was(text, gpu):
    expected = "what: not enough memory" + " on the GPU" * gpu + "; lower it$"
    with (
        pytest.raises(allocation.OutOfMemoryError, match=expected),
        allocation.enough_for("what", "it"),
    ):
        raise RuntimeError(text)


def test_parameters_that_do_not_fit_on_the_gpu(net_from, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError(CUDA_OOM)

    monkeypatch.setattr("caffe.blob.Blob.keep_memory", fails)
    with pytest.raises(
        caffe.CaffeError,
        match=r"'ip' \(InnerProduct\)(, blob 0)?: not enough memory on the GPU; lower num_output$",
    ):
        net_from(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }'
            'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
            " inner_product_param { num_output: 2 } }"
        )


def test_an_accuracy_does_not_make_the_host_wait(net_from):
    with emulated_gpu.present() as gpu:
        caffe.set_mode_gpu()
        try:
            net = net_from(
                'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
                'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }'
                'layer { name: "a" type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each"'
                " accuracy_param { ignore_label: 2 } }"
            )
            net.blobs["x"].data[...] = [[1, 2, 3], [3, 1, 2]]
            net.blobs["t"].data[...] = [2, 0]
            net.forward_backward(backward=False)
            gpu.waits.clear()
            net.forward_backward(backward=False)
            assert gpu.waits == []
            np.testing.assert_array_equal(net.blobs["a"].data, 1)
            np.testing.assert_array_equal(net.blobs["each"].data, [1, 0, 0])
        finally:
            caffe.set_mode_cpu()
