"""What a loss summed over elements is divided by (Caffe: LossLayer's GetNormalizer)."""

from caffe.proto import caffe_pb2

LossParameter = caffe_pb2.LossParameter


def mode(loss_param, default):
    """The NormalizationMode: `normalization` wins; else `normalize` true is VALID, false
    BATCH_SIZE; else `default`.
    """
    if loss_param.HasField("normalization"):
        return loss_param.normalization
    if loss_param.HasField("normalize"):
        return LossParameter.VALID if loss_param.normalize else LossParameter.BATCH_SIZE
    return default


def normalizer(chosen, full, valid, batch):
    """The divisor, at least 1.

    Parameters
    ----------
    chosen : NormalizationMode
    full : int
        Number of positions.
    valid : int or 0-d tensor
        Number of positions that do not carry the ignored label.
    batch : int
        Number of items (first axis).
    """
    count = {
        LossParameter.FULL: full,
        LossParameter.VALID: valid,
        LossParameter.BATCH_SIZE: batch,
        LossParameter.NONE: 1,
    }[chosen]
    return count.clamp(min=1) if hasattr(count, "clamp") else max(1, count)
