"""PReLU: max(x, 0) + slope * min(x, 0) with a learnt slope per channel (axis 1), or one for all.

Honours channel_shared and filler (default: constant 0.25).  The gradient at 0 is the slope.  In
place, it uses a copy of the bottom from the last forward.
"""

import torch
import torch.nn.functional as F

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.proto import caffe_pb2


@register("PReLU")
class PReLU(Layer):
    def setup(self, shapes: Shapes) -> None:
        p = self.param.prelu_param
        if len(shapes[0]) < 2:
            self.fail(f"needs a bottom of at least 2 axes, not {shapes[0]}")
        quarter = caffe_pb2.FillerParameter(type="constant", value=0.25)
        self.add_blob(
            () if p.channel_shared else (shapes[0][1],),
            p.filler if p.HasField("filler") else quarter,
        )

    def reshape(self, shapes: Shapes) -> Shapes:
        slopes = self.blobs[0].shape
        if len(shapes[0]) < 2 or (slopes and slopes[0] != shapes[0][1]):
            self.fail(f"was made for {self.blobs[0].count} channels, the bottom is now {shapes[0]}")
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.works_in_place and self.keeps:
            self.remember(x=x.clone())
        return F.prelu(x, self.params[0].reshape(-1))

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        (x,), (dy,) = bottoms, diffs
        if self.works_in_place:
            x = self.recall("x", x.shape)
        slopes = self.params[0].reshape(-1, *(1,) * (x.dim() - 2))
        below = x <= 0
        terms = dy * x * below
        if needs[1]:
            axes = [i for i in range(x.dim()) if i != 1]
            slope_diff = (terms.sum() if self.blobs[0].shape == () else terms.sum(axes)).view(
                self.blobs[0].shape
            )
        return [
            dy * torch.where(below, slopes, torch.ones_like(slopes)) if needs[0] else None,
            slope_diff if needs[1] else None,
        ]
