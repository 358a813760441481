"""The ways to compute a layer that trials.py chooses from, on a real GPU, in fp32."""

import pytest
import small_trainings
import torch
from tested_device import real

import caffe
from caffe import precision, trials
from caffe.layer_parts import convolution_ways, lrn_kernel
from caffe.layers.lrn import _AcrossChannels, _scale

pytestmark = real
GPU = torch.device("cuda", 0)
FORMATS = [torch.contiguous_format, torch.channels_last]


def drawn(*shape):
    return torch.randn(shape).to(GPU)


@pytest.mark.parametrize("layout", FORMATS, ids=["contiguous", "channels last"])
@pytest.mark.parametrize("group", [1, 2])
def test_every_way_of_a_convolution(layout, group):
    """As conv1 and conv2 of CaffeNet, with fewer channels."""
    torch.manual_seed(0)
    precision.apply(GPU, "fp32")
    ways = convolution_ways.ways([2, 2], [2, 2], [1, 1], group)
    channels = 6 if group == 2 else 3
    x = drawn(4, channels, 31, 31).contiguous(memory_format=layout).requires_grad_()
    weight = drawn(8, channels // group, 5, 5).requires_grad_()
    inputs = [x, weight, drawn(8).requires_grad_()]
    right = trials._with_gradients(ways["plain"], inputs)
    for way in ways.values():
        for a, b in zip(trials._with_gradients(way, inputs), right, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("layout", FORMATS, ids=["contiguous", "channels last"])
@pytest.mark.parametrize("shape", [(2, 7, 3, 5), (2, 96, 27, 27), (1, 130, 2, 3)])
@pytest.mark.parametrize("settings", [(5, 1e-4, 0.75, 1.0), (3, 0.5, 0.6, 2.0)])
def test_lrn_in_one_kernel(shape, layout, settings):
    if not lrn_kernel.exists():
        pytest.skip("Triton is not installed")
    torch.manual_seed(0)
    size, alpha, beta, k = settings
    x = (3 * drawn(*shape)).contiguous(memory_format=layout).requires_grad_()
    dy = drawn(*shape)
    found = lrn_kernel.AcrossChannels.apply(x, size, alpha, beta, k)
    precision.apply(GPU, "fp32")
    right = _AcrossChannels.apply(x, _scale(x.detach(), size, alpha, k), size, alpha, beta)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(y, x, dy)[0] for y in (found, right)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_the_time_of_a_way_is_that_of_the_gpu():
    """A product of 4096 x 4096 matrices, of which backward has two, takes longer than a small one,
    and neither takes as long as the pause before.
    """
    tried = trials.Trials(GPU)
    large, small = (
        tried._time(lambda x: x @ x, [drawn(n, n).requires_grad_()]) for n in (4096, 64)
    )
    assert 0 < small < large < 1


def test_a_training_tries_ways_and_logs_them(net_from, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    caffe.set_precision("tf32")
    try:
        net = net_from(small_trainings.WAYS)
    except caffe.CaffeError as error:
        pytest.skip(str(error))
    finally:
        caffe.set_precision("fp32")
    net.keep_blobs = False
    net.forward_backward()
    said = capfd.readouterr().err
    assert "cannot be used" not in said
    assert {key[0] for key in trials.of(net).chosen} == {"c", "n"}
    assert "c: " in said
    assert "n: " in said
    assert "is the fastest way" in said
