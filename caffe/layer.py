"""The contract of a layer, and the registry of layer types.

Each type is one class, found by the `type` string of the prototxt.
"""

# ruff: noqa: ARG002  a layer need not use all that the contract hands it

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import torch

from caffe import allocation
from caffe import filler as fillers
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.position import Position
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe.trials import Trials

# What the layers' methods take and return
Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence[Shape]
Tensors: TypeAlias = Sequence[torch.Tensor]
Tops: TypeAlias = torch.Tensor | Tensors
Needs: TypeAlias = Sequence[bool]  # which gradients are asked for
Grads: TypeAlias = list[torch.Tensor | None]
AnyLayer = TypeVar("AnyLayer", bound="Layer")

_registry: dict[str, type[Layer]] = {}


def register(type_name: str) -> Callable[[type[AnyLayer]], type[AnyLayer]]:
    """Class decorator: register a Layer class under Caffe's type string, which must be new."""

    def add(cls: type[AnyLayer]) -> type[AnyLayer]:
        if type_name in _registry:
            raise CaffeError(
                f"layer type '{type_name}' is registered twice: {_registry[type_name].__name__} and"
                f" {cls.__name__}"
            )
        cls.type = type_name
        _registry[type_name] = cls
        return cls

    return add


def layer_type_list() -> list[str]:
    """Names of all registered layer types, sorted."""
    return sorted(_registry)


def layer_class(type_name: str) -> type[Layer] | None:
    """The class of a layer type; None if the type is unknown."""
    return _registry.get(type_name)


def as_sequence(outputs: Tops) -> Tensors:
    """What a layer's `forward` returns, as a sequence even if it is a single tensor."""
    return [outputs] if isinstance(outputs, torch.Tensor) else outputs


NOTHING, SIGNS, VALUES = "nothing", "signs", "values"
# In which type a layer computes where the net's precision is bf16 (see precision.py)
FULL, AS_GIVEN, REDUCED = "float32", "the type of its bottoms", "bfloat16"


