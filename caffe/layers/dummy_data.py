"""DummyData: tops filled by fillers, constants once, all others again in every forward.

Honours data_filler (none: 0; one for all tops, or one per top) and the tops' shapes, as `shape` or
in the old form (num, channels, height, width), once for all tops or once per top.  A constant top
is filled before the first forward, and keeps what the user writes into it.
"""

import math

import torch

from caffe import allocation
from caffe import filler as fillers
from caffe.layer import Layer, Shapes, Tensors, register
from caffe.proto import caffe_pb2


@register("DummyData")
class DummyData(Layer):
    num_bottom = (0, 0)
    num_top = (1, None)

    def setup(self, shapes: Shapes) -> None:
        tops = len(self.param.top)
        self.fillers = (
            self._for_all("data_filler") or [caffe_pb2.FillerParameter(type="constant")] * tops
        )
        self.shapes = self._shapes(tops)
        numbers = sum(map(math.prod, self.shapes))
        if numbers > self.LARGE:
            allocation.check(self.where, numbers, self.device, self.size_fields)
        self.constants = [
            self._draw(i) if f.type == "constant" else None for i, f in enumerate(self.fillers)
        ]
        # with constants only, forward has nothing to do
        self.fed_by_user = all(c is not None for c in self.constants)

    def _for_all(self, field: str):
        """The values of a repeated field, one per top."""
        values, tops = list(getattr(self.param.dummy_data_param, field)), len(self.param.top)
        if len(values) not in (0, 1, tops):
            self.fail(f"has {tops} tops and {len(values)} {field}; give one, or one per top")
        return values * tops if len(values) == 1 else values

    def _shapes(self, tops: int):
        p = self.param.dummy_data_param
        old = [self._for_all(field) for field in ("num", "channels", "height", "width")]
        if p.shape and any(old):
            self.fail("give shape, or num, channels, height and width, not both")
        if any(old):
            if not all(old):
                self.fail("num, channels, height and width must be given together")
            return list(zip(*old, strict=True))
        if not p.shape:
            self.fail("shape is missing")
        return [tuple(s.dim) for s in self._for_all("shape")]

    def _draw(self, index: int):
        values = torch.empty(self.shapes[index])
        fillers.fill(values, self.fillers[index], f"{self.where}, top {index}")
        return values.to(self.device)

    def reshape(self, shapes: Shapes) -> Shapes:
        return self.shapes

    def first_tops(self) -> Tensors:
        return self.forward()

    def forward(self) -> Tensors:
        return [self._draw(i) if c is None else c for i, c in enumerate(self.constants)]
