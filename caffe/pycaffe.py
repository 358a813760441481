"""pycaffe's Net: files in, NumPy in and out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from caffe import batches, log, prototxt
from caffe.error import CaffeError
from caffe.net import NetCore
from caffe.net_views import NetViews
from caffe.proto import caffe_pb2

USAGE = (
    "Net(network_file, phase, level=0, stages=None, weights=None) or Net(network_file, weights,"
    " phase)"
)


class Net(NetViews):
    """A net from a prototxt, with weights if given.

    ``Net(network_file, phase, level=0, stages=None, weights=None)``, or in the old way
    ``Net(network_file, weights, phase)``.

    Parameters
    ----------
    network_file : str or NetParameter
        The net's prototxt.
    phase : int
        caffe.TRAIN or caffe.TEST.
    level : int, optional
        0 for a file, or what the NetParameter's state says.
    stages : list of str, optional
    weights : str, optional
        .caffemodel or .caffemodel.h5.
    file : str, optional
        Where a NetParameter came from, for errors.

    Attributes
    ----------
    blobs : OrderedDict
        {blob name: Blob}, in the net's order, the tops of automatic Split layers included.
    params : OrderedDict
        {layer name: list of Blob}, for layers that have parameters.
    inputs, outputs : list of str
    layers : list
        A Python layer's entry is the user's own object; the others have `type` and `blobs`.
    """

    def __init__(
        self,
        network_file: str | os.PathLike[str] | caffe_pb2.NetParameter,
        *args: object,
        phase: int | None = None,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        named = {"phase": phase, "level": level, "stages": stages, "weights": weights}
        named = _arguments(network_file, args, named)
        if isinstance(network_file, caffe_pb2.NetParameter):
            param = caffe_pb2.NetParameter()
            param.CopyFrom(network_file)
            file = file or "net"
        else:
            param, file = prototxt.read_net(network_file), network_file
            param.state.level = 0
        param.state.phase = named["phase"]
        if named["level"] is not None:
            param.state.level = named["level"]
        param.state.stage.extend(named["stages"] or [])
        super().__init__(param, os.fspath(file))
        if named["weights"] is not None:
            self.copy_trained_layers(named["weights"])

    @classmethod
    def from_param(cls, param: caffe_pb2.NetParameter, file: str | os.PathLike[str] = "net") -> Net:
        """A net from a NetParameter, with the phase, level and stages of its own state.

        Parameters
        ----------
        param : NetParameter
        file : str
            Where it came from, for errors.

        Raises
        ------
        CaffeError
            A net that Caffe refuses, or a setting that is not supported.
        """
        return cls(param, param.state.phase, file=file)

    # -------------------------------------------------------------------------------------- running
    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: npt.ArrayLike,
    ) -> dict[str, np.ndarray]:
        """Run forward.

        Parameters
        ----------
        blobs : list of str, optional
            Blobs to return besides the outputs.
        start, end : str, optional
            First and last layer (both included) by name.
        **kwargs
            {input blob: ndarray}: written into the inputs first; if any is given, all must be.

        Returns
        -------
        dict
            {blob name: ndarray float32}: live views, as in pycaffe.
        """
        first = self._layer_index(start) if start is not None else 0
        if end is not None:
            last = self._layer_index(end)
            outputs = {*(blobs or []), *self.top_names[end]}
        else:
            last = len(self.nodes) - 1
            outputs = {*self.outputs, *(blobs or [])}
        self._feed(kwargs, self.inputs, "data", "input")
        self.run_layers(first, last)
        return self._arrays(outputs, "data")

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **kwargs: npt.ArrayLike,
    ) -> dict[str, np.ndarray]:
        """Run backward; parameter diffs add up until clear_param_diffs().

        Parameters
        ----------
        diffs : list of str, optional
            Blobs whose diffs to return besides the inputs'.
        start, end : str, optional
            First and last layer on the way back, by name.
        **kwargs
            {output blob: ndarray}: written into the outputs' diffs first; if any is given, all must
            be.

        Returns
        -------
        dict
            {blob name: ndarray float32}.
        """
        first = self._layer_index(start) if start is not None else len(self.nodes) - 1
        if end is not None:
            last = self._layer_index(end)
            outputs = {*self.bottom_names[end], *(diffs or [])}
        else:
            last = 0
            outputs = {*self.inputs, *(diffs or [])}
        self._feed(kwargs, self.outputs, "diff", "output")
        self.run_layers_back(first, last)
        return self._arrays(outputs, "diff")

    def forward_all(
        self, blobs: Sequence[str] | None = None, **kwargs: npt.ArrayLike
    ) -> dict[str, np.ndarray]:
        """Run forward over any number of items, a batch at a time.

        The last batch is padded with zeros.

        Parameters
        ----------
        blobs : list of str, optional
            Blobs to return besides the outputs.
        **kwargs
            {input blob: ndarray of shape (n, ...)}.

        Returns
        -------
        dict
            {blob name: ndarray of float32, shape (n, ...)}.
        """
        return batches.run(self, lambda batch: self.forward(blobs=blobs, **batch), kwargs)

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **kwargs: npt.ArrayLike,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run forward and backward over any number of items, a batch at a time.

        Parameters
        ----------
        blobs, diffs : list of str, optional
            What to return besides the outputs and the inputs' diffs.
        **kwargs
            {input blob or output blob: ndarray of shape (n, ...)}; those of outputs are their
            diffs.

        Returns
        -------
        (dict, dict)
            Blobs' data and diffs by name, each ndarray of float32, shape (n, ...).
        """
        inputs = set(self.inputs)

        def both_ways(
            batch: Mapping[str, np.ndarray],
        ) -> dict[tuple[str, str], np.ndarray]:
            ahead = {name: array for name, array in batch.items() if name in inputs}
            back = {name: array for name, array in batch.items() if name not in inputs}
            data = self.forward(blobs=blobs, **ahead)
            found = {("data", name): array for name, array in data.items()}
            diff = self.backward(diffs=diffs, **back)
            return found | {("diff", name): array for name, array in diff.items()}

        found = batches.run(self, both_ways, kwargs)
        data, diff = (
            {name: array for (kind, name), array in found.items() if kind == wanted}
            for wanted in ("data", "diff")
        )
        return data, diff

    def set_input_arrays(self, data: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Feed the net's first layer, a MemoryData, from arrays.

        Parameters
        ----------
        data : ndarray of shape (n, C, H, W)
            n a multiple of the layer's batch_size.
        labels : ndarray of shape (n,) or (n, 1, 1, 1)
        """
        layer = self.nodes[0].layer
        if layer.type != "MemoryData":
            raise CaffeError(
                f"{self.file}: set_input_arrays may only be called if the first layer is a"
                f" MemoryData; it is '{layer.name}' ({layer.type})"
            )
        layer.reset(data, labels)

    def _feed(
        self,
        arrays: Mapping[str, npt.ArrayLike],
        allowed: Sequence[str],
        attribute: str,
        word: str,
    ) -> None:
        if arrays and set(arrays) != set(allowed):
            raise CaffeError(
                f"{self.file}: expected the {word}s {', '.join(allowed) or 'none'}; got"
                f" {', '.join(arrays)}: give all, or none"
            )
        by_name = self.blobs
        for name, array in arrays.items():
            blob = by_name[name]
            if np.shape(array)[:1] != blob.shape[:1] or np.size(array) != blob.count:
                raise CaffeError(
                    f"{self.file}: {word} '{name}' holds {blob.shape}, the array is"
                    f" {np.shape(array)}"
                )
            getattr(blob, attribute)[...] = np.asarray(array).reshape(blob.shape)

    def _layer_index(self, name: str) -> int:
        return self._known("layer", name, self._layer_names)

    def _known(self, word: str, name: str, names: Sequence[str]) -> int:
        """The index of a name, which must be among `names`."""
        if name not in names:
            raise CaffeError(
                f"{self.file}: there is no {word} '{name}'; there are {', '.join(names)}"
            )
        return names.index(name)

    def _arrays(self, names: Iterable[str], attribute: str) -> dict[str, np.ndarray]:
        """{blob name: its data or diff}, sorted by name."""
        known = self._blob_names
        return {
            name: getattr(self.blob_list[self._known("blob", name, known)], attribute)
            for name in sorted(names)
        }

    # -------------------------------------------------------------------------------------- weights
    def copy_from(self, path: str | os.PathLike[str]) -> None:
        """Copy weights from a .caffemodel or .caffemodel.h5, by layer name."""
        self.copy_trained_layers(path)

    load_hdf5 = copy_from

    def share_with(self, other: NetCore) -> None:
        """Use another net's parameters, by layer name."""
        self.share_trained_layers(other)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .caffemodel."""
        self.write_caffemodel(path)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write a .caffemodel.h5."""
        self.write_caffemodel_h5(path, write_diff)


def _arguments(
    network_file: object, args: Sequence[object], named: Mapping[str, object]
) -> dict[str, object]:
    """Net's arguments by name, from those given by position and by name.

    Raises
    ------
    TypeError
        They fit neither form of the constructor.
    """
    given, named = list(args), dict(named)
    if given and isinstance(given[0], (str, os.PathLike)):  # the old way
        if named["weights"] is not None or len(given) > 2:
            raise TypeError(USAGE)
        named["weights"] = weights = given.pop(0)
        phase = given[0] if given else named["phase"]
        log.warning("_caffe.cpp:139", "DEPRECATION WARNING - deprecated use of Python interface")
        log.warning("_caffe.cpp:140", 'Use this instead (with the named "weights" parameter):')
        log.warning("_caffe.cpp:142", f"Net('{network_file}', {phase}, weights='{weights}')")
    free = [name for name in named if name != "weights" or named["weights"] is None]
    if len(given) > len(free) or any(named[name] is not None for name in free[: len(given)]):
        raise TypeError(USAGE)
    named.update(zip(free, given, strict=False))
    if named["phase"] is None:
        raise TypeError(USAGE)
    return named


TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
