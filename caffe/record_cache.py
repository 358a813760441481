"""Records decoded once and kept in memory: `caffe train -cache ram` and `-cache gpu`.

A reader then copies crops, instead of decoding images again in each round; with `gpu` the device
cuts the crops itself (see caffe/device_records.py).  Records, crops and mirrors come from the same
random stream as without a cache, so the batches are the same.  Layers that read the same source in
the same way share their records.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import allocation, log, opencv_threads, processes, work_sharing
from caffe.device_records import DeviceRecords
from caffe.error import CaffeError
from caffe.layer_parts.prefetching import PrefetchingLayer

if TYPE_CHECKING:
    from caffe.net import NetCore

PLACES = ("ram", "gpu")
LOG_PLACE = "data_layer.cpp:45"
CHUNK = 256  # records that are decoded together
EVERY = 10.0  # seconds between two lines that show the progress


@dataclass(frozen=True)
class DecodedRecords:
    """The records of a source.

    Attributes
    ----------
    pixels : ndarray or Tensor of uint8 or float32, shape (records, H, W, C)
        In B, G, R where they have colour.  A list of arrays (H, W, C) if their shapes differ.
    labels : ndarray or Tensor of float32, shape (records,)
    """

    pixels: np.ndarray | list[np.ndarray] | torch.Tensor
    labels: np.ndarray | torch.Tensor


def cache(nets: Iterable[NetCore], place: str) -> None:
    """Decode the records of all Data and ImageData layers of some nets, and keep them.

    Several processes call this together.  Each keeps all records, because after a round the
    records of each may be others.

    Parameters
    ----------
    nets : iterable of NetCore
        A solver's are ``[solver.net, *solver.test_nets]``.
    place : {'ram', 'gpu'}
        As bytes in the machine's memory, or in that of the nets' GPU.

    Raises
    ------
    CaffeError
        There are no such layers, no GPU, or not enough memory; or a record cannot be decoded, or
        (gpu) has another shape than the first one.
    """
    nets = list(nets)
    layers = [n.layer for net in nets for n in net.nodes if isinstance(n.layer, PrefetchingLayer)]
    if place not in PLACES:
        raise CaffeError(f"-cache takes ram or gpu, not '{place}'")
    if not layers:
        files = " and ".join(dict.fromkeys(net.file for net in nets))
        raise CaffeError(f"-cache is for Data and ImageData layers, and {files} has none")
    if place == "gpu" and nets[0].device.type != "cuda":
        raise CaffeError(
            "-cache gpu needs a net on a GPU; give -gpu or solver_mode: GPU, or use -cache ram"
        )
    keep(layers, nets[0].device if place == "gpu" else None)


def keep(layers: Sequence[PrefetchingLayer], device: torch.device | None) -> None:
    """Decode the records of some layers, and keep them on a device, or (None) for the reader.

    Parameters
    ----------
    layers : sequence of PrefetchingLayer
        If they read already, they continue where they are.
    device : torch.device or None
    """
    sources: dict[Hashable, list[PrefetchingLayer]] = {}
    for layer in layers:
        layer.close()
        layer.decoded = layer.device_records = None
        sources.setdefault(layer.source_key(), []).append(layer)
    _check_memory([group[0] for group in sources.values()], device)
    for group in sources.values():
        records = _decode(group[0], device)
        for layer in group:
            if device is None:
                layer.decoded = records
            else:
                layer.device_records = DeviceRecords(layer, records.pixels, records.labels)


def _check_memory(layers: Sequence[PrefetchingLayer], device: torch.device | None):
    """Refuse what does not fit; records are taken to be as large as the first one."""
    needed = sum(layer.record_count() * layer.load(0)[0].nbytes for layer in layers)
    if device is not None and device.type == "cuda":
        there, where = torch.cuda.mem_get_info(device)[0], f"free on {device}"
        remedy = "use -cache ram, or train without -cache"
    else:
        needed *= processes.on_this_machine()
        there, where = allocation.available(torch.device("cpu")), "of memory free"
        remedy = "train without -cache"
    processes.gathered(b"")  # all have measured before one of them allocates
    if needed > there:
        names = ", ".join(f"'{layer.name}'" for layer in layers)
        raise CaffeError(
            f"-cache: the decoded records of {names} take {_size(needed)}, and there are"
            f" {_size(there)} {where}; {remedy}"
        )


def _decode(layer: PrefetchingLayer, device: torch.device | None):
    """All records of a layer's source."""
    begun, count = time.perf_counter(), layer.record_count()
    store = _Host(layer) if device is None else _Device(layer, device)
    shown, workers = begun, work_sharing.threads(work_sharing.BESIDE_GPU)
    log.info(LOG_PLACE, f"Layer '{layer.name}': decoding {count} records for the cache")
    with ThreadPoolExecutor(workers) as pool, opencv_threads.off():
        for first in range(0, count, CHUNK):
            end = min(first + CHUNK, count)
            store.fill(first, _chunk(layer, pool, workers, range(first, end)))
            now = time.perf_counter()
            if now - shown >= EVERY and end < count:
                shown, left = now, (now - begun) / end * (count - end)
                log.info(
                    LOG_PLACE,
                    f"Layer '{layer.name}': decoded {end} of {count} records"
                    f" ({100 * end // count} %), {left:.0f} s left",
                )
    took, where = time.perf_counter() - begun, "memory" if device is None else str(device)
    log.info(
        LOG_PLACE,
        f"Layer '{layer.name}': {count} records in {where}, {_size(store.bytes)}, decoded in"
        f" {took:.1f} s",
    )
    return store.records()


