"""Tests of the runtime on a GPU; without CUDA they are skipped (see tested_device.py)."""

from pathlib import Path

import pytest
import tested_device

HERE = Path(__file__).resolve().parent
WHY = (
    "there is no CUDA device here; TTN_TEST_DEVICE=emulated runs these tests with an emulated GPU,"
    " TTN_TEST_DEVICE=cpu on the CPU"
)


def pytest_collection_modifyitems(items):
    if not tested_device.DEVICE:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=WHY))


@pytest.fixture(autouse=True)
def gpu(request):
    """New nets are on the device under test; the emulated GPU, if it is that."""
    if not tested_device.DEVICE:
        yield None
        return
    with tested_device.present() as emulated:
        yield emulated
