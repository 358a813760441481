"""Data: batches of Datum records from an LMDB, in key order, wrapping round at the end, decoded in
the background.

Tops: data (N, C, H, W) float32, BGR; optionally the integer labels (N,).  Records hold bytes (raw
or an encoded image) or float_data.  Honours data_param: source, batch_size, backend: LMDB (LEVELDB
is refused by name), prefetch, rand_skip, force_encoded_color; transform_param (see
caffe/data_transformer.py).
"""

import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from caffe import log, mode
from caffe.data_transformer import DataTransformer
from caffe.database import LMDB
from caffe.error import CaffeError
from caffe.layer import Layer, register
from caffe.proto import caffe_pb2


@register("Data")
class Data(Layer):
    num_bottom = (0, 0)
    num_top = (1, 2)

    def __init__(self, param, device):
        super().__init__(param, device)
        p = self.param.data_param
        if p.backend != caffe_pb2.DataParameter.LMDB:
            self.fail(
                "data_param.backend is LEVELDB (Caffe's default when it is not given), only LMDB is supported"
            )
        if p.batch_size < 1:
            self.fail("data_param.batch_size must be at least 1")
        self.batch_size = p.batch_size
        self.ready = None
        try:
            self.database = LMDB(p.source)
        except CaffeError as error:
            self.fail(f"data_param.source: {error}")
        log.info("db_lmdb.cpp:35", f"Opened lmdb {p.source}")

    def setup(self, shapes):
        p = self.param.data_param
        self.transformer = DataTransformer(self, self.param.transform_param)
        self.shape = self.transformer.output_shape(self.database.datum(0), self._record_name(0))
        log.info(
            "data_layer.cpp:45",
            "output data size: " + ",".join(map(str, (self.batch_size, *self.shape))),
        )
        self.cursor = (
            int(np.random.default_rng(mode.draw_seed()).integers(p.rand_skip)) if p.rand_skip else 0
        )
        self.offset = 0  # records passed so far, for several solvers
        self.seed = mode.draw_seed()

    def _record_name(self, index):
        return f"{self.database.path}: record {self.database.key_text(index)}"

    def reshape(self, shapes):
        return [(self.batch_size, *self.shape), (self.batch_size,)][: len(self.param.top)]

    # The reader thread starts with the first forward: a net made for its shapes alone starts none.
    def _start(self):
        self.stopping = threading.Event()
        self.ready = queue.Queue(maxsize=min(2, max(1, self.param.data_param.prefetch)))
        self.reader = threading.Thread(
            target=self._read, name=f"data layer {self.name}", daemon=True
        )
        self.reader.start()

    def _read(self):
        rng = np.random.default_rng(self.seed)
        pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        try:
            while not self.stopping.is_set():
                self._offer(self._batch(rng, pool))
        except BaseException as error:  # handed to the thread that waits for the batch
            self._offer(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _offer(self, item):
        while not self.stopping.is_set():
            try:
                return self.ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _next(self):
        """The number of the next record; beyond the last the first follows."""
        if self.cursor >= len(self.database):
            log.info("data_layer.cpp:73", "Restarting data prefetching from start.")
            self.cursor = 0
        self.cursor, self.offset = self.cursor + 1, self.offset + 1
        return self.cursor - 1

    def _others(self):
        """Whether the next record is another solver's: in TRAIN they take turns."""
        return self.train and self.offset % mode.solver_count() != mode.solver_rank()

    def _batch(self, rng, pool):
        records, draws = [], []
        for _ in range(self.batch_size):
            while self._others():
                self._next()
            records.append(self._next())
            draws.append(self.transformer.draw(rng))
        datums = list(pool.map(self.database.datum, records))
        batch = self.transformer.batch(
            datums, draws, pool, [self._record_name(record) for record in records]
        )
        labels = np.fromiter((d.label for d in datums), dtype=np.float32, count=len(datums))
        return batch, labels

    def forward(self):
        if self.ready is None:
            self._start()
        batch = self.ready.get()
        if isinstance(batch, BaseException):
            self.ready = None
            raise batch
        pixels, labels = batch
        tops = [self.transformer.to_tensor(pixels, self.device)]
        if len(self.param.top) > 1:
            tops.append(torch.from_numpy(labels).to(self.device))
        return tops

    def close(self):
        """Stop the reader thread."""
        if self.ready is not None:
            self.stopping.set()
            self.reader.join(timeout=5)
            self.ready = None
