"""SmoothL1Loss: the sum of f(difference of two bottoms) / N; f is square near 0, then linear.

Outside BVLC Caffe 1.0: the layer of Fast R-CNN's fork (rbgirshick/caffe-fast-rcnn).  Honours sigma:
f(x) = 0.5 (sigma x)^2 where |x| < 1 / sigma^2, else |x| - 0.5 / sigma^2.  Takes two bottoms, or
four, as the fork's later versions: then the difference is multiplied by the third bottom ("inside"
weights) and f by the fourth ("outside" weights).  With three bottoms, as in its first version, the
difference is multiplied by the third, whose values are meant to be 0 and 1: the gradient is f', not
multiplied a second time.  torch's smooth_l1_loss divides by the count.  The gradient uses the
differences of the last forward.
"""

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("SmoothL1Loss")
class SmoothL1Loss(Layer):
    num_bottom = (2, 4)
    is_loss = True

    def reshape(self, shapes: Shapes) -> Shapes:
        if not shapes[0] or len({tuple(shape) for shape in shapes}) > 1:
            self.fail(f"bottoms must have one shape (N, ...), not {' and '.join(map(str, shapes))}")
        return [()]

    def forward(self, a: torch.Tensor, b: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        difference = a - b
        if weights:
            weighted = difference * weights[0]
            if len(weights) == 1:  # the weighted values, but the gradient of the difference
                weighted = weighted.detach() + (difference - difference.detach())
            difference = weighted
        self.remember(difference=difference)
        errors = self._f(difference)
        if len(weights) == 2:
            errors = errors * weights[1]
        return errors.sum() / a.shape[0]

    def _f(self, x: torch.Tensor) -> torch.Tensor:
        squared = self.param.smooth_l1_loss_param.sigma**2
        return torch.where(
            x.abs() < 1 / squared, 0.5 * squared * x.square(), x.abs() - 0.5 / squared
        )

    def allow_force_backward(self, index: int) -> bool:
        return index < 2

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        x = self.recall("difference", bottoms[0].shape)
        squared = self.param.smooth_l1_loss_param.sigma**2
        slope = torch.where(x.abs() < 1 / squared, squared * x, x.sign())
        if len(bottoms) == 4:
            slope = slope * bottoms[2] * bottoms[3]
        grad = slope * (diffs[0].sum() / len(x))
        grads = [grad if needs[0] else None, -grad if needs[1] else None]
        return grads + [None] * (len(bottoms) - 2)
