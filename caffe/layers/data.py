"""Data: batches of Datum records from an LMDB, in key order, wrapping round at the end.

Tops: data (N, C, H, W) float32, BGR; optionally the integer labels (N,).  Records hold bytes (raw
or an encoded image) or float_data; a thread of the layer reads them ahead.  Honours data_param:
source, batch_size, backend: LMDB (LEVELDB is refused by name), prefetch, rand_skip,
force_encoded_color; transform_param (see caffe/data_transformer.py).
"""

from collections.abc import Hashable

import torch

from caffe import log, mode
from caffe.database import LMDB
from caffe.error import CaffeError
from caffe.layer import Shapes, register
from caffe.layer_parts.prefetching import PrefetchingLayer
from caffe.proto import caffe_pb2


@register("Data")
class Data(PrefetchingLayer):
    num_top = (1, 2)
    settings_field = "data_param"

    def __init__(self, param: caffe_pb2.LayerParameter, device: torch.device) -> None:
        super().__init__(param, device)
        if self.settings.backend != caffe_pb2.DataParameter.LMDB:
            self.fail(
                "data_param.backend is LEVELDB (Caffe's default when it is not given); only LMDB is"
                " supported"
            )
        try:
            self.database = LMDB(self.settings.source)
        except CaffeError as error:
            self.fail(f"data_param.source: {error}")
        log.info("db_lmdb.cpp:35", f"Opened lmdb {self.settings.source}")

    def setup(self, shapes: Shapes) -> None:
        self.transform_like(0, "data_layer.cpp:45")
        self.cursor = self.skipped(alike=self.train)
        self.seed = mode.draw_seed()

    def record_count(self) -> int:
        return len(self.database)

    def take(self, most: int) -> range:
        """The next records that are this solver's; the first record follows the last."""
        # in TRAIN, several solvers take turns
        solvers, rank = (mode.solver_count(), mode.solver_rank()) if self.train else (1, 0)
        count = len(self.database)
        while True:
            if self.cursor >= count:
                log.info("data_layer.cpp:73", "Restarting data prefetching from start.")
                self.cursor = 0
            records = range(self.cursor + (rank - self.passed) % solvers, count, solvers)[:most]
            end = records[-1] + 1 if len(records) == most else count
            self.cursor, self.passed = end, self.passed + end - self.cursor
            if records:
                return records

    def source_key(self) -> Hashable:
        return "Data", self.database.environment, self.transformer.flags()

    def read(self, record: int) -> caffe_pb2.Datum:
        return self.database.datum(record)

    def label(self, record: int, content: caffe_pb2.Datum) -> int:
        return content.label

    def record_name(self, record: int) -> str:
        return self.database.record_name(record)