def _chunk(layer: PrefetchingLayer, pool: Executor, workers: int, records: Sequence[int]):
    """[(pixels, label)] of some records."""
    found: list[tuple[np.ndarray, int]] = [(np.empty(0), 0)] * len(records)

    def load(i: int) -> None:
        found[i] = layer.load(records[i])

    work_sharing.share(pool, workers, len(records), load)
    return found


class _Host:
    """Records in the machine's memory."""

    def __init__(self, layer: PrefetchingLayer) -> None:
        first, _ = layer.load(0)
        self.layer, self.bytes = layer, 0
        self.pixels = np.empty((layer.record_count(), *first.shape), dtype=first.dtype)
        self.labels = np.empty(layer.record_count(), dtype=np.float32)
        self.odd: dict[int, np.ndarray] = {}  # records unlike the first one
        self.free = allocation.available(torch.device("cpu"))

    def fill(self, start: int, found: Sequence[tuple[np.ndarray, int]]) -> None:
        for i, (image, label) in enumerate(found, start):
            self.labels[i] = label
            self.bytes += image.nbytes
            if (image.shape, image.dtype) == (self.pixels.shape[1:], self.pixels.dtype):
                self.pixels[i] = image
            else:
                self.odd[i] = np.array(image)
        if self.bytes > self.free:
            raise CaffeError(
                f"-cache: the decoded records of '{self.layer.name}' do not fit into the"
                f" {_size(self.free)} of memory free; train without -cache"
            )

    def records(self) -> DecodedRecords:
        pixels = [self.odd.get(i, image) for i, image in enumerate(self.pixels)]
        return DecodedRecords(pixels if self.odd else self.pixels, self.labels)


class _Device:
    """Records on a device."""

    def __init__(self, layer: PrefetchingLayer, device: torch.device) -> None:
        first, _ = layer.load(0)
        self.layer, self.bytes = layer, 0
        self.first = first.shape, first.dtype
        shape, kind = (layer.record_count(), *first.shape), torch.from_numpy(first[:0].copy()).dtype
        self.pixels = torch.empty(shape, dtype=kind, device=device)
        self.labels = torch.empty(shape[0], device=device)

    def fill(self, start: int, found: Sequence[tuple[np.ndarray, int]]) -> None:
        for i, (image, _) in enumerate(found, start):
            if (image.shape, image.dtype) != self.first:
                self.layer.fail(
                    "-cache gpu needs records of one shape and type, and"
                    f" {self.layer.record_name(i)} has {image.shape} (height, width, channels) of"
                    f" {image.dtype}, the first {self.first[0]} of {self.first[1]}; use -cache ram"
                )
        images = np.stack([image for image, _ in found])
        end = start + len(found)
        self.pixels[start:end] = torch.from_numpy(images)
        self.labels[start:end] = torch.tensor([label for _, label in found], dtype=torch.float32)
        self.bytes += images.nbytes

    def records(self) -> DecodedRecords:
        return DecodedRecords(self.pixels, self.labels)


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
