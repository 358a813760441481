"""TensorBoard's event files: a training's scalars, without TensorBoard's library.

A file is a series of records (TFRecord): length, masked CRC-32C of the length, an Event message,
masked CRC-32C of the message.  The messages are TensorFlow's (event.proto, summary.proto).
"""

from __future__ import annotations

import itertools
import os
import platform
import struct
import time
from collections.abc import Mapping

from caffe import wire
from caffe.error import CaffeError
from caffe.progress import Point, Watcher

# fields of Event, and of the messages in it
WALL_TIME, STEP, FILE_VERSION, SUMMARY, SESSION_LOG = 1, 2, 3, 5, 7
SUMMARY_VALUE, VALUE_TAG, VALUE_NUMBER, SESSION_STATUS, START = 1, 1, 2, 1, 1

_serial = itertools.count()


def _crc_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of bytes, rotated and shifted as in TFRecord."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _number(field: int, value: int) -> bytes:
    return wire.encode_varint(field << 3 | wire.VARINT) + wire.encode_varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return wire.header(field, len(value)) + value


class EventFile(Watcher):
    """Writes what a training shows as scalars for ``tensorboard --logdir FOLDER``.

    The scalars are loss, train/<output>, test_<net>/<output>, lr, images_per_second, data_wait (the
    share of the time) and output_variance/<loss layer>.  A training that is resumed with the same
    folder writes another file; TensorBoard then leaves out what was written beyond that iteration.

    Parameters
    ----------
    folder : str
        It is made if it is not there.

    Raises
    ------
    CaffeError
        The file cannot be written.  Later, the training's log warns instead.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        host = platform.node() or "unknown"
        name = f"events.out.tfevents.{int(time.time())}.{host}.{os.getpid()}.{next(_serial)}"
        self.path = os.path.join(folder, name)
        self._last: int | None = None  # the iteration of the newest scalars
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = open(self.path, "xb")  # noqa: SIM115  open until close()
        except OSError as error:
            raise self._unwritable(error) from error
        self._event(_bytes(FILE_VERSION, b"brain.Event:2"))

    def begin(self, iteration: int) -> None:
        """Tell TensorBoard to leave out what other files, or this one, hold from here on."""
        if self._last is None or iteration <= self._last:
            start = _bytes(SESSION_LOG, _number(SESSION_STATUS, START))
            self._event(_number(STEP, iteration) + start)
            self._last = iteration

    def train(self, point: Point) -> None:
        scalars = {"loss": point.loss, "lr": point.rate}
        scalars |= {f"train/{name}": value for name, value in point.outputs.items()}
        scalars |= {f"output_variance/{name}": value for name, value in point.variances.items()}
        if point.images_per_second is not None:
            scalars["images_per_second"] = point.images_per_second
        if point.data_wait is not None:
            scalars["data_wait"] = point.data_wait
        self.scalars(point.iteration, scalars)

    def test(self, iteration: int, index: int, outputs: Mapping[str, float]) -> None:
        scalars = {f"test_{index}/{name}": value for name, value in outputs.items()}
        self.scalars(iteration, scalars)

    def scalars(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Write {tag: number} of an iteration."""
        values = b"".join(
            _bytes(
                SUMMARY_VALUE,
                _bytes(VALUE_TAG, tag.encode("utf-8", "backslashreplace"))
                + wire.encode_varint(VALUE_NUMBER << 3 | wire.FIXED32)
                + struct.pack("<f", float(value)),
            )
            for tag, value in scalars.items()
        )
        self._event(_number(STEP, iteration) + _bytes(SUMMARY, values))
        self._last = iteration

    def close(self) -> None:
        self._file.close()

    def _event(self, fields: bytes) -> None:
        stamp = wire.encode_varint(WALL_TIME << 3 | wire.FIXED64) + struct.pack("<d", time.time())
        event = stamp + fields
        length = struct.pack("<Q", len(event))
        checks = (struct.pack("<I", masked_crc(data)) for data in (length, event))
        try:
            self._file.write(length + next(checks) + event + next(checks))
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CaffeError:
        return CaffeError(f"{self.path}: cannot be written ({error.strerror or error})")
