"""A GPU that is not there: tensors that say they are on cuda:0, and compute on the CPU.

For testing, on machines without a GPU, what the code does because a tensor is on one.  It does not
test CUDA's own kernels.  As on a GPU:

* tensors of the GPU and of the CPU do not mix, and NumPy cannot see the GPU's;
* an index outside its range breaks the GPU for the rest of the process: here, of the emulation;
* reading a value makes the host wait; `gpu.waits` lists the operations that did.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

DEVICE = torch.device("cuda", 0)
FACTORIES = (
    "zeros",
    "ones",
    "empty",
    "full",
    "tensor",
    "arange",
    "eye",
    "linspace",
    "rand",
    "randn",
)
TO = torch.Tensor.to
INDEXING = ("gather", "scatter", "index", "embedding", "bincount", "take", "nll_loss")
# the result's size, or the value, is known on the GPU only
READING = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal", "unique")


class DeviceAssertError(RuntimeError):
    """What PyTorch raises for an index out of range on a GPU, and for all that follows."""

    def __init__(self) -> None:
        super().__init__("CUDA error: device-side assert triggered")


class Gpu:
    """The state of the emulated GPU.

    Attributes
    ----------
    broken : bool
        A device assert has been triggered.
    waits : list of str
        The operations that made the host wait.
    """

    def __init__(self) -> None:
        self.broken = False
        self.waits: list[str] = []


gpu = Gpu()


class OnGpu(torch.Tensor):
    """A tensor of the emulated GPU; `elem` is the CPU's tensor with its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, elem: torch.Tensor) -> OnGpu:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.shape,
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device="cpu",  # so that autograd runs it in the CPU's thread
        )
        made.elem = elem
        return made

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self) -> str:
        return f"OnGpu({self.elem!r})"

    def data_ptr(self) -> int:
        return self.elem.data_ptr()

    def numpy(self, **_: object) -> None:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __array__(self, *_: object) -> None:
        self.numpy()

    def tolist(self) -> object:
        gpu.waits.append("tolist")
        return self.elem.tolist()

    def cpu(self) -> torch.Tensor:
        return _Download.apply(self)

    def to(self, *args: object, **keywords: object) -> torch.Tensor:
        device, dtype = _target(args, keywords)
        moved = self if device is None or device.type == "cuda" else self.cpu()
        return moved if dtype is None else TO(moved, dtype)

    @classmethod
    def __torch_dispatch__(cls, function, types_, args=(), keywords=None):
        keywords = keywords or {}
        name = function.overloadpacket.__name__
        flat = tree_flatten((args, keywords))[0]
        if gpu.broken:
            raise DeviceAssertError
        mixed = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, OnGpu)]
        if any(t.dim() for t in mixed) and name != "copy_":
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {name} got tensors on cuda:0"
                " and on cpu"
            )
        by_mask = name.startswith("index") and any(
            isinstance(t, torch.Tensor) and t.dtype == torch.bool for t in flat[1:]
        )
        if name in READING or by_mask or (name == "copy_" and mixed and not args[2:]):
            gpu.waits.append(name)
        if "device" in keywords:
            keywords = {**keywords, "device": torch.device("cpu")}
        bare, bare_keywords = tree_map_only(OnGpu, lambda t: t.elem, (args, keywords))
        try:
            result = function(*bare, **bare_keywords)
        except (IndexError, RuntimeError) as error:
            if name.startswith(INDEXING) and ("range" in str(error) or "bound" in str(error)):
                gpu.broken = True
                raise DeviceAssertError from error
            raise
        if name == "copy_" and not isinstance(args[0], OnGpu):
            return args[0]
        if name == "_local_scalar_dense":
            return result
        wrapped = tree_map(lambda t: OnGpu(t) if isinstance(t, torch.Tensor) else t, result)
        return return_and_correct_aliasing(function, args, keywords, wrapped)


class _Download(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        gpu.waits.append("cpu")
        if gpu.broken:
            raise DeviceAssertError
        return tensor.elem.clone()

    @staticmethod
    def backward(ctx, diff):
        return OnGpu(diff)


class _Upload(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        if gpu.broken:
            raise DeviceAssertError
        return OnGpu(tensor.detach().clone(memory_format=torch.preserve_format))

    @staticmethod
    def backward(ctx, diff):
        return diff.cpu()


def _target(args, keywords):
    """The device and the dtype that `Tensor.to` is asked for."""
    device = dtype = None
    for value in (*args, *keywords.values()):
        if isinstance(value, (str, torch.device)):
            device = torch.device(value)
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, torch.Tensor):
            device, dtype = value.device, value.dtype
    return device, dtype


def _to(tensor: torch.Tensor, *args: object, **keywords: object) -> torch.Tensor:
    """`Tensor.to` of a tensor that is not on the GPU."""
    device, dtype = _target(args, keywords)
    if device is None or device.type != "cuda":
        return TO(tensor, *args, **keywords)
    if not keywords.get("non_blocking"):
        gpu.waits.append("to")
    return _Upload.apply(tensor if dtype is None else TO(tensor, dtype))


class _Generator(torch.Generator):
    """A generator of the CPU, whatever device is asked for."""

    def __new__(cls, *_: object) -> _Generator:
        return super().__new__(cls, "cpu")


def _making(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function such as torch.zeros, whose tensor is on the GPU if `device` says so."""

    def make(*args: object, **keywords: object) -> torch.Tensor:
        device = keywords.get("device")
        keywords.pop("pin_memory", None)
        if device is None or torch.device(device).type != "cuda":
            return factory(*args, **keywords)
        needs = keywords.pop("requires_grad", False)
        made = factory(*args, **{**keywords, "device": "cpu"})
        return OnGpu(made).requires_grad_(needs)

    return make


@contextmanager
def present() -> Iterator[Gpu]:
    """Have one emulated GPU; PyTorch says that CUDA is available."""
    gpu.__init__()
    from caffe import cuda_graph

    properties = types.SimpleNamespace(
        total_memory=80 << 30, major=9, minor=0, name="emulated GPU", multi_processor_count=132
    )
    answers = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: properties,
        "get_device_name": lambda *_: properties.name,
        "get_device_capability": lambda *_: (9, 0),
        "set_device": lambda *_: None,
        "synchronize": lambda *_: gpu.waits.append("synchronize"),
        "current_stream": lambda *_: None,
        "device": lambda *_: nullcontext(),
        "mem_get_info": lambda *_: (80 << 30, 80 << 30),
        "Event": lambda *_, **__: types.SimpleNamespace(
            record=lambda *_: None,
            query=lambda: True,
            synchronize=lambda: gpu.waits.append("synchronize"),
            elapsed_time=lambda _: 1.0,
        ),
        "_sleep": lambda _: None,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, answer in answers.items():
            patch.setattr(torch.cuda, name, answer)
        for name in FACTORIES:
            patch.setattr(torch, name, _making(getattr(torch, name)))
        # the twin that runs a captured function again stands for CUDA graphs
        patch.setattr(cuda_graph, "CudaGraphs", lambda _: cuda_graph.CallAgain())
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.Tensor, "to", _to)
        patch.setattr(torch.Tensor, "cuda", lambda tensor, *_: _Upload.apply(tensor))
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: tensor)
        yield gpu
