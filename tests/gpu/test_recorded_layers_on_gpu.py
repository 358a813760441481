"""Every recorded layer case of BVLC Caffe, on the GPU in fp32.

The tolerance is 1e-4 of a number, plus 5e-5 of the largest number of its array (of 1, if all are
smaller): kernels of a GPU sum in another order.  TF32, which rounds the factors to 11 bits, would
be off by about 3e-4.
"""

import numpy as np
import pytest
from recorded_layers import CASES, REFUSED, compare, load, of


def agree(what, found, wanted):
    assert found.shape == wanted.shape, what
    largest = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=5e-5 * largest, err_msg=what)


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_as_recorded(golden, case):
    net, arrays = load(golden, case)
    for name, value in of(arrays, "in"):
        net.blobs[name].data[...] = value
    compare(net, arrays, agree)
