"""Embed: replaces every index in the bottom by a learnt row of num_output numbers.

The indices are below input_dim.  Honours input_dim, num_output, bias_term, weight_filler,
bias_filler.  Weights are (input_dim, num_output); the top has one axis more than the bottom.  The
indices have no gradient.
"""

import torch
import torch.nn.functional as F

from caffe.layer import Layer, Shapes, register
from caffe.layer_parts.labels import integers


@register("Embed")
class Embed(Layer):
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        p = self.param.embed_param
        for field in ("num_output", "input_dim"):
            if getattr(p, field) < 1:
                self.fail(f"{field} must be at least 1")
        self.add_blob((p.input_dim, p.num_output), p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def reshape(self, shapes: Shapes) -> Shapes:
        return [(*shapes[0], self.param.embed_param.num_output)]

    def allow_force_backward(self, index: int) -> bool:
        return False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        indices = integers(self, x, self.param.embed_param.input_dim, "index")
        y = F.embedding(indices, self.params[0])
        return y + self.params[1] if len(self.params) > 1 else y
