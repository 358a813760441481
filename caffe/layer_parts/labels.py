"""Class labels of losses: floats in a blob, read as integers."""


def integers(layer, labels, classes, keep=None):
    """Labels as int64 (count,), checked to lie in 0..classes - 1 where that costs no
    synchronisation (on the CPU).

    Parameters
    ----------
    layer : Layer
        For errors.
    labels : Tensor of float32
        Cut to integers.
    classes : int
    keep : function of the integer labels, optional
        Which of them count (bool); the others may have any value.
    """
    labels = labels.detach().reshape(-1).long()
    if labels.device.type == "cpu":
        wrong = (labels < 0) | (labels >= classes)
        if keep is not None:
            wrong &= keep(labels)
        if wrong.any():
            layer.fail(f"label {int(labels[wrong][0])} is outside 0..{classes - 1}")
    return labels
