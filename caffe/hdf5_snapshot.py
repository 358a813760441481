"""Weights and solver states as HDF5, in Caffe's layout (net.cpp, sgd_solver.cpp, util/hdf5.cpp).

Weights: ``/data/<layer>/<i>`` and, if asked for, ``/diff/<layer>/<i>``.  A blob that several layers
share is in ``/data`` only once, under its owner, the first of them.  A `/` in a layer's name makes
nested groups, so a layer is a group that holds numbered datasets.  (Caffe crashes when it saves
such a net.)  A name that cannot be a path of its own (`a//b`, `/a`, `.`, a second layer of the same
name, `a/0` beside a layer `a` with blobs) gets a group ``layer_<index>`` that carries the name as
an attribute.

Solver states: ``/iter``, ``/learned_net``, ``/current_step``, ``/history/<i>``, and the bytes
``/resume_point``, which Caffe ignores.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import h5py
import numpy as np

from caffe import hdf5_file, wire
from caffe.error import CaffeError

NAME_ATTRIBUTE = "layer_name"
MAX_DEPTH = 64  # of nested groups
INDEX = re.compile(rb"0|[1-9][0-9]{0,8}")

# ------------------------------------------------------------------------------------------ reading


def read_weights(path: str) -> list[tuple[str, dict[int, np.ndarray]]]:
    """Read weights.

    Parameters
    ----------
    path : str

    Returns
    -------
    list of (str, dict)
        Layer names, each with {index of the blob: ndarray of float32}, without the blobs that an
        earlier layer owns.

    Raises
    ------
    CaffeError
    """
    with hdf5_file.reading(path) as f:
        data = hdf5_file.child(f, b"data", f"{path}: /data")
        if not isinstance(data, h5py.Group):
            raise CaffeError(f"{path}: holds no group /data; is it a .caffemodel.h5?")
        walk = _Walk(path, {hdf5_file.address(f), hdf5_file.address(data)})
        walk.group(data, "")
    return walk.by_path + walk.by_attribute


class _Walk:
    """Collects the layers of a file: those named by their path, and those named by an attribute."""

    def __init__(self, path: str, seen: set[int]) -> None:
        self.path, self.size = path, os.path.getsize(path)
        self.seen = seen  # addresses of groups
        self.by_path: list[tuple[str, dict[int, np.ndarray]]] = []
        self.by_attribute: list[tuple[str, dict[int, np.ndarray]]] = []

    def group(self, group: h5py.Group, name: str) -> None:
        """Collect the layers below `group`, whose path below /data is `name`."""
        blobs: dict[int, np.ndarray] = {}
        if name.count("/") >= MAX_DEPTH:
            raise CaffeError(f"{self.path}: groups are nested more than {MAX_DEPTH} deep in /data")
        for key in group.id:  # bytes
            below = f"{name}/{wire.readable(key)}".lstrip("/")
            where = f"{self.path}: /data/{wire.shown(below)}"
            child = hdf5_file.child(group, key, where)
            if isinstance(child, h5py.Dataset):
                if not name or not INDEX.fullmatch(key):
                    raise CaffeError(f"{where} is not a blob's number; is it a .caffemodel.h5?")
                blobs[int(key)] = hdf5_file.numbers(child, where, self.size)
            elif isinstance(child, h5py.Group):
                address = hdf5_file.address(child)
                if address in self.seen:
                    raise CaffeError(f"{where} is a group that appears twice in the file")
                self.seen.add(address)
                self.group(child, below)
            else:
                raise CaffeError(f"{where} is neither a group nor a dataset")
        if NAME_ATTRIBUTE in group.attrs:
            where = f"{self.path}: /data/{wire.shown(name)}"
            self.by_attribute.append((_attribute_text(group, where), blobs))
        elif name and (blobs or not len(group)):
            self.by_path.append((name, blobs))


def _attribute_text(group: h5py.Group, where: str) -> str:
    attribute = group.attrs.get_id(NAME_ATTRIBUTE)
    if attribute.dtype != np.uint8 or len(attribute.shape) != 1:
        raise CaffeError(f"{where}: the attribute {NAME_ATTRIBUTE} is not a name")
    return wire.readable(group.attrs[NAME_ATTRIBUTE].tobytes())


def read_state(path: str) -> tuple[int, str, int, list[np.ndarray], bytes]:
    """Read a solver state.

    Returns
    -------
    (int, str, int, list of ndarray of float32, bytes)
        iter, learned_net, current_step, history, and the resume point, if there is one.

    Raises
    ------
    CaffeError
    """
    size = os.path.getsize(path)
    with hdf5_file.reading(path) as f:
        iteration = hdf5_file.integer(f, "iter", path, size)
        history = hdf5_file.child(f, b"history", f"{path}: /history")
        if iteration is None or not isinstance(history, h5py.Group):
            raise CaffeError(f"{path}: holds no /iter and /history; is it a .solverstate.h5?")
        blobs = []
        for i in range(len(history)):
            where = f"{path}: /history/{i}"
            blob = hdf5_file.child(history, str(i).encode(), where)
            if not isinstance(blob, h5py.Dataset):
                raise CaffeError(f"{path}: /history has {len(history)} members, but no blob {i}")
            blobs.append(hdf5_file.numbers(blob, where, size))
        step = hdf5_file.integer(f, "current_step", path, size)
        point = hdf5_file.raw_bytes(f, "resume_point", path, size)
        return iteration, hdf5_file.text(f, "learned_net", path, size), step or 0, blobs, point


# ------------------------------------------------------------------------------------------ writing


def write_weights(
    path: str,
    names: Sequence[str],
    data: Sequence[Mapping[int, np.ndarray]],
    diff: Sequence[Mapping[int, np.ndarray]] | None = None,
) -> None:
    """Write weights.

    Parameters
    ----------
    path : str
    names : list of str
        Layer names.
    data : list of dict
        Per layer {index of the blob: ndarray of float32}, without blobs that an earlier layer owns.
    diff : list of dict, optional
        The diffs; blobs that an earlier layer owns are among them.

    Raises
    ------
    OSError
    """
    places = _places(names, data if diff is None else diff)
    with hdf5_file.writing(path) as f:
        for kind, layers in (("data", data), ("diff", diff)):
            if layers is None:
                continue
            top = f.create_group(kind)
            for name, place, blobs in zip(names, places, layers, strict=True):
                if place is None:
                    continue
                group = top.require_group(place)
                if place != name:
                    group.attrs[NAME_ATTRIBUTE] = np.frombuffer(name.encode(), dtype=np.uint8)
                for i, values in blobs.items():
                    group.create_dataset(str(i), data=values)


def _places(names: Sequence[str], layers: Sequence[Mapping[int, np.ndarray]]) -> list[str | None]:
    """The path below /data for each layer: its name, if that can be a path of its own.

    None if nothing is to be written.
    """
    count: dict[str, int] = {}
    for name, blobs in zip(names, layers, strict=True):
        count[name] = max(count.get(name, 0), max(blobs, default=-1) + 1)
    datasets = {f"{name}/{i}" for name, blobs in count.items() for i in range(blobs)}
    taken: set[str | None] = set()
    places: list[str | None] = []
    for index, (name, blobs) in enumerate(zip(names, layers, strict=True)):
        place: str | None = name
        if not _is_path(name) or name in taken or not datasets.isdisjoint(_prefixes(name)):
            place = f"layer_{index:06d}" if blobs else None
            while place in count:
                place += "_"
        taken.add(place)
        places.append(place)
    return places


def _is_path(name: str) -> bool:
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts)) and "\0" not in name and len(parts) <= MAX_DEPTH


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[: i + 1]) for i in range(len(parts)))


def write_state(
    path: str,
    iteration: int,
    learned_net: str,
    current_step: int,
    history: Iterable[np.ndarray],
    point: bytes = b"",
) -> None:
    """Write a solver state; `history` yields ndarrays of float32, `point` is a resume point.

    Raises
    ------
    OSError
    """
    with hdf5_file.writing(path) as f:
        f.create_dataset("iter", data=np.array([iteration], dtype=np.int32))
        # of fixed length and with a NUL at its end, as H5LTmake_dataset_string makes it: Caffe can
        # read no other string
        value = os.fsencode(learned_net) + b"\0"
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(value))
        kind.set_strpad(h5py.h5t.STR_NULLTERM)
        dataset = h5py.h5d.create(f.id, b"learned_net", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        dataset.write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.array(value, dtype=f"S{len(value)}"), mtype=kind
        )
        f.create_dataset("current_step", data=np.array([current_step], dtype=np.int32))
        group = f.create_group("history")
        for i, values in enumerate(history):
            group.create_dataset(str(i), data=values)
        if point:
            f.create_dataset("resume_point", data=np.frombuffer(point, dtype=np.uint8))
