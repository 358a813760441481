"""What an LMDB of Datum holds: counted by LMDB itself, and looked at in a sample of its records."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from typing import Any

import lmdb

from caffe import database, encoded_image, wire
from caffe.data_shapes import datum_shape
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

SAMPLE = 200  # records that are read
SHOWN = 5  # sizes, most frequent first
FORMATS = {b"\xff\xd8": "JPEG", b"\x89P": "PNG", b"GI": "GIF", b"BM": "BMP"}


def read_lmdb(path: str) -> dict[str, Any]:
    """Describe the LMDB in a folder.

    Returns
    -------
    dict
        `records`, `bytes`, `first_key`, `last_key`, and of the records that were `read`: `sizes`
        ([channels, height, width, how many], most frequent first), `channels`, `data` ({how the
        pixels are stored: how many}), `labels` (least, greatest and how many different ones).

    Raises
    ------
    CaffeError
        The folder is not an LMDB, or its records are not Datums.
    """
    if os.path.isfile(os.path.join(path, "CURRENT")):
        raise CaffeError(
            f"{path}: is a LevelDB, which is not supported; convert it to an LMDB with a program"
            " that reads LevelDB, or make it again with convert_imageset"
        )
    if not os.path.isfile(os.path.join(path, "data.mdb")):
        raise CaffeError(f"{path}: is a folder, but not an LMDB (it holds no data.mdb)")
    environment = database.opened(path)
    found: dict[str, Any] = {"kind": "LMDB", "format": "LMDB of Datum"}
    try:
        records = environment.lmdb.stat()["entries"]
        found |= {"records": records, "bytes": os.path.getsize(os.path.join(path, "data.mdb"))}
        if not records:
            raise CaffeError(f"{path}: the LMDB holds no records")
        with environment.lmdb.begin() as transaction, transaction.cursor() as cursor:
            cursor.first()
            found["first_key"] = _text(cursor.key())
            cursor.last()
            found["last_key"] = _text(cursor.key())
            sample = [(key, _datum(path, key, value)) for key, value in _sample(cursor, records)]
    except lmdb.Error as error:
        raise CaffeError(f"{path}: is not a readable LMDB ({error})") from error
    return found | _summary(path, sample)


def _sample(cursor: lmdb.Cursor, records: int) -> Iterator[tuple[bytes, bytes]]:
    """All records of a small LMDB, or `SAMPLE` of them with keys at even distances."""
    if records <= SAMPLE:
        yield from cursor.iternext() if cursor.first() else ()
        return
    cursor.first()
    first = bytes(cursor.key())
    cursor.last()
    seen = set()
    for place in _between(first, bytes(cursor.key())):
        if cursor.set_range(place):  # the first key from there on
            key = bytes(cursor.key())
            if key not in seen:
                seen.add(key)
                yield key, cursor.value()


def _between(first: bytes, last: bytes) -> Iterator[bytes]:
    """`SAMPLE` keys at even distances; where both ends have digits, digits are in between, too."""
    width = max(len(first), len(last))
    first, last = first.ljust(width, b"\0"), last.ljust(width, b"\0")
    scales = [
        (ord("0"), 10) if chr(a).isdigit() and chr(b).isdigit() else (0, 256)
        for a, b in zip(first, last, strict=True)
    ]

    def number(key: bytes):
        value = 0
        for byte, (least, base) in zip(key, scales, strict=True):
            value = value * base + byte - least
        return value

    low, high = number(first), number(last)
    for i in range(SAMPLE):
        value, key = low + (high - low) * i // (SAMPLE - 1), bytearray(width)
        for j in range(width - 1, -1, -1):
            least, base = scales[j]
            value, rest = divmod(value, base)
            key[j] = least + rest
        yield bytes(key).rstrip(b"\0") or b"\0"


def _datum(path: str, key: bytes, value: bytes) -> caffe_pb2.Datum:
    where = f"{path}: record {_text(key)}"
    datum = wire.parse(caffe_pb2.Datum(), value, f"{where} is not a Datum")
    if not datum.data and not datum.float_data:
        raise CaffeError(f"{where} is not a Datum, or an empty one")
    return datum


def _summary(path: str, sample: list[tuple[bytes, caffe_pb2.Datum]]) -> dict[str, Any]:
    sizes: collections.Counter = collections.Counter()
    data: collections.Counter = collections.Counter()
    for key, datum in sample:
        shape = None
        if datum.encoded:
            declared = encoded_image.declared_size(datum.data)
            data[FORMATS.get(bytes(datum.data[:2]), "an encoded image")] += 1
            # decoding is slow; the first one gives the channels of all of its size
            known = {shape[1:]: shape for shape in sizes}
            shape = known.get(declared) if declared else None
        else:
            data["bytes" if datum.data else "floats"] += 1
        sizes[shape or datum_shape(datum, f"{path}: record {_text(key)}")] += 1
    labels = [datum.label for _, datum in sample if datum.HasField("label")]
    return {
        "read": len(sample),
        "sizes": [[*shape, count] for shape, count in sizes.most_common(SHOWN)],
        "different_sizes": len(sizes),
        "channels": sorted({shape[0] for shape in sizes}),
        "data": dict(data),
        "labels": {
            "least": min(labels),
            "greatest": max(labels),
            "different": len(set(labels)),
        }
        if labels
        else None,
    }


def _text(key: bytes) -> str:
    return wire.shown(bytes(key).decode("utf-8", "replace"))
