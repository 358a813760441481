"""The update rules to the last bit: against Caffe's steps in NumPy, and against BVLC's own runs."""

import numpy as np
import pytest
import torch

from caffe import lr_policy, prototxt
from caffe.proto import caffe_pb2
from caffe.update_rule import RULES

f = np.float32
SETTINGS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-8",
    "RMSProp": "rms_decay: 0.98 delta: 1e-8",
    "AdaDelta": "momentum: 0.95 delta: 1e-7",
    "Adam": "momentum: 0.9 momentum2: 0.999 delta: 1e-8",
}


def settings(kind):
    return prototxt.parse(f'type: "{kind}" {SETTINGS[kind]}', caffe_pb2.SolverParameter())


def fused(alpha, x, y):
    """y + alpha x, rounded once, as the BLAS kernels with FMA do."""
    return (f(alpha).astype(float) * x.astype(float) + y.astype(float)).astype(f)


def plain(alpha, x, y):
    """y + alpha x, the product rounded first, as the kernels without FMA do."""
    return y + f(alpha) * x


def transcribed(kind, p, g, h, rate, iteration, axpy):
    """One ComputeUpdateValue of BVLC's *_solver.cpp (CPU, float): (the update, the histories)."""
    one, h = f(1), [values.copy() for values in h]
    momentum, delta = f(p.momentum), f(p.delta)

    def axpby(alpha, x, beta, y):
        return axpy(alpha, x, f(beta) * y)

    if kind == "SGD":
        h[0] = axpby(rate, g, momentum, h[0])
        return h[0], h
    if kind == "Nesterov":
        before = h[0]
        h[0] = axpby(rate, g, momentum, h[0])
        return axpby(one + momentum, h[0], -momentum, before), h
    square = g * g
    if kind == "AdaGrad":
        h[0] = square + h[0]
        return rate * (g / (np.sqrt(h[0]) + delta)), h
    if kind == "RMSProp":
        decay = f(p.rms_decay)
        h[0] = axpby(one - decay, square, decay, h[0])
        return rate * (g / (np.sqrt(h[0]) + delta)), h
    if kind == "AdaDelta":
        h[0] = axpby(one - momentum, square, momentum, h[0])
        update = g * np.sqrt((delta + h[1]) / (delta + h[0]))
        h[1] = axpby(one - momentum, update * update, momentum, h[1])
        return rate * update, h
    b1, b2, t = momentum, f(p.momentum2), iteration + 1
    # pow(float, int) is a double in C++
    correction = f(np.sqrt(1 - float(b2) ** t) / (1 - float(b1) ** t))
    h[0] = axpby(one - b1, g, b1, h[0])
    h[1] = axpby(one - b2, square, b2, h[1])
    return (rate * correction) * (h[0] / (np.sqrt(h[1]) + delta)), h


@pytest.mark.parametrize("iteration", [0, 1, 7, 1000])
@pytest.mark.parametrize("kind", RULES)
def test_to_the_last_bit(kind, iteration):
    rng = np.random.default_rng(iteration)
    g = (rng.standard_normal(4096) * 10.0 ** rng.integers(-9, 1, 4096)).astype(f)
    g[::97] = 0
    p, rate = settings(kind), f(0.003)
    rule = RULES[kind](p)
    signs = 1 if kind not in ("SGD", "Nesterov", "Adam") else -1
    h = [np.abs(rng.standard_normal(4096) * 1e-3).astype(f) for _ in range(rule.histories)]
    if signs < 0:
        h[0] *= rng.choice([f(-1), f(1)], 4096)
    ours, theirs = torch.from_numpy(g.copy()), [torch.from_numpy(values.copy()) for values in h]
    rule.update(ours, theirs, float(rate), iteration)
    expected = [transcribed(kind, p, g, h, rate, iteration, axpy) for axpy in (fused, plain)]
    same = np.logical_or.reduce([ours.numpy() == update for update, _ in expected])
    assert same.all()
    for i, values in enumerate(theirs):
        assert np.logical_or.reduce(
            [values.numpy() == histories[i] for _, histories in expected]
        ).all()


