"""Weights and solver states as HDF5, in Caffe's layout (Caffe: net.cpp ToHDF5, sgd_solver.cpp, util/hdf5.cpp).

Weights: ``/data/<layer>/<i>`` and, if asked for, ``/diff/<layer>/<i>``; a blob that a layer shares with an earlier one is in
``/data`` only once, under its owner.  A `/` in a layer's name makes nested groups, so a layer is a group that holds numbered
datasets.  (Caffe dies while it saves such a net.)  A name that cannot be a path of its own (`a//b`, `/a`, `.`, a second layer
of the same name, `a/0` beside a layer `a` with blobs) gets a group ``layer_<index>`` that carries the name as an attribute.

Solver states: ``/iter``, ``/learned_net``, ``/current_step``, ``/history/<i>``.

HDF5's C library trusts what a file says about itself, so sizes are compared with the size of the file before anything is read.
"""

import contextlib
import io
import math
import os
import re
import struct

import h5py
import numpy as np

from caffe.error import CaffeError
from caffe.regular_file import open_regular

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NAME_ATTRIBUTE = "layer_name"
MAX_AXES = 32  # Caffe's kMaxBlobAxes, and HDF5's limit
MOST = 2**31 - 1  # Caffe counts values with an int
DEFLATE = 1032  # no filter that Caffe's files may use shrinks values more
MAX_DEPTH = 64  # of nested groups
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)

# what h5py raises for a file that is damaged
ERRORS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    IndexError,
    AttributeError,
    struct.error,
)


def is_hdf5(path):
    """Whether the file at `path` is HDF5, by its content: the signature is at byte 0, 512, 1024, 2048, ... (H5Fis_hdf5)."""
    with open_regular(path) as f:
        size, at = os.fstat(f.fileno()).st_size, 0
        while at + len(SIGNATURE) <= size:
            f.seek(at)
            if f.read(len(SIGNATURE)) == SIGNATURE:
                return True
            at = at * 2 or 512
    return False


# ------------------------------------------------------------------------------------------------------------- reading


@contextlib.contextmanager
def _reading(path):
    """An opened HDF5 file; everything that breaks while it is read is one CaffeError that names the file."""
    try:
        with h5py.File(path, "r", locking=False) as f:
            yield f
    except CaffeError:
        raise
    except ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise CaffeError(f"{path}: is a damaged HDF5 file, or not one of Caffe's ({why})") from error


def read_weights(path):
    """Read weights.

    Parameters
    ----------
    path : str

    Returns
    -------
    list of (str, dict)
        Layer names, each with {index of the blob: ndarray of float32}; a blob that an earlier layer owns is missing.

    Raises
    ------
    CaffeError
    """
    with _reading(path) as f:
        data = _child(f, "data", path)
        if not isinstance(data, h5py.Group):
            raise CaffeError(f"{path}: holds no group /data; is it a .caffemodel.h5?")
        by_path, by_attribute = [], []
        _walk(data, "", path, os.path.getsize(path), {_address(f), _address(data)}, by_path, by_attribute)
    return by_path + by_attribute


def _walk(group, name, path, size, seen, by_path, by_attribute):
    """Collect the layers below `group`, whose path below /data is `name`."""
    blobs = {}
    if name.count("/") >= MAX_DEPTH:
        raise CaffeError(f"{path}: groups are nested more than {MAX_DEPTH} deep in /data")
    for key in group:
        where = f"{name}/{key}" if name else key
        child = _child(group, key, path)
        if isinstance(child, h5py.Dataset):
            if not name or not INDEX.fullmatch(key):
                raise CaffeError(f"{path}: /data/{where} is not a blob's number; is it a .caffemodel.h5?")
            blobs[int(key)] = _values(child, f"{path}: /data/{where}", size)
        elif isinstance(child, h5py.Group):
            address = _address(child)
            if address in seen:
                raise CaffeError(f"{path}: the group /data/{where} is in the file twice")
            seen.add(address)
            _walk(child, where, path, size, seen, by_path, by_attribute)
        else:
            raise CaffeError(f"{path}: /data/{where} is neither a group nor a dataset")
    if NAME_ATTRIBUTE in group.attrs:
        by_attribute.append((_attribute_text(group, f"{path}: /data/{name}"), blobs))
    elif name and (blobs or not len(group)):
        by_path.append((name, blobs))


def _child(group, key, path):
    """A member of `group`; None if it is missing; links to elsewhere are refused."""
    place = f"{group.name.rstrip('/')}/{key}"
    if key in ("", ".") or "/" in key:
        raise CaffeError(f"{path}: is a damaged HDF5 file (a member is called '{key}')")
    name = key.encode("utf-8", "surrogateescape")
    if not group.id.links.exists(name):
        return None
    if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        raise CaffeError(f"{path}: {place} is a link to elsewhere, not the values themselves")
    return group[key]


def _address(group):
    return h5py.h5o.get_info(group.id).addr


