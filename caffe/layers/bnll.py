"""BNLL (binomial normal log likelihood): log(1 + exp(x)).

torch calls it softplus; its default returns x itself above 20.
"""

import torch
import torch.nn.functional as F

from caffe.layer import VALUES, Layer, Shapes, register


@register("BNLL")
class BNLL(Layer):
    reads_own_bottom = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.softplus(x, threshold=50)
