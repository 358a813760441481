"""Reading and writing the blobs in Caffe's binary files, from bytes to NumPy and back.

protobuf's Python classes turn every float of a `repeated float` into an object, and a CaffeNet has
60 million.  This module therefore reads the wire format itself, down to the BlobProtos, and leaves
the rest to protobuf.
"""

import codecs
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from caffe.error import CaffeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# field numbers of caffe.proto
BLOB_NUM, BLOB_WIDTH, BLOB_SHAPE = 1, 4, 7
BLOB_DATA, BLOB_DIFF, BLOB_DOUBLE_DATA, BLOB_DOUBLE_DIFF = 5, 6, 8, 9

MAX_INT = 2**31 - 1  # Caffe's axes and counts are ints
MAX_AXES = 32  # Caffe's kMaxBlobAxes

M = TypeVar("M", bound=Message)


class Truncated(Exception):
    """The bytes end in the middle of a field, or are not protobuf."""


def parse(message: M, data: bytes, complaint: str) -> M:
    """Parse `data` into a protobuf message.

    Parameters
    ----------
    message : protobuf message
    data : bytes
    complaint : str
        The message of the error.

    Returns
    -------
    protobuf message
        `message` itself.

    Raises
    ------
    CaffeError
        With `complaint`, if `data` is not a message of this type.
    """
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise CaffeError(complaint) from error
    return message


def readable(name: str | bytes) -> str:
    """A string from a binary file as str.

    protobuf returns bytes if it is not UTF-8; they are read as Latin-1.
    """
    return name if isinstance(name, str) else name.decode("utf-8", LATIN_1)


def shown(name: str) -> str:
    """A name from a file as one printable line, for a message."""
    return name if name.isprintable() else ascii(name)[1:-1]


def make_readable(message: M) -> M:
    """Replace, in place, every string of `message` that is not UTF-8 (see `readable`).

    protobuf does not accept such strings when they are assigned.
    """
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if isinstance(value, (str, bytes)):
                setattr(message, field.name, readable(value))
            else:
                texts = [readable(text) for text in value]
                del value[:]
                value.extend(texts)
        elif field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "DESCRIPTOR") else value:
                make_readable(inner)
    return message


def _latin_1(error: UnicodeDecodeError):
    return error.object[error.start : error.end].decode("latin-1"), error.end


LATIN_1 = "caffe.latin_1"  # an error handler: bytes that are not UTF-8 are characters of Latin-1
codecs.register_error(LATIN_1, _latin_1)


