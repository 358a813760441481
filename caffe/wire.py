"""Caffe's binary files without detours: arrays go from file to NumPy and back as the bytes they
are.

protobuf's Python classes hold every float of a `repeated float` as an object on the way in and out;
a CaffeNet has 60 million.  So this module walks the wire format itself as far as the BlobProtos,
and leaves the rest to protobuf.
"""

import codecs
import math

import numpy as np
from google.protobuf.message import DecodeError

from caffe.error import CaffeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# field numbers of caffe.proto
BLOB_NUM, BLOB_WIDTH, BLOB_DATA, BLOB_DIFF, BLOB_SHAPE, BLOB_DOUBLE_DATA, BLOB_DOUBLE_DIFF = (
    1,
    4,
    5,
    6,
    7,
    8,
    9,
)

MOST = 2**31 - 1  # Caffe's axes and counts are ints
MAX_AXES = 32  # Caffe's kMaxBlobAxes


class Truncated(Exception):
    """The bytes end in the middle of a field, or are not protobuf."""


def parse(message, data, complaint):
    """Parse `data` into a protobuf message.

    Parameters
    ----------
    message : protobuf message
    data : bytes
    complaint : str
        The error's sentence.

    Returns
    -------
    The message.

    Raises
    ------
    CaffeError
        With `complaint`, if `data` is not such a message.
    """
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise CaffeError(complaint) from error
    return message


def readable(name):
    """A string read from a binary file as str; protobuf gives bytes where it is not UTF-8, which
    are taken for Latin-1.
    """
    return name if isinstance(name, str) else name.decode("utf-8", LATIN_1)


def shown(name):
    """A name out of a file as one printable line, for a message."""
    return name if name.isprintable() else ascii(name)[1:-1]


def make_readable(message):
    """Replace, in place, every string of `message` that is not UTF-8 (see `readable`); nothing else
    can be assigned.
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


def _latin_1(error):
    return error.object[error.start : error.end].decode("latin-1"), error.end


LATIN_1 = "caffe.latin_1"  # an error handler: bytes that are not UTF-8 are characters of Latin-1
codecs.register_error(LATIN_1, _latin_1)


def varint(view, at):
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


def fields(view):
    """Walk a message: (field number, wire type, value, raw span) per field; value is an int or a
    memoryview.
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


def split(view, inner_fields):
    """Separate the fields numbered in `inner_fields` from the rest: ({number: [memoryview, ...]},
    rest as bytes).
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
    """A BlobProto read: `data` and `diff` (flat float32 arrays, diff may be None) and `shape`.

    `shape` is a tuple; blobs in the old form (num, channels, height, width) have `legacy` set and
    four axes.
    """

    def __init__(self, data, diff, shape, legacy):
        self.data, self.diff, self.shape, self.legacy = data, diff, shape, legacy

    def array(self):
        """`data` in its shape."""
        return self.data.reshape(self.shape)


def read_blob(view):
    """Read one BlobProto by the rules of Caffe's Blob::FromProto: num, channels, height and width
    count before shape.

    Raises
    ------
    CaffeError
        If no blob can have the shape, or the shape and the number of values disagree.
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
    if len(shape) > MAX_AXES or any(
        dim > MOST for dim in shape
    ):  # a negative one is read as a very large one
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


def _dims(view):
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


def _signed(shape):
    """For a message: a few axes, negative ones as such."""
    shown = [str(dim - 2**64 if dim >= 2**63 else dim) for dim in shape[:MAX_AXES]]
    return f"({', '.join(shown)}{', ...' if len(shape) > MAX_AXES else ''})"


def _flat(single, double):
    """The values of a `repeated float` or, where it has any, of its double twin; None if both are
    empty.
    """
    for chunks in (double, single):
        if any(map(len, chunks)):
            with np.errstate(over="ignore", invalid="ignore"):
                return (chunks[0] if len(chunks) == 1 else np.concatenate(chunks)).astype(
                    np.float32, copy=False
                )
    return None


# ------------------------------------------------------------------------------------------------------------ writing


def encode_varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(number, length):
    """Tag and length of a length-delimited field."""
    return encode_varint(number << 3 | BYTES) + encode_varint(length)


def blob_pieces(data, diff=None):
    """A BlobProto with `shape`, as a list of byte-like pieces to be written one after another.

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


def length(pieces):
    return sum(len(p) for p in pieces)


def nested(number, pieces):
    """The pieces of a message as a field of another."""
    return [header(number, length(pieces)), *pieces]
