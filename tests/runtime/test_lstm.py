"""LSTM and LSTMUnit: one step by hand, against torch's LSTM, states kept and forgotten."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

LSTM = (
    'type: "LSTM" recurrent_param {'
    ' num_output: %d weight_filler { type: "uniform" min: -0.5 max: 0.5 } %s }'
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_one_step_by_hand(one_layer):
    layer = one_layer(LSTM % (1, ""), x=[[[2]]], cont=[[1]])
    weight, bias, _hidden = layer.blobs
    assert [b.shape for b in layer.blobs] == [(4, 1), (4,), (4, 1)]
    weight.data[...] = [[1], [2], [3], [0.5]]
    bias.data[...] = [0.1, 0.2, 0.3, 0.4]
    c = sigmoid(2.1) * np.tanh(1.4)
    assert_allclose(layer.forward(), [[[sigmoid(6.3) * np.tanh(c)]]], rtol=1e-6)


def test_as_torch_computes_it(one_layer):
    steps, streams, inputs, size = 4, 3, 5, 2
    x = np.random.default_rng(0).standard_normal((steps, streams, inputs)).astype(np.float32)
    layer = one_layer(LSTM % (size, ""), x=x, cont=np.ones((steps, streams)))
    theirs = torch.nn.LSTM(inputs, size)
    order = [0, 1, 3, 2]  # torch: input, forget, candidate, output
    with torch.no_grad():
        for name, blob in (("weight_ih_l0", 0), ("bias_ih_l0", 1), ("weight_hh_l0", 2)):
            parts = np.split(layer.blobs[blob].data, 4)
            getattr(theirs, name).copy_(torch.from_numpy(np.concatenate([parts[i] for i in order])))
        theirs.bias_hh_l0.zero_()
    bottom = torch.from_numpy(x).requires_grad_()
    wanted = theirs(bottom)[0]
    assert_allclose(layer.forward(), wanted.detach(), rtol=1e-5, atol=1e-6)
    diff = np.random.default_rng(1).standard_normal(wanted.shape).astype(np.float32)
    wanted.backward(torch.from_numpy(diff))
    assert_allclose(layer.backward(diff)[0], bottom.grad, rtol=1e-4, atol=1e-6)


def test_a_call_continues_where_the_last_one_ended(one_layer):
    x = np.random.default_rng(2).standard_normal((4, 1, 3)).astype(np.float32)
    whole = one_layer(LSTM % (2, ""), x=x, cont=[[0], [1], [1], [1]])
    half = one_layer(LSTM % (2, ""), x=x[:2], cont=[[0], [1]])
    for mine, blob in zip(half.blobs, whole.blobs, strict=True):
        mine.data[...] = blob.data
    wanted = whole.forward()
    assert_allclose(half.forward(), wanted[:2], rtol=1e-6)
    half.net.blobs["x"].data[...], half.net.blobs["cont"].data[...] = x[2:], 1
    assert_allclose(half.forward(), wanted[2:], rtol=1e-6)
    half.net.blobs["x"].data[...], half.net.blobs["cont"].data[...] = x[:2], [[0], [1]]
    assert_allclose(half.forward(), wanted[:2], rtol=1e-6)


def test_static_input_and_exposed_states(one_layer):
    rng = np.random.default_rng(3)
    x, static = rng.standard_normal((2, 2, 3)), rng.standard_normal((2, 4))
    h, c = rng.standard_normal((1, 2, 2)), rng.standard_normal((1, 2, 2))
    layer = one_layer(
        LSTM % (2, "expose_hidden: true"), tops=3, x=x, cont=np.ones((2, 2)), s=static, h=h, c=c
    )
    assert [b.shape for b in layer.blobs] == [(8, 3), (8,), (8, 4), (8, 2)]
    out, last_h, last_c = layer.forward()
    w, b, ws, wh = (blob.data for blob in layer.blobs)
    h, c = h[0], c[0]
    for t in range(2):
        i, f, o, g = np.split(x[t] @ w.T + b + static @ ws.T + h @ wh.T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        assert_allclose(out[t], h, rtol=1e-4, atol=1e-6)
    assert_allclose(last_h[0], h, rtol=1e-4, atol=1e-6)
    assert_allclose(last_c[0], c, rtol=1e-4, atol=1e-6)


def test_lstm_unit(one_layer):
    gates = np.array([[[0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]]])
    layer = one_layer('type: "LSTMUnit"', tops=2, c=[[[5], [6]]], gates=gates, cont=[[0, 1]])
    c, h = layer.forward()
    assert_allclose(
        c[0, :, 0],
        [sigmoid(0.1) * np.tanh(0.4), sigmoid(2) * 6 + sigmoid(1) * np.tanh(4)],
        rtol=1e-6,
    )
    assert_allclose(h, sigmoid(gates[:, :, 2:3]) * np.tanh(c), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "match", "bottoms"),
    [
        (LSTM % (0, ""), "num_output", {"x": np.zeros((2, 1, 3)), "cont": np.zeros((2, 1))}),
        (
            LSTM % (2, ""),
            r"cont of shape \(2, 1\)",
            {"x": np.zeros((2, 1, 3)), "cont": np.zeros((2, 2))},
        ),
        (
            LSTM % (2, "expose_hidden: true"),
            "takes 4 or 5 bottoms",
            {"x": np.zeros((2, 1, 3)), "cont": np.zeros((2, 1))},
        ),
    ],
)
def test_refused(refused, text, match, bottoms):
    refused(match, text, **bottoms)
