"""LMDB of Datum records, read in key order."""

import os
import weakref

import lmdb

from caffe.error import CaffeError
from caffe.proto import caffe_pb2


class _Environment:
    """An opened LMDB; one process may open one only once, so the layers that read it share this."""

    opened = weakref.WeakValueDictionary()

    def __init__(self, path):
        self.lmdb = lmdb.open(path, readonly=True, lock=False, max_readers=1)

    @classmethod
    def of(cls, path):
        status = os.stat(os.path.join(path, "data.mdb"))
        key = (status.st_dev, status.st_ino)
        environment = cls.opened.get(key)
        if environment is None:
            environment = cls.opened[key] = cls(path)
        return environment

    def __del__(self):
        if hasattr(self, "lmdb"):
            self.lmdb.close()


class LMDB:
    """A Caffe LMDB, opened for reading.

    Parameters
    ----------
    path : str
        The folder with data.mdb.

    Raises
    ------
    CaffeError
        No such folder, no LMDB in it, or no records.
    """

    def __init__(self, path):
        self.path = path
        if not os.path.isdir(path):
            raise CaffeError(f"{path}: no such LMDB folder")
        if not os.path.isfile(os.path.join(path, "data.mdb")):
            raise CaffeError(f"{path}: is no LMDB (it holds no data.mdb)")
        try:
            self.environment = _Environment.of(path)
            with self.environment.lmdb.begin() as transaction:
                with transaction.cursor() as cursor:
                    self.keys = [bytes(k) for k in cursor.iternext(keys=True, values=False)]
        except lmdb.Error as error:
            raise CaffeError(f"{path}: is no readable LMDB ({error})") from error
        if not self.keys:
            raise CaffeError(f"{path}: the LMDB holds no records")

    def __len__(self):
        return len(self.keys)

    def key_text(self, index):
        return self.keys[index].decode("utf-8", "replace")

    def datum(self, index):
        """Record number `index` (in key order) as a Datum."""
        with self.environment.lmdb.begin() as transaction:
            value = transaction.get(self.keys[index])
        datum = caffe_pb2.Datum()
        try:
            datum.ParseFromString(value)
        except Exception as error:  # protobuf's DecodeError, by a name that changes between its versions
            raise CaffeError(f"{self.path}: record {self.key_text(index)} is no Datum") from error
        if not datum.data and not datum.float_data:
            raise CaffeError(f"{self.path}: record {self.key_text(index)} is no Datum, or an empty one")
        return datum
