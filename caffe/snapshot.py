"""Weights and solver states on disk: .caffemodel and .solverstate, binary protobuf or HDF5 (see
hdf5_snapshot.py).

The form of a file that is read is told from its content, never from its name.  Files are written
under a temporary name and renamed when whole.
"""

import contextlib
import errno
import mmap
import os

from caffe import hdf5_file, hdf5_snapshot, leftovers, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular

NET_LAYER, NET_LAYERS_V1, LAYER_BLOBS, V1_BLOBS, V1_V0_LAYER, V0_BLOBS = 100, 2, 7, 6, 1, 50
STATE_LEARNED_NET, STATE_HISTORY = 2, 3
MOST = 2**31 - 1  # iterations and steps are ints
REMEDIES = {
    errno.ENOENT: "; does the folder exist?",
    errno.ENOSPC: "; make room on the disk",
    errno.EDQUOT: "; make room on the disk",
}


@contextlib.contextmanager
def renamed_when_whole(path):
    """Yield a temporary name beside `path`; rename it when the block ends, delete it when the block
    fails.

    Raises
    ------
    CaffeError
        The file cannot be written: no such folder, no permission, a full disk.
    """
    path = os.fspath(path)
    temporary = f"{path}.tmp{os.getpid()}"
    leftovers.remove(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        why = f"{error.strerror or error}{REMEDIES.get(error.errno, '')}"
        raise CaffeError(f"{path}: cannot be written ({' '.join(why.split())})") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


@contextlib.contextmanager
def _mapped(path):
    """The file's bytes as a memoryview; whatever breaks while they are read is a CaffeError naming
    the file.
    """
    try:
        with open_regular(path) as f:
            if os.fstat(f.fileno()).st_size == 0:
                raise CaffeError(f"{path}: is empty")
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        yield memoryview(data)  # arrays read from it keep the map alive
    except wire.Truncated as error:
        raise CaffeError(_damaged(path)) from error
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise CaffeError(f"{path}: there is not enough memory to read it") from error


def _damaged(path):
    return f"{path}: is truncated or not a Caffe file"


# ------------------------------------------------------------------------------------------------------------ weights


def read_layers(path):
    """Read weights, layer by layer.

    Parameters
    ----------
    path : str
        A .caffemodel of any age (`layer`, V1 or V0 form), binary or HDF5; its name does not matter.

    Returns
    -------
    list of (str, dict)
        In the file's order, layer names with {index of the blob: wire.BlobArray}.  HDF5 leaves out
        blobs that an earlier layer owns.

    Raises
    ------
    CaffeError
    """
    path = os.fspath(path)
    if hdf5_file.is_hdf5(path):
        found = hdf5_snapshot.read_weights(path)
        return [
            (n, {i: wire.BlobArray(a.reshape(-1), None, a.shape, False) for i, a in blobs.items()})
            for n, blobs in found
        ]
    layers, complaint = [], _damaged(path)
    with _mapped(path) as view:
        found, _ = wire.split(view, (NET_LAYER, NET_LAYERS_V1))
        if not found[NET_LAYER] and not found[NET_LAYERS_V1]:
            raise CaffeError(f"{path}: holds no layers; is it a .caffemodel?")
        for message in found[NET_LAYER]:
            inner, rest = wire.split(message, (LAYER_BLOBS,))
            name = wire.parse(caffe_pb2.LayerParameter(), rest, complaint).name
            layers.append(_layer(path, name, inner[LAYER_BLOBS]))
        for message in found[NET_LAYERS_V1]:
            inner, rest = wire.split(message, (V1_BLOBS, V1_V0_LAYER))
            name, blobs = (
                wire.parse(caffe_pb2.V1LayerParameter(), rest, complaint).name,
                inner[V1_BLOBS],
            )
            for older in inner[V1_V0_LAYER]:
                oldest, rest = wire.split(older, (V0_BLOBS,))
                name, blobs = (
                    wire.parse(caffe_pb2.V0LayerParameter(), rest, complaint).name,
                    oldest[V0_BLOBS],
                )
            layers.append(_layer(path, name, blobs))
    return layers


def _layer(path, name, blobs):
    name = wire.readable(name)
    return name, {
        i: _blob(blob, f"{path}: layer {name!r}, blob {i}") for i, blob in enumerate(blobs)
    }


def _blob(view, where):
    try:
        return wire.read_blob(view)
    except CaffeError as error:
        raise CaffeError(f"{where}: {error}") from error


def read_blob_file(path):
    """Read a .binaryproto: one BlobProto, such as a mean image or a matrix.

    Parameters
    ----------
    path : str

    Returns
    -------
    ndarray of float32
        In the blob's shape (old files: num, channels, height, width).

    Raises
    ------
    CaffeError
    """
    path = os.fspath(path)
    with _mapped(path) as view:
        return _blob(view, path).array()


def read_caffemodel(path):
    """Read weights.

    Parameters
    ----------
    path : str
        As for `read_layers`.

    Returns
    -------
    dict
        {layer name: list of wire.BlobArray}, layers without blobs left out, in the file's order.

    Raises
    ------
    CaffeError
    """
    return {name: [blobs[i] for i in sorted(blobs)] for name, blobs in read_layers(path) if blobs}


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

    Raises
    ------
    CaffeError
        The file cannot be written.
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
                    LAYER_BLOBS,
                    wire.blob_pieces(
                        host(blob.tensor()), host(blob.diff_tensor()) if with_diff else None
                    ),
                )
            for piece in wire.nested(NET_LAYER, pieces):
                f.write(piece)


