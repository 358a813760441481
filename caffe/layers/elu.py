"""ELU: x where x > 0, else alpha (exp(x) - 1).  Honours alpha."""

import torch
import torch.nn.functional as F

from caffe.layer import Layer, register


@register("ELU")
class ELU(Layer):
    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        alpha = self.param.elu_param.alpha
        if alpha < 0:  # torch's own gradient refuses these
            return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))
        return F.elu(x, alpha)
