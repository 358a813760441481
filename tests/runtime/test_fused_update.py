"""The update of all parameters at once against update_rule.py, which has Caffe's numbers."""

import numpy as np
import pytest
import torch

from caffe import fused_update, prototxt
from caffe.blob import Blob
from caffe.fused_update import AllAtOnce, FusedSGD
from caffe.node import Parameter
from caffe.proto import caffe_pb2
from caffe.update_rule import RULES, Updater

STEPS = 300
RULE_SETTINGS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-4",
    "RMSProp": "rms_decay: 0.98 delta: 1e-4",
    "AdaDelta": "momentum: 0.95 delta: 1e-4",
    "Adam": "momentum: 0.9 momentum2: 0.999 delta: 1e-4",
}
MULTIPLIERS = ((1, 1), (2, 0), (1, 1), (0, 0), (2, 0))
SHAPES = ((4, 3, 3, 3), (4,), (5, 7), (6,), (5,))
STEP = 'lr_policy: "step" stepsize: 100 gamma: 0.1'  # two drops of the rate in 300 steps
DECAY = "weight_decay: 0.01"


def updater_of(settings):
    param = prototxt.parse(f"base_lr: 0.01 {settings}", caffe_pb2.SolverParameter())
    draws = np.random.default_rng(0)
    parameters = []
    for shape, multipliers in zip(SHAPES, MULTIPLIERS, strict=True):
        blob = Blob(shape)
        blob.tensor().copy_(torch.from_numpy(draws.normal(size=shape)))
        blob.keep_memory()
        parameters.append(Parameter(blob, *multipliers, owner=None, spec=None))
    return Updater(param, RULES[param.type](param), parameters)


def train(updater, update, steps=STEPS):
    """Make updates by gradients that are the same for every way to make them."""
    draws = np.random.default_rng(1)
    for iteration in range(steps):
        for parameter in updater.parameters:
            gradient = draws.normal(size=parameter.blob.shape).astype(np.float32)
            parameter.blob.put_diff(torch.from_numpy(gradient))
        rate = updater.rate(iteration)
        updater.take_step(iteration)
        update(rate, iteration)
    weights = [parameter.blob.tensor().clone() for parameter in updater.parameters]
    return weights, [tensor.clone() for tensor in updater.history]


def at_once(updater, way):
    def update(rate, iteration):
        way.set_rate(rate, iteration)
        way.run([parameter.blob.diff_tensor() for parameter in updater.parameters])

    return update


