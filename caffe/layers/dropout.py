"""Dropout: in TRAIN, sets elements to 0 at random; in TEST, the identity.

An element is kept with probability 1 - dropout_ratio, and then scaled by 1 / (1 - dropout_ratio).
Honours dropout_ratio in [0, 1), in TEST also 1.  The mask comes from PyTorch's random stream.  The
gradient uses the mask of the last forward; before any forward it is 0.
"""

import torch

from caffe.layer import AS_GIVEN, Grads, Layer, Needs, Shapes, Tensors, register


@register("Dropout")
class Dropout(Layer):
    arithmetic = AS_GIVEN
    keeps_signs = True

    def setup(self, shapes: Shapes) -> None:
        self.ratio = self.param.dropout_param.dropout_ratio
        if not (0 <= self.ratio < 1 or (self.ratio == 1 and not self.train)):
            self.fail(f"dropout_ratio must be in [0, 1), in TEST it may be 1; it is {self.ratio:g}")

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self._drops():
            return x
        mask = torch.empty_like(x).bernoulli_(1 - self.ratio).div_(1 - self.ratio)
        self.remember(mask=mask)
        return x * mask

    def _drops(self):
        return self.train and self.ratio > 0

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [
            diffs[0] * self.recall("mask", diffs[0].shape) if self._drops() else diffs[0].clone()
        ]
