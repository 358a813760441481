"""Time the batches of a Data layer, with and without `-cache ram`, against a plain loop.

Reads:   nothing; images are drawn and packed into a temporary LMDB
Writes:  a record, if --out names one; prints the time per batch and the ratio
Paper:   section 4 (crops of 227 x 227, mirrored at random, without the mean)
Usage:   python benchmarks/read_batches.py [--quick] [--sizes 16 64] [--rounds 5] [--out FILE]

The sizes are batches.  Nothing else computes meanwhile, so that the time is the reader's.  The
plain loop reads, decodes, crops, mirrors and converts one image after the other, in one thread.
"""

import shutil
import tempfile
from pathlib import Path

import cv2
import drawn_images
import lmdb
import measuring
import numpy as np

from texttopicnet import command_line

FULL = {"sizes": [16, 64], "rounds": 5, "batches": 8}
QUICK = FULL | {"sizes": [16], "rounds": 2}
CROP = 227
MEAN = np.array([104.00699, 116.66877, 122.67892], np.float32)
NET = """
layer {{ name: "data" type: "Data" top: "data"
  transform_param {{ mirror: true crop_size: 227
    mean_value: 104.00699 mean_value: 116.66877 mean_value: 122.67892 }}
  data_param {{ source: "{folder}/train_images_lmdb" batch_size: {batch} backend: LMDB }} }}
"""


def net_of(folder: Path, batch: int, cached: bool):
    """A net that only reads."""
    import caffe
    from caffe import record_cache

    path = folder / "net.prototxt"
    path.write_text(NET.format(folder=folder, batch=batch))
    net = caffe.Net(str(path), caffe.TRAIN)
    if cached:
        record_cache.cache([net], "ram")
    return net


class PlainLoop:
    """Batches of an LMDB, an image at a time; begins again at its end."""

    def __init__(self, folder: Path, batch: int) -> None:
        from caffe.proto import caffe_pb2

        self.parse = caffe_pb2.Datum.FromString
        copy = tempfile.mkdtemp(dir=folder)  # a process cannot open an LMDB twice
        shutil.copy(folder / "train_images_lmdb" / "data.mdb", copy)
        database = lmdb.open(copy, readonly=True, lock=False)
        self.cursor = database.begin().cursor()
        self.batch, self.rng = batch, np.random.default_rng(0)
        self.cursor.first()

    def read(self) -> np.ndarray:
        """The next batch: float32, shape (batch, 3, CROP, CROP)."""
        made = np.empty((self.batch, 3, CROP, CROP), np.float32)
        for place in made:
            datum = self.parse(self.cursor.value())
            image = cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_COLOR)
            top, left = self.rng.integers(image.shape[0] - CROP + 1, size=2)
            crop = image[top : top + CROP, left : left + CROP].astype(np.float32) - MEAN
            place[...] = crop.transpose(2, 0, 1)[:, :, :: -1 if self.rng.random() < 0.5 else 1]
            if not self.cursor.next():
                self.cursor.first()
        return made


def compare(folder: Path, batch: int, settings: dict) -> dict:
    """The row of one batch size."""
    reading, cached = (net_of(folder, batch, each) for each in (False, True))
    plain, batches = PlainLoop(folder, batch), settings["batches"]
    sides = {
        "Data layer": lambda: [reading.forward() for _ in range(batches)],
        "-cache ram": lambda: [cached.forward() for _ in range(batches)],
        "plain loop": lambda: [plain.read() for _ in range(batches)],
    }
    what = f"batches of {batch} images"
    seconds = measuring.in_turn(sides, settings["rounds"], warm_up=1, what=what)
    return measuring.comparison(
        what,
        seconds,
        "Data layer",
        "plain loop",
        "ms per batch",
        1000 / batches,
        size=batch,
        plain_loop_by_cache_ram=measuring.ratios(seconds["plain loop"], seconds["-cache ram"]),
    )


def measure(settings: dict) -> dict:
    """The record: a row per batch size."""
    with measuring.watched() as seen, tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        drawn_images.make_lmdbs(folder, 4 * max(settings["sizes"]))
        rows = [compare(folder, batch, settings) for batch in settings["sizes"]]
    values = {
        f"plain loop / -cache ram, batch {row['size']}": row["plain_loop_by_cache_ram"]
        for row in rows
    }
    return measuring.record("reader", settings, rows, seen, values)


def main() -> None:
    args = measuring.parser(__doc__, "batches").parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
