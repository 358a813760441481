"""HDF5Output: writes its two bottoms to an HDF5 file, as the datasets "data" and "label".

Each dataset has four axes.  Honours hdf5_output_param.file_name; the first forward overwrites a
file of that name.  Every forward appends its rows; Caffe stops at the second one, because the
datasets already exist.
"""

import torch

from caffe import hdf5_file
from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("HDF5Output")
class HDF5Output(Layer):
    capturable = False
    num_bottom = (2, 2)
    num_top = (0, 0)

    def setup(self, shapes: Shapes) -> None:
        self.path = self.param.hdf5_output_param.file_name
        if not self.path:
            self.fail("hdf5_output_param.file_name is missing")
        self.begun = False

    def reshape(self, shapes: Shapes) -> Shapes:
        data, label = shapes
        for shape in shapes:
            if not 1 <= len(shape) <= 4:
                self.fail(f"writes bottoms of 1 to 4 axes, not {shape}")
        if data[0] != label[0]:
            self.fail(f"bottoms of shape {data} and {label} differ in their first axis")
        return []

    def forward(self, data: torch.Tensor, label: torch.Tensor) -> Tensors:
        try:
            with hdf5_file.writing(self.path, append=self.begun) as f:
                for name, tensor in (("data", data), ("label", label)):
                    rows = (
                        tensor.detach()
                        .cpu()
                        .reshape(*tensor.shape, *(1,) * (4 - tensor.dim()))
                        .numpy()
                    )
                    if self.begun:
                        before = len(f[name])
                        f[name].resize(before + len(rows), axis=0)
                        f[name][before:] = rows
                    else:
                        f.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
        except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
            reason = getattr(error, "strerror", None) or error
            self.fail(f"cannot write {self.path} ({reason})")
        self.begun = True
        return ()

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [None] * len(needs)