def _attribute_text(group, where):
    attribute = group.attrs.get_id(NAME_ATTRIBUTE)
    if attribute.dtype != np.uint8 or len(attribute.shape) != 1:
        raise CaffeError(f"{where}: the attribute {NAME_ATTRIBUTE} is not a name")
    return group.attrs[NAME_ATTRIBUTE].tobytes().decode("utf-8", "surrogateescape")


def _values(dataset, where, size):
    """The numbers of a dataset as ndarray of float32; `size` is the file's, in bytes."""
    kind = dataset.id.get_type().get_class()
    if kind not in (h5py.h5t.FLOAT, h5py.h5t.INTEGER):
        raise CaffeError(f"{where} does not hold numbers")
    _check_size(dataset, where, size)
    with np.errstate(over="ignore"):  # a double beyond float32 is infinity, as in Caffe
        return np.asarray(dataset[()], dtype=np.float32)


def _check_size(dataset, where, size):
    """Refuse a dataset that cannot be whole in a file of `size` bytes, before memory is made for it."""
    shape, width = dataset.shape, dataset.id.get_type().get_size()
    if shape is None or len(shape) > MAX_AXES:
        raise CaffeError(f"{where} does not have a shape that a blob can have")
    create = dataset.id.get_create_plist()
    layout = create.get_layout()
    if layout not in LAYOUTS or create.get_external_count():
        raise CaffeError(f"{where} keeps its values in another file")
    count = math.prod(shape)
    if not count:
        return
    whole = count * width <= min(dataset.id.get_storage_size(), size)
    if layout == h5py.h5d.CHUNKED:
        whole = count * width <= _chunk_bytes(dataset, create, size) * DEFLATE >= math.prod(dataset.chunks) * width
    if count > MOST or not whole:
        raise CaffeError(f"{where} has the shape {shape}, for which the file is too small")


def _chunk_bytes(dataset, create, size):
    """The bytes that all chunks of a dataset take in a file of `size` bytes; 0 if one of them cannot be there."""
    filters = {create.get_filter(i)[0] for i in range(create.get_nfilters())}
    least = 5 if h5py.h5z.FILTER_FLETCHER32 in filters else 1  # HDF5 crashes where the checksum's 4 bytes are missing
    sizes = []
    dataset.id.chunk_iter(lambda chunk: sizes.append(chunk.size if chunk.byte_offset + chunk.size <= size else 0))
    return min(sum(sizes), size) if min(sizes, default=0) >= least else 0


def read_state(path):
    """Read a solver state.

    Returns
    -------
    (int, str, int, list of ndarray of float32)
        iter, learned_net, current_step, history.

    Raises
    ------
    CaffeError
    """
    size = os.path.getsize(path)
    with _reading(path) as f:
        iteration = _integer(f, "iter", path, size)
        history = _child(f, "history", path)
        if iteration is None or not isinstance(history, h5py.Group):
            raise CaffeError(f"{path}: holds no /iter and /history; is it a .solverstate.h5?")
        blobs = []
        for i in range(len(history)):
            blob = _child(history, str(i), path)
            if not isinstance(blob, h5py.Dataset):
                raise CaffeError(f"{path}: /history has {len(history)} members, but no blob {i}")
            blobs.append(_values(blob, f"{path}: /history/{i}", size))
        return iteration, _text(f, "learned_net", path, size), _integer(f, "current_step", path, size) or 0, blobs


def _integer(f, key, path, size):
    """The whole number in dataset `key`; None if there is no such dataset."""
    dataset, where = _child(f, key, path), f"{path}: /{key}"
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset) or dataset.id.get_type().get_class() != h5py.h5t.INTEGER:
        raise CaffeError(f"{where} is not a whole number")
    _check_size(dataset, where, size)
    if math.prod(dataset.shape) != 1:
        raise CaffeError(f"{where} is not one number, but {dataset.shape}")
    return int(np.asarray(dataset[()]).reshape(()))


def _text(f, key, path, size):
    """The string in dataset `key`, of fixed or variable length, up to its first NUL; '' if there is no such dataset."""
    dataset, where = _child(f, key, path), f"{path}: /{key}"
    if dataset is None:
        return ""
    if not isinstance(dataset, h5py.Dataset) or dataset.id.get_type().get_class() != h5py.h5t.STRING:
        raise CaffeError(f"{where} is not a string")
    _check_size(dataset, where, size)
    if math.prod(dataset.shape) != 1:
        raise CaffeError(f"{where} is not one string, but {dataset.shape}")
    if dataset.id.get_type().is_variable_str():
        value = _from_global_heap(dataset, f, where)
    else:
        value = np.asarray(dataset[()]).reshape(()).item()
    return os.fsdecode(value.partition(b"\0")[0])


