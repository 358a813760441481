"""The arithmetic of nets: float32 as in Caffe, or the faster TF32 or bfloat16.

`fp32` gives Caffe's numbers.  `tf32` rounds the factors of every product to 10 bits, which GPUs
from Ampere on multiply in their tensor cores; nothing else changes.  `bf16` computes the layers
that allow it (`Layer.arithmetic`) in bfloat16, and all others in float32.  Weights, their updates
and every blob that can be read are float32 in all three.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.error import CaffeError
from caffe.layer import FULL, REDUCED, Layer

PRECISIONS = ("fp32", "tf32", "bf16")
AUTO = "auto"  # tf32 where the device has it, else fp32
TENSOR_CORES = 8  # the first major compute capability whose GPUs have TF32 and bfloat16
_state = {"precision": "fp32"}


def set_precision(name: str) -> None:
    """Choose the precision of nets that are made from now on; existing nets keep theirs.

    Parameters
    ----------
    name : {'fp32', 'tf32', 'bf16', 'auto'}
        auto: tf32 on a GPU that has it, else fp32.

    Raises
    ------
    CaffeError
        `name` is something else.  A device without the precision is refused when a net is made.
    """
    if name not in (*PRECISIONS, AUTO):
        raise CaffeError(f"the precision is {', '.join(PRECISIONS)} or {AUTO}, not '{name}'")
    _state["precision"] = name


def of_new_net(device: torch.device) -> str:
    """The precision of a net that is made now on `device`.

    Raises
    ------
    CaffeError
        The device does not have it.
    """
    name, has_tf32 = _state["precision"], _has_tensor_cores(device)
    if name == AUTO:
        return "tf32" if has_tf32 else "fp32"
    on_cpu = device.type == "cpu"
    if (name == "tf32" and not has_tf32) or (name == "bf16" and not (on_cpu or has_tf32)):
        here = "the CPU" if on_cpu else torch.cuda.get_device_name(device)
        raise CaffeError(
            f"precision {name} needs a GPU of compute capability {TENSOR_CORES}.0 or higher, this"
            f" net is on {here}: use fp32"
        )
    return name


def _has_tensor_cores(device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device)[0] >= TENSOR_CORES


def apply(device: torch.device, name: str) -> None:
    """Set PyTorch's switches for products on GPUs as a net of this precision needs them.

    They are switches of the whole process, and the program around may have set them.  So every
    pass sets them again.

    Parameters
    ----------
    device : torch.device
        Of the net; on the CPU nothing is done.
    name : {'fp32', 'tf32', 'bf16'}
    """
    if device.type != "cuda":
        return
    wanted = "tf32" if name == "tf32" else "ieee"
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    operations = (matmul, cudnn.conv, cudnn.rnn)
    if any(operation.fp32_precision != wanted for operation in operations):
        # The old switches alone leave convolutions in TF32 where torch.backends.fp32_precision asks
        # for it.  The new ones alone make the old ones unreadable for the program around.
        matmul.allow_tf32 = cudnn.allow_tf32 = wanted == "tf32"
        for operation in operations:
            operation.fp32_precision = wanted


def cast(name: str, layer: Layer, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Bottoms or parameters of a layer in the type in which a net of precision `name` runs it.

    Parameters
    ----------
    name : {'fp32', 'tf32', 'bf16'}
    layer : Layer
    tensors : sequence of torch.Tensor

    Returns
    -------
    list of torch.Tensor
        The tensors themselves where their type is right; a cast is part of the graph.
    """
    if name != "bf16":
        return list(tensors)
    types = {tensor.dtype for tensor in tensors}
    if layer.arithmetic == REDUCED:
        return [tensor.to(torch.bfloat16) for tensor in tensors]
    if layer.arithmetic == FULL or len(types) > 1:
        return [tensor.to(torch.float32) for tensor in tensors]
    return list(tensors)


def channels_last(device: torch.device, name: str) -> bool:
    """Whether images are channels last in memory: on the CPU, and for a GPU's tensor cores."""
    return device.type == "cpu" or name != "fp32"
