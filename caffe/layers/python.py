"""Python: a layer class of the user's (a subclass of caffe.Layer), named by python_param.module and .layer.

The module is looked for on sys.path and in the current folder.  `param_str` is handed over as it stands;
`share_in_parallel` has no meaning here.  The class computes in NumPy on the host: what it writes is copied.
"""

import importlib
import os
import sys

import torch

from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer, register
from caffe.python_layer import PythonLayer


@register("Python")
class Python(Layer):
    num_bottom = (0, None)
    num_top = (0, None)

    def setup(self, shapes):
        p = self.param.python_param
        self.layer = self._load(p.module, p.layer)(self.param, self.phase)
        if not isinstance(self.layer, PythonLayer):
            self.fail(f"{p.module}.{p.layer} is not a subclass of caffe.Layer")
        host = torch.device("cpu")
        self.layer.param_str, self.layer.phase = p.param_str, self.phase
        self.bottom = [Blob(shape, host) for shape in shapes]
        self.top = [Blob((), host) for _ in self.param.top]
        self.layer.setup(self.bottom, self.top)
        self.blobs = self.layer.blobs

    def _load(self, module, name):
        folder = os.getcwd()
        sys.path.insert(0, folder)
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise CaffeError(
                f"layer '{self.name}' (Python): cannot import python_param.module '{module}' ({error}); looked on"
                f" sys.path and in {folder}"
            ) from error
        finally:
            sys.path.remove(folder)
        if not hasattr(found, name):
            self.fail(f"module '{module}' ({found.__file__}) has no class '{name}'")
        return getattr(found, name)

    def reshape(self, shapes):
        for blob, shape in zip(self.bottom, shapes, strict=True):
            blob.reshape(*shape)
        self.layer.reshape(self.bottom, self.top)
        return [blob.shape for blob in self.top]

    def forward(self, *bottoms):
        tops = _Call.apply(self, len(bottoms), *bottoms, *self.params)
        return tops

    def run(self, bottoms):
        for blob, tensor in zip(self.bottom, bottoms, strict=True):
            blob.put(tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format))
        self.layer.reshape(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)
        return tuple(blob.tensor().to(self.device, copy=True) for blob in self.top)


class _Call(torch.autograd.Function):
    """The user's forward and backward as one autograd node; parameters' diffs are what backward added to them."""

    @staticmethod
    def forward(ctx, layer, count, *tensors):
        ctx.layer, ctx.count = layer, count
        return layer.run(tensors[:count])

    @staticmethod
    def backward(ctx, *top_diffs):
        layer = ctx.layer
        for blob, diff in zip(layer.top, top_diffs, strict=True):
            blob.put_diff(torch.zeros(blob.shape) if diff is None else diff.to("cpu").contiguous())
        kept = [blob.diff.copy() for blob in layer.blobs]
        for blob in layer.blobs:
            blob.diff[...] = 0
        needs = list(ctx.needs_input_grad[2:])
        layer.layer.backward(layer.top, needs[: ctx.count], layer.bottom)
        grads = [
            blob.diff_tensor().to(layer.device, copy=True) if need else None
            for blob, need in zip([*layer.bottom, *layer.blobs], needs, strict=True)
        ]
        for blob, diff in zip(layer.blobs, kept, strict=True):
            blob.diff[...] = diff
        return None, None, *grads
