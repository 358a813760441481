"""Scale: x * s, and with bias_term + b, both spread over the axes that they do not have.

With one bottom, s is learnt, and has the shape of the bottom's axes axis, ..., axis + num_axes - 1
(num_axes -1: all that follow; 0: one number).  With two bottoms, s is the second, aligned with the
first from `axis` on.  b is learnt and has the shape of s.  Honours axis, num_axes, filler (default:
constant 1), bias_term, bias_filler.  In place, the gradient of s uses a copy of the bottom from the
last forward.
"""

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts.axes import first_axis, learnt_shape, spread
from caffe.proto import caffe_pb2


@register("Scale")
class Scale(Layer):
    num_bottom = (1, 2)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.scale_param
        if len(shapes) == 1:
            shape = learnt_shape(self, p, shapes[0])
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            self.add_blob(shape, p.filler if p.HasField("filler") else one)
        else:
            shape = shapes[1]
        if p.bias_term:
            self.add_blob(shape, p.bias_filler)

    def reshape(self, shapes: Shapes) -> Shapes:
        part = shapes[1] if len(shapes) > 1 else self.blobs[0].shape
        self.along = first_axis(self, self.param.scale_param, part, shapes[0])
        if self.param.scale_param.bias_term and self.blobs[-1].shape != tuple(part):
            self.fail(
                f"its bias was made for a scale of shape {self.blobs[-1].shape}, which is now"
                f" {part}"
            )
        return [shapes[0]]

    def forward(self, x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        if self.works_in_place and self.keeps:
            self.remember(x=x.clone())
        return self._compute(x, *given)

    def _compute(self, x: torch.Tensor, *given: torch.Tensor):
        scale = spread(given[0] if given else self.params[0], self.along, x.dim())
        if not self.param.scale_param.bias_term:
            return x * scale
        return torch.addcmul(spread(self.params[-1], self.along, x.dim()), x, scale)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        x, *given = bottoms
        if self.works_in_place:
            x = self.recall("x", x.shape)
        return self.differentiate(self._compute, [x, *given], diffs, needs)
