"""LMDB of Datum records: read in key order, written whole or not at all."""

import os
import shutil
import struct
import weakref
from pathlib import Path
from typing import ClassVar

import lmdb

from caffe import leftovers, regular_file, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

# The two meta pages at the front of data.mdb (LMDB's mdb.c): a page header of 16 bytes, then
# MDB_meta: magic, version, page size, last page, transaction
META = struct.Struct("<16x I I 8x 8x I 44x 48x Q Q")
MAGIC = 0xBEEFC0DE


def check_length(path: str) -> None:
    """Refuse a truncated data.mdb: reading a missing page would kill the process (SIGBUS).

    Parameters
    ----------
    path : str
        The file data.mdb.

    Raises
    ------
    CaffeError
        It is truncated.  LMDB itself refuses files that are not an LMDB at all.
    """
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        start = f.read(META.size)
        if len(start) < META.size:
            raise CaffeError(f"{path}: is truncated, or not an LMDB ({size} bytes)")
        magic, _, page, *newest = META.unpack(start)
        if magic != MAGIC or not 256 <= page <= 1 << 16:
            return
        f.seek(page)
        second = f.read(META.size)
    if len(second) == META.size:
        # the later transaction counts
        newest = max(newest, META.unpack(second)[3:], key=lambda pair: pair[1])
    needed = (max(newest[0], 1) + 1) * page
    if size < needed:
        raise CaffeError(
            f"{path}: is truncated: it should have {needed} bytes and has {size}; make the LMDB"
            " again"
        )


