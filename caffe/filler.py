"""Fillers: how new parameters are drawn (Caffe: filler.hpp)."""

import math

import torch

from caffe.error import CaffeError
from caffe.proto import caffe_pb2

Norm = caffe_pb2.FillerParameter.VarianceNorm


def fill(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter, where: str) -> None:
    """Fill `tensor` (float32, in place) as `filler` says.

    * constant: `value`;
    * gaussian: normal with `mean`, `std`; with `sparse` = k each weight is kept with probability
      k / num_outputs (num_outputs = shape[0]), and the rest are 0;
    * uniform: in [`min`, `max`);
    * positive_unitball: uniform in [0, 1), then every row (first axis) divided by its sum;
    * xavier: uniform in [-s, s], s = sqrt(3 / n); msra: normal with std sqrt(2 / n), where n is
      fan_in = count / shape[0], fan_out = count / shape[1], or their average, by `variance_norm`;
    * bilinear: the weights of a bilinear upsampling, for square kernels of 4-axis blobs.

    Raises
    ------
    CaffeError
        Unknown filler type, or one that does not fit the shape; the message begins with `where`
        (layer and blob).
    """
    kind = filler.type
    shape = tensor.shape
    if kind == "constant":
        tensor.fill_(filler.value)
    elif kind == "gaussian":
        tensor.normal_(filler.mean, filler.std)
        if filler.sparse >= 0:
            if not shape:
                raise CaffeError(f"{where}: a sparse gaussian filler needs at least one axis")
            tensor.mul_(
                torch.bernoulli(torch.full_like(tensor, min(1.0, filler.sparse / shape[0])))
            )
    elif kind == "uniform":
        tensor.uniform_(filler.min, filler.max)
    elif kind == "positive_unitball":
        tensor.uniform_(0, 1)
        rows = tensor.view(shape[0], -1)
        rows.div_(rows.sum(dim=1, keepdim=True))
    elif kind in ("xavier", "msra"):
        n = _fan(shape, filler.variance_norm, tensor.numel(), where)
        if kind == "xavier":
            scale = math.sqrt(3.0 / n)
            tensor.uniform_(-scale, scale)
        else:
            tensor.normal_(0, math.sqrt(2.0 / n))
    elif kind == "bilinear":
        if len(shape) != 4 or shape[2] != shape[3]:
            raise CaffeError(
                f"{where}: a bilinear filler needs a blob of 4 axes with square kernels, not"
                f" {tuple(shape)}"
            )
        tensor.copy_(_bilinear(shape[3]).expand(shape))
    else:
        raise CaffeError(
            f"{where}: unknown filler type '{kind}'; the known types are constant, gaussian,"
            " uniform, positive_unitball, xavier, msra, bilinear"
        )


def _fan(shape: torch.Size, variance_norm: int, count: int, where: str):
    if len(shape) < 1:
        raise CaffeError(f"{where}: xavier and msra fillers need at least one axis")
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    if variance_norm == Norm.Value("AVERAGE"):
        return (fan_in + fan_out) / 2
    return fan_out if variance_norm == Norm.Value("FAN_OUT") else fan_in


def _bilinear(size: int):
    f = math.ceil(size / 2)
    c = (size - 1) / (2 * f)
    # in single precision throughout, as in Caffe
    ramp = 1 - (torch.arange(size, dtype=torch.float32) / f - torch.tensor(c)).abs()
    return ramp[:, None] * ramp[None, :]
