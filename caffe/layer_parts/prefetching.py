"""What Data and ImageData share: a thread that reads batches ahead (Caffe: base_data_layer.cpp).

The reader thread starts with the first forward, so a net that is made only for its shapes starts
none.  It chooses records and draws crops and mirrors one after the other, and spreads the rest over
threads: reading, decoding, and making the net's input of the pixels.  The number of threads
therefore changes no number.  For a GPU a batch is in page-locked memory; if its records are bytes,
it stays bytes, and the GPU makes floats of them.

If the reader is stopped, the next forward reads again what it had read ahead.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import log, mode, opencv_threads, work_sharing
from caffe.batch_buffers import BatchBuffers
from caffe.data_transformer import DataTransformer, Draws
from caffe.layer import Layer, Shapes
from caffe.position import Position, generator
from caffe.proto import caffe_pb2
from caffe.work_sharing import BESIDE_CPU, BESIDE_GPU

if TYPE_CHECKING:
    from caffe.device_records import DeviceRecords
    from caffe.record_cache import DecodedRecords

LARGE = 1 << 24  # bytes: of batches beyond this, the CPU reads only one ahead


@dataclass
class Batch:
    """What the reader hands over.

    Attributes
    ----------
    pixels : ndarray of float32 or uint8, shape (N, H, W, C)
        Bytes still need `DataTransformer.finish`.
    labels : ndarray of float32, shape (N,)
    end : Position
        Of the record after the batch.
    """

    pixels: np.ndarray
    labels: np.ndarray
    end: Position


class PrefetchingLayer(Layer):
    """Base: subclasses open a source in `setup`, and choose and read its records.

    `setup` sets `cursor` (int) and `seed` (of the reader's draws), and calls `transform_like`.
    Records are numbered from 0, in the order of the source.  Tops: data (N, C, H, W) float32, and
    labels (N,) if there is a second one.

    Attributes
    ----------
    decoded : DecodedRecords or None
        All records in memory, instead of the source (see caffe/record_cache.py).
    device_records : DeviceRecords or None
        All records on the device; then there is no reader thread.
    waited : float
        Seconds that `forward` has waited for the reader.
    """

    num_bottom = (0, 0)
    settings_field = ""  # the message with source and batch_size

    def __init__(self, param: caffe_pb2.LayerParameter, device: torch.device) -> None:
        super().__init__(param, device)
        self.settings = getattr(param, self.settings_field)
        self.batch_size = self.settings.batch_size
        if self.batch_size < 1:
            self.fail(f"{self.settings_field}.batch_size must be at least 1")
        self.ready: queue.Queue | None = None  # None unless the reader thread runs
        self.rng: np.random.Generator | None = None  # the reader's, from the first forward on
        self.decoded: DecodedRecords | None = None
        self.device_records: DeviceRecords | None = None
        self.waited = 0.0
        self.passed = 0  # records passed so far, for a source that counts them
        self.order: Sequence[int] = ()  # of the records, for a source that shuffles them
        self.pixel_buffers, self.label_buffers = BatchBuffers(device), BatchBuffers(device)
        self._means: dict[torch.device, torch.Tensor | None] = {}

    # ------------------------------------------------------------- to be overridden
    def record_count(self) -> int:
        """How many records the source has."""
        raise NotImplementedError

    def take(self, most: int) -> Sequence[int]:
        """The next records, at least one, and move the cursor behind them.

        At most `most`, and none beyond the end of a round after which `end_round` draws.
        """
        raise NotImplementedError

    def end_round(self, rng: np.random.Generator) -> None:
        """Begin a new round if the cursor is at the end; draws a new order of the records."""

    def source_key(self) -> Hashable:
        """What decides the decoded records: layers with equal keys can share them."""
        raise NotImplementedError

    def read(self, record: int) -> caffe_pb2.Datum | np.ndarray:
        """Read a record, as a Datum or as uint8 (H, W, C); runs in several threads at once."""
        raise NotImplementedError

    def label(self, record: int, content: caffe_pb2.Datum | np.ndarray) -> int:
        """The label of a record, for which `read` returned `content`."""
        raise NotImplementedError

    def record_name(self, record: int) -> str:
        """The name of a record in errors."""
        raise NotImplementedError

    # ------------------------------------------------------------- for setup
    def skipped(self, alike: bool = False) -> int:
        """How many records to skip at the beginning: drawn from 0 to rand_skip - 1.

        `alike`: several solvers skip the same number, because they take turns at the records.
        """
        most = self.settings.rand_skip
        if not most:
            return 0
        shared = alike and mode.solver_count() > 1
        seed = mode.common_seed() if shared else mode.draw_seed()
        return int(np.random.default_rng(seed).integers(most))

    def transform_like(self, record: int, log_place: str) -> None:
        """Make the transformer, and take the tops' shape from this record."""
        self.transformer = DataTransformer(self, self.param.transform_param)
        where = self.record_name(record)
        image = self.transformer.pixels(self.read(record), where)
        self.shape = self.transformer.output_shape(image, where)
        # a GPU gets bytes, a quarter of the memory of floats, and finishes them itself
        as_bytes = image.dtype == np.uint8 and self.transformer.finishes_on_device
        self.batch_type = np.uint8 if as_bytes and self.device.type == "cuda" else np.float32
        size = ",".join(map(str, (self.batch_size, *self.shape)))
        log.info(log_place, f"output data size: {size}")

    def reshape(self, shapes: Shapes) -> Shapes:
        return [(self.batch_size, *self.shape), (self.batch_size,)][: len(self.param.top)]

    # ------------------------------------------------------------- the reader thread
    def choose(self) -> tuple[Sequence[int], Draws]:
        """The records of the next batch, and the random part of their transformation."""
        records, draws = [], []
        while len(records) < self.batch_size:
            part = self.take(self.batch_size - len(records))
            draws.append(self.transformer.draw(self.rng, len(part)))
            records += part
            self.end_round(self.rng)
        return records, Draws.joined(draws)

    def _start(self):
        self.begin()
        self.reached = self.place()  # after the last batch that `forward` returned
        self.stopping = threading.Event()
        # One batch waits in the queue and, unless batches are large, another in the reader's hands.
        # Longer queues, which data_param.prefetch asks for in Caffe, would only take memory.
        self.ready = queue.Queue(maxsize=1)
        self.taken = threading.Event()  # the queue has room
        self.reader = threading.Thread(
            target=self._read_ahead, name=f"data layer {self.name}", daemon=True
        )
        self.reader.start()

    def _read_ahead(self):
        cuda = self.device.type == "cuda"
        one_ahead = not cuda and 4 * self.batch_size * math.prod(self.shape) > LARGE
        self.workers = work_sharing.threads(BESIDE_GPU if cuda else BESIDE_CPU)
        pool = ThreadPoolExecutor(self.workers)
        try:
            with opencv_threads.off(), self._on_device():
                while not self.stopping.is_set():
                    if one_ahead and self.ready.full():
                        self.taken.wait(timeout=0.2)
                        self.taken.clear()
                        continue
                    self._offer(self._batch(pool))
        except BaseException as error:  # handed to the thread that waits for the batch
            self._offer(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _on_device(self) -> contextlib.AbstractContextManager:
        """This thread's GPU: page-locked memory would otherwise be made by way of GPU 0."""
        cuda = self.device.type == "cuda"
        return torch.cuda.device(self.device) if cuda else contextlib.nullcontext()

    def _offer(self, item: Batch | BaseException):
        while not self.stopping.is_set():
            try:
                return self.ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _batch(self, pool: Executor):
        records, draws = self.choose()
        shape = (*self.shape[1:], self.shape[0])
        pixels = self.pixel_buffers.get((self.batch_size, *shape), self.batch_type)
        labels = self.label_buffers.get((self.batch_size,), np.float32)
        places, mirrors = draws.places.tolist(), draws.mirrors.tolist()
        odd: dict[int, np.ndarray] = {}  # images unlike the first record of the source

        def load(i: int) -> None:
            image, labels[i] = self.load(records[i])
            if not self._fits(image, pixels[i]):
                odd[i] = image
                return
            corner = self.transformer.corner(places[i], image.shape)
            self.transformer.write(image, corner, mirrors[i], pixels[i])

        work_sharing.share(pool, self.workers, len(records), load)
        if odd:
            pixels = self._of_another_kind(records, odd, draws)
        return Batch(pixels, labels, self.place())

    def load(self, record: int) -> tuple[np.ndarray, int]:
        """The pixels of a record, decoded and checked, and its label."""
        where = self.record_name(record)
        if self.decoded is not None:
            image, label = self.decoded.pixels[record], self.decoded.labels[record]
        else:
            content = self.read(record)
            image, label = self.transformer.pixels(content, where), self.label(record, content)
        self.transformer.check(image.shape, where)
        return image, label

    def _fits(self, image: np.ndarray, place: np.ndarray):
        """Whether an image can be written into its place of a batch."""
        return self.transformer.cut_shape(image.shape) == place.shape and (
            place.dtype == np.float32 or image.dtype == np.uint8
        )

    def _of_another_kind(
        self, records: Sequence[int], odd: Mapping[int, np.ndarray], draws: Draws
    ) -> np.ndarray:
        """A batch with images unlike the first record of the source; the others are read again."""
        images = [odd[i] if i in odd else self.load(r)[0] for i, r in enumerate(records)]
        first, *others = [self.transformer.cut_shape(image.shape) for image in images]
        for i, shape in enumerate(others, 1):
            if shape != first:
                self.fail(
                    f"images of one batch differ in size ({first[:2]} and {shape[:2]}, channels"
                    f" {first[2]} and {shape[2]}: {self.record_name(records[0])} and"
                    f" {self.record_name(records[i])}); set crop_size and force_color, or"
                    " batch_size: 1"
                )
        pixels = self.pixel_buffers.get((len(images), *first), np.float32)
        for i, image in enumerate(images):
            corner = self.transformer.corner(draws.places[i], image.shape)
            self.transformer.write(image, corner, bool(draws.mirrors[i]), pixels[i])
        return pixels

    # ------------------------------------------------------------- the thread that computes
    def forward(self) -> list[torch.Tensor]:
        if self.device_records is not None:
            return list(self.device_records.forward()[: len(self.param.top)])
        if self.ready is None:
            self._start()
        asked = time.perf_counter()
        batch = self.ready.get()
        self.taken.set()
        self.waited += time.perf_counter() - asked
        if isinstance(batch, BaseException):
            self.ready = None
            raise batch
        self.reached = batch.end
        pixels = self.pixel_buffers.to_device(batch.pixels)
        if batch.pixels.dtype == np.uint8:
            pixels = self.transformer.finish(pixels, self.mean_on(self.device))
        tops = [pixels.permute(0, 3, 1, 2)]
        if len(self.param.top) > 1:
            tops.append(self.label_buffers.to_device(batch.labels))
        return tops

    def mean_on(self, device: torch.device) -> torch.Tensor | None:
        """The transformer's mean on a device: (C,), (1,) or (H, W, C); None if there is none."""
        if device not in self._means:
            mean = self.transformer.mean
            self._means[device] = None if mean is None else torch.from_numpy(mean).to(device)
        return self._means[device]

    def close(self) -> None:
        """Stop the reader thread; what it has read ahead is read again by the next forward."""
        if self.ready is not None:
            self.stopping.set()
            with contextlib.suppress(queue.Empty):
                self.ready.get_nowait()  # the reader may be waiting for room
            self.reader.join(timeout=5)
            self.ready = None
            self.go_to(self.reached)
        if self.device_records is not None:
            self.device_records.rewind()

    # ------------------------------------------------------------- for snapshots
    def position(self) -> Position:
        """The first record that `forward` has not returned, however far the reader is ahead."""
        if self.ready is not None:
            return self.reached
        if self.device_records is not None:
            return self.device_records.reached
        self.begin()
        return self.place()

    def move_to(self, position: Position) -> None:
        self.close()
        count = self.record_count()
        if position.records != count:
            self.fail(f"has {count} records, not {position.records}")
        if position.cursor >= count or len(position.streams) != 1:
            self.fail(f"has {count} records, but none with the number {position.cursor}")
        if len(position.order) != len(self.order):
            self.fail("shuffles its records either here or in the snapshot, but not in both")
        if len(position.order) and sorted(position.order) != list(range(count)):
            self.fail(f"has {count} records; the order in the snapshot names others")
        self.go_to(position)
        if self.device_records is not None:
            self.device_records.reached = position

    def begin(self) -> None:
        """Seed the stream of the draws, unless it runs already."""
        if self.rng is None:
            self.rng = np.random.default_rng(self.seed)

    def place(self) -> Position:
        """The position of whatever chooses the records, between two batches."""
        count, stream = self.record_count(), self.rng.bit_generator.state
        cursor = self.cursor if self.cursor < count else 0
        return Position(count, cursor, self.passed, self.order, (stream,))

    def go_to(self, position: Position) -> None:
        """Let the next batch be chosen from a position on."""
        self.cursor, self.passed, self.order = position.cursor, position.passed, position.order
        self.rng = generator(position.streams[0])
