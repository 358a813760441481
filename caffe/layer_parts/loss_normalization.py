"""What a loss summed over elements is divided by (Caffe: LossLayer's GetNormalizer)."""

import torch

from caffe.proto import caffe_pb2

LossParameter = caffe_pb2.LossParameter


def mode(loss_param: caffe_pb2.LossParameter, default: int) -> int:
    """The NormalizationMode of a loss.

    It is `normalization` if given; else, from `normalize`, VALID (true) or BATCH_SIZE (false); else
    `default`.
    """
    if loss_param.HasField("normalization"):
        return loss_param.normalization
    if loss_param.HasField("normalize"):
        return LossParameter.VALID if loss_param.normalize else LossParameter.BATCH_SIZE
    return default


def normalizer(chosen: int, full: int, valid: int | torch.Tensor, batch: int) -> int | torch.Tensor:
    """The divisor, at least 1.

    Parameters
    ----------
    chosen : NormalizationMode
    full : int
        Number of positions.
    valid : int or 0-d tensor
        Number of positions without the ignored label.
    batch : int
        Number of items (first axis).
    """
    count = {
        LossParameter.FULL: full,
        LossParameter.VALID: valid,
        LossParameter.BATCH_SIZE: batch,
        LossParameter.NONE: 1,
    }[chosen]
    return count.clamp(min=1) if isinstance(count, torch.Tensor) else max(1, count)
