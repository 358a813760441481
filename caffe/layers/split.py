"""Split: the bottom again, under several names.

Caffe inserts it wherever a blob has more than one reader.
"""

import torch

from caffe.layer import AS_GIVEN, Layer, Shapes, Tensors, register


@register("Split")
class Split(Layer):
    arithmetic = AS_GIVEN
    num_top = (1, None)
    shares_data = True

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]] * len(self.param.top)

    def forward(self, x: torch.Tensor) -> Tensors:
        return [x.view_as(x) for _ in self.param.top]
