"""pycaffe's Net: files in, NumPy in and out."""

import os
from collections import OrderedDict

import numpy as np

from caffe import log, prototxt
from caffe.error import CaffeError
from caffe.net import NetCore
from caffe.proto import caffe_pb2

USAGE = "Net(network_file, phase, level=0, stages=None, weights=None) or Net(network_file, weights, phase)"


class LayerView:
    """A layer of the runtime's own as pycaffe shows it: `type`, `blobs`, `setup(bottom, top)`,
    `reshape(bottom, top)`.

    What else the layer has can be read, too.
    """

    def __init__(self, layer):
        self._layer = layer

    def __getattr__(self, name):
        if name == "_layer":
            raise AttributeError(name)
        return getattr(self._layer, name)

    def setup(self, bottom, top):
        """Check the settings against the bottoms (list of Blob); parameters that are there stay, as
        in Caffe.
        """
        layer, kept = self._layer, list(self._layer.blobs)
        del layer.blobs[:]
        layer.setup([blob.shape for blob in bottom])
        if kept:
            layer.blobs[:] = kept

    def reshape(self, bottom, top):
        """Give the tops the shapes that follow from the bottoms' (lists of Blob)."""
        for blob, shape in zip(
            top, self._layer.reshape([blob.shape for blob in bottom]), strict=True
        ):
            blob.reshape(*shape)

    def __repr__(self):
        return f"<caffe layer '{self._layer.name}' ({self._layer.type})>"