def varint(view: memoryview, at: int) -> tuple[int, int]:
    """Read a varint: (value, position after it)."""
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise Truncated
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(view: memoryview) -> Iterator[tuple[int, int, int | memoryview, memoryview]]:
    """Walk through a message: (field number, wire type, value, bytes of the whole field) per field.

    Raises
    ------
    Truncated
    """
    at = 0
    while at < len(view):
        start = at
        tag, at = varint(view, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Truncated
        if kind == VARINT:
            value, at = varint(view, at)
        elif kind == BYTES:
            length, at = varint(view, at)
            if at + length > len(view):
                raise Truncated
            value, at = view[at : at + length], at + length
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
            if at + length > len(view):
                raise Truncated
            value, at = view[at : at + length], at + length
        else:
            raise Truncated
        yield number, kind, value, view[start:at]


def split(
    view: memoryview, inner_fields: Collection[int]
) -> tuple[dict[int, list[memoryview]], bytes]:
    """Separate the fields with the numbers `inner_fields` from the rest of a message.

    Returns
    -------
    (dict, bytes)
        {number: list of the values' bytes}, and the rest of the message.
    """
    found = {number: [] for number in inner_fields}
    rest = []
    for number, kind, value, raw in fields(view):
        if number in found and kind == BYTES:
            found[number].append(value)
        else:
            rest.append(bytes(raw))
    return found, b"".join(rest)


class BlobArray:
    """A BlobProto that was read.

    Attributes
    ----------
    data, diff : ndarray of float32, shape (count,)
        `diff` may be None.
    shape : tuple of int
    legacy : bool
        Whether the blob is in the old form (num, channels, height, width); it has four axes then.
    """

    def __init__(
        self, data: np.ndarray, diff: np.ndarray | None, shape: tuple[int, ...], legacy: bool
    ):
        self.data, self.diff, self.shape, self.legacy = data, diff, shape, legacy

    def array(self) -> np.ndarray:
        """`data` in its shape."""
        return self.data.reshape(self.shape)


def read_blob(view: memoryview) -> BlobArray:
    """Read one BlobProto as Caffe's Blob::FromProto does.

    The old fields num, channels, height and width take precedence over shape.

    Raises
    ------
    CaffeError
        If a blob cannot have the shape, or the shape and the number of values disagree.
    Truncated
    """
    parts = {BLOB_DATA: [], BLOB_DIFF: [], BLOB_DOUBLE_DATA: [], BLOB_DOUBLE_DIFF: []}
    old, shape, is_old = [0, 0, 0, 0], [], False
    for number, kind, value, _ in fields(view):
        if number in parts:
            width = (
                np.dtype("<f8")
                if number in (BLOB_DOUBLE_DATA, BLOB_DOUBLE_DIFF)
                else np.dtype("<f4")
            )
            if (
                kind == VARINT
                or len(value) % width.itemsize
                or (kind != BYTES and len(value) != width.itemsize)
            ):
                raise Truncated
            parts[number].append(np.frombuffer(value, dtype=width))
        elif BLOB_NUM <= number <= BLOB_WIDTH and kind == VARINT:
            old[number - 1], is_old = value, True
        elif number == BLOB_SHAPE and kind == BYTES:
            shape += _dims(value)
    shape = tuple(old if is_old else shape)
    # a negative size is read as a very large one
    if len(shape) > MAX_AXES or any(dim > MAX_INT for dim in shape):
        raise CaffeError(f"a blob cannot have the shape {_signed(shape)}")
    data = _flat(parts[BLOB_DATA], parts[BLOB_DOUBLE_DATA])
    diff = _flat(parts[BLOB_DIFF], parts[BLOB_DOUBLE_DIFF])
    count = math.prod(shape)
    for values in (data, diff):
        if values is not None and len(values) != count:
            raise CaffeError(f"a blob of shape {shape} holds {len(values)} values")
    if data is None and count:
        raise CaffeError(f"a blob of shape {shape} holds 0 values")
    return BlobArray(np.zeros(0, np.float32) if data is None else data, diff, shape, is_old)


def _dims(view: memoryview) -> list[int]:
    """The `dim` of a BlobShape, packed or one by one."""
    dims = []
    for number, kind, value, _ in fields(view):
        if number != 1:
            continue
        if kind == VARINT:
            dims.append(value)
        elif kind == BYTES:
            at = 0
            while at < len(value):
                dim, at = varint(value, at)
                dims.append(dim)
        else:
            raise Truncated
    return dims


def _signed(shape: Sequence[int]):
    """A shape for an error message: not too many axes, and negative sizes as such."""
    shown = [str(dim - 2**64 if dim >= 2**63 else dim) for dim in shape[:MAX_AXES]]
    return f"({', '.join(shown)}{', ...' if len(shape) > MAX_AXES else ''})"


def _flat(single: list[np.ndarray], double: list[np.ndarray]):
    """The values of a field's chunks: its doubles, or else its floats; None if all are empty."""
    for chunks in (double, single):
        if any(map(len, chunks)):
            with np.errstate(over="ignore", invalid="ignore"):
                return (chunks[0] if len(chunks) == 1 else np.concatenate(chunks)).astype(
                    np.float32, copy=False
                )
    return None


# ------------------------------------------------------------------------------------------------
# writing


def encode_varint(value: int) -> bytes:
    """A number that is not negative, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return encode_varint(number << 3 | BYTES) + encode_varint(length)


def blob_pieces(data: np.ndarray, diff: np.ndarray | None = None) -> list[bytes | memoryview]:
    """A BlobProto with `shape`, as pieces to be written one after another.

    Parameters
    ----------
    data, diff : ndarray of float32
    """
    pieces = []
    for number, values in ((BLOB_DATA, data), (BLOB_DIFF, diff)):
        if values is not None:
            values = np.ascontiguousarray(values, dtype="<f4")
            pieces += [header(number, values.nbytes), values.reshape(-1).view(np.uint8).data]
    dims = b"".join(encode_varint(int(d)) for d in data.shape)
    inner = (header(1, len(dims)) + dims) if dims else b""
    pieces.append(header(BLOB_SHAPE, len(inner)) + inner)
    return pieces


def length(pieces: Sequence[bytes | memoryview]) -> int:
    """The number of bytes of all pieces together."""
    return sum(len(p) for p in pieces)


def nested(number: int, pieces: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """The pieces of a message as a field of another."""
    return [header(number, length(pieces)), *pieces]
