"""What Caffe's files hold, found by their content, never by their names.

Each function returns a dict for JSON with `kind` and `format`; `inspect_text.py` makes the table.
Large files are not read as a whole: of weights the shapes, of an LMDB a sample of its records.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import torch

from caffe import hdf5_file, prototxt, snapshot, weights_file, wire
from caffe.error import CaffeError
from caffe.inspect_lmdb import read_lmdb
from caffe.inspect_net import FLOAT, summarize
from caffe.layer import Shape
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular

Found = dict[str, Any]
HEAD = 4096  # bytes that are looked at to tell text from a binary file
NUMPY = b"\x93NUMPY"
# fields of a solver's prototxt that a net's does not have
SOLVER_FIELDS = ("net", "train_net", "net_param", "train_net_param", "base_lr", "lr_policy")
SOLVER_FIELDS += ("max_iter", "solver_type", "solver_mode", "snapshot_prefix", "test_iter")
SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive (such as .npz, or PyTorch's own files); it is none of Caffe's",
    b"%PDF": "a PDF file",
}


class Options:
    """What the user may say about a net.

    Parameters
    ----------
    phase : str
        'TRAIN', 'TEST', or '' for TEST of a deploy net and both phases of a solver.
    level : int
    stages : list of str
    shapes : dict
        {blob: shape} for blobs that data layers, Input layers or Python layers produce.
    """

    def __init__(
        self,
        phase: str = "",
        level: int = 0,
        stages: Sequence[str] = (),
        shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        self.phase, self.level, self.stages = phase, level, list(stages)
        self.shapes = dict(shapes or {})


def read(path: str, options: Options | None = None) -> Found:
    """Describe a file.

    Parameters
    ----------
    path : str
        A net's or solver's prototxt in any of Caffe's forms, weights, a solver state, a mean or
        another blob, a NumPy array, or the folder of an LMDB.
    options : Options, optional

    Returns
    -------
    dict
        With `file`, `kind` ('net', 'solver', 'weights', 'solver state', 'blob', 'array', 'HDF5
        data' or 'LMDB'), `format`, `bytes`, and what the kind has.

    Raises
    ------
    CaffeError
        The file is missing, damaged, or none of these.
    """
    path, options = os.fspath(path), options or Options()
    if os.path.isdir(path):
        return {"file": path} | read_lmdb(path)
    with open_regular(path) as f:
        head, size = f.read(HEAD), os.fstat(f.fileno()).st_size
    if not head:
        raise CaffeError(f"{path}: is empty")
    found = _reader(path, head)(path, options)
    return {"file": path} | found | {"bytes": size}


def _reader(path: str, head: bytes) -> Callable[[str, Options], Found]:
    if hdf5_file.is_hdf5(path):
        return _read_hdf5
    if head.startswith(NUMPY):
        return _read_numpy
    for start, what in SIGNATURES.items():
        if head.startswith(start):
            raise CaffeError(f"{path}: is {what}")
    if os.path.basename(path) in ("data.mdb", "lock.mdb"):
        raise CaffeError(f"{path}: is a part of an LMDB; give its folder")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CaffeError(f"{path}: is an HTML page, not one of Caffe's files; download it again")
    if not any(byte < 32 and byte not in b"\t\n\f\r" for byte in head):
        return _read_prototxt
    return _read_binary


# ---------------------------------------------------------------------------------------- prototxt


def _read_prototxt(path: str, options: Options) -> Found:
    net, solver = caffe_pb2.NetParameter(), caffe_pb2.SolverParameter()
    try:
        prototxt.read_message(path, net)
    except CaffeError as not_a_net:
        try:
            prototxt.read_message(path, solver)
        except CaffeError as not_a_solver:
            raise not_a_solver if _looks_like_a_solver(path) else not_a_net from None
        from caffe.inspect_solver import read_solver

        return read_solver(path, options)
    if not net.layer and not net.layers:
        raise CaffeError(f"{path}: is a prototxt without layers")
    return read_net(net, path, options)


def _looks_like_a_solver(path: str) -> bool:
    text = prototxt.read_text(path)
    return any(line.strip().partition(":")[0] in SOLVER_FIELDS for line in text.splitlines())


def form_of(net: caffe_pb2.NetParameter) -> str:
    """Which of Caffe's three forms a net has: V0, V1 or Caffe 1.0."""
    if any(layer.HasField("layer") for layer in net.layers):
        return "V0"
    return "V1" if net.layers else "Caffe 1.0"


def read_net(
    net: caffe_pb2.NetParameter, path: str, options: Options, solver_type: str = "SGD"
) -> Found:
    """Describe a net that was read from `path`, in one phase."""
    chosen = options.phase or ("TRAIN" if _has_data_for_training(net) else "TEST")
    form = form_of(net)
    param = caffe_pb2.NetParameter()
    param.CopyFrom(net)
    param.state.phase = caffe_pb2.Phase.Value(chosen)
    param.state.level = options.level or param.state.level
    param.state.stage.extend(stage for stage in options.stages if stage)
    summary = summarize(param, path, options.shapes, solver_type)
    if not summary.layers:
        raise CaffeError(f"{path}: has no layers in phase {chosen}")
    return {"kind": "net", "format": f"prototxt, {form}"} | summary.to_dict()


def shapes_of(
    net: caffe_pb2.NetParameter, path: str, phase: int, given: Mapping[str, Shape]
) -> dict[str, Shape | None]:
    """{blob: shape} of a net in one phase; None where a shape is unknown."""
    param = caffe_pb2.NetParameter()
    param.CopyFrom(net)
    param.state.phase = phase
    return {
        name: shape
        for layer in summarize(param, path, given).layers
        for name, shape in layer.tops.items()
    }


def _has_data_for_training(net: caffe_pb2.NetParameter) -> bool:
    """Whether a layer is for TRAIN only, as the data layer of a train_val.prototxt is."""
    return any(
        rule.HasField("phase") and rule.phase == caffe_pb2.TRAIN
        for layer in (*net.layer, *net.layers)
        for rule in layer.include
    )


# ------------------------------------------------------------------------------------ binary files


def _read_binary(path: str, _: Options) -> Found:
    with weights_file.mapped(path) as view:
        kinds: dict[int, int] = {}
        for number, kind, _value, _raw in wire.fields(view):
            kinds.setdefault(number, kind)
    if weights_file.NET_LAYER in kinds or kinds.get(1) == wire.BYTES:
        return _read_weights(path)
    blob = {wire.BLOB_DATA, wire.BLOB_DOUBLE_DATA, wire.BLOB_SHAPE} & set(kinds)
    if blob and kinds.get(3) != wire.BYTES:
        values = weights_file.read_blob_file(path)
        return {"kind": "blob", "format": "binary"} | statistics(values)
    if kinds.get(1) == wire.VARINT:
        return _read_state(path)
    if kinds.get(weights_file.NET_LAYERS_V1) == wire.BYTES:
        return _read_weights(path)
    raise CaffeError(weights_file.damaged(path))


def _read_weights(path: str, _: Options | None = None) -> Found:
    types, hdf5 = [], hdf5_file.is_hdf5(path)
    name, form = "", ""
    if not hdf5:
        name, form, types = _layer_types(path)
    rows = []
    for i, (layer, blobs) in enumerate(weights_file.read_layers(path)):
        rows.append(
            {
                "name": layer,
                "type": types[i] if types else "",
                "blobs": [{"index": k, **statistics(blobs[k].array())} for k in sorted(blobs)],
                "parameters": sum(blob.data.size for blob in blobs.values()),
            }
        )
    parameters = sum(row["parameters"] for row in rows)
    return {
        "kind": "weights",
        "format": "HDF5" if hdf5 else f"binary, {form}",
        "name": name,
        "parameters": parameters,
        "parameter_bytes": FLOAT * parameters,
        "layers": rows,
    }


def _layer_types(path: str) -> tuple[str, str, list[str]]:
    """A binary .caffemodel's name, its form, and the types of its layers."""
    types, form = [], "Caffe 1.0"
    with weights_file.mapped(path) as view:
        numbers = (weights_file.NET_LAYER, weights_file.NET_LAYERS_V1)
        found, rest = wire.split(view, numbers)
        name = wire.parse(caffe_pb2.NetParameter(), rest, weights_file.damaged(path)).name
        for message in found[weights_file.NET_LAYER]:
            _, rest = wire.split(message, (weights_file.LAYER_BLOBS,))
            complaint = weights_file.damaged(path)
            types.append(wire.parse(caffe_pb2.LayerParameter(), rest, complaint).type)
        for message in found[weights_file.NET_LAYERS_V1]:
            inner, rest = wire.split(message, (weights_file.V1_BLOBS, weights_file.V1_V0_LAYER))
            form = "V0" if inner[weights_file.V1_V0_LAYER] else "V1"
            layer = wire.parse(caffe_pb2.V1LayerParameter(), rest, weights_file.damaged(path))
            kind = caffe_pb2.V1LayerParameter.LayerType.Name(layer.type)
            for older in inner[weights_file.V1_V0_LAYER]:
                _, rest = wire.split(older, (weights_file.V0_BLOBS,))
                complaint = weights_file.damaged(path)
                kind = wire.parse(caffe_pb2.V0LayerParameter(), rest, complaint).type
            types.append(kind)
    return wire.readable(name), form, list(map(wire.readable, types))


def _read_state(path: str, _: Options | None = None) -> Found:
    state = snapshot.read_solverstate(path)
    weights = snapshot.weights_of(path, state)
    values = sum(array.size for array in state.history)
    return {
        "kind": "solver state",
        "format": "HDF5" if hdf5_file.is_hdf5(path) else "binary",
        "iter": state.iter,
        "learned_net": state.learned_net,
        "learned_net_exists": bool(weights) and os.path.exists(weights),
        "current_step": state.current_step,
        "resumes_exactly": bool(state.resume_point),
        "history_values": values,
        "history_bytes": FLOAT * values,
        "history": [{"index": i, **statistics(array)} for i, array in enumerate(state.history)],
    }


def statistics(values: np.ndarray) -> Found:
    """Shape, mean, deviation and range of an array, and how many of its values are not finite."""
    found: Found = {"shape": list(values.shape), "values": int(values.size)}
    if not values.size or values.dtype.kind not in "iufb":
        return found
    with warnings.catch_warnings():  # the mapped file cannot be written, and nobody writes
        warnings.simplefilter("ignore", UserWarning)
        numbers = torch.from_numpy(np.asarray(values, dtype=np.float32))
    deviation, mean = torch.std_mean(numbers, correction=0)
    least, greatest = torch.aminmax(numbers)
    found |= {
        "mean": float(mean),
        "deviation": float(deviation),
        "least": float(least),
        "greatest": float(greatest),
        "not_finite": values.size - int(torch.isfinite(numbers).sum()),
    }
    if numbers.dim() == 4 and len(numbers) == 1:
        numbers = numbers[0]
    if numbers.dim() == 3 and len(numbers) in (1, 3):
        found["channel_means"] = numbers.mean((1, 2), dtype=torch.float64).tolist()
    return found


# ---------------------------------------------------------------------------------- HDF5 and NumPy


def _read_hdf5(path: str, _: Options) -> Found:
    with hdf5_file.reading(path) as f:
        names = set(f)
        is_state = {"iter", "history"} <= names
        is_net = "data" in names and isinstance(f["data"], h5py.Group)
        rows = []
        for name in sorted(names - {"data"} if is_net else names):
            if isinstance(f[name], h5py.Dataset):
                shape = list(f[name].shape or ())
                rows.append({"name": name, "shape": shape, "type": str(f[name].dtype)})
    if is_state:
        return _read_state(path)
    if is_net:
        return _read_weights(path)
    if not rows:
        raise CaffeError(f"{path}: is an HDF5 file, but neither weights, a solver state nor data")
    return {"kind": "HDF5 data", "format": "HDF5", "datasets": rows}


def _read_numpy(path: str, _: Options) -> Found:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = " ".join(str(error).split())
        raise CaffeError(f"{path}: is not a readable NumPy array ({why})") from error
    return {"kind": "array", "format": "NumPy", "type": str(values.dtype)} | statistics(values)
