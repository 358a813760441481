"""Estimate how many images of a collection are diagrams rather than photographs.

Reads:   folders of images
Writes:  WORK/experiments/results/diagram_share.json
Paper:   none of its tables; its images are ImageCLEF's, mostly photographs
Usage:   python experiments/diagram_share.py NAME=FOLDER [NAME=FOLDER ...] [--work DIR]
                 [--sample 2000] [--seed 0] [--force]

A diagram, chart or drawing stands on a plain background, mostly white.  An image counts as one if
more than 30 percent of its pixels have one colour, in 32 steps per channel.  The share of images
with more than 30 percent white pixels is given besides.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from texttopicnet import artefacts, command_line, files, images, results
from texttopicnet.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png")
PLAIN = 0.3  # share of pixels
WHITE = 240  # least value of a white pixel's channels
STEP = 8  # values of a channel that count as one


def background(image: np.ndarray) -> tuple[float, float]:
    """Shares of the pixels that are white, and that have the most frequent colour.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
    """
    steps = (image // STEP).reshape(-1, 3).astype(np.int64)
    _, counts = np.unique(steps @ [256 * 256, 256, 1], return_counts=True)
    white = (image.min(axis=2) >= WHITE).mean()
    return float(white), float(counts.max() / counts.sum())


def measure(folder: Path, count: int, seed: int) -> tuple[dict[str, float], int]:
    """Shares of a folder's images, of at most `count` drawn by `seed`, and their number."""
    paths = sorted(path for path in map(Path, files.walk(folder)) if path.suffix.lower() in ENDINGS)
    if not paths:
        raise UserError(f"{folder} holds no images")
    if len(paths) > count:
        chosen = np.random.default_rng(seed).choice(len(paths), count, replace=False)
        paths = [paths[i] for i in sorted(chosen)]
    found = np.array([background(images.read_image(p)) for p in tqdm(paths, unit="image")])
    shares = (found > PLAIN).mean(axis=0)
    return {"white": float(shares[0]), "one_colour": float(shares[1])}, len(paths)


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "folders", nargs="+", metavar="NAME=FOLDER", help="the record's name for a folder of images"
    )
    command_line.add_options(parser, "--work", "--seed")
    parser.add_argument(
        "--sample",
        type=command_line.whole("--sample"),
        default=2000,
        metavar="N",
        help="images per folder, drawn at random (default: 2000)",
    )
    command_line.add_options(parser, "--force")
    args = parser.parse_args()
    start = time.perf_counter()
    output = args.work / artefacts.RESULTS / "diagram_share.json"
    artefacts.refuse_existing(output, args.force)
    for given in args.folders:
        if not all(given.partition("=")):
            raise UserError(f"{given} is not NAME=FOLDER: give each folder a name for the record")
    values, split = {}, {}
    for name, _, folder in (given.partition("=") for given in args.folders):
        path = artefacts.downloaded(folder, "data/README.md")
        values[name], split[name] = measure(path, args.sample, args.seed)
        print(
            f"{name}, {split[name]} images: {values[name]['one_colour']:.3f} on a plain background,"
            f" {values[name]['white']:.3f} on white"
        )
    results.save(
        output,
        results.record(
            experiment="diagram_share",
            corpus=", ".join(values),
            values=values,
            split=split,
            seed=args.seed,
            inputs={},
            seconds=time.perf_counter() - start,
        ),
    )
    print(output)
    return 0


if __name__ == "__main__":
    command_line.run(main)
