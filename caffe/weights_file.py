"""Weights on disk: .caffemodel, binary protobuf or HDF5 (see hdf5_snapshot.py), and .binaryproto.

A file's form is recognised by its content, never by its name.
"""

import contextlib
import mmap
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from caffe import hdf5_file, hdf5_snapshot, wire
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular
from caffe.whole_file import renamed_when_whole
from caffe.wire import BlobArray

NET_LAYER, NET_LAYERS_V1, LAYER_BLOBS, V1_BLOBS, V1_V0_LAYER, V0_BLOBS = 100, 2, 7, 6, 1, 50


@contextlib.contextmanager
def mapped(path: str) -> Iterator[memoryview]:
    """Yield the file's bytes; if the block fails to read them, the CaffeError names the file."""
    try:
        with open_regular(path) as f:
            if os.fstat(f.fileno()).st_size == 0:
                raise CaffeError(f"{path}: is empty")
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        yield memoryview(data)  # arrays read from it keep the map alive
    except wire.Truncated as error:
        raise CaffeError(damaged(path)) from error
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise CaffeError(f"{path}: there is not enough memory to read it") from error


def damaged(path: str) -> str:
    """The message of the error for a file that cannot be parsed."""
    return f"{path}: is truncated or not a Caffe file"


def read_layers(path: str | os.PathLike[str]) -> list[tuple[str, dict[int, BlobArray]]]:
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
            (n, {i: BlobArray(a.reshape(-1), None, a.shape, False) for i, a in blobs.items()})
            for n, blobs in found
        ]
    layers, complaint = [], damaged(path)
    with mapped(path) as view:
        found, _ = wire.split(view, (NET_LAYER, NET_LAYERS_V1))
        if not found[NET_LAYER] and not found[NET_LAYERS_V1]:
            raise CaffeError(f"{path}: holds no layers; is it a .caffemodel?")
        for message in found[NET_LAYER]:
            inner, rest = wire.split(message, (LAYER_BLOBS,))
            name = wire.parse(caffe_pb2.LayerParameter(), rest, complaint).name
            layers.append(_layer(path, name, inner[LAYER_BLOBS]))
        for message in found[NET_LAYERS_V1]:
            inner, rest = wire.split(message, (V1_BLOBS, V1_V0_LAYER))
            name = wire.parse(caffe_pb2.V1LayerParameter(), rest, complaint).name
            blobs = inner[V1_BLOBS]
            for older in inner[V1_V0_LAYER]:
                oldest, rest = wire.split(older, (V0_BLOBS,))
                name = wire.parse(caffe_pb2.V0LayerParameter(), rest, complaint).name
                blobs = oldest[V0_BLOBS]
            layers.append(_layer(path, name, blobs))
    return layers


def _layer(path: str, name: str, blobs: Sequence[memoryview]) -> tuple[str, dict[int, BlobArray]]:
    name = wire.readable(name)
    return name, {
        i: parsed_blob(blob, f"{path}: layer {name!r}, blob {i}") for i, blob in enumerate(blobs)
    }


def parsed_blob(view: memoryview, where: str) -> BlobArray:
    """Read a BlobProto from its bytes; `where` names it in errors."""
    try:
        return wire.read_blob(view)
    except CaffeError as error:
        raise CaffeError(f"{where}: {error}") from error


def read_blob_file(path: str | os.PathLike[str]) -> np.ndarray:
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
    with mapped(path) as view:
        return parsed_blob(view, path).array()


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, list[BlobArray]]:
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


def write_caffemodel(
    path: str | os.PathLike[str],
    net_param: caffe_pb2.NetParameter,
    blobs: Sequence[Sequence[Blob]],
    with_diff: bool = False,
) -> None:
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


def host(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as a NumPy array on the host (no copy on the CPU)."""
    return tensor.detach().cpu().numpy()


def write_caffemodel_h5(
    path: str | os.PathLike[str],
    layer_names: Sequence[str],
    blobs: Sequence[Sequence[Blob]],
    owned: Sequence[Sequence[bool]],
    with_diff: bool = False,
) -> None:
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
