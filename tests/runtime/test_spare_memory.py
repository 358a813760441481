"""Backward writes into the memory that diffs have: the same numbers, and live views stay live."""

import numpy as np
import pytest

PRODUCT = 'type: "InnerProduct" inner_product_param { num_output: 2 bias_term: false'
MAX = 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 1 }'


@pytest.mark.parametrize("transpose", ["false", "true"])
def test_weight_gradients_add_up(one_layer, transpose):
    """dW = dy x^T: 2 * 3 and 2 * 5 for the first output, 1 * 3 and 1 * 5 for the second."""
    layer = one_layer(f"{PRODUCT} transpose: {transpose} }}", x=[[3, 5]])
    weight = layer.blobs[0]
    layer.forward()
    for times in (1, 2, 3):
        layer.backward([[2, 1]])
        once = np.array([[6, 10], [3, 5]])
        np.testing.assert_array_equal(
            weight.diff, times * (once.T if transpose == "true" else once)
        )
    weight.diff[...] = 1  # through the view
    layer.backward([[2, 1]])
    assert weight.diff.sum() == 4 + 24


def test_the_gradient_of_a_maximum_replaces_what_was_there(one_layer):
    layer = one_layer(MAX, x=[[[[1, 4, 2], [0, 3, 5]]]])
    layer.forward()
    for _ in range(2):
        np.testing.assert_array_equal(layer.backward([[[[10, 20]]]]), [[[[0, 10, 0], [0, 0, 20]]]])
    view = layer.net.blobs["x"].diff
    layer.backward([[[[1, 2]]]])
    np.testing.assert_array_equal(view, [[[[0, 1, 0], [0, 0, 2]]]])


def test_a_view_of_another_backward_keeps_its_numbers(one_layer):
    """What the caller has copied is his; only the blob's memory is written."""
    layer = one_layer(MAX, x=[[[[1, 4], [0, 3]]]])
    layer.forward()
    first = layer.backward([[[[7]]]])
    second = layer.backward([[[[9]]]])
    assert (first.max(), second.max()) == (7, 9)


def test_backward_takes_no_new_memory_for_large_diffs(one_layer):
    layer = one_layer(f"{PRODUCT} }}", x=[[3, 5]])
    layer.forward()
    layer.backward([[1, 1]])
    blob = layer.net.nodes[-1].layer.blobs[0]
    place = blob.diff_tensor().data_ptr()
    layer.backward([[1, 1]])
    assert blob.diff_tensor().data_ptr() == place
    layer = one_layer(MAX, x=[[[[1, 4], [0, 3]]]])
    layer.forward()
    blob = layer.net.nodes[-1].bottoms[0]
    layer.net.backward()
    place = blob.diff_tensor().data_ptr()
    layer.net.backward()
    assert blob.diff_tensor().data_ptr() == place