@pytest.mark.parametrize(
    "run", ["adadelta", "adagrad", "adam", "nesterov_step", "rmsprop", "sgd_fixed", "sgd_inv"]
)
def test_bvlcs_own_gradients_give_bvlcs_weights(golden, run):
    """The gradients that a BVLC binary recorded give its weights after the first update exactly.

    AdaDelta's first step is of the size of sqrt(delta), where the last bit of C's powf shows: it
    rounds one value in a thousand the other way than a square root does.
    """
    folder = golden / "train"
    p = prototxt.read_solver(folder / "runs" / run / "solver.prototxt")
    recorded, init = np.load(folder / "npz" / f"{run}.npz"), np.load(folder / "init.npz")
    rule, rate = RULES[p.type](p), f(lr_policy.rate(p, 0)[0])
    for key in init:
        bias = key.endswith(".1")  # lr_mult 1 and 2, decay_mult 1 and 0, as in the net
        w, g = init[key], recorded[f"grad0.{key}"]
        g = torch.from_numpy(g if bias else fused(p.weight_decay, w, g))
        rule.update(
            g,
            [torch.zeros_like(g) for _ in range(rule.histories)],
            float(rate * f(2 if bias else 1)),
            0,
        )
        ours, theirs = w - g.numpy(), recorded[f"iter1.{key}"]
        if run == "adadelta":
            assert (ours != theirs).mean() < 0.002
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-9)
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "moved"), [("AdaGrad", 0.00819), ("Adam", 0.000314), ("RMSProp", 0.00971)]
)
def test_a_gradient_that_cancels_amplifies_its_rounding(kind, moved):
    """Why these rules differ between builds of Caffe.

    Let a sum be 1e-9 in one order and 1.1e-9 in another.  The first step, here of rate 1, then
    differs by the difference of g / (sqrt(h) + 1e-8).  With a sum near 1 it does not differ.
    """
    p = settings(kind)

    def step(gradient):
        g = torch.tensor([gradient], dtype=torch.float32)
        rule = RULES[kind](p)
        rule.update(g, [torch.zeros(1) for _ in range(rule.histories)], 1.0, 0)
        return float(g)

    assert step(1.1e-9) - step(1e-9) == pytest.approx(moved, rel=2e-3)
    assert abs(step(1 + 2**-23) - step(1)) < 1e-6


@pytest.mark.parametrize("run", ["sgd_fixed", "sgd_inv", "sgd_poly", "sgd_step", "sgd_multistep"])
def test_learning_rates_as_bvlc_computes_them(golden, run):
    p = prototxt.read_solver(golden / "train" / "runs" / run / "solver.prototxt")
    step, rates = 0, []
    for i in range(30):
        rate, step = lr_policy.rate(p, i, step)
        rates.append(rate)
    np.testing.assert_array_equal(
        np.array(rates, dtype=f), np.load(golden / "train" / "npz" / f"{run}.npz")["lr"]
    )


@pytest.mark.parametrize(
    ("policy", "rates"),
    [
        ("step", [0.5, 0.5, 0, 0]),
        ("exp", [0.5, 0, 0, 0]),
        ("inv", [0.5] * 4),
        ("multistep", [0.5, 0.5, 0, 0]),
        ("sigmoid", [0.25] * 4),
    ],
)
def test_a_gamma_that_is_not_given_is_0(policy, rates):
    text = f'base_lr: 0.5 lr_policy: "{policy}" power: 1 stepsize: 2 stepvalue: 2'
    p, step, found = prototxt.parse(text, caffe_pb2.SolverParameter()), 0, []
    lr_policy.check(p)
    for i in range(4):
        rate, step = lr_policy.rate(p, i, step)
        found.append(rate)
    assert found == rates