class Layer:
    """Base of all layers.

    A subclass states how many bottoms and tops it takes, computes the tops' shapes in `reshape`,
    makes its parameters in `setup` with `add_blob`, and computes in `forward` with torch operations
    that autograd can follow.  Where Caffe's gradient is not autograd's, `forward` uses a
    torch.autograd.Function.

    net.backward() may be called at any time, even long after the forward pass and after changes to
    blobs.  It calls `backward`, which by default differentiates `forward` at the current bottoms
    and parameters.  A layer needs its own `backward` if its gradient in Caffe also depends on its
    top's data or on what the last forward kept (`remember`, `recall`), or if its `forward` draws or
    counts.

    Attributes
    ----------
    param : LayerParameter
    name : str
    phase : int
        caffe.TRAIN or caffe.TEST.
    blobs : list of Blob
        The parameters, in Caffe's order.
    params : list of torch.Tensor
        The parameters' data while `forward` runs; gradients are taken with respect to these.
    overwrites : bool
        Set by the net while `forward` runs: the layer is in place and may destroy its bottom.
    keeps : bool
        Set by the net before `forward`: a `backward` may follow, so what it needs is remembered.
    spare : sequence of torch.Tensor or None
        Set by the net while `backward` runs: the diffs that the bottoms, then the parameters, have
        now.  A bottom's may be overwritten and returned.  To a parameter's, the gradient may be
        added, and None returned.
    """

    type: str  # set by `register`
    num_bottom: tuple[int, int | None] = (1, 1)  # fewest, most (None: any number)
    num_top: tuple[int, int | None] = (1, 1)
    is_loss = False  # the first top has loss_weight 1 by default
    can_overwrite = False  # `forward` looks at self.overwrites
    in_place = True  # a top may have its bottom's name
    fed_by_user = False  # its forward has nothing to do
    calls_user = False  # runs the user's own code on the net's blobs (see layers/python.py)
    # Every top uses the memory of the first bottom, or of the parameter if there is no bottom.
    shares_data = False
    shares_diff = False
    # What `backward` reads of the blob that holds the top, when it runs: nothing, its signs, or its
    # values.  It tells the net whether a layer that overwrites that blob in place changes the
    # gradient (in Caffe it does).
    reads_top = NOTHING
    reads_own_bottom = NOTHING  # the same for the bottom, if the layer itself overwrites it
    always_propagates = False  # as in Caffe, writes its bottom's diff even if the net does not ask
    keeps_signs = False  # the top has the bottom's signs, or is 0 where no gradient passes
    # takes the weights' gradient in parts, if the net sets it (gradient_parts.py)
    use_part: Callable[[torch.Tensor, int], None] | None = None
    spare: Sequence[torch.Tensor | None] = ()
    # tries several ways to compute the layer, if the net sets it (trials.py)
    trials: Trials | None = None
    arithmetic = FULL
    # The layer can be part of a CUDA graph: neither forward nor backward waits for the GPU or keeps
    # anything in Python from one pass to the next (see captured_iteration.py).
    capturable = True
    LARGE = 1 << 24  # from this many elements on, the machine's memory is checked first

    def __init__(self, param: caffe_pb2.LayerParameter, device: torch.device) -> None:
        self.param = param
        self.name = param.name
        self.phase = param.phase
        self.device = device
        self.blobs: list[Blob] = []
        self.params: list[torch.Tensor] = []
        self.overwrites = False
        self.keeps = True
        self.remembered: dict[str, torch.Tensor] = {}
        self.seen: Any = None  # on a GPU, the labels' Seen (see layer_parts/labels.py)

    # --------------------------------------------------------------------------- to be overridden
    def setup(self, shapes: Shapes) -> None:
        """Check the settings and make the parameters; `shapes` are the bottoms' shapes."""

    def reshape(self, shapes: Shapes) -> Shapes:
        """Return the tops' shapes for the bottoms' shapes; called whenever those change."""
        raise NotImplementedError

    def forward(self, *bottoms: torch.Tensor) -> Tops:
        """Return the top tensor, or a sequence of them."""
        raise NotImplementedError

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        """The gradients of the bottoms and of the parameters, from the tops' diffs.

        It changes nothing: it may run before any forward, or twice.

        Parameters
        ----------
        bottoms, tops : list of torch.Tensor
            The blobs' current data; top and bottom of an in-place layer are the same tensor.
        diffs : list of torch.Tensor
            The tops' diffs.
        needs : list of bool
            Which gradients are asked for: of each bottom, then of each parameter.

        Returns
        -------
        list of torch.Tensor or None
            In the order of `needs`; None leaves the diff unchanged.
        """
        return self.differentiate(self.forward, bottoms, diffs, needs)

    def allow_force_backward(self, index: int) -> bool:
        """Whether `force_backward` of the net may ask for the gradient of bottom `index`."""
        return True

    def first_tops(self) -> Tensors:
        """What the tops hold before the first forward, in order; zeros where no value is given."""
        return ()

    def position(self) -> Position | None:
        """The layer's position in its data, for a snapshot; None if it has none."""
        return None

    def move_to(self, position: Position) -> None:
        """Resume from a position that `position` returned; refuse one that does not fit."""
        raise NotImplementedError

    def auto_top_blobs(self) -> bool:
        """Whether the net adds missing tops, as it does for losses (Caffe: AutoTopBlobs)."""
        return self.is_loss

    def default_loss_weight(self, index: int) -> float:
        """The loss_weight of top `index` if the prototxt gives none."""
        return 1.0 if self.is_loss and index == 0 else 0.0

    # ------------------------------------------------------------------------------------ helpers
    def differentiate(
        self,
        function: Callable[..., Tops],
        bottoms: Tensors,
        diffs: Tensors,
        needs: Needs,
    ) -> Grads:
        """Compute what `backward` returns with autograd.

        These are the gradients of ``function(*bottoms)`` with respect to bottoms and parameters.
        """
        leaves = [
            t.detach().requires_grad_(need)
            for t, need in zip([*bottoms, *self.params], needs, strict=True)
        ]
        inputs, self.params = leaves[: len(bottoms)], leaves[len(bottoms) :]
        with torch.enable_grad():
            outputs = as_sequence(function(*inputs))
        pairs = [
            (o, d.reshape(o.shape)) for o, d in zip(outputs, diffs, strict=True) if o.requires_grad
        ]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        if not pairs or not wanted:
            return [None] * len(leaves)
        found = torch.autograd.grad(
            [o for o, _ in pairs], wanted, [d for _, d in pairs], allow_unused=True
        )
        by_leaf = {id(leaf): grad for leaf, grad in zip(wanted, found, strict=True)}
        return [
            (torch.zeros_like(leaf) if by_leaf[id(leaf)] is None else by_leaf[id(leaf)])
            if leaf.requires_grad
            else None
            for leaf in leaves
        ]

    def spare_memory(self, index: int) -> torch.Tensor | None:
        """The diff of bottom or parameter `index` of `backward`, if it can be written into."""
        return self.spare[index] if index < len(self.spare) else None

    def remember(self, **tensors: torch.Tensor) -> None:
        """Keep tensors of this forward, by name, for `backward`, if one can follow."""
        self.remembered = (
            {name: tensor.detach() for name, tensor in tensors.items()} if self.keeps else {}
        )

    def recall(self, name: str, shape: Shape, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The tensor that `remember` kept, in `shape`.

        After a reshape this is its front.  It is zeros if the tensor is too small or was never
        kept, as Caffe's buffers are zeros until the first forward fills them.
        """
        found = self.remembered.get(name)
        if found is None or found.numel() < math.prod(shape):
            return torch.zeros(shape, dtype=dtype, device=self.device)
        return (
            found
            if found.shape == tuple(shape)
            else found.reshape(-1)[: math.prod(shape)].view(shape)
        )

    @property
    def works_in_place(self) -> bool:
        """Whether the first top is the first bottom's blob."""
        tops, bottoms = self.param.top, self.param.bottom
        return bool(tops and bottoms) and tops[0] == bottoms[0]

    @property
    def size_fields(self) -> str:
        """The prototxt field that sets how large the layer's blobs are, for errors."""
        own = [message for _, message in self.param.ListFields() if hasattr(message, "ListFields")]
        names = [field.name for message in own for field, _ in message.ListFields()]
        return next(
            (name for name in ("num_output", "batch_size", "shape", "tiles") if name in names),
            "the batch size",
        )

    @property
    def train(self) -> bool:
        """Whether the phase is TRAIN."""
        return self.phase == caffe_pb2.TRAIN

    @property
    def where(self) -> str:
        """The layer's name and type, for errors."""
        return f"layer '{self.name}' ({self.type})"

    def fail(self, what: str) -> NoReturn:
        """Raise a CaffeError that names this layer."""
        raise CaffeError(f"{self.where}: {what}")

    def check_counts(self, bottoms: int, tops: int) -> None:
        """Refuse a number of bottoms or tops that the type does not take."""
        for word, count, (least, most) in (
            ("bottom", bottoms, self.num_bottom),
            ("top", tops, self.num_top),
        ):
            if count < least or (most is not None and count > most):
                end = "" if least == most else " or more" if most is None else f" to {most}"
                self.fail(f"takes {least}{end} {word} blob(s), the prototxt gives {count}")
        if not self.in_place and set(self.param.top) & set(self.param.bottom):
            self.fail("does not work in place; give the top another name than the bottom's")

    def axis(self, index: int, shape: Shape, field: str = "axis") -> int:
        """An axis index from 0; a negative one counts from the end.

        Raises
        ------
        CaffeError
            The index is out of range; the message names the field.
        """
        if not -len(shape) <= index < len(shape):
            self.fail(f"{field} {index} is out of range for a blob of shape {shape}")
        return index % len(shape)

    def add_blob(self, shape: Shape, filler: caffe_pb2.FillerParameter | None = None) -> Blob:
        """Append a parameter blob of `shape`, filled by `filler`, or with zeros if it is None."""
        where = f"{self.where}, blob {len(self.blobs)}"
        try:
            blob = Blob(shape, self.device)
        except CaffeError as error:
            raise CaffeError(f"{where}: {error}; lower {self.size_fields}") from error
        if self.device.type == "meta":  # of an inspection, which needs the shapes only
            self.blobs.append(blob)
            return blob
        if blob.count > self.LARGE:
            allocation.check(
                where,
                blob.count + sum(other.count for other in self.blobs),
                self.device,
                self.size_fields,
            )
        with allocation.enough_for(where, self.size_fields):
            if filler is not None:  # drawn on the CPU: a seed gives the same net on every device
                values = blob.tensor() if self.device.type == "cpu" else torch.empty(blob.shape)
                fillers.fill(values, filler, where)
                blob.put(values.to(self.device))
            blob.keep_memory()
        self.blobs.append(blob)
        return blob
