"""pycaffe's view of a net: blobs, parameters and layers by name and number, and callbacks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property

from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer
from caffe.net import NetCore


class LayerView:
    """A layer as pycaffe shows it: `type`, `blobs`, `setup(bottom, top)`, `reshape(bottom, top)`.

    The layer's other attributes can be read through it, too.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> object:
        if name == "_layer":  # not there yet: a view is being copied or unpickled
            raise AttributeError(name)
        return getattr(self._layer, name)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:  # noqa: ARG002  pycaffe's
        """Check the settings against the bottoms; as in Caffe, existing parameters stay."""
        layer, kept = self._layer, list(self._layer.blobs)
        del layer.blobs[:]
        layer.setup([blob.shape for blob in bottom])
        if kept:
            layer.blobs[:] = kept

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops the shapes that follow from the bottoms'."""
        shapes = self._layer.reshape([blob.shape for blob in bottom])
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(*shape)

    def __repr__(self) -> str:
        return f"<caffe layer '{self._layer.name}' ({self._layer.type})>"


class NetViews(NetCore):
    """A net with pycaffe's attributes and callbacks.

    The names that begin with _ are those of pycaffe's C++ part; some scripts use them.
    """

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        return OrderedDict((blob.name, blob) for blob in self.blob_list)

    @property
    def params(self) -> OrderedDict[str, Sequence[Blob]]:
        return OrderedDict((n.name, n.layer.blobs) for n in self.nodes if n.layer.blobs)

    @property
    def layers(self) -> list[object]:
        return list(self._layer_views)

    @cached_property
    def _layer_views(self) -> list[object]:
        layers = [node.layer for node in self.nodes]
        return [layer.layer if layer.calls_user else LayerView(layer) for layer in layers]

    @property
    def layer_dict(self) -> OrderedDict[str, object]:
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def inputs(self) -> list[str]:
        return [blob.name for blob in self.input_blobs]

    @property
    def outputs(self) -> list[str]:
        return [blob.name for blob in self.output_blobs]

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        return OrderedDict(zip(self._blob_names, self._blob_loss_weights, strict=True))

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.name, [b.name for b in node.tops]) for node in self.nodes)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.name, [b.name for b in node.bottoms]) for node in self.nodes)

    @property
    def _layer_names(self) -> list[str]:
        return [node.name for node in self.nodes]

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blob_list)

    @property
    def _blob_names(self) -> list[str]:
        return [blob.name for blob in self.blob_list]

    @property
    def _inputs(self) -> list[int]:
        return self._indices(self.input_blobs)

    @property
    def _outputs(self) -> list[int]:
        return self._indices(self.output_blobs)

    @property
    def _blob_loss_weights(self) -> list[float]:
        weights = self.loss_weights
        return [weights[blob] for blob in self.blob_list]

    def _top_ids(self, layer: int) -> list[int]:
        return self._indices(self.nodes[layer].tops)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._indices(self.nodes[layer].bottoms)

    def _indices(self, blobs: Sequence[Blob]) -> list[int]:
        return [self.blob_list.index(blob) for blob in blobs]

    def _forward(self, start: int, end: int) -> float:
        """Run layers `start` to `end`, by index; return their weighted loss."""
        self._check_layers(start, end)
        return self.run_layers(start, end)

    def _backward(self, start: int, end: int) -> None:
        """Run layers `start` down to `end`, by index, backward."""
        self._check_layers(end, start)
        self.run_layers_back(start, end)

    def _check_layers(self, low: int, high: int) -> None:
        last = len(self.nodes) - 1
        if low < 0 or high > last:
            raise CaffeError(f"{self.file}: there are layers 0 to {last}, not {low} to {high}")

    def before_forward(self, run: Callable[[int], object]) -> None:
        """Call `run(i)` before layer i runs forward.

        With any of these four callbacks, the solver also runs the net blob by blob.
        """
        self.callbacks["before_forward"].append(run)

    def after_forward(self, run: Callable[[int], object]) -> None:
        """Call `run(i)` after layer i has run forward."""
        self.callbacks["after_forward"].append(run)

    def before_backward(self, run: Callable[[int], object]) -> None:
        """Call `run(i)` before layer i's turn in the backward pass, even if it has no gradient."""
        self.callbacks["before_backward"].append(run)

    def after_backward(self, run: Callable[[int], object]) -> None:
        """Call `run(i)` after layer i's turn in the backward pass."""
        self.callbacks["after_backward"].append(run)
