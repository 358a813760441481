"""Which device the tests in this folder run on, and how it is made ready.

TTN_TEST_DEVICE says it: `cuda` (the default where there is one), `emulated` (tests/emulated_gpu.py)
or `cpu`.  The last two run the very same test bodies where there is no GPU, which shows that the
tests themselves work.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import emulated_gpu
import pytest
import torch

import caffe

DEVICE = os.environ.get("TTN_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "")
real = pytest.mark.skipif(DEVICE != "cuda", reason="needs a real GPU")
on_a_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="on the CPU there is nothing to test")


@contextmanager
def present() -> Iterator[emulated_gpu.Gpu | None]:
    """New nets are made on the device; yields the emulated GPU if it is that."""
    if DEVICE == "emulated":
        with emulated_gpu.present() as gpu:
            yield from _mode(gpu)
    else:
        yield from _mode(None)


@contextmanager
def no_waits(gpu: emulated_gpu.Gpu | None) -> Iterator[None]:
    """Fail if the host waits for the GPU; `gpu` is the fixture of that name."""
    if gpu is not None:
        gpu.waits.clear()
        yield
        assert gpu.waits == []
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _mode(gpu):
    (caffe.set_mode_cpu if DEVICE == "cpu" else caffe.set_mode_gpu)()
    try:
        yield gpu
    finally:
        caffe.set_mode_cpu()
