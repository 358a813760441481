"""Caffe's global state, with pycaffe's names: CPU or GPU, the seed, and this solver's number."""

import torch

from caffe import log
from caffe.error import CaffeError

_state = {"gpu": False, "device_id": 0, "solver_count": 1, "solver_rank": 0}


def set_mode_cpu() -> None:
    """Make new nets on the CPU from now on; existing nets stay on their device."""
    _state["gpu"] = False


def set_mode_gpu() -> None:
    """Make new nets on the GPU from now on; without CUDA, warn and stay on the CPU.

    Raises
    ------
    CaffeError
        There are GPUs, but none with the number that `set_device` has chosen.
    """
    if not gpu_exists():
        log.warning(
            "common.cpp:66",
            "GPU mode was asked for, but PyTorch finds no CUDA device here: THE CPU COMPUTES, which"
            f" is much slower{_why_no_cuda()}.",
        )
        return
    _check_device()
    _state["gpu"] = True
    _use_device()


def gpu_exists() -> bool:
    """Whether PyTorch finds a CUDA device, so that GPU mode means one."""
    return torch.cuda.is_available()


def gpu_name() -> str:
    """The name of the GPU that `set_device` has chosen, such as 'NVIDIA H100 80GB HBM3'."""
    return torch.cuda.get_device_name(_state["device_id"])


def require_gpu(asked: str) -> None:
    """Refuse to go on without CUDA, for an option that says explicitly that a GPU computes.

    Parameters
    ----------
    asked : str
        The option as it was given, such as ``'-gpu 0'``.

    Raises
    ------
    CaffeError
        PyTorch finds no CUDA device.
    """
    if not gpu_exists():
        raise CaffeError(
            f"{asked}: PyTorch finds no CUDA device here{_why_no_cuda()}; leave the option out, and"
            " the CPU computes"
        )


def _why_no_cuda() -> str:
    """What to add if this PyTorch could not use a GPU anyway."""
    return "" if torch.version.cuda else f" (PyTorch {torch.__version__} was built without CUDA)"


def set_device(device_id: int) -> None:
    """Choose which GPU `set_mode_gpu` means (an index from 0).

    Raises
    ------
    CaffeError
        There are GPUs, but none with this number.
    """
    before, _state["device_id"] = _state["device_id"], int(device_id)
    try:
        _check_device()
    except CaffeError:
        _state["device_id"] = before
        raise
    _use_device()


def _check_device() -> None:
    """Refuse the number of a GPU that does not exist; without CUDA, any number will do."""
    number = _state["device_id"]
    count = torch.cuda.device_count() if gpu_exists() else 0
    if count and not 0 <= number < count:
        there = "only GPU 0" if count == 1 else f"the GPUs 0 to {count - 1}"
        raise CaffeError(f"GPU {number} does not exist: PyTorch finds {there} here")


def _use_device() -> None:
    """Make the chosen GPU PyTorch's current one, which pinning and CUDA graphs use."""
    if _state["gpu"]:
        torch.cuda.set_device(_state["device_id"])


def device() -> torch.device:
    """The device of nets that are made now."""
    if _state["gpu"]:
        return torch.device("cuda", _state["device_id"])
    return torch.device("cpu")


def set_random_seed(seed: int) -> None:
    """Seed everything random in the runtime: fillers, dropout, crops and mirrors.

    The stream is PyTorch's, not Caffe's: the same seed repeats itself here but does not give
    Caffe's draws.
    """
    torch.manual_seed(int(seed))


def seed_solver(seed: int) -> None:
    """Seed a solver from its random_seed; of several, each draws numbers of its own, as in Caffe.

    Parameters
    ----------
    seed : int
        Negative: PyTorch's own seed.
    """
    if seed >= 0 or solver_rank():
        set_random_seed((seed if seed >= 0 else torch.initial_seed()) + solver_rank())


def common_seed() -> int:
    """The seed that all solvers have in common, for what they must draw alike."""
    return torch.initial_seed() - solver_rank()


def draw_seed() -> int:
    """Draw a seed for a thread that has a random stream of its own (a data layer's crops)."""
    return int(torch.randint(0, 2**31 - 1, (1,)).item())


# ------------------------------------------------------------------------ one solver of several


def solver_count() -> int:
    """How many solvers train together (see caffe/parallel.py)."""
    return _state["solver_count"]


def set_solver_count(count: int) -> None:
    """Set how many solvers train together; in TRAIN, Data layers skip the others' records."""
    if int(count) < 1:
        raise CaffeError(f"the number of solvers must be at least 1, not {count}")
    _state["solver_count"] = int(count)


def solver_rank() -> int:
    """Which of the solvers this process is, from 0."""
    return _state["solver_rank"]


def set_solver_rank(rank: int) -> None:
    """Set which of the solvers this process is; only number 0 tests and writes snapshots."""
    if int(rank) < 0:
        raise CaffeError(f"a solver's rank counts from 0, it cannot be {rank}")
    _state["solver_rank"] = int(rank)


def root_solver() -> bool:
    """Whether this process is solver number 0."""
    return _state["solver_rank"] == 0


def set_multiprocess(multiprocess: bool) -> None:
    """Do nothing: whether the solvers are processes or threads makes no difference here."""
