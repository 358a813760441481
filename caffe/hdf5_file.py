"""HDF5 files: read without trusting them, and written as a whole.

HDF5's C library believes what a file says about itself.  Links, types and sizes are therefore
checked before anything is read.  Where the library would hang or crash (damaged strings of variable
length, a full disk), this module does without it.
"""

import contextlib
import io
import math
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from caffe.error import CaffeError
from caffe.regular_file import open_regular
from caffe.wire import MAX_AXES, MAX_INT

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DEFLATE = 1032  # no filter that Caffe's files may use compresses more than this
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


def is_hdf5(path: Path | str) -> bool:
    """Whether the content of a file is HDF5: a signature at byte 0, 512, 1024, ... (H5Fis_hdf5)."""
    with open_regular(path) as f:
        size, at = os.fstat(f.fileno()).st_size, 0
        while at + len(SIGNATURE) <= size:
            f.seek(at)
            if f.read(len(SIGNATURE)) == SIGNATURE:
                return True
            at = at * 2 or 512
    return False


# ------------------------------------------------------------- reading


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[h5py.File]:
    """Yield an opened HDF5 file; any error while it is read becomes a CaffeError that names it."""
    try:
        with h5py.File(path, "r", locking=False) as f:
            yield f
    except CaffeError:
        raise
    except ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise CaffeError(
            f"{path}: is a damaged HDF5 file, or not one of Caffe's ({why})"
        ) from error


def child(group: h5py.Group, key: bytes, where: str) -> h5py.Group | h5py.Dataset | None:
    """The member of `group` named `key`, or None if it is missing; links elsewhere are refused."""
    if key in (b"", b".") or b"/" in key:
        raise CaffeError(f"{where} has a name that HDF5 does not allow; the file is damaged")
    if not group.id.links.exists(key):
        return None
    if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise CaffeError(f"{where} is a link to elsewhere, not the values themselves")
    return group[key]


def address(group: h5py.Group) -> int:
    """Where the group is in its file: the same for all names of one group."""
    return h5py.h5o.get_info(group.id).addr


def numbers(dataset: h5py.Dataset, where: str, size: int) -> np.ndarray:
    """The numbers of a dataset, as float32; `size` is the size of the file in bytes."""
    kind = dataset.id.get_type().get_class()
    if kind not in (h5py.h5t.FLOAT, h5py.h5t.INTEGER):
        raise CaffeError(f"{where} does not hold numbers")
    _check_size(dataset, where, size)
    with np.errstate(over="ignore"):  # a double beyond float32 is infinity, as in Caffe
        return np.asarray(dataset[()], dtype=np.float32)


def _check_size(dataset: h5py.Dataset, where: str, size: int):
    """Refuse a dataset that cannot fit into a file of `size` bytes, before memory is allocated."""
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
        whole = (
            count * width
            <= _chunk_bytes(dataset, create, size) * DEFLATE
            >= math.prod(dataset.chunks) * width
        )
    if count > MAX_INT or not whole:
        raise CaffeError(f"{where} has the shape {shape}, for which the file is too small")


def _chunk_bytes(dataset: h5py.Dataset, create: h5py.h5p.PropDCID, size: int):
    """The bytes of all chunks of a dataset in a file of `size` bytes; 0 if one is outside it."""
    filters = {create.get_filter(i)[0] for i in range(create.get_nfilters())}
    # HDF5 crashes where the 4 bytes of a checksum are missing
    least = 5 if h5py.h5z.FILTER_FLETCHER32 in filters else 1
    sizes = []
    dataset.id.chunk_iter(
        lambda chunk: sizes.append(chunk.size if chunk.byte_offset + chunk.size <= size else 0)
    )
    return min(sum(sizes), size) if min(sizes, default=0) >= least else 0


def integer(f: h5py.File, key: str, path: Path | str, size: int) -> int | None:
    """The integer in dataset `key`, or None if the dataset is missing."""
    where = f"{path}: /{key}"
    dataset = _single(f, key, where, size, h5py.h5t.INTEGER, "whole number")
    return None if dataset is None else int(np.asarray(dataset[()]).reshape(()))


