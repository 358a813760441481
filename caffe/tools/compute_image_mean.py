"""compute_image_mean: the mean image of an LMDB as .binaryproto, and the mean of each channel
(Caffe: compute_image_mean.cpp).
"""

import sys
from collections.abc import Sequence

import numpy as np

from caffe import command_line, datum, log
from caffe.command_line import Fatal
from caffe.database import LMDB
from caffe.proto import caffe_pb2
from caffe.whole_file import renamed_when_whole

USAGE = """compute_image_mean: Compute the mean_image of a set of images given by a lmdb
usage: caffe compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE]

  -backend lmdb       the only supported one
"""
FLAGS = {"backend": {"default": "lmdb"}}
HERE = "compute_image_mean.cpp"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(compute, f"{HERE}:1", arguments, USAGE)


def compute(arguments: Sequence[str]) -> None:
    """Log the mean of each channel, and write the mean image if a file is named."""
    args = command_line.flags(arguments, FLAGS, f"{HERE}:1", "INPUT_DB [OUTPUT_FILE]")
    if args.backend != "lmdb":
        raise Fatal("db.cpp:20", f"-backend {args.backend} is not supported, only lmdb is")
    source, *target = args.rest
    mean = mean_image(LMDB(source))
    if target:
        log.info(f"{HERE}:108", f"Write to {target[0]}")
        write(mean, target[0])
    log.info(f"{HERE}:114", f"Number of channels: {len(mean)}")
    for channel, plane in enumerate(mean):
        # Added one by one in float32, as Caffe does: np.mean would differ in the last digits shown.
        total = np.cumsum(plane.ravel(), dtype=np.float32)[-1]
        log.info(
            f"{HERE}:119",
            f"mean_value channel [{channel}]: {log.number(total / np.float32(plane.size))}",
        )


def mean_image(database: LMDB) -> np.ndarray:
    """The mean over all records: ndarray of float32, shape (C, H, W), channels B, G, R.

    Raises
    ------
    Fatal
        The images differ in size.
    """
    log.info("db_lmdb.cpp:35", f"Opened lmdb {database.path}")
    if database.datum(0).encoded:
        log.info(f"{HERE}:67", "Decoding Datum")
    total = None
    log.info(f"{HERE}:70", "Starting iteration")
    for count in range(1, len(database) + 1):
        record = database.record_name(count - 1)
        image = datum.pixels(database.datum(count - 1), record).transpose(2, 0, 1)
        if total is None:
            total = np.zeros(image.shape, dtype=np.float32)
        if image.shape != total.shape:
            raise Fatal(
                f"{HERE}:81",
                f"{record} is {image.shape} (channels, height, width),"
                f" those before it {total.shape}; all must have the same size",
            )
        total += image
        if count % 10000 == 0 or count == len(database):
            log.info(f"{HERE}:{97 if count % 10000 == 0 else 101}", f"Processed {count} files.")
    return total / np.float32(len(database))


def write(mean: np.ndarray, path: str) -> None:
    """Write a mean image as an old blob (num, channels, height, width), which all versions
    of Caffe read.
    """
    blob = caffe_pb2.BlobProto(
        num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2]
    )
    blob.data.extend(mean.ravel().tolist())
    with renamed_when_whole(path) as temporary, open(temporary, "wb") as f:
        f.write(blob.SerializeToString())


if __name__ == "__main__":
    sys.exit(main())
