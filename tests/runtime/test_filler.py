"""Fillers: against the statistics of BVLC Caffe's draws, and by hand where nothing is random."""

import json
import math

import numpy as np
import pytest

import caffe

SIZES = {"conv": (48, 24, 5, 5), "ip": (500, 300)}


def filled(net_from, filler, kind="ip", seed=0, group=1):
    caffe.set_random_seed(seed)
    shape = {"conv": "dim: 1 dim: 24 dim: 9 dim: 9", "ip": "dim: 1 dim: 300"}[kind]
    layer = {
        "conv": 'type: "Convolution" convolution_param { num_output: 48 kernel_size: 5'
        f" group: {group} bias_term: false",
        "ip": 'type: "InnerProduct" inner_product_param { num_output: 500 bias_term: false',
    }[kind]
    net = net_from(
        f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {shape} }} }} }}'
        f'layer {{ name: "l" bottom: "d" top: "o" {layer} {filler} }} }}'
    )
    return net.params["l"][0].data.copy()


def test_statistics_are_those_of_the_recordings(golden, net_from):
    """Mean, spread, maximum and share of non-zeros are at most five standard errors apart."""
    recorded = json.loads((golden / "fillers" / "fillers.json").read_text())
    caffe.set_random_seed(0)
    checked = 0
    for name, wanted in recorded.items():
        if name.startswith(("_", "bilinear")):
            continue
        shape = "dim: 1 dim: 300" if name.startswith("ip") else "dim: 1 dim: 24 dim: 9 dim: 9"
        net = net_from(
            f'layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ {shape} }} }} }}'
            f"layer {{ {wanted['layer']}"
        )
        found = net.params["l"][0].data
        assert list(found.shape) == wanted["shape"], name
        error = 5 * math.sqrt(2 / found.size)
        spread = max(wanted["rms"], 1e-12)
        assert abs(found.mean() - wanted["mean"]) <= error * spread, name
        assert abs(found.std() - wanted["std"]) <= error * spread * 2, name
        assert abs((found != 0).mean() - wanted["nonzero_fraction"]) <= error, name
        if "uniform" in name or "xavier" in name or "unitball" in name:
            assert abs(found.max() - wanted["max"]) <= 0.05 * abs(wanted["max"]) + 1e-12, name
        checked += 1
    assert checked > 25


def test_bilinear_is_exact(golden, net_from):
    recorded = np.load(golden / "fillers" / "bilinear.npz")
    for key in recorded:
        size = recorded[key].shape[-1]
        net = net_from(
            'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 dim: 4'
            ' dim: 4 } } } layer { name: "l"'
            ' type: "Deconvolution" bottom: "d" top: "o" convolution_param { num_output: 3 group:'
            " 3 bias_term: false"
            f' kernel_size: {size} weight_filler {{ type: "bilinear" }} }} }}'
        )
        np.testing.assert_array_equal(net.params["l"][0].data, recorded[key])


def test_constant_is_the_default(net_from):
    assert not filled(net_from, "").any()
    assert (filled(net_from, 'weight_filler { type: "constant" value: 3 }') == 3).all()


def test_rows_of_the_positive_unitball_sum_to_1(net_from):
    found = filled(net_from, 'weight_filler { type: "positive_unitball" }')
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("norm", "n"),
    [("FAN_IN", 24 * 25), ("FAN_OUT", 48 * 25), ("AVERAGE", 36 * 25)],
    ids=["fan in", "fan out", "average"],
)
def test_variance_norm(net_from, norm, n):
    xavier = filled(net_from, f'weight_filler {{ type: "xavier" variance_norm: {norm} }}', "conv")
    assert np.abs(xavier).max() <= math.sqrt(3 / n) * (1 + 1e-6)
    assert np.abs(xavier).max() > 0.99 * math.sqrt(3 / n)
    msra = filled(net_from, f'weight_filler {{ type: "msra" variance_norm: {norm} }}', "conv")
    assert msra.std() == pytest.approx(math.sqrt(2 / n), rel=0.03)


def test_sparse_keeps_that_many_inputs_per_output(net_from):
    found = filled(net_from, 'weight_filler { type: "gaussian" std: 1 sparse: 50 }')
    assert (found != 0).mean() == pytest.approx(50 / 500, rel=0.05)


def test_same_seed_same_weights(net_from):
    filler = 'weight_filler { type: "gaussian" }'
    assert (filled(net_from, filler, seed=4) == filled(net_from, filler, seed=4)).all()
    assert (filled(net_from, filler, seed=4) != filled(net_from, filler, seed=5)).any()


@pytest.mark.parametrize(
    ("filler", "message"),
    [
        (
            'weight_filler { type: "magic" }',
            "layer 'l' .InnerProduct., blob 0: unknown filler type 'magic'",
        ),
        ('weight_filler { type: "bilinear" }', "needs a blob of 4 axes with square kernels"),
    ],
)
def test_refused(net_from, filler, message):
    with pytest.raises(caffe.CaffeError, match=message):
        filled(net_from, filler)