def text(f: h5py.File, key: str, path: Path | str, size: int) -> str:
    """The string in dataset `key`, up to its first NUL; '' if the dataset is missing."""
    where = f"{path}: /{key}"
    dataset = _single(f, key, where, size, h5py.h5t.STRING, "string")
    if dataset is None:
        return ""
    if dataset.id.get_type().is_variable_str():
        value = _from_global_heap(dataset, f, where)
    else:
        value = np.asarray(dataset[()]).reshape(()).item()
    return os.fsdecode(value.partition(b"\0")[0])


def raw_bytes(f: h5py.File, key: str, path: Path | str, size: int) -> bytes:
    """The bytes in dataset `key`; b'' if the dataset is missing."""
    where = f"{path}: /{key}"
    dataset = child(f, key.encode(), where)
    if dataset is None:
        return b""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.uint8:
        raise CaffeError(f"{where} does not hold bytes")
    _check_size(dataset, where, size)
    return dataset[()].tobytes()


def _single(f: h5py.File, key: str, where: str, size: int, kind: int, what: str):
    """Dataset `key`, which must hold a single value of this kind; None if it is missing."""
    dataset = child(f, key.encode(), where)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset) or dataset.id.get_type().get_class() != kind:
        raise CaffeError(f"{where} is not a {what}")
    _check_size(dataset, where, size)
    if math.prod(dataset.shape) != 1:
        raise CaffeError(f"{where} is not a single {what}; its shape is {dataset.shape}")
    return dataset


def _from_global_heap(dataset: h5py.Dataset, f: h5py.File, where: str):
    """The bytes of a string of variable length.

    They are read without HDF5's C library, which never returns from some damaged heaps.  The
    dataset holds a length, and the address and index of the string in a global heap collection
    (HDF5 File Format Specification, III.E).
    """
    offset, base, value = dataset.id.get_offset(), f.userblock_size, None
    if offset is not None:
        with open_regular(f.filename) as file:
            file.seek(offset)
            size, address, wanted = struct.unpack("<IQI", file.read(16))
            file.seek(base + address)
            magic, whole = struct.unpack("<8sQ", file.read(16))
            heap = (
                file.read(min(whole - 16, os.fstat(file.fileno()).st_size))
                if magic == b"GCOL\1\0\0\0"
                else b""
            )
        at = 0
        while value is None and at + 16 <= len(heap):
            index, count = struct.unpack_from("<H6xQ", heap, at)
            if index == wanted:
                value = heap[at + 16 : at + 16 + min(size, count)]
            at += 16 + (count + 7) // 8 * 8
    if value is None or len(value) != size:
        raise CaffeError(f"{where} is not a string")
    return value


# ------------------------------------------------------------- writing


class _Sink(io.RawIOBase):
    """The file that h5py writes to; it keeps the first failure in `error` and drops later writes.

    HDF5's C library cannot close a file on a full disk: it prints errors, or crashes when the
    process ends.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.file, self.error = file, None

    def _unless_failed(self, act: Callable[[], int | None], otherwise: int | None):
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
        return otherwise

    def write(self, data: bytes | memoryview) -> int:
        return self._unless_failed(lambda: self.file.write(data), len(data))

    def truncate(self, size: int | None = None) -> int:
        return self._unless_failed(lambda: self.file.truncate(size), size)

    def flush(self) -> None:
        if not self.file.closed:  # Python flushes again when the sink itself is freed
            self._unless_failed(self.file.flush, None)

    def seek(self, *place: int) -> int:
        return self._unless_failed(lambda: self.file.seek(*place), 0)

    def tell(self) -> int:
        return self._unless_failed(self.file.tell, 0)

    def readinto(self, buffer: memoryview) -> int:
        return self._unless_failed(lambda: self.file.readinto(buffer), len(buffer))


@contextlib.contextmanager
def writing(path: Path | str, append: bool = False) -> Iterator[h5py.File]:
    """Yield a new HDF5 file, or the existing one with `append`; a full disk raises OSError."""
    with open(path, "r+b" if append else "w+b") as file:
        sink = _Sink(file)
        try:
            with h5py.File(sink, "r+" if append else "w") as f:
                yield f
            sink.flush()
        except ERRORS:  # HDF5 may fail over what could not be written
            if sink.error is None:
                raise
        if sink.error is not None:
            raise sink.error
