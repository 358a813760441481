"""CPU or GPU, and the seed: Caffe's global state (`caffe.set_mode_cpu`, `set_mode_gpu`, `set_device`, `set_random_seed`)."""

import torch

from caffe import log

_state = {"gpu": False, "device_id": 0}


def set_mode_cpu():
    """Compute on the CPU from now on (the nets made from here on live there)."""
    _state["gpu"] = False


def set_mode_gpu():
    """Compute on the GPU from now on; where CUDA is not there, warn and stay on the CPU."""
    if not torch.cuda.is_available():
        log.warning("common.cpp:66", "GPU asked for, but PyTorch finds no CUDA device here: going on with the CPU.")
        return
    # Caffe's numbers are full float32; TF32 would round the factors of every product to 10 bits
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _state["gpu"] = True


def set_device(device_id):
    """Choose which GPU `set_mode_gpu` means (an index from 0)."""
    _state["device_id"] = int(device_id)


def device():
    """The torch.device on which a net made now lives."""
    if _state["gpu"]:
        return torch.device("cuda", _state["device_id"])
    return torch.device("cpu")


def set_random_seed(seed):
    """Seed everything random in the runtime: fillers, dropout, crops and mirrors.

    The stream is PyTorch's, not Caffe's: the same seed repeats itself here but does not give Caffe's draws.
    """
    torch.manual_seed(int(seed))


def draw_seed():
    """A fresh seed from the global stream, for a thread that draws on its own (a data layer's crops)."""
    return int(torch.randint(0, 2**31 - 1, (1,)).item())
