"""MemoryData: batches of arrays that the user hands over.

They come from ``net.set_input_arrays(data, labels)`` or the layer's `reset`.  Honours batch_size,
channels, height, width, all required.  Tops: data (batch_size, C, H, W) and labels (batch_size,).
The batches go through the arrays in order, again and again; transform_param does not apply to them,
as in Caffe.
"""

import numpy as np

from caffe import log
from caffe.batch_buffers import BatchBuffers
from caffe.layer import Layer, Shapes, Tensors, register
from caffe.position import Position


@register("MemoryData")
class MemoryData(Layer):
    num_bottom = (0, 0)
    num_top = (2, 2)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.memory_data_param
        self.size = (p.channels, p.height, p.width)
        if p.batch_size < 1 or min(self.size) < 1:
            self.fail("batch_size, channels, height and width must all be given, and at least 1")
        if self.param.HasField("transform_param"):
            log.warning(
                "memory_data_layer.cpp:87", f"{self.name}: transform_param does not apply to arrays"
            )
        self.batch_size = p.batch_size
        self.data = self.labels = None
        self.buffers = BatchBuffers(self.device), BatchBuffers(self.device)
        self.place = 0

    def reshape(self, shapes: Shapes) -> Shapes:
        return [(self.batch_size, *self.size), (self.batch_size,)]

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Go through these arrays from now on.

        Parameters
        ----------
        data : ndarray of shape (M, C, H, W)
            M a multiple of batch_size.
        labels : ndarray of M numbers
        """
        data = np.ascontiguousarray(data, dtype=np.float32)
        labels = np.ascontiguousarray(labels, dtype=np.float32)
        if data.shape[1:] != self.size:
            self.fail(
                f"needs data of shape (M, {', '.join(map(str, self.size))}), not {data.shape}"
            )
        if not len(data) or len(data) % self.batch_size:
            self.fail(f"needs a multiple of batch_size {self.batch_size} items, not {len(data)}")
        if labels.size != len(data):
            self.fail(
                f"{len(data)} items need as many labels, not an array of shape {labels.shape}"
            )
        self.data, self.labels = data, labels.reshape(-1)
        self.place = 0

    def forward(self) -> Tensors:
        if self.data is None:
            self.fail("has no data; call net.set_input_arrays(data, labels)")
        part = slice(self.place, self.place + self.batch_size)
        self.place = part.stop % len(self.data)
        tops = []
        for array, buffers in zip((self.data, self.labels), self.buffers, strict=True):
            batch = buffers.get((self.batch_size, *array.shape[1:]), np.float32)
            np.copyto(batch, array[part])
            tops.append(buffers.to_device(batch))
        return tops

    # ------------------------------------------------------------- for snapshots
    def position(self) -> Position:
        return Position(0 if self.data is None else len(self.data), self.place)

    def move_to(self, position: Position) -> None:
        if position.cursor and self.data is None:
            self.fail("has no data yet; hand it over before the snapshot is restored")
        if position.cursor and (position.records, position.cursor % self.batch_size) != (
            len(self.data),
            0,
        ):
            self.fail(
                f"has {len(self.data)} items in batches of {self.batch_size}, the snapshot was at"
                f" item {position.cursor} of {position.records}"
            )
        self.place = position.cursor
