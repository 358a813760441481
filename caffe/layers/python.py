"""Python: a layer that the user has written, as a subclass of caffe.Layer.

python_param.module and .layer name the class; the module is searched for on sys.path and in the
current folder.  `param_str` is passed on unchanged; `share_in_parallel` has no meaning here.  The
class receives the net's own blobs and computes on them in NumPy.  As in Caffe, its `reshape` runs
before every forward, and its `backward` reads the blobs' current values.
"""

import importlib
import os
import sys

import torch
from torch.autograd.function import FunctionCtx

from caffe.blob import Blob
from caffe.layer import Layer, Shapes, Tensors, register
from caffe.python_layer import PythonLayer


@register("Python")
class Python(Layer):
    num_bottom = (0, None)
    num_top = (0, None)
    calls_user = True
    capturable = False

    def connect(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Take the net's blobs (lists of Blob) that the user's class works on."""
        self.bottom, self.top = bottom, top

    def setup(self, shapes: Shapes) -> None:
        p = self.param.python_param
        self.layer = self._load(p.module, p.layer)(self.param, self.phase)
        if not isinstance(self.layer, PythonLayer):
            self.fail(f"{p.module}.{p.layer} is not a subclass of caffe.Layer")
        self.layer.param_str, self.layer.phase = p.param_str, self.phase
        self.layer.blobs.device = self.device
        self.layer.setup(self.bottom, self.top)
        self.blobs = self.layer.blobs

    def _load(self, module: str, name: str):
        folder = os.getcwd()
        sys.path.insert(0, folder)
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            self.fail(
                f"cannot import python_param.module '{module}' ({error}); it was searched for on"
                f" sys.path and in {folder}"
            )
        finally:
            sys.path.remove(folder)
        if not hasattr(found, name):
            self.fail(f"module '{module}' ({found.__file__}) has no class '{name}'")
        return getattr(found, name)

    def reshape(self, shapes: Shapes) -> Shapes:
        self.layer.reshape(self.bottom, self.top)
        return [blob.shape for blob in self.top]

    # ------------------------------------------------------------- blob by blob
    def compute(self) -> None:
        """Run the user's forward, from the bottoms' data to the tops'."""
        with torch.enable_grad():  # the user may compute with torch
            self.layer.forward(self.bottom, self.top)

    def compute_backward(self, propagate_down: list[bool]) -> None:
        """Run the user's backward, from the tops' diffs to the bottoms' and the parameters'."""
        with torch.enable_grad():
            self.layer.backward(self.top, propagate_down, self.bottom)

    # ------------------------------------------------------------- as part of one graph
    def forward(self, *bottoms: torch.Tensor) -> Tensors:
        return _Call.apply(self, len(bottoms), *bottoms, *self.params)


class _Call(torch.autograd.Function):
    """The user's forward and backward as one autograd node.

    A parameter's gradient is what the user's backward adds to its diff.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, layer: Python, count: int, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.layer, ctx.count = layer, count
        for blob, tensor in zip(layer.bottom, tensors[:count], strict=True):
            blob.reshape(*tensor.shape)
            blob.keep_memory()  # the user's code must not write into the graph's tensors
            blob.put(tensor.detach())
        layer.layer.reshape(layer.bottom, layer.top)
        layer.compute()
        return tuple(blob.tensor().clone() for blob in layer.top)

    @staticmethod
    def backward(ctx: FunctionCtx, *top_diffs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer, needs = ctx.layer, list(ctx.needs_input_grad[2:])
        for blob, diff in zip(layer.top, top_diffs, strict=True):
            if diff is not None:
                blob.put_diff(diff.contiguous())
        kept = [blob.diff_tensor().clone() for blob in layer.blobs]
        for blob in layer.blobs:
            blob.diff_tensor().zero_()
        layer.compute_backward(needs[: ctx.count])
        grads = [
            blob.diff_tensor().clone() if need else None
            for blob, need in zip([*layer.bottom, *layer.blobs], needs, strict=True)
        ]
        for blob, diff in zip(layer.blobs, kept, strict=True):
            blob.put_diff(diff)
        return None, None, *grads
