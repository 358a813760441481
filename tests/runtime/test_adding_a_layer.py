"""A newcomer's layer: the steps of caffe/README.md, one after the other."""

import numpy as np
import pytest

import caffe
from caffe import layer as registry
from caffe.layer import Layer, register


@pytest.fixture
def threefold():
    """A new type, known while the test runs."""

    @register("Threefold")
    class Threefold(Layer):
        def setup(self, shapes):
            self.add_blob((1,))

        def reshape(self, shapes):
            return shapes

        def forward(self, x):
            return 3 * x + self.params[0]

    yield Threefold
    del registry._registry["Threefold"]


def test_it_runs_learns_and_is_listed(threefold, one_layer):
    layer = one_layer('type: "Threefold"', x=[[1, 2]])
    layer.blobs[0].data[...] = 0.5
    np.testing.assert_allclose(layer.forward(), [[3.5, 6.5]])
    np.testing.assert_allclose(layer.backward([[1, 10]]), [[3, 30]])
    np.testing.assert_allclose(layer.blobs[0].diff, [11])
    assert "Threefold" in caffe.layer_type_list()


def test_a_second_class_of_that_name_is_refused(threefold):
    with pytest.raises(caffe.CaffeError, match="registered twice"):
        register("Threefold")(type("Other", (Layer,), {}))