def _from_global_heap(dataset, f, where):
    """The bytes of a string of variable length.

    They are read without HDF5's C library, which does not come back from some damaged heaps.  The dataset holds a length, and
    address and index of the string in a global heap collection (HDF5 File Format Specification, III.E).
    """
    offset, base, value = dataset.id.get_offset(), f.userblock_size, None
    if offset is not None:
        with open_regular(f.filename) as file:
            file.seek(offset)
            size, address, wanted = struct.unpack("<IQI", file.read(16))
            file.seek(base + address)
            magic, whole = struct.unpack("<8sQ", file.read(16))
            heap = file.read(min(whole - 16, os.fstat(file.fileno()).st_size)) if magic == b"GCOL\1\0\0\0" else b""
        at = 0
        while value is None and at + 16 <= len(heap):
            index, count = struct.unpack_from("<H6xQ", heap, at)
            if index == wanted:
                value = heap[at + 16 : at + 16 + min(size, count)]
            at += 16 + (count + 7) // 8 * 8
    if value is None or len(value) != size:
        raise CaffeError(f"{where} is not a string")
    return value


# ------------------------------------------------------------------------------------------------------------- writing


class _Sink(io.RawIOBase):
    """The file that h5py writes to; the first failed write is kept in `error`, and later ones are dropped.

    HDF5's C library cannot end a file whose disk is full: it prints, or crashes when the process ends.
    """

    def __init__(self, file):
        super().__init__()
        self.file, self.error = file, None

    def _unless_failed(self, act, otherwise):
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
        return otherwise

    def write(self, data):
        return self._unless_failed(lambda: self.file.write(data), len(data))

    def truncate(self, size=None):
        return self._unless_failed(lambda: self.file.truncate(size), size)

    def flush(self):
        self._unless_failed(self.file.flush, None)

    def seek(self, *place):
        return self._unless_failed(lambda: self.file.seek(*place), 0)

    def tell(self):
        return self._unless_failed(self.file.tell, 0)

    def readinto(self, buffer):
        return self._unless_failed(lambda: self.file.readinto(buffer), len(buffer))


@contextlib.contextmanager
def _writing(path):
    """A new HDF5 file; a full disk is an OSError."""
    with open(path, "w+b") as file:
        sink = _Sink(file)
        try:
            with h5py.File(sink, "w") as f:
                yield f
            sink.flush()
        except ERRORS:  # HDF5 may stumble over what could not be written
            if sink.error is None:
                raise
        if sink.error is not None:
            raise sink.error


def write_weights(path, names, data, diff=None):
    """Write weights.

    Parameters
    ----------
    path : str
    names : list of str
        Layer names.
    data : list of dict
        Per layer {index of the blob: ndarray of float32}, without blobs that an earlier layer owns.
    diff : list of dict, optional
        The diffs, with the shared ones.

    Raises
    ------
    OSError
    """
    places = _places(names, data if diff is None else diff)
    with _writing(path) as f:
        for kind, layers in (("data", data), ("diff", diff)):
            if layers is None:
                continue
            top = f.create_group(kind)
            for name, place, blobs in zip(names, places, layers, strict=True):
                if place is None:
                    continue
                group = top.require_group(place)
                if place != name:
                    group.attrs[NAME_ATTRIBUTE] = np.frombuffer(name.encode("utf-8", "surrogateescape"), dtype=np.uint8)
                for i, values in blobs.items():
                    group.create_dataset(str(i), data=values)


def _places(names, layers):
    """The path below /data for each layer: its name where that can be a path of its own; None for nothing to write."""
    count = {}
    for name, blobs in zip(names, layers, strict=True):
        count[name] = max(count.get(name, 0), max(blobs, default=-1) + 1)
    datasets = {f"{name}/{i}" for name, blobs in count.items() for i in range(blobs)}
    taken, places = set(), []
    for index, (name, blobs) in enumerate(zip(names, layers, strict=True)):
        place = name
        if not _is_path(name) or name in taken or not datasets.isdisjoint(_prefixes(name)):
            place = f"layer_{index:06d}" if blobs else None
            while place in count:
                place += "_"
        taken.add(place)
        places.append(place)
    return places


def _is_path(name):
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts)) and "\0" not in name and len(parts) <= MAX_DEPTH


def _prefixes(name):
    parts = name.split("/")
    return ("/".join(parts[: i + 1]) for i in range(len(parts)))


def write_state(path, iteration, learned_net, current_step, history):
    """Write a solver state; `history` yields ndarrays of float32.

    Raises
    ------
    OSError
    """
    with _writing(path) as f:
        f.create_dataset("iter", data=np.array([iteration], dtype=np.int32))
        # of fixed length and with a NUL at its end, as H5LTmake_dataset_string makes it: Caffe reads no other
        value = os.fsencode(learned_net) + b"\0"
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(value))
        kind.set_strpad(h5py.h5t.STR_NULLTERM)
        dataset = h5py.h5d.create(f.id, b"learned_net", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(value, dtype=f"S{len(value)}"), mtype=kind)
        f.create_dataset("current_step", data=np.array([current_step], dtype=np.int32))
        group = f.create_group("history")
        for i, values in enumerate(history):
            group.create_dataset(str(i), data=values)
