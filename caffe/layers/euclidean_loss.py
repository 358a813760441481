"""EuclideanLoss: the sum of the squared differences of two bottoms / (2 N).

torch's mse_loss divides by the count.  The gradient uses the differences of the last forward.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("EuclideanLoss")
class EuclideanLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def reshape(self, shapes: Shapes) -> Shapes:
        a, b = shapes
        if not a or not b or a[0] != b[0] or math.prod(a) != math.prod(b):
            self.fail(f"bottoms {a} and {b} must agree in their first axis and their count")
        return [()]

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        difference = a - b.reshape(a.shape)
        self.remember(difference=difference)
        return difference.square().sum() / (2 * a.shape[0])

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        a, b = bottoms
        grad = self.recall("difference", a.shape) * (diffs[0].sum() / a.shape[0])
        return [grad if needs[0] else None, -grad.reshape(b.shape) if needs[1] else None]