def assert_close(first, second, rtol):
    for mine, theirs in zip(first, second, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert float((a - b).norm()) <= rtol * float(b.norm())


@pytest.mark.parametrize("more", ["", "iter_size: 4", "clip_gradients: 3", 'lr_policy: "fixed"'])
def test_one_kernel_makes_300_updates_of_sgd(more):
    policy = more if "lr_policy" in more else f"{STEP} {more}"
    settings = f"{RULE_SETTINGS['SGD']} {DECAY} {policy}".replace("stepsize: 100", "stepsize: 200")
    plain, fused = updater_of(settings), updater_of(settings)
    way = fused_update.of(fused)
    assert type(way) is FusedSGD
    assert_close(train(fused, at_once(fused, way)), train(plain, plain.update_all), 5e-7)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(
    "more", ["", "iter_size: 4 clip_gradients: 3", 'regularization_type: "L1"']
)
def test_every_rule_makes_300_updates_with_two_drops_of_the_rate(kind, more):
    settings = f'type: "{kind}" {RULE_SETTINGS[kind]} {DECAY} {STEP} {more}'
    plain, fused = updater_of(settings), updater_of(settings)
    way = fused_update.of(fused)
    assert type(way) is AllAtOnce
    assert_close(train(fused, at_once(fused, way)), train(plain, plain.update_all), 2e-6)


@pytest.mark.parametrize("settings", [STEP, 'lr_policy: "step" stepsize: 250 gamma: 0.1'])
def test_the_first_update_is_the_one_worked_out_by_hand(settings):
    """h = 0.01 (g + 0.01 w) and w' = w - h, from a weight of 2 and a gradient of 3."""
    updater = updater_of(f"{RULE_SETTINGS['SGD']} {DECAY} {settings}")
    weight = updater.parameters[0].blob
    weight.tensor().fill_(2)
    way = fused_update.of(updater)
    way.set_rate(0.01, 0)
    way.run([torch.full(p.blob.shape, 3.0) for p in updater.parameters])
    torch.testing.assert_close(updater.history[0], torch.full(weight.shape, 0.0302))
    torch.testing.assert_close(weight.tensor(), torch.full(weight.shape, 1.9698))
    # lr_mult 2 and decay_mult 0: h = 0.02 * 3
    torch.testing.assert_close(updater.history[1], torch.full((4,), 0.06))
    # lr_mult 0: nothing
    assert not updater.history[3].any()


def test_a_rate_of_0_moves_nothing_but_the_history():
    updater = updater_of(f"{RULE_SETTINGS['SGD']} {STEP}".replace("100", "200"))
    for tensor in updater.history:
        tensor.fill_(1)
    before = [p.blob.tensor().clone() for p in updater.parameters]
    way = fused_update.of(updater)
    way.set_rate(0.0, 0)
    way.run([torch.ones(p.blob.shape) for p in updater.parameters])
    for tensor, weight, parameter in zip(updater.history, before, updater.parameters, strict=True):
        torch.testing.assert_close(tensor, torch.full(tensor.shape, 0.9))
        torch.testing.assert_close(parameter.blob.tensor(), weight - 0.9)


@pytest.mark.parametrize("kind", RULES)
def test_diffs_become_what_was_subtracted_where_they_may_be_looked_at(kind):
    updater = updater_of(f'type: "{kind}" {RULE_SETTINGS[kind]} {DECAY} lr_policy: "fixed"')
    updater.at_once = fused_update.of(updater, keeps_diffs=True)
    before = [p.blob.tensor().clone() for p in updater.parameters]
    train(updater, updater.update_all, steps=1)
    for parameter, weight in zip(updater.parameters, before, strict=True):
        expected = weight - parameter.blob.diff_tensor()
        torch.testing.assert_close(parameter.blob.tensor(), expected, rtol=0, atol=1e-6)
        assert parameter.lr_mult == 0 or parameter.blob.diff_tensor().any()


def test_clipping_follows_the_norm_over_all_gradients(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    updater = updater_of(f"{RULE_SETTINGS['SGD']} {STEP} clip_gradients: 2")
    way = fused_update.of(updater)
    way.set_rate(1.0, 0)
    gradients = [torch.zeros(p.blob.shape) for p in updater.parameters]
    gradients[0].view(-1)[0], gradients[2].view(-1)[0] = 3, 4  # the norm is 5
    way.run(gradients)
    way.log_clipping()
    assert float(updater.history[0].view(-1)[0]) == pytest.approx(3 * 2 / 5)
    assert "(L2 norm 5 > 2) by scale factor 0.4" in capfd.readouterr().err
    gradients = [torch.zeros(p.blob.shape) for p in updater.parameters]
    gradients[0].view(-1)[0] = 1  # below the limit
    way.run(gradients)
    way.log_clipping()
    assert float(updater.history[0].view(-1)[0]) == pytest.approx(0.9 * 1.2 + 1)
    assert "clipping" not in capfd.readouterr().err


def test_a_gradient_that_is_nan_reaches_the_weights():
    """So that the training is stopped, and does not go on with wrong weights."""
    updater = updater_of(f"{RULE_SETTINGS['SGD']} {STEP} clip_gradients: 2")
    way = fused_update.of(updater)
    way.set_rate(0.01, 0)
    gradients = [torch.zeros(p.blob.shape) for p in updater.parameters]
    gradients[0].view(-1)[0] = torch.nan
    way.run(gradients)
    assert updater.parameters[0].blob.tensor().isnan().all()


def test_rates_that_change_often_are_no_constants_of_a_graph():
    for settings, way in (
        ('lr_policy: "fixed"', FusedSGD),
        ('lr_policy: "multistep" stepvalue: 3', FusedSGD),
        ('lr_policy: "step" stepsize: 200', FusedSGD),
        ('lr_policy: "step" stepsize: 199', AllAtOnce),
        ('lr_policy: "poly" power: 1', AllAtOnce),
        ('lr_policy: "fixed" regularization_type: "L1"', AllAtOnce),
    ):
        updater = updater_of(f"momentum: 0.9 {settings}")
        found = fused_update.of(updater)
        assert type(found) is way
        assert found.set_rate(0.5, 0) == ((0.5,) if way is FusedSGD else ())
    # without momentum, PyTorch's SGD ignores v and with it the rate
    assert type(fused_update.of(updater_of('lr_policy: "fixed"'))) is AllAtOnce
