"""ELU: x where x > 0, else alpha (exp(x) - 1).  Honours alpha."""

import torch
import torch.nn.functional as F

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("ELU")
class ELU(Layer):
    reads_top = VALUES

    def setup(self, shapes: Shapes) -> None:
        if self.param.elu_param.alpha < 0:  # in place, the top does not show the bottom's signs
            self.reads_own_bottom = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.param.elu_param.alpha
        if alpha < 0:  # torch's own gradient refuses these
            return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))
        return F.elu(x, alpha)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        slope = torch.where(
            bottoms[0] > 0, torch.ones_like(tops[0]), tops[0] + self.param.elu_param.alpha
        )
        return [diffs[0] * slope]