def host(tensor):
    """A tensor as a NumPy array on the host (no copy on the CPU)."""
    return tensor.detach().cpu().numpy()


def write_caffemodel_h5(path, layer_names, blobs, owned, with_diff=False):
    """Write weights as HDF5: /data/<layer>/<i>, and /diff/<layer>/<i> if asked for.

    Parameters
    ----------
    path : str
    layer_names : list of str
    blobs : list of list of Blob
        The parameter blobs of each layer.
    owned : list of list of bool
        Whether each blob is the layer's own, or shared with an earlier layer and written there.
    with_diff : bool

    Raises
    ------
    CaffeError
        The file cannot be written.
    """
    data = [
        {
            i: host(blob.tensor())
            for i, (blob, own) in enumerate(zip(layer, owns, strict=True))
            if own
        }
        for layer, owns in zip(blobs, owned, strict=True)
    ]
    diff = (
        [dict(enumerate(host(blob.diff_tensor()) for blob in layer)) for layer in blobs]
        if with_diff
        else None
    )
    with renamed_when_whole(path) as temporary:
        hdf5_snapshot.write_weights(temporary, layer_names, data, diff)


# ------------------------------------------------------------------------------------------------------ solver states


class State:
    """A solver state read: `iter`, `learned_net`, `current_step`, `history` (list of float32
    arrays).
    """

    def __init__(self, iteration, learned_net, current_step, history):
        self.iter, self.learned_net, self.current_step, self.history = (
            iteration,
            learned_net,
            current_step,
            history,
        )


def write_solverstate(path, iteration, learned_net, current_step, history):
    """Write a solver state; the form (binary or HDF5) goes by the suffix .h5.

    Parameters
    ----------
    path : str
    iteration, current_step : int
    learned_net : str
        Name of the weights' file.
    history : list of torch.Tensor

    Raises
    ------
    CaffeError
        The file cannot be written.
    """
    values = (host(tensor) for tensor in history)
    with renamed_when_whole(path) as temporary:
        if os.fspath(path).endswith(".h5"):
            hdf5_snapshot.write_state(temporary, iteration, learned_net, current_step, values)
            return
        with open(temporary, "wb") as f:
            f.write(
                caffe_pb2.SolverState(iter=iteration, current_step=current_step).SerializeToString()
            )
            name = os.fsencode(learned_net)
            f.write(wire.header(STATE_LEARNED_NET, len(name)) + name)
            for array in values:
                for piece in wire.nested(STATE_HISTORY, wire.blob_pieces(array)):
                    f.write(piece)


def read_solverstate(path):
    """Read a solver state, binary or HDF5; its name does not matter.

    Parameters
    ----------
    path : str

    Returns
    -------
    State

    Raises
    ------
    CaffeError
    """
    path = os.fspath(path)
    if hdf5_file.is_hdf5(path):
        state = State(*hdf5_snapshot.read_state(path))
    else:
        with _mapped(path) as view:
            found, rest = wire.split(view, (STATE_HISTORY,))
            head = wire.parse(caffe_pb2.SolverState(), rest, _damaged(path))
            if not head.HasField("iter"):
                raise CaffeError(f"{path}: holds no iteration; is it a .solverstate?")
            history = [
                _blob(blob, f"{path}: history blob {i}").array()
                for i, blob in enumerate(found[STATE_HISTORY])
            ]
        state = State(head.iter, os.fsdecode(head.learned_net), head.current_step, history)
    for word, value in (("iteration", state.iter), ("current_step", state.current_step)):
        if not 0 <= value <= MOST:
            raise CaffeError(f"{path}: the {word} is {value}; it must be from 0 to {MOST}")
    return state
