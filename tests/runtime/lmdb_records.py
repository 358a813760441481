"""Reading LMDBs of Datum without the code that is tested."""

from pathlib import Path

import lmdb

from caffe.proto import caffe_pb2


def records(path: Path | str) -> list[tuple[str, caffe_pb2.Datum]]:
    """[(key, Datum)] of an LMDB."""
    with (
        lmdb.open(str(path), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        return [
            (key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()
        ]
