"""Time `create_lmdb.py` against a plain loop that packs the same images and labels.

Reads:   nothing; the images are drawn
Writes:  a record, if --out names one; prints the time per image, the ratio, and the files' sizes
Paper:   section 4.2 (training data)
Usage:   python benchmarks/pack_images.py [--quick] [--sizes 100 300 900] [--rounds 3]
         [--workers 2] [--out FILE]

Both sides are programs, measured from their start to their end, as a user runs them.  The plain
loop is the one of many tutorials: read, resize, encode and put one image after the other, all in
one transaction.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import lmdb
import measuring
import numpy as np

from texttopicnet import artefacts, command_line, json_files
from texttopicnet.errors import UserError

FULL = {"sizes": [100, 300, 900], "rounds": 3, "workers": 2}
QUICK = FULL | {"sizes": [30, 100], "rounds": 2}
WIDTH, HEIGHT = 500, 375  # of a typical photograph of the collection
TOPICS = 40
LMDBS = artefacts.IMAGES_LMDB, artefacts.LABELS_LMDB


def straightforward(collection: Path, labels: Path, folder: Path) -> None:
    """The plain loop; runs as a program of its own."""
    from caffe.proto import caffe_pb2

    rows = list(json.loads(labels.read_text()).items())
    random.seed(0)
    random.shuffle(rows)
    databases = [lmdb.open(str(folder / name), map_size=1 << 40) for name in LMDBS]
    images, vectors = (database.begin(write=True) for database in databases)
    for i, (name, vector) in enumerate(rows):
        image = cv2.resize(cv2.imread(str(collection / name)), (256, 256))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        key = f"{i:08d}_{name}".encode()
        datum = caffe_pb2.Datum(data=data.tobytes(), encoded=True, channels=3)
        images.put(key, datum.SerializeToString())
        label = caffe_pb2.Datum(channels=len(vector), height=1, width=1, float_data=vector)
        vectors.put(key, label.SerializeToString())
    for transaction, database in zip((images, vectors), databases, strict=True):
        transaction.commit()
        database.close()


def draw(folder: Path, count: int) -> None:
    """A collection of `count` smooth images, as large as photographs, and labels of them."""
    rng = np.random.default_rng(0)
    collection, labels = folder / "ImageCLEF_Wikipedia", {}
    (collection / "images").mkdir(parents=True)
    for number in range(count):
        small = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(collection / "images" / f"{number}.jpg"), image)
        labels[f"images/{number}.jpg"] = rng.dirichlet(np.full(TOPICS, 0.1)).round(6).tolist()
    json_files.write(folder / artefacts.training_labels(TOPICS), labels)


def entries(folder: Path) -> list[int]:
    """The number of records of both LMDBs."""
    found = []
    for name in LMDBS:
        with lmdb.open(str(folder / name), readonly=True, lock=False) as database:
            found.append(database.stat()["entries"])
    return found


def compare(size: int, settings: dict) -> dict:
    """The row of one number of images."""
    what, number = f"LMDBs of {size} images", iter(range(10**6))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw(folder, size)
        work = {}

        def run(side: str, *command: object) -> None:
            done = subprocess.run(
                [sys.executable, *map(str, command)], capture_output=True, text=True
            )
            if done.returncode:
                raise UserError(f"{side} failed: {done.stderr.strip()}")

        def ours() -> None:
            work["ours"] = net = f"net{next(number)}"
            options = ["--data", folder, "--work", folder, "--net", net]
            program = artefacts.ROOT / "CNN" / "create_lmdb.py"
            run("create_lmdb.py", program, *options, "--workers", settings["workers"])

        def theirs() -> None:
            work["theirs"] = net = f"net{next(number)}"
            (folder / "CNN" / net).mkdir(parents=True)
            run("the plain loop", __file__, "--straightforward", folder, "--net", net)

        sides = {"create_lmdb.py": ours, "plain loop": theirs}
        seconds = measuring.in_turn(sides, settings["rounds"], what=what)
        folders = {side: folder / "CNN" / net for side, net in work.items()}
        if any(entries(each) != [size, size] for each in folders.values()):
            raise UserError("a side has lost images: the times mean nothing")
        megabytes = sum(path.stat().st_blocks * 512 for path in folders["ours"].rglob("data.mdb"))
    return measuring.comparison(
        what,
        seconds,
        "create_lmdb.py",
        "plain loop",
        "ms per image",
        1000 / size,
        size=size,
        megabytes=round(megabytes / 1e6, 1),
    )


def measure(settings: dict) -> dict:
    """The record: a row per number of images."""
    with measuring.watched() as seen:
        rows = [compare(size, settings) for size in settings["sizes"]]
    values = {"MB of both LMDBs, largest size": rows[-1]["megabytes"]}
    return measuring.record("lmdb", settings, rows, seen, values)


def main() -> None:
    parser = measuring.parser(__doc__, "images")
    command_line.add_options(
        parser, "--workers", default=None, help="processes of create_lmdb.py (default: 2)"
    )
    parser.add_argument(
        "--straightforward", type=Path, metavar="FOLDER", help="only run the plain loop there"
    )
    command_line.add_options(parser, "--net", help="its folder of CNN/, with --straightforward")
    args = parser.parse_args()
    if args.straightforward:
        folder = args.straightforward
        labels = folder / artefacts.training_labels(TOPICS)
        straightforward(folder / "ImageCLEF_Wikipedia", labels, folder / "CNN" / args.net)
    else:
        measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
