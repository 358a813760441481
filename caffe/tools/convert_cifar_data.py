"""convert_cifar_data: CIFAR-10's binary batches into two LMDBs of Datum (Caffe:
examples/cifar10/convert_cifar_data.cpp).
"""

import os
import sys
from collections.abc import Sequence

from caffe import command_line, log, regular_file
from caffe.command_line import Fatal
from caffe.database import Writer
from caffe.proto import caffe_pb2

USAGE = """convert_cifar_data: Convert CIFAR-10 to the lmdb format used by Caffe to load data.
usage: caffe convert_cifar_data INPUT_FOLDER OUTPUT_FOLDER lmdb

INPUT_FOLDER has data_batch_1.bin to data_batch_5.bin and test_batch.bin, the "binary version" of
CIFAR-10.  It writes OUTPUT_FOLDER/cifar10_train_lmdb and OUTPUT_FOLDER/cifar10_test_lmdb, in the
order of the batches.
"""
HERE = "convert_cifar_data.cpp"
SIZE = 32
IMAGE_BYTES = 3 * SIZE * SIZE  # red, green, blue planes, after one byte with the label
BATCH = 10000  # images per file
TRAIN_BATCHES = 5
CLASSES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(convert, f"{HERE}:1", arguments, USAGE)


def convert(arguments: Sequence[str]) -> None:
    """Convert the six batches; both databases are written whole, or neither."""
    args = command_line.flags(arguments, {}, f"{HERE}:1", "INPUT_FOLDER OUTPUT_FOLDER DB_TYPE")
    source, target, kind = args.rest
    if kind != "lmdb":
        raise Fatal("db.cpp:20", f"the database type {kind} is not supported, only lmdb is")
    train = [os.path.join(source, f"data_batch_{i}.bin") for i in range(1, TRAIN_BATCHES + 1)]
    test = os.path.join(source, "test_batch.bin")
    counts = {path: images_in(path) for path in [*train, test]}
    # neither database gets its name before both are whole
    with (
        Writer(os.path.join(target, "cifar10_train_lmdb")) as train_database,
        Writer(os.path.join(target, "cifar10_test_lmdb")) as test_database,
    ):
        log.info(f"{HERE}:52", "Writing Training data")
        for i, path in enumerate(train):
            log.info(f"{HERE}:55", f"Training Batch {i + 1}")
            fill(train_database, path, counts[path], i * BATCH)
        log.info(f"{HERE}:73", "Writing Testing data")
        fill(test_database, test, counts[test], 0)


def images_in(path: str) -> int:
    """The number of images in a batch.

    Raises
    ------
    Fatal
        The file is missing, or is not a batch of CIFAR-10.
    """
    if not os.path.lexists(path):
        raise Fatal(
            f"{HERE}:60",
            f"{path}: no such file; expected data_batch_1.bin to data_batch_5.bin and"
            " test_batch.bin",
        )
    regular_file.check(path)
    count, rest = divmod(os.path.getsize(path), 1 + IMAGE_BYTES)
    if rest or not 0 < count <= BATCH:
        raise Fatal(
            f"{HERE}:60",
            f"{path}: is not a whole batch of CIFAR-10: it has {os.path.getsize(path)} bytes,"
            f" not {BATCH} records of {1 + IMAGE_BYTES}",
        )
    if count < BATCH:
        log.warning(f"{HERE}:60", f"{path} has {count} images instead of {BATCH}")
    return count


def fill(database: Writer, path: str, count: int, first: int) -> None:
    """Put a batch's images into the database, numbered from `first` on."""
    datum = caffe_pb2.Datum(channels=3, height=SIZE, width=SIZE)
    with regular_file.open_regular(path) as f:
        for i in range(count):
            datum.label, datum.data = f.read(1)[0], f.read(IMAGE_BYTES)
            if datum.label >= CLASSES:
                raise Fatal(
                    f"{HERE}:60",
                    f"{path}: is not a batch of CIFAR-10: image {i} has the label {datum.label}",
                )
            database.put(f"{first + i:05d}", datum)


if __name__ == "__main__":
    sys.exit(main())
