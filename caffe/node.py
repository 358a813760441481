"""Node: one layer of a net with the blobs and parameters it is wired to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from caffe import allocation
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer, as_sequence
from caffe.proto import caffe_pb2


@dataclass(eq=False)
class Parameter:
    """A parameter of a net.  Layers whose `param` entries give it the same name share it.

    Attributes
    ----------
    blob : Blob
        That of the first layer that uses it.
    lr_mult, decay_mult : float
    owner : Layer
        The first layer that uses it.
    spec : ParamSpec
        The owner's `param` entry.
    """

    blob: Blob
    lr_mult: float
    decay_mult: float
    owner: Layer
    spec: caffe_pb2.ParamSpec


@dataclass(eq=False)
class Node:
    """One layer of a net, wired.

    Attributes
    ----------
    layer : Layer
    bottoms, tops : list of Blob
        The top of an in-place layer is its bottom.
    bottom_needs : list of bool
        Per bottom, whether backward computes its gradient.
    params : list of Parameter
        One per blob of the layer; layers that share a parameter hold the same object.
    param_needs : list of bool
        Per parameter, whether backward computes its gradient.
    needs_backward : bool
        Whether backward runs through the layer at all.
    loss_weights : list of float
        Per top, its weight in the net's loss; 0 where it is not part of it.
    may_overwrite : bool
        The layer works in place, and no gradient needs what it overwrites.
    shapes : list of tuple or None
        The shapes of bottoms and tops when the layer was last reshaped or run.
    scores : torch.Tensor or None
        If the layer is a loss: its first bottom in the last run.
    """

    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]
    bottom_needs: list[bool]
    params: list[Parameter] = field(default_factory=list)
    param_needs: list[bool] = field(default_factory=list)
    needs_backward: bool = False
    loss_weights: list[float] = field(default_factory=list)
    may_overwrite: bool = False
    shapes: list[tuple[int, ...]] | None = None
    scores: torch.Tensor | None = None

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    def reshape(self, always: bool = False) -> None:
        """Give the tops their shapes, if a shape has changed since the last run or if `always`."""
        if not always and self.shapes is not None and self.shapes == self._shapes_now():
            return
        before = [top.count for top in self.tops]
        try:
            shapes = self.layer.reshape([blob.shape for blob in self.bottoms])
            for top, shape in zip(self.tops, shapes, strict=True):
                top.reshape(*shape)
        except CaffeError as error:
            if str(error).startswith("a blob "):  # its shape is one that no blob can have
                self.layer.fail(f"{error}; lower {self.layer.size_fields}")
            raise
        for top, count, weight in zip(self.tops, before, self.loss_weights, strict=True):
            if weight and top.count != count:
                top.diff_tensor().fill_(weight)
        self.share_memory()
        self.note_shapes()

    def note_shapes(self) -> None:
        """Remember the shapes of this run; a layer may give another shape with every batch."""
        self.shapes = self._shapes_now()

    def _shapes_now(self) -> list[tuple[int, ...]]:
        """The shapes of bottoms and tops, except the tops of a data layer, which it sets itself."""
        return [blob.shape for blob in (*self.bottoms, *(self.tops if self.bottoms else ()))]

    def share_memory(self) -> None:
        """Let the tops use the bottom's memory if the layer only passes its bottom on."""
        if self.layer.shares_data:
            source = self.bottoms[0] if self.bottoms else self.layer.blobs[0]
            for top in self.tops:
                top.share_data(source)
                if self.layer.shares_diff:
                    top.share_diff(source)

    def enough_memory(self) -> AbstractContextManager[None]:
        """A context in which a failed allocation raises an error that names this layer."""
        return allocation.enough_for(self.layer.where, self.layer.size_fields)

    def compute(
        self, bottoms: Sequence[torch.Tensor], params: list[torch.Tensor], overwrite: bool
    ) -> Sequence[torch.Tensor]:
        """The tops that the layer computes from these bottoms and parameters.

        With `overwrite`, an in-place layer may destroy its bottom.
        """
        self.layer.params, self.layer.overwrites = params, overwrite
        return as_sequence(self.layer.forward(*bottoms))
