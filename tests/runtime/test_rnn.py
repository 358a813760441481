"""RNN: steps by hand, gradient of the recurrent weights, new sequences."""

import numpy as np
from numpy.testing import assert_allclose

RNN = (
    'type: "RNN" recurrent_param { num_output: 1 weight_filler { type: "constant" value: 0.5 } %s }'
)


def test_two_steps_by_hand(one_layer):
    layer = one_layer(RNN % "", x=[[[1]], [[2]]], cont=[[0], [1]])
    assert [b.shape for b in layer.blobs] == [(1, 1), (1,), (1, 1), (1, 1), (1,)]
    layer.blobs[1].data[...], layer.blobs[4].data[...] = 0.1, 0.2
    first = np.tanh(0.6)
    second = np.tanh(1.1 + 0.5 * first)
    assert_allclose(
        layer.forward().ravel(), np.tanh(0.5 * np.array([first, second]) + 0.2), rtol=1e-6
    )


def test_cont_0_forgets(one_layer):
    layer = one_layer(RNN % "", x=[[[1]], [[1]]], cont=[[0], [0]])
    found = layer.forward().ravel()
    assert_allclose(found, np.tanh(0.5 * np.tanh(0.5)), rtol=1e-6)


def test_gradients(one_layer):
    x = np.array([[[0.3]], [[-0.7]], [[0.9]]])
    layer = one_layer(RNN % "", x=x, cont=[[0], [1], [1]])
    layer.forward()
    layer.backward(np.ones((3, 1, 1)))
    for blob in layer.blobs:
        found, before = blob.diff.copy(), blob.data.copy()
        step = 1e-2
        sums = []
        for sign in (1, -1):
            blob.data[...] = before + sign * step
            sums.append(layer.forward().sum())
        blob.data[...] = before
        assert_allclose(found.sum(), (sums[0] - sums[1]) / (2 * step), rtol=2e-2)


def test_exposed_state(one_layer):
    layer = one_layer(RNN % "expose_hidden: true", tops=2, x=[[[1]]], cont=[[1]], h=[[[0.4]]])
    out, last = layer.forward()
    assert_allclose(last, np.tanh(0.7), rtol=1e-6)
    assert_allclose(out, np.tanh(0.5 * np.tanh(0.7)), rtol=1e-6)


def test_the_gradient_is_taken_at_the_last_forward(one_layer):
    """With one number: h = tanh(w x), o = tanh(v h).

    As in Caffe, weights that change afterwards count, but the activations are kept.
    """
    layer = one_layer('type: "RNN" recurrent_param { num_output: 1 }', x=[[[2]]], cont=[[1]])
    w, v = layer.blobs[0], layer.blobs[3]
    w.data[...], v.data[...] = 0.25, 2
    h = np.tanh(0.5)
    o = np.tanh(2 * h)
    np.testing.assert_allclose(layer.forward(), [[[o]]], rtol=1e-6)
    w.data[...], v.data[...] = 3, 5
    for _ in range(2):
        grad = layer.backward([[[1]]])
        np.testing.assert_allclose(grad[0], [[[(1 - o * o) * 5 * (1 - h * h) * 3]]], rtol=1e-5)
    np.testing.assert_allclose(v.diff, [[2 * (1 - o * o) * h]], rtol=1e-5)
    np.testing.assert_allclose(w.diff, [[2 * (1 - o * o) * 5 * (1 - h * h) * 2]], rtol=1e-5)
