"""Time the SVMs of one layer on a VOC set of VOC2007's real size, with drawn features and labels.

Reads:   nothing; features and labels are drawn
Writes:  with --out FILE a record
Usage:   python benchmarks/voc_svm.py [--layer pool5] [--classes 20] [--scale 1] [--out FILE]

It runs experiments/voc_2007_classification.py on 5,011 + 4,952 images of 9,216 numbers (pool5), 20
classes and 6 values of C, and prints seconds and peak memory.  Then it compares the SVMs of some
classes with scikit-learn's LinearSVC at a small tolerance.  `--scale 0.1` takes a tenth of the
images.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import drawn_features
import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from texttopicnet import artefacts, average_precision, command_line, features, results, voc

DIMS = {"max5": 256, "pool5": 9216, "fc6": 4096, "fc7": 4096}
TRAIN, VAL, TEST = 2501, 2510, 4952
COMPARED = 2  # classes that are also fitted by scikit-learn


def compare(folder: Path, layer: str, n_classes: int) -> dict[str, float]:
    """Largest differences from scikit-learn's own StandardScaler and LinearSVC on test.

    Returns
    -------
    dict
        'decision_values' and 'area'.
    """
    found = features.load(folder / artefacts.voc_features(layer, "trained"))
    record = results.load(folder / artefacts.voc_record(layer, "trained"))["values"]["classes"]
    main = folder / artefacts.voc_devkit_results(layer, "trained")
    worst = {"decision_values": 0.0, "area": 0.0}
    for name in voc.classes(folder)[: min(COMPARED, n_classes)]:
        splits = voc.read_class(folder, name)
        rows = {s: found.rows(splits[s][0], name) for s in ("trainval", "test")}
        scaler = StandardScaler()
        train = scaler.fit_transform(found.array[rows["trainval"]].astype(np.float64))
        svm = LinearSVC(C=record[name]["C"], dual=True, tol=1e-9, max_iter=20000, random_state=0)
        svm.fit(train, splits["trainval"][1])
        del train
        test = scaler.transform(found.array[rows["test"]].astype(np.float64))
        expected = svm.decision_function(test)
        written = (main / f"comp1_cls_test_{name}.txt").read_text().split()
        ours = dict(zip(written[::2], map(float, written[1::2]), strict=True))
        difference = np.abs(expected - [ours[i] for i in splits["test"][0]]).max()
        area = average_precision.area(splits["test"][1], expected)
        worst["decision_values"] = max(worst["decision_values"], float(difference))
        worst["area"] = max(worst["area"], abs(area - record[name]["area"]))
    return worst


def measure(
    layer: str = "pool5", n_classes: int = 20, scale: float = 1, seed: int = 0
) -> dict[str, object]:
    """Draw the set, run the script, compare with scikit-learn.

    Returns
    -------
    dict
        A record (texttopicnet.results): values has 'seconds' and 'peak_gib' of the script alone,
        and the largest differences from scikit-learn.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = {"train": TRAIN, "val": VAL, "test": TEST}
        sizes = {split: round(scale * size) for split, size in sizes.items()}
        drawn_features.draw(folder, layer, DIMS[layer], sizes, n_classes, seed)
        script = artefacts.ROOT / "experiments" / "voc_2007_classification.py"
        command = [sys.executable, str(script), layer, "--voc", temporary, "--work", temporary]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - began
        # the only child so far, and so its own peak
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        values = {"seconds": seconds, "peak_gib": peak, **compare(folder, layer, n_classes)}
        source = features.load(folder / artefacts.voc_features(layer, "trained")).array.shape
    return results.record(
        experiment="benchmark_voc_svm",
        corpus="drawn features and labels",
        values=values,
        split={"images": source[0], "dimensions": source[1], "classes": n_classes, "penalties": 6},
        seed=seed,
        inputs={},
        seconds=time.perf_counter() - start,
    )


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("--layer", choices=DIMS, default="pool5", help="(default: pool5)")
    parser.add_argument(
        "--classes",
        type=command_line.whole("--classes"),
        default=20,
        metavar="N",
        help="(default: 20)",
    )
    parser.add_argument(
        "--scale",
        type=command_line.share("--scale", one=True),
        default=1,
        metavar="SHARE",
        help="share of VOC2007's images (default: 1)",
    )
    command_line.add_options(parser, "--seed")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record here")
    args = parser.parse_args()
    record = measure(args.layer, args.classes, args.scale, args.seed)
    if args.out:
        results.save(args.out, record)
    print(json.dumps(record["values"] | {"split": record["split"]}))
    return 0


if __name__ == "__main__":
    command_line.run(main)