class Net(NetCore):
    """A net from a prototxt, with weights if given.

    ``Net(network_file, phase, level=0, stages=None, weights=None)``, or in the old way
    ``Net(network_file, weights, phase)``.

    Parameters
    ----------
    network_file : str
        The net's prototxt.
    phase : int
        caffe.TRAIN or caffe.TEST.
    level : int
    stages : list of str
    weights : str, optional
        .caffemodel or .caffemodel.h5.

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

    def __init__(self, network_file, *args, phase=None, level=None, stages=None, weights=None):
        given = list(args)
        if given and isinstance(given[0], (str, os.PathLike)):  # the old way
            if weights is not None or len(given) > 2:
                raise TypeError(USAGE)
            weights = given.pop(0)
            log.warning(
                "_caffe.cpp:139", "DEPRECATION WARNING - deprecated use of Python interface"
            )
            log.warning("_caffe.cpp:140", 'Use this instead (with the named "weights" parameter):')
            log.warning(
                "_caffe.cpp:142",
                f"Net('{network_file}', {given[0] if given else phase}, weights='{weights}')",
            )
        named = {"phase": phase, "level": level, "stages": stages, "weights": weights}
        free = [name for name in named if name != "weights" or named["weights"] is None]
        if len(given) > len(free) or any(named[name] is not None for name in free[: len(given)]):
            raise TypeError(USAGE)
        named.update(zip(free, given, strict=False))
        if named["phase"] is None:
            raise TypeError(USAGE)
        param = prototxt.read_net(network_file)
        param.state.phase = named["phase"]
        param.state.level = named["level"] or 0
        param.state.stage.extend(named["stages"] or [])
        super().__init__(param, os.fspath(network_file))
        if named["weights"] is not None:
            self.copy_trained_layers(named["weights"])

    # --------------------------------------------------------------------------------------------------------- names
    @property
    def blobs(self):
        return OrderedDict(zip(self.blob_names, self.blob_list, strict=True))

    @property
    def params(self):
        return OrderedDict(
            (name, layer.blobs)
            for name, layer in zip(self.layer_names, self.layer_list, strict=True)
            if layer.blobs
        )

    @property
    def layers(self):
        if not hasattr(self, "_layer_views"):
            self._layer_views = [
                layer.layer if layer.calls_user else LayerView(layer) for layer in self.layer_list
            ]
        return list(self._layer_views)

    @property
    def layer_dict(self):
        return OrderedDict(zip(self.layer_names, self.layers, strict=True))

    # pycaffe's own names for what lies below, which scripts use here and there
    @property
    def _layer_names(self):
        return list(self.layer_names)

    @property
    def _blobs(self):
        return list(self.blob_list)

    @property
    def _blob_names(self):
        return list(self.blob_names)

    @property
    def _inputs(self):
        return list(self.input_ids)

    @property
    def _outputs(self):
        return list(self.output_ids)

    @property
    def _blob_loss_weights(self):
        weights = [0.0] * len(self.blob_list)
        for tops, layer_weights in zip(self.top_ids, self.loss_weights, strict=True):
            for top, weight in zip(tops, layer_weights, strict=True):
                weights[top] = weight
        return weights

    def _top_ids(self, layer):
        return list(self.top_ids[layer])

    def _bottom_ids(self, layer):
        return list(self.bottom_ids[layer])

    def _forward(self, start, end):
        """Run layers start..end, by index; return their weighted loss."""
        self._check_layers(start, end)
        return self.run_layers(start, end)

    def _backward(self, start, end):
        """Run layers start down to end, by index, backward."""
        self._check_layers(end, start)
        self.run_layers_back(start, end)

    def _check_layers(self, low, high):
        if low < 0 or high >= len(self.layer_list):
            raise CaffeError(
                f"{self.file}: there are layers 0 to {len(self.layer_list) - 1}, not {low} to {high}"
            )

    def before_forward(self, run):
        """Call `run(i)` before layer i runs forward; from now on the solver, too, runs the net
        layer by layer.
        """
        self.callbacks["before_forward"].append(run)

    def after_forward(self, run):
        """Call `run(i)` after layer i has run forward."""
        self.callbacks["after_forward"].append(run)

    def before_backward(self, run):
        """Call `run(i)` before layer i runs backward, also where its turn has nothing to do."""
        self.callbacks["before_backward"].append(run)

    def after_backward(self, run):
        """Call `run(i)` after layer i's turn in the backward pass."""
        self.callbacks["after_backward"].append(run)

    @property
    def inputs(self):
        return [self.blob_names[i] for i in self.input_ids]

    @property
    def outputs(self):
        return [self.blob_names[i] for i in self.output_ids]

    @property
    def blob_loss_weights(self):
        return OrderedDict(zip(self.blob_names, self._blob_loss_weights, strict=True))

    @property
    def top_names(self):
        return OrderedDict(
            (n, [self.blob_names[t] for t in ids])
            for n, ids in zip(self.layer_names, self.top_ids, strict=True)
        )

    @property
    def bottom_names(self):
        return OrderedDict(
            (n, [self.blob_names[t] for t in ids])
            for n, ids in zip(self.layer_names, self.bottom_ids, strict=True)
        )

    # ------------------------------------------------------------------------------------------------------- running
    def forward(self, blobs=None, start=None, end=None, **kwargs):
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
            last = len(self.layer_list) - 1
            outputs = {*self.outputs, *(blobs or [])}
        self._feed(kwargs, self.inputs, "data", "input")
        self.run_layers(first, last)
        by_name = self.blobs
        return {name: by_name[self._known_blob(name)].data for name in sorted(outputs)}

    def backward(self, diffs=None, start=None, end=None, **kwargs):
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
        first = self._layer_index(start) if start is not None else len(self.layer_list) - 1
        if end is not None:
            last = self._layer_index(end)
            outputs = {*self.bottom_names[end], *(diffs or [])}
        else:
            last = 0
            outputs = {*self.inputs, *(diffs or [])}
        self._feed(kwargs, self.outputs, "diff", "output")
        self.run_layers_back(first, last)
        by_name = self.blobs
        return {name: by_name[self._known_blob(name)].diff for name in sorted(outputs)}

    def forward_all(self, blobs=None, **kwargs):
        """Run forward over any number of items, a batch at a time; the last batch is filled up with
        zeros.

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
        return self._all(lambda batch: self.forward(blobs=blobs, **batch), kwargs)

    def forward_backward_all(self, blobs=None, diffs=None, **kwargs):
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
        ahead = {name: array for name, array in kwargs.items() if name in self.inputs}
        back = {name: array for name, array in kwargs.items() if name not in self.inputs}
        found = self._all(
            lambda batch: {
                **{
                    ("data", k): v
                    for k, v in self.forward(blobs=blobs, **{n: batch[n] for n in ahead}).items()
                },
                **{
                    ("diff", k): v
                    for k, v in self.backward(diffs=diffs, **{n: batch[n] for n in back}).items()
                },
            },
            kwargs,
        )
        return tuple(
            {k: v for (kind, k), v in found.items() if kind == wanted}
            for wanted in ("data", "diff")
        )

    def _all(self, run, arrays):
        lengths = {len(array) for array in arrays.values()}
        if set(self.inputs) - arrays.keys():
            raise CaffeError(
                f"{self.file}: the inputs are {', '.join(self.inputs)}; given were {', '.join(arrays) or 'none'}"
            )
        if len(lengths) != 1 or 0 in lengths:
            raise CaffeError(
                f"{self.file}: the arrays must hold the same number of items, at least one, not {sorted(lengths)}"
            )
        (count,) = lengths
        size = self.blobs[self.inputs[0]].shape[0]
        found = {}
        for start in range(0, count, size):
            batch = {}
            for name, array in arrays.items():
                part = np.asarray(array[start : start + size], dtype=np.float32)
                if len(part) < size:
                    part = np.concatenate(
                        [part, np.zeros((size - len(part), *part.shape[1:]), dtype=np.float32)]
                    )
                batch[name] = part
            for name, value in run(batch).items():
                found.setdefault(name, []).append(np.array(value))
        return {
            name: np.concatenate(values)[:count] if values[0].ndim else np.array(values)
            for name, values in found.items()
        }

    def set_input_arrays(self, data, labels):
        """Feed the net's first layer, a MemoryData, from arrays.

        Parameters
        ----------
        data : ndarray of shape (n, C, H, W)
            n a multiple of the layer's batch_size.
        labels : ndarray of shape (n,) or (n, 1, 1, 1)
        """
        layer = self.layer_list[0]
        if layer.type != "MemoryData":
            raise CaffeError(f"{self.file}: set_input_arrays may only be called if the first layer is a MemoryData; it is"
                             f" '{layer.name}' ({layer.type})")  # fmt: skip
        layer.reset(data, labels)

    def _feed(self, arrays, allowed, attribute, word):
        if arrays and set(arrays) != set(allowed):
            raise CaffeError(
                f"{self.file}: the {word}s are {', '.join(allowed) or 'none'}; given were {', '.join(arrays)}: give all, or none"
            )
        by_name = self.blobs
        for name, array in arrays.items():
            blob = by_name[name]
            if np.shape(array)[:1] != blob.shape[:1] or np.size(array) != blob.count:
                raise CaffeError(
                    f"{self.file}: {word} '{name}' holds {blob.shape}, the array is {np.shape(array)}"
                )
            getattr(blob, attribute)[...] = np.asarray(array).reshape(blob.shape)

    def _layer_index(self, name):
        if name not in self.layer_names:
            raise CaffeError(
                f"{self.file}: there is no layer '{name}'; there are {', '.join(self.layer_names)}"
            )
        return self.layer_names.index(name)

    def _known_blob(self, name):
        if name not in self.blob_names:
            raise CaffeError(
                f"{self.file}: there is no blob '{name}'; there are {', '.join(self.blob_names)}"
            )
        return name

    # ------------------------------------------------------------------------------------------------------- weights
    def copy_from(self, path):
        """Copy weights from a .caffemodel or .caffemodel.h5, by layer name."""
        self.copy_trained_layers(path)

    load_hdf5 = copy_from

    def share_with(self, other):
        """Use another net's parameters, by layer name."""
        self.share_trained_layers(other)

    def save(self, path):
        """Write a .caffemodel."""
        self.write_caffemodel(path)

    def save_hdf5(self, path, write_diff=False):
        """Write a .caffemodel.h5."""
        self.write_caffemodel_h5(path, write_diff)


TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
