"""InnerProduct: y = x W^T + b, with the axes from `axis` on flattened.

Honours num_output, bias_term, axis, transpose (W is (K, num_output) instead of (num_output, K)),
weight_filler, bias_filler.
"""

import math
from collections.abc import Callable

import torch
from torch.autograd.function import FunctionCtx

from caffe import gradient_parts
from caffe.layer import REDUCED, Grads, Layer, Needs, Shapes, Tensors, register


class _Product(torch.autograd.Function):
    """x W^T + b, whose gradient of W is given away in parts, a few rows at a time."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        use_part: Callable[[torch.Tensor, int], None],
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use_part = use_part
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x, weight), needs = ctx.saved_tensors, ctx.needs_input_grad
        dx = dy @ weight if needs[0] else None  # before its weights are updated
        if needs[1]:
            for rows in gradient_parts.rows_of_parts(weight.shape):
                ctx.use_part(dy[:, rows].t() @ x, rows.start * weight.shape[1])
        return dx, None, dy.sum(0) if needs[2] else None, None


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None):
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())


@register("InnerProduct")
class InnerProduct(Layer):
    arithmetic = REDUCED

    def setup(self, shapes: Shapes) -> None:
        p = self.param.inner_product_param
        if p.num_output < 1:
            self.fail("num_output must be at least 1")
        self.first = self.axis(p.axis, shapes[0])
        self.width = math.prod(shapes[0][self.first :])
        shape = (self.width, p.num_output) if p.transpose else (p.num_output, self.width)
        self.add_blob(shape, p.weight_filler)
        if p.bias_term:
            self.add_blob((p.num_output,), p.bias_filler)

    def reshape(self, shapes: Shapes) -> Shapes:
        shape = shapes[0]
        if len(shape) < self.first or math.prod(shape[self.first :]) != self.width:
            self.fail(
                f"was made for {self.width} inputs from axis {self.first} on; the bottom is now"
                f" {shape}"
            )
        return [(*shape[: self.first], self.param.inner_product_param.num_output)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.params[0], self.params[1] if len(self.params) > 1 else None
        leading = x.shape[: self.first]
        # (N, C, H, W) -> (N, C * H * W), in Caffe's order whatever the memory format
        x = x.reshape(-1, self.width)
        if self.param.inner_product_param.transpose:
            y = _product(x, weight.t(), bias)
        elif self.use_part is not None and weight.dtype == torch.float32:
            y = _Product.apply(x, weight, bias, self.use_part)
        else:
            y = _product(x, weight, bias)
        return y if len(leading) == 1 else y.reshape(*leading, y.shape[1])

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        (x,), (dy,), transpose = bottoms, diffs, self.param.inner_product_param.transpose
        x, dy, weight = x.reshape(-1, self.width), dy.reshape(-1, dy.shape[-1]), self.params[0]
        grads = [None] * len(needs)
        if needs[0]:
            grads[0] = (dy @ (weight.t() if transpose else weight)).view(bottoms[0].shape)
        if needs[1]:
            a, b = (x, dy) if transpose else (dy, x)
            diff = self.spare_memory(1)
            if diff is None:
                grads[1] = a.t() @ b
            else:  # added at once, which takes a third of the time
                diff.addmm_(a.t(), b)
        if len(needs) > 2 and needs[2]:
            grads[2] = dy.sum(0)
        return grads
