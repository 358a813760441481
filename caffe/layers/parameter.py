"""Parameter: a learnt blob as a top.

Honours parameter_param.shape; without a filler the blob starts at 0.
"""

import torch

from caffe.layer import Layer, Shapes, register


@register("Parameter")
class Parameter(Layer):
    num_bottom = (0, 0)
    shares_data = shares_diff = True  # with the parameter

    def setup(self, shapes: Shapes) -> None:
        self.add_blob(tuple(self.param.parameter_param.shape.dim))

    def reshape(self, shapes: Shapes) -> Shapes:
        return [self.blobs[0].shape]

    def forward(self) -> torch.Tensor:
        return self.params[0].view_as(self.params[0])
