"""convert_imageset: the images of a list into an LMDB of Datum (Caffe: convert_imageset.cpp).

Pixels are in the order B, G, R.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from caffe import command_line, image_list, log, opencv_threads, regular_file, work_sharing
from caffe.command_line import Fatal
from caffe.database import Writer
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

USAGE = """convert_imageset: Convert a set of images to the lmdb format used as input for Caffe.
usage: caffe convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

LISTFILE has one image per line, its path below ROOTFOLDER/ and its label: subfolder1/file1.JPEG 7

  -gray               treat images as grayscale ones
  -shuffle            randomly shuffle the order of images and their labels
  -random_seed N      seed of the order (-1, the default: another order each time)
  -resize_width N     width images are resized to
  -resize_height N    height images are resized to
  -check_size         check that all the images have the same size
  -encoded            save the encoded image in the datum
  -encode_type T      how to encode the image: png, jpg, ... (default: like the file)
  -backend lmdb       the only supported one
"""
FLAGS = {
    "gray": {"action": "store_true"},
    "shuffle": {"action": "store_true"},
    "random_seed": {"type": int, "default": -1},
    "resize_width": {"type": int, "default": 0},
    "resize_height": {"type": int, "default": 0},
    "check_size": {"action": "store_true"},
    "encoded": {"action": "store_true"},
    "encode_type": {"default": ""},
    "backend": {"default": "lmdb"},
}
HERE = "convert_imageset.cpp"
CHUNK = 250  # images that are read ahead


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(convert, f"{HERE}:1", arguments, USAGE)


def convert(arguments: Sequence[str]) -> None:
    """Convert the images of a list; the database is written whole, or not at all."""
    args = command_line.flags(arguments, FLAGS, f"{HERE}:1", "ROOTFOLDER/ LISTFILE DB_NAME")
    check(args)
    root, source, target = args.rest
    lines = image_list.read(source)
    if args.shuffle:
        log.info(f"{HERE}:86", "Shuffling data")
        np.random.default_rng(None if args.random_seed < 0 else args.random_seed).shuffle(lines)
    log.info(f"{HERE}:89", f"A total of {len(lines)} images.")
    with Writer(target) as database:
        log.info("db_lmdb.cpp:35", f"Opened lmdb {target}")
        fill(database, root, lines, args)
        if not database.count:
            raise Fatal(
                f"{HERE}:153",
                f"{source}: none of its {len(lines)} images can be read with {root} before their"
                " names",
            )
    if database.count % 1000:
        log.info(f"{HERE}:153", f"Processed {database.count} files.")
    if database.count < len(lines):
        log.warning(
            f"{HERE}:153",
            f"{len(lines) - database.count} of {len(lines)} images were left out, see above",
        )


def check(args: argparse.Namespace) -> None:
    """Refuse flags that exclude one another; -encode_type sets -encoded."""
    if args.backend != "lmdb":
        raise Fatal("db.cpp:20", f"-backend {args.backend} is not supported, only lmdb is")
    if (args.resize_width > 0) != (args.resize_height > 0):
        raise Fatal(f"{HERE}:93", "give -resize_width and -resize_height together")
    if args.encode_type and not args.encoded:
        log.info(f"{HERE}:75", "encode_type specified, assuming encoded=true.")
        args.encoded = True
    if args.gray and args.encoded and not args.resize_width:
        log.warning(
            f"{HERE}:75",
            "-gray -encoded without resizing keeps the files as they are; read them with"
            " force_gray",
        )


def fill(
    database: Writer, root: str, lines: Sequence[tuple[str, int]], args: argparse.Namespace
) -> None:
    """Put the images into the database.  Those that cannot be read are named and left out, as by
    Caffe.
    """
    first = None
    threads = ThreadPoolExecutor(work_sharing.threads(work_sharing.BESIDE_CPU))
    with opencv_threads.off(), threads as pool:
        for start in range(0, len(lines), CHUNK):
            chunk = lines[start : start + CHUNK]
            for i, (datum, size) in enumerate(
                pool.map(lambda line: record(root, *line, args), chunk), start
            ):
                path = lines[i][0]
                if datum is None:
                    log.error("io.cpp:80", f"Could not open or find file {root}{path}")
                    continue
                first = first or (path, size)
                if args.check_size and size != first[1]:
                    raise Fatal(
                        f"{HERE}:136",
                        f"{root}{path} is {size} (channels, height, width), but {first[0]} is"
                        f" {first[1]}",
                    )
                database.put(f"{i:08d}_{path}", datum)
                if database.count % 1000 == 0:
                    log.info(f"{HERE}:147", f"Processed {database.count} files.")


def record(
    root: str, path: str, label: int, args: argparse.Namespace
) -> tuple[caffe_pb2.Datum, tuple[int, int, int]] | tuple[None, None]:
    """An image as a Datum, and its (channels, height, width); None twice if it cannot be read.
    This runs in a thread.
    """
    color = cv2.IMREAD_GRAYSCALE if args.gray else cv2.IMREAD_COLOR
    try:
        regular_file.check(root + path)
        with open(root + path, "rb") as f:
            data = f.read()
        image = (
            cv2.imdecode(np.frombuffer(data, np.uint8), color | cv2.IMREAD_IGNORE_ORIENTATION)
            if data
            else None
        )
    except (OSError, CaffeError, cv2.error):  # OpenCV refuses headers that declare too many pixels
        return None, None
    if image is None:
        return None, None
    if args.resize_width > 0:
        image = cv2.resize(image, (args.resize_width, args.resize_height))  # INTER_LINEAR
    image = image.reshape(*image.shape[:2], -1)
    height, width, channels = image.shape
    datum = caffe_pb2.Datum(label=label, encoded=args.encoded)
    if not args.encoded:
        datum.channels, datum.height, datum.width = channels, height, width
        datum.data = image.transpose(2, 0, 1).tobytes()
    elif args.resize_width > 0 or not same_type(path, args.encode_type):
        datum.data = encoded(image, path, args.encode_type or suffix(path))
    else:
        datum.data = data
    return datum, (channels, height, width)


def suffix(path: str) -> str:
    """The suffix of a file's name in lower case, without the dot."""
    return os.path.splitext(path)[1][1:].lower()


def same_type(path: str, kind: str) -> bool:
    """Whether a file of this name already is of the type `kind`; any type is if `kind` is empty."""
    return (
        not kind
        or kind.lower() == suffix(path)
        or (kind.lower() == "jpg" and suffix(path) == "jpeg")
    )


def encoded(image: np.ndarray, path: str, kind: str) -> bytes:
    """An image as the bytes of a file of type `kind`; the path is for the error."""
    try:
        return cv2.imencode(f".{kind}", image)[1].tobytes()
    except cv2.error as error:
        raise Fatal(
            "io.cpp:150",
            f"{path}: OpenCV cannot encode an image as '{kind}'; give another -encode_type",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
