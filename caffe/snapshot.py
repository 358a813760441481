"""Weights and solver states on disk: .caffemodel and .solverstate, binary protobuf or HDF5.

Files are written under a temporary name and renamed when whole.
"""

import contextlib
import mmap
import os
import re

import h5py
import numpy as np

from caffe import leftovers, regular_file, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

NET_LAYER, NET_LAYERS_V1, LAYER_BLOBS, V1_BLOBS, V1_V0_LAYER, V0_BLOBS, STATE_HISTORY = 100, 2, 7, 6, 1, 50, 3


@contextlib.contextmanager
def renamed_when_whole(path):
    """Yield a temporary name beside `path`; rename it when the block ends, delete it when the block fails."""
    temporary = f"{path}.tmp{os.getpid()}"
    leftovers.remove(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # HDF5 raises the latter where a full disk shows at the end only
        said = re.search(r"errno = \d+, error message = '([^']+)'", str(error))
        if isinstance(error, RuntimeError) and not said:
            raise
        hint = "" if os.path.isdir(os.path.dirname(path) or ".") else "; does the folder exist?"
        reason = said[1] if said else error.strerror or error
        raise CaffeError(f"{path}: cannot be written ({reason}){hint}") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


@contextlib.contextmanager
def _mapped(path):
    """The file's bytes as a memoryview; whatever breaks while reading them is a CaffeError naming the file."""
    regular_file.check(path)
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if size == 0:
                raise CaffeError(f"{path}: is empty")
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    try:
        yield memoryview(data)  # arrays read from it keep the map alive
    except wire.Truncated as error:
        raise CaffeError(f"{path}: is truncated or no Caffe file") from error


# ------------------------------------------------------------------------------------------------------------ weights


def read_caffemodel(path):
    """Read weights.

    Parameters
    ----------
    path : str
        A .caffemodel (of any age: `layer`, V1 or V0 form), or .h5.

    Returns
    -------
    dict
        {layer name: list of wire.BlobArray}, layers without blobs left out, in the file's order.

    Raises
    ------
    CaffeError
    """
    path = os.fspath(path)
    if path.endswith(".h5"):
        return _read_caffemodel_h5(path)
    layers = {}
    with _mapped(path) as view:
        found, _ = wire.split(view, (NET_LAYER, NET_LAYERS_V1))
        if not found[NET_LAYER] and not found[NET_LAYERS_V1]:
            raise CaffeError(f"{path}: holds no layers; is it a .caffemodel?")
        for message in found[NET_LAYER]:
            inner, rest = wire.split(message, (LAYER_BLOBS,))
            _keep(layers, path, _parsed(caffe_pb2.LayerParameter(), rest, path).name, inner[LAYER_BLOBS])
        for message in found[NET_LAYERS_V1]:
            inner, rest = wire.split(message, (V1_BLOBS, V1_V0_LAYER))
            name, blobs = _parsed(caffe_pb2.V1LayerParameter(), rest, path).name, inner[V1_BLOBS]
            for older in inner[V1_V0_LAYER]:
                oldest, rest = wire.split(older, (V0_BLOBS,))
                name, blobs = _parsed(caffe_pb2.V0LayerParameter(), rest, path).name, oldest[V0_BLOBS]
            _keep(layers, path, name, blobs)
    return layers


def _parsed(message, data, path):
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, by a name that changes between its versions
        raise CaffeError(f"{path}: is truncated or no Caffe file") from error
    return message


def _keep(layers, path, name, blobs):
    if not blobs:
        return
    arrays = []
    for i, blob in enumerate(blobs):
        try:
            arrays.append(wire.read_blob(blob))
        except CaffeError as error:
            raise CaffeError(f"{path}: layer '{name}', blob {i}: {error}") from error
    layers[name] = arrays


def _read_caffemodel_h5(path):
    layers = {}
    with _h5(path, "r") as f:
        if "data" not in f:
            raise CaffeError(f"{path}: holds no group /data; is it a .caffemodel.h5?")
        for name, group in f["data"].items():
            blobs = [group[str(i)] for i in range(len(group))]
            arrays = [np.asarray(b, dtype=np.float32) for b in blobs]
            if arrays:
                layers[name] = [wire.BlobArray(a.reshape(-1), None, a.shape, False) for a in arrays]
    return layers


@contextlib.contextmanager
def _h5(path, how):
    regular_file.check(path)
    try:
        with h5py.File(path, how) as f:
            yield f
    except (OSError, KeyError, ValueError) as error:
        raise CaffeError(f"{path}: is no readable HDF5 file of Caffe's ({error})") from error


def write_caffemodel(path, net_param, blobs, with_diff=False):
    """Write weights as binary protobuf.

    Parameters
    ----------
    path : str
    net_param : NetParameter
        The net as built; its layers are written with their settings.
    blobs : list of list of Blob
        The parameter blobs of each layer of `net_param`.
    with_diff : bool
        Write the diffs too (snapshot_diff).
    """
    with renamed_when_whole(path) as temporary, open(temporary, "wb") as f:
        head = caffe_pb2.NetParameter(name=net_param.name)
        f.write(head.SerializeToString())
        for layer, layer_blobs in zip(net_param.layer, blobs, strict=True):
            clean = caffe_pb2.LayerParameter()
            clean.CopyFrom(layer)
            clean.ClearField("blobs")
            pieces = [clean.SerializeToString()]
            for blob in layer_blobs:
                pieces += wire.nested(
                    LAYER_BLOBS, wire.blob_pieces(host(blob.tensor()), host(blob.diff_tensor()) if with_diff else None)
                )
            for piece in wire.nested(NET_LAYER, pieces):
                f.write(piece)


def host(tensor):
    """A tensor as a NumPy array on the host (no copy on the CPU)."""
    return tensor.detach().cpu().numpy()


def write_caffemodel_h5(path, layer_names, blobs, with_diff=False):
    """Write weights as HDF5: /data/<layer>/<i>, and /diff/<layer>/<i> if asked for."""
    with renamed_when_whole(path) as temporary, h5py.File(temporary, "w") as f:
        groups = [("data", lambda b: host(b.tensor()))]
        if with_diff:
            groups.append(("diff", lambda b: host(b.diff_tensor())))
        for group_name, values in groups:
            group = f.create_group(group_name)
            for name, layer_blobs in zip(layer_names, blobs, strict=True):
                inner = group.create_group(name)
                for i, blob in enumerate(layer_blobs):
                    inner.create_dataset(str(i), data=values(blob))


# ------------------------------------------------------------------------------------------------------ solver states


class State:
    """A solver state read: `iter`, `learned_net`, `current_step`, `history` (list of float32 arrays)."""

    def __init__(self, iteration, learned_net, current_step, history):
        self.iter, self.learned_net, self.current_step, self.history = iteration, learned_net, current_step, history


def write_solverstate(path, iteration, learned_net, current_step, history):
    """Write a solver state; the form (binary or HDF5) goes by the suffix .h5."""
    with renamed_when_whole(path) as temporary:
        if path.endswith(".h5"):
            with h5py.File(temporary, "w") as f:
                f.create_dataset("iter", data=np.int32(iteration))
                f.create_dataset("learned_net", data=learned_net)
                f.create_dataset("current_step", data=np.int32(current_step))
                group = f.create_group("history")
                for i, values in enumerate(history):
                    group.create_dataset(str(i), data=host(values))
            return
        head = caffe_pb2.SolverState(iter=iteration, learned_net=learned_net, current_step=current_step)
        with open(temporary, "wb") as f:
            f.write(head.SerializeToString())
            for values in history:
                for piece in wire.nested(STATE_HISTORY, wire.blob_pieces(host(values))):
                    f.write(piece)


def read_solverstate(path):
    """Read a .solverstate or .solverstate.h5 into a State."""
    path = os.fspath(path)
    if path.endswith(".h5"):
        with _h5(path, "r") as f:
            learned = f["learned_net"][()] if "learned_net" in f else b""
            learned = learned.decode() if isinstance(learned, bytes) else str(learned)
            step = int(np.asarray(f["current_step"]).ravel()[0]) if "current_step" in f else 0
            group = f["history"]
            history = [np.asarray(group[str(i)], dtype=np.float32) for i in range(len(group))]
            return State(int(np.asarray(f["iter"]).ravel()[0]), learned, step, history)
    with _mapped(path) as view:
        found, rest = wire.split(view, (STATE_HISTORY,))
        state = _parsed(caffe_pb2.SolverState(), rest, path)
        if not state.HasField("iter"):
            raise CaffeError(f"{path}: holds no iteration; is it a .solverstate?")
        history = [wire.read_blob(blob).array() for blob in found[STATE_HISTORY]]
    return State(state.iter, state.learned_net, state.current_step, history)
