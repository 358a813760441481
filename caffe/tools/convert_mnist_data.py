"""convert_mnist_data: MNIST's idx files into an LMDB of Datum (Caffe:
examples/mnist/convert_mnist_data.cpp).
"""

import os
import struct
import sys
from collections.abc import Sequence
from typing import BinaryIO

from caffe import command_line, log
from caffe.command_line import Fatal
from caffe.database import Writer
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular

USAGE = """convert_mnist_data: Convert MNIST to the lmdb format used by Caffe to load data.
usage: caffe convert_mnist_data [FLAGS] INPUT_IMAGE_FILE INPUT_LABEL_FILE OUTPUT_DB_FILE

The input files are idx files, such as train-images-idx3-ubyte; gunzip them first.

  -backend lmdb       the only supported one
"""
FLAGS = {"backend": {"default": "lmdb"}}
HERE = "convert_mnist_data.cpp"
IMAGES, LABELS = 2051, 2049  # the magic numbers of idx files of bytes with three axes and with one


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(convert, f"{HERE}:1", arguments, USAGE)


def convert(arguments: Sequence[str]) -> None:
    """Convert a file of images and its file of labels."""
    args = command_line.flags(
        arguments, FLAGS, f"{HERE}:1", "INPUT_IMAGE_FILE INPUT_LABEL_FILE OUTPUT_DB_FILE"
    )
    if args.backend != "lmdb":
        raise Fatal("db.cpp:20", f"-backend {args.backend} is not supported, only lmdb is")
    image_path, label_path, target = args.rest
    with open_regular(image_path) as images, open_regular(label_path) as labels:
        count, rows, columns = header(images, IMAGES, "image", 3, f"{HERE}:59")
        (label_count,) = header(labels, LABELS, "label", 1, f"{HERE}:62")
        if count != label_count:
            raise Fatal(
                f"{HERE}:67",
                f"{image_path} has {count} images, but {label_path} {label_count} labels",
            )
        if not count * rows * columns:
            raise Fatal(
                f"{HERE}:67",
                f"{image_path}: has no images ({count} of {rows} x {columns} pixels)",
            )
        with Writer(target) as database:
            log.info("db_lmdb.cpp:35", f"Opened lmdb {target}")
            log.info(f"{HERE}:88", f"A total of {count} items.")
            log.info(f"{HERE}:89", f"Rows: {rows} Cols: {columns}")
            datum = caffe_pb2.Datum(channels=1, height=rows, width=columns)
            for i in range(count):
                datum.data, datum.label = images.read(rows * columns), labels.read(1)[0]
                database.put(f"{i:08d}", datum)
    log.info(f"{HERE}:108", f"Processed {count} files.")


def header(file: BinaryIO, magic: int, kind: str, axes: int, position: str) -> tuple[int, ...]:
    """Read the header of an idx file, and check that the file has the size that it declares.

    Parameters
    ----------
    file : file object, at its start
    magic : int
    kind : {'image', 'label'}
        For messages.
    axes : int
    position : str
        For the fatal line.

    Returns
    -------
    tuple of int
        The size of each axis.
    """
    head = file.read(4 * (1 + axes))
    if head[:2] == b"\x1f\x8b":
        raise Fatal(position, f"{file.name}: is compressed; gunzip it first")
    if len(head) < 4 * (1 + axes) or struct.unpack(">I", head[:4]) != (magic,):
        raise Fatal(
            position,
            f"{file.name}: Incorrect {kind} file magic: it is not MNIST's idx file of {kind}s",
        )
    sizes = struct.unpack(f">{axes}I", head[4:])
    expected = 1
    for size in sizes:
        expected *= size
    found = os.fstat(file.fileno()).st_size - len(head)
    if found < expected:
        raise Fatal(
            position,
            f"{file.name}: is cut off: its header declares {expected} bytes of {kind}s, but there"
            f" are {found}",
        )
    return sizes


if __name__ == "__main__":
    sys.exit(main())