class Environment:
    """An opened LMDB; a process may open each only once, so the layers that read it share this."""

    opened: ClassVar = weakref.WeakValueDictionary()

    def __init__(self, path: str) -> None:
        self.lmdb = lmdb.open(path, readonly=True, lock=False, max_readers=1)

    @classmethod
    def of(cls, path: str) -> "Environment":
        status = os.stat(os.path.join(path, "data.mdb"))
        key = (status.st_dev, status.st_ino)
        environment = cls.opened.get(key)
        if environment is None:
            environment = cls.opened[key] = cls(path)
        return environment

    def __del__(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()


def opened(path: str) -> Environment:
    """An LMDB, opened for reading.

    Raises
    ------
    CaffeError
        The folder is missing or is not an LMDB, or the LMDB is truncated.
    """
    if not os.path.isdir(path):
        raise CaffeError(f"{path}: no such LMDB folder")
    if not os.path.isfile(os.path.join(path, "data.mdb")):
        raise CaffeError(f"{path}: is not an LMDB (it holds no data.mdb)")
    regular_file.check(os.path.join(path, "data.mdb"))
    try:
        check_length(os.path.join(path, "data.mdb"))
        return Environment.of(path)
    except (OSError, lmdb.Error) as error:
        raise CaffeError(f"{path}: is not a readable LMDB ({error})") from error


class LMDB:
    """A Caffe LMDB, opened for reading.

    Parameters
    ----------
    path : str
        The folder with data.mdb.

    Raises
    ------
    CaffeError
        The folder is missing or is not an LMDB, or the LMDB is truncated or has no records.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.environment = opened(path)
        try:
            with self.environment.lmdb.begin() as transaction, transaction.cursor() as cursor:
                self.keys = [bytes(k) for k in cursor.iternext(keys=True, values=False)]
        except (OSError, lmdb.Error) as error:
            raise CaffeError(f"{path}: is not a readable LMDB ({error})") from error
        if not self.keys:
            raise CaffeError(f"{path}: the LMDB holds no records")

    def __len__(self) -> int:
        return len(self.keys)

    def key_text(self, index: int) -> str:
        """The key of record number `index`; bytes that are not UTF-8 are replaced."""
        return self.keys[index].decode("utf-8", "replace")

    def record_name(self, index: int) -> str:
        """The name of record number `index` in errors."""
        return f"{self.path}: record {self.key_text(index)}"

    def datum(self, index: int) -> caffe_pb2.Datum:
        """Record number `index` (in key order) as a Datum."""
        try:
            with self.environment.lmdb.begin() as transaction:
                value = transaction.get(self.keys[index])
        except lmdb.Error as error:
            raise CaffeError(f"{self.record_name(index)} cannot be read ({error})") from error
        datum = wire.parse(caffe_pb2.Datum(), value, f"{self.record_name(index)} is not a Datum")
        if not datum.data and not datum.float_data:
            raise CaffeError(f"{self.record_name(index)} is not a Datum, or an empty one")
        return datum


class Writer:
    """A new LMDB, filled in the order of its keys; it gets its final name when it is complete.

    ``with Writer(path) as database: database.put(key, datum)``.  If the block fails, nothing is
    left behind.

    Parameters
    ----------
    path : str
        The folder to make.

    Raises
    ------
    CaffeError
        It already exists, or cannot be made.
    """

    BATCH, BATCH_BYTES = 1000, 1 << 26  # the most records and bytes of a transaction
    FIRST_MAP = 1 << 26  # the bytes that the LMDB may grow to; doubled when it is full

    def __init__(self, path: Path | str) -> None:
        self.path = os.fspath(path).rstrip("/") or "/"
        self.temporary = f"{self.path}.tmp{os.getpid()}"
        self.count = 0
        self._waiting, self._bytes = [], 0
        if os.path.lexists(self.path):
            raise CaffeError(f"{self.path}: already exists; remove it first or give another name")

    def __enter__(self) -> "Writer":
        leftovers.remove(self.path)
        if not os.path.isdir(os.path.dirname(self.path) or "."):
            raise CaffeError(f"{self.path}: cannot be written; does the folder exist?")
        try:
            self._lmdb = lmdb.open(self.temporary, map_size=self.FIRST_MAP, lock=False, sync=False)
        except (OSError, lmdb.Error) as error:
            shutil.rmtree(self.temporary, ignore_errors=True)
            raise CaffeError(f"{self.path}: cannot be written ({error})") from error
        return self

    def put(self, key: str, datum: caffe_pb2.Datum | bytes) -> None:
        """Append a record.

        Parameters
        ----------
        key : str
            Greater than all keys before it.
        datum : Datum or bytes
            Bytes are a Datum that is already serialized.

        Raises
        ------
        CaffeError
            The key is too long or not greater than the last one, or the disk is full.
        """
        record = key.encode(), datum if isinstance(datum, bytes) else datum.SerializeToString()
        if len(record[0]) > self._lmdb.max_key_size():
            raise CaffeError(
                f"{self.path}: the key {key} is longer than the {self._lmdb.max_key_size()} bytes"
                " that LMDB allows"
            )
        self._waiting.append(record)
        self._bytes += len(record[1])
        self.count += 1
        if len(self._waiting) >= self.BATCH or self._bytes >= self.BATCH_BYTES:
            self._flush()

    def _flush(self):
        while self._waiting:
            try:
                with self._lmdb.begin(write=True) as transaction:
                    for key, value in self._waiting:
                        if not transaction.put(key, value, append=True):
                            raise CaffeError(
                                f"{self.path}: the key {key.decode()} is not greater than the"
                                " one before"
                            )
                self._waiting, self._bytes = [], 0
            except lmdb.MapFullError:
                self._grow()
            except (OSError, lmdb.Error) as error:
                raise CaffeError(f"{self.path}: cannot be written ({error})") from error

    def _grow(self):
        try:
            self._lmdb.set_mapsize(self._lmdb.info()["map_size"] * 2)
        except (OSError, OverflowError, MemoryError, lmdb.Error) as error:
            raise CaffeError(f"{self.path}: cannot grow any more ({error})") from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
                self._lmdb.sync(True)
                self._lmdb.close()
                os.rename(self.temporary, self.path)
        except (OSError, lmdb.Error) as failed:
            raise CaffeError(f"{self.path}: cannot be written ({failed})") from failed
        finally:
            self._lmdb.close()
            shutil.rmtree(self.temporary, ignore_errors=True)
