"""What Data and ImageData share: a thread that reads batches ahead (Caffe: base_data_layer.cpp).

The reader thread starts with the first forward, so a net that is made only for its shapes starts
none.  It chooses records and draws crops and mirrors one after the other, and spreads only reading
and decoding over threads.  The number of threads therefore changes no number.

If the reader is stopped, the next forward reads again what it had read ahead.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from caffe import log, mode, opencv_threads
from caffe.data_transformer import DataTransformer
from caffe.layer import Layer, Shapes
from caffe.position import Position, generator
from caffe.proto import caffe_pb2


class PrefetchingLayer(Layer):
    """Base: subclasses open a source in `setup`, and choose and read its records.

    `setup` sets `cursor` (int) and `seed` (of the reader's draws), and calls `transform_like`.
    Tops: data (N, C, H, W) float32, and labels (N,) if there is a second one.
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
        self.waited = 0.0  # seconds that `forward` has waited for the reader
        self.passed = 0  # records passed so far, for a source that counts them
        self.order: Sequence[int] = ()  # of the records, for a source that shuffles them

    # ------------------------------------------------------------- to be overridden
    def record_count(self) -> int:
        """How many records the source has."""
        raise NotImplementedError

    def next_record(self) -> Any:
        """The record at the cursor, in whatever form `read` takes."""
        raise NotImplementedError

    def move_on(self, rng: np.random.Generator) -> None:
        """Move the cursor to the following record."""
        raise NotImplementedError

    def read(self, record: Any) -> caffe_pb2.Datum | np.ndarray:
        """Read a record, as a Datum or as uint8 (H, W, C); runs in several threads at once."""
        raise NotImplementedError

    def label(self, record: Any, content: caffe_pb2.Datum | np.ndarray) -> int:
        """The label of a record, for which `read` returned `content`."""
        raise NotImplementedError

    def record_name(self, record: Any) -> str:
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

    def transform_like(self, record: Any, log_place: str) -> None:
        """Make the transformer, and take the tops' shape from this record."""
        self.transformer = DataTransformer(self, self.param.transform_param)
        self.shape = self.transformer.output_shape(self.read(record), self.record_name(record))
        size = ",".join(map(str, (self.batch_size, *self.shape)))
        log.info(log_place, f"output data size: {size}")

    def reshape(self, shapes: Shapes) -> Shapes:
        return [(self.batch_size, *self.shape), (self.batch_size,)][: len(self.param.top)]

    # ------------------------------------------------------------- the reader thread
    def _start(self):
        self._seed_reader()
        self.reached = self._place()  # after the last batch that `forward` returned
        self.stopping = threading.Event()
        # as in Caffe, every type of layer reads this field of data_param
        self.ready = queue.Queue(maxsize=min(2, max(1, self.param.data_param.prefetch)))
        self.reader = threading.Thread(
            target=self._read_ahead, name=f"data layer {self.name}", daemon=True
        )
        self.reader.start()

    def _read_ahead(self):
        rng = self.rng
        pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        try:
            with opencv_threads.off():
                while not self.stopping.is_set():
                    batch = self._batch(rng, pool)
                    self._offer((*batch, self._place()))
        except BaseException as error:  # handed to the thread that waits for the batch
            self._offer(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _offer(self, item: tuple[np.ndarray, np.ndarray, Position] | BaseException):
        while not self.stopping.is_set():
            try:
                return self.ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _batch(self, rng: np.random.Generator, pool: Executor):
        records, draws = [], []
        for _ in range(self.batch_size):
            records.append(self.next_record())
            draws.append(self.transformer.draw(rng))
            self.move_on(rng)
        contents = list(pool.map(self.read, records))
        names = [self.record_name(record) for record in records]
        labels = [self.label(*pair) for pair in zip(records, contents, strict=True)]
        batch = self.transformer.batch(contents, draws, pool, names)
        return batch, np.array(labels, dtype=np.float32)

    # ------------------------------------------------------------- the thread that computes
    def forward(self) -> list[torch.Tensor]:
        if self.ready is None:
            self._start()
        asked = time.perf_counter()
        batch = self.ready.get()
        self.waited += time.perf_counter() - asked
        if isinstance(batch, BaseException):
            self.ready = None
            raise batch
        pixels, labels, self.reached = batch
        tops = [self.transformer.to_tensor(pixels, self.device)]
        if len(self.param.top) > 1:
            tops.append(torch.from_numpy(labels).to(self.device))
        return tops

    def close(self) -> None:
        """Stop the reader thread; what it has read ahead is read again by the next forward."""
        if self.ready is not None:
            self.stopping.set()
            with contextlib.suppress(queue.Empty):
                self.ready.get_nowait()  # the reader may be waiting for room
            self.reader.join(timeout=5)
            self.ready = None
            self._go_to(self.reached)

    # ------------------------------------------------------------- for snapshots
    def position(self) -> Position:
        """The first record that `forward` has not returned, however far the reader is ahead."""
        if self.ready is not None:
            return self.reached
        self._seed_reader()
        return self._place()

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
        self._go_to(position)

    def _seed_reader(self):
        if self.rng is None:
            self.rng = np.random.default_rng(self.seed)

    def _place(self):
        """The reader's own position, between two batches."""
        count, stream = self.record_count(), self.rng.bit_generator.state
        cursor = self.cursor if self.cursor < count else 0
        return Position(count, cursor, self.passed, self.order, (stream,))

    def _go_to(self, position: Position):
        self.cursor, self.passed, self.order = position.cursor, position.passed, position.order
        self.rng = generator(position.streams[0])
