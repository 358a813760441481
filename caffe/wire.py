"""Caffe's binary files without detours: arrays go from file to NumPy and back as the bytes they are.

protobuf's Python classes hold every float of a `repeated float` as an object on the way in and out; a CaffeNet has 60
million.  So this module walks the wire format itself as far as the BlobProtos, and leaves the rest to protobuf.
"""

import numpy as np

from caffe.error import CaffeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# field numbers of caffe.proto
BLOB_NUM, BLOB_WIDTH, BLOB_DATA, BLOB_DIFF, BLOB_SHAPE, BLOB_DOUBLE_DATA, BLOB_DOUBLE_DIFF = 1, 4, 5, 6, 7, 8, 9

MOST = 2**31 - 1  # Caffe's axes are ints


class Truncated(Exception):
    """The bytes end in the middle of a field, or are no protobuf at all."""


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
    """Walk a message: (field number, wire type, value, raw span) per field; value is an int or a memoryview."""
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
    """Separate the fields numbered in `inner_fields` from the rest: ({number: [memoryview, ...]}, rest as bytes)."""
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

    `shape` is a tuple; blobs in the old form (num, channels, height, width) have `legacy` set and four axes.
    """

    def __init__(self, data, diff, shape, legacy):
        self.data, self.diff, self.shape, self.legacy = data, diff, shape, legacy

    def array(self):
        """`data` in its shape."""
        return self.data.reshape(self.shape)


def read_blob(view):
    """Read one BlobProto.

    Raises
    ------
    CaffeError
        If the shape and the number of values disagree.
    Truncated
    """
    parts = {BLOB_DATA: [], BLOB_DIFF: [], BLOB_DOUBLE_DATA: [], BLOB_DOUBLE_DIFF: []}
    legacy, shape = [0, 0, 0, 0], None
    has_legacy = False
    for number, kind, value, _ in fields(view):
        if number in parts:
            width = np.dtype("<f8") if number in (BLOB_DOUBLE_DATA, BLOB_DOUBLE_DIFF) else np.dtype("<f4")
            if kind not in (BYTES, FIXED32, FIXED64) or len(value) % width.itemsize:
                raise Truncated
            parts[number].append(np.frombuffer(value, dtype=width))
        elif BLOB_NUM <= number <= BLOB_WIDTH and kind == VARINT:
            legacy[number - 1], has_legacy = value, True
        elif number == BLOB_SHAPE and kind == BYTES:
            shape = []
            for inner, inner_kind, dims, _ in fields(value):
                if inner != 1:
                    continue
                if inner_kind == VARINT:
                    shape.append(dims)
                else:
                    at = 0
                    while at < len(dims):
                        dim, at = varint(dims, at)
                        shape.append(dim)

    def flat(single, double):
        chunks = parts[double] or parts[single]
        if not chunks:
            return None
        return (chunks[0] if len(chunks) == 1 else np.concatenate(chunks)).astype(np.float32, copy=False)

    data, diff = flat(BLOB_DATA, BLOB_DOUBLE_DATA), flat(BLOB_DIFF, BLOB_DOUBLE_DIFF)
    is_legacy = shape is None
    if shape is None:
        shape = legacy if has_legacy else [0 if data is None else len(data)]
    if data is None:
        data = np.zeros(0, np.float32)
    if any(dim > MOST for dim in shape):
        raise CaffeError(f"a blob has the impossible shape {tuple(shape)}")
    count = 1
    for dim in shape:
        count *= dim
    if count != len(data):
        raise CaffeError(f"a blob of shape {tuple(shape)} holds {len(data)} values")
    return BlobArray(data, diff, tuple(shape), is_legacy and has_legacy)


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
