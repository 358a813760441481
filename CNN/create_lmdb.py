"""Pack images and their topic vectors into two LMDBs with equal keys, in one shuffled order.

Reads:   WORK/LDA/training_labels<topics>.json (or training_labels_<embedding><topics>.json), the
         images in DATA/ImageCLEF_Wikipedia/ (or another --collection)
Writes:  WORK/CNN/<net>/train_images_lmdb and train_labels_lmdb (with --val-fraction also
         val_images_lmdb, val_labels_lmdb)
Paper:   section 4.2 (training data)
Usage:   python CNN/create_lmdb.py [--data DIR] [--work DIR] [--net CaffeNet] [--embedding lda]
                                   [--val-fraction 0] [--seed 0] [--workers N]

Images are warped to --size x --size and stored as JPEG inside the Datum; a JPEG that has that size
already is stored byte for byte.  The order is shuffled with the seed (D5: the original
takes the order of a dict).
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import contextlib
import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from caffe.database import Writer
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from texttopicnet import (
    artefacts,
    atomic_files,
    command_line,
    cores,
    embedding_ranges,
    files,
    images,
    json_files,
    parallel,
    shares,
    training_labels,
)
from texttopicnet.errors import UserError

TOGETHER = 32  # images per task of a worker process
LONGEST_KEY = 511  # bytes; LMDB's
TEMPORARY = re.compile(r"\.tmp-\w+/")


def image_records(collection: Path, size: int, names: list[str]) -> list[tuple[bytes | None, str]]:
    """`image_record` of several images; runs in the worker processes."""
    cv2.setNumThreads(0)
    return [image_record(collection, name, size) for name in names]


def image_record(collection: Path, name: str, size: int) -> tuple[bytes | None, str]:
    """(serialized Datum, '') of an image, or (None, what is wrong with it)."""
    try:
        data = images.stored(files.read_member(collection, name), collection / name, size)
    except UserError as error:
        return None, str(error)
    # the shape is in the record for people and tools; Caffe takes it from the encoded image
    datum = caffe_pb2.Datum(channels=3, height=size, width=size, data=data, encoded=True, label=0)
    return datum.SerializeToString(), ""


def label_datum(vector: np.ndarray) -> caffe_pb2.Datum:
    return caffe_pb2.Datum(channels=len(vector), height=1, width=1, float_data=vector.tolist())


def shuffled(count: int, seed: int) -> np.ndarray:
    """The numbers of the images, 0 to count - 1 by name, in the seed's order."""
    numbers = np.arange(count)
    np.random.default_rng(seed).shuffle(numbers)
    return numbers


def pack(
    labels: training_labels.Labels,
    order: np.ndarray,
    collection: Path,
    size: int,
    workers: int,
    split_at: int,
    pairs: list[list[Writer]],
) -> tuple[int, str | None]:
    """Write the records; images from `split_at` on go to the second pair of LMDBs.

    Returns
    -------
    int, str or None
        Number of bad images, and what is wrong with the first.
    """
    num_bad, first = 0, None
    groups = parallel.in_groups((labels[number][0] for number in order), TOGETHER)
    records = itertools.chain.from_iterable(
        parallel.ordered_map(image_records, groups, workers, collection, size)
    )
    for i, (record, wrong) in enumerate(
        tqdm(records, total=len(order), desc="images", unit="image")
    ):
        if record is None:
            num_bad, first = num_bad + 1, first or wrong
            continue
        name, vector = labels[order[i]]
        key = f"{i:08d}_{name}".encode()[:LONGEST_KEY].decode(errors="ignore")
        image_writer, label_writer = pairs[0 if i < split_at else 1]
        image_writer.put(key, record)
        label_writer.put(key, label_datum(vector))
    return num_bad, first


@contextlib.contextmanager
def writing_lmdbs() -> Iterator[None]:
    """Turn the error of an LMDB that cannot be written into a UserError that names it."""
    try:
        yield
    except CaffeError as error:
        final = TEMPORARY.sub("", str(error))  # without the folder in which it is written
        raise UserError(
            f"{final}: free space there or give another --work, and run this again"
        ) from error


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--work", "--net", "--topics")
    command_line.add_options(parser, "--embedding", choices=embedding_ranges.NAMES)
    command_line.add_options(parser, "--seed", help="seed of the order (default: 0)")
    parser.add_argument(
        "--val-fraction",
        type=command_line.share("--val-fraction", zero=True),
        default=0,
        help="share of the images to hold out in a second pair of LMDBs (default: 0)",
    )
    parser.add_argument(
        "--size",
        type=command_line.whole("--size", 1, 65500),
        default=images.SIDE,
        help="side of the stored images in pixels (default: 256)",
    )
    command_line.add_options(parser, "--workers", default=cores.usable())
    command_line.add_options(parser, "--force")
    args = parser.parse_args()
    if shares.rank():  # with torchrun, the first process and its workers do all of the work
        return 0

    folder = args.work / "CNN" / args.net
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{files.printable(folder)}: LMDB needs folders whose names are UTF-8: give another"
            " --work"
        ) from error
    splits = ["train", "val"] if args.val_fraction else ["train"]
    outputs = [folder / f"{split}_{what}_lmdb" for split in splits for what in ("images", "labels")]
    # an older val pair holds images that are about to become training images: it is removed
    older = [
        path
        for path in (folder / "val_images_lmdb", folder / "val_labels_lmdb")
        if path.exists() and path not in outputs
    ]
    for output in (*outputs, *older):
        artefacts.refuse_existing(output, args.force)
    made_by = "python LDA/generate_train_labels.py" + (
        f" --embedding {args.embedding}" if args.embedding != "lda" else ""
    )
    entries = json_files.stream(
        args.work / artefacts.training_labels(args.topics, args.embedding), made_by
    )
    labels = training_labels.Labels(
        training_labels.checked(args.embedding, entries, args.topics, made_by)
    )
    collection = artefacts.downloaded(args.data / args.collection, "data/README.md")
    order = shuffled(len(labels), args.seed)
    split_at = len(order) - round(args.val_fraction * len(order))
    if args.val_fraction and split_at in (0, len(order)):
        raise UserError(
            f"--val-fraction {args.val_fraction:g} of {len(order)} images leaves none for train or"
            " for val: give another share"
        )
    print(
        f"packing {split_at} + {len(order) - split_at} images at {args.size} x {args.size},"
        f" seed {args.seed}, into {folder}"
    )
    found = embedding_ranges.RANGES[args.embedding]
    if found.signed:
        print(
            f"labels of {args.embedding} are signed: train with {found.loss}"
            " (solver_euclidean.prototxt)"
        )

    with (
        writing_lmdbs(),
        atomic_files.written_whole(*outputs) as temporaries,
        contextlib.ExitStack() as stack,
    ):
        writers = [stack.enter_context(Writer(path)) for path in temporaries]
        pairs = [writers[i : i + 2] for i in range(0, len(writers), 2)]
        num_bad, first_bad = pack(
            labels, order, collection, args.size, args.workers, split_at, pairs
        )
        if not all(writer.count for writer in writers):
            raise UserError(
                "none of the images for train or for val can be read:"
                f" {num_bad} of {len(order)} are bad; the first: {first_bad}"
            )
    for path in older:
        shutil.rmtree(path)
        print(f"removed: {path}, made earlier with --val-fraction")
    if num_bad:
        print(f"left out: {num_bad} bad images; the first: {first_bad}")
    counts = " + ".join(str(image_writer.count) for image_writer, _ in pairs)
    print(f"{counts} images and labels: {', '.join(map(str, outputs))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
