"""Time the SVMs of VOC2007 classification against a plain loop over classes and penalties.

Reads:   nothing; the features are drawn
Writes:  a record, if --out names one; prints the time per class and the ratio
Paper:   VOC2007 classification by linear SVMs
Usage:   python benchmarks/score_svms.py [--quick] [--sizes 600 1200 2400] [--rounds 3]
         [--workers 2] [--out FILE]

Both sides are programs, measured from their start to their end, as a user runs them, and must give
the same mean AP up to the fits' tolerance.  The plain loop fits scikit-learn's StandardScaler and
LinearSVC for one class and one penalty after the other, as the original does.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import drawn_features
import measuring
import numpy as np

from texttopicnet import artefacts, command_line, voc
from texttopicnet.errors import UserError

FULL = {"sizes": [600, 1200, 2400], "rounds": 3, "dims": 4096, "classes": 4, "workers": 2}
QUICK = FULL | {"sizes": [600, 1200], "rounds": 2, "dims": 512, "classes": 3}
GRID = [0.5**n for n in range(13, 19)]  # the original's penalties
LAYER = "fc7"
SAME = 0.005  # both stop the fit at a tolerance, and two images may change places


def sizes_of(count: int) -> dict[str, int]:
    """A quarter of the images in train and in val, the rest in test, as in VOC2007."""
    return {"train": count // 4, "val": count // 4, "test": count - 2 * (count // 4)}


def straightforward(folder: Path) -> float:
    """Mean AP of the plain loop; runs as a program of its own."""
    from sklearn.metrics import average_precision_score
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    with np.load(folder / artefacts.voc_features(LAYER, "trained")) as file:
        array, number = file["features"], {name: i for i, name in enumerate(file["ids"])}
    main = folder / voc.MAIN

    def split(name: str, of: str) -> tuple[np.ndarray, np.ndarray]:
        rows = [row.split() for row in (main / f"{name}_{of}.txt").read_text().splitlines()]
        rows = [(i, label) for i, label in rows if int(label)]  # 0: difficult, left out
        return array[[number[i] for i, _ in rows]], np.array([int(label) for _, label in rows])

    def scored(penalty: float, fitted_on: tuple, scored_on: tuple) -> float:
        scaler = StandardScaler().fit(fitted_on[0])
        svm = LinearSVC(C=penalty, dual="auto", max_iter=5000, random_state=0)
        svm.fit(scaler.transform(fitted_on[0]), fitted_on[1])
        scores = svm.decision_function(scaler.transform(scored_on[0]))
        return average_precision_score(scored_on[1] > 0, scores)

    areas = []
    for name in sorted(path.stem.removesuffix("_val") for path in main.glob("*_val.txt")):
        sets = {of: split(name, of) for of in ("train", "val", "trainval", "test")}
        found = [scored(penalty, sets["train"], sets["val"]) for penalty in GRID]
        areas.append(scored(GRID[int(np.argmax(found))], sets["trainval"], sets["test"]))
    return float(np.mean(areas))


def output(*command: object) -> str:
    """What a program prints; UserError if it fails."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def compare(count: int, settings: dict) -> dict:
    """The row of one number of images."""
    what, areas = f"SVMs of {settings['classes']} classes, {count} images", {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        drawn_features.draw(folder, LAYER, settings["dims"], sizes_of(count), settings["classes"])

        def ours() -> None:
            script = artefacts.ROOT / "experiments" / "voc_2007_classification.py"
            options = ["--voc", folder, "--work", folder, "--workers", settings["workers"]]
            output(script, LAYER, *options, "--force")
            record = json.loads((folder / artefacts.voc_record(LAYER, "trained")).read_text())
            areas["ours"] = record["values"]["mean"]["area"]

        def theirs() -> None:
            areas["theirs"] = float(output(__file__, "--straightforward", folder))

        sides = {"voc_2007_classification.py": ours, "plain loop": theirs}
        seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    difference = abs(areas["ours"] - areas["theirs"])
    if difference > SAME:
        raise UserError(f"the two sides give different mean APs, {areas}: the times mean nothing")
    return measuring.comparison(
        what,
        seconds,
        "voc_2007_classification.py",
        "plain loop",
        "s per class",
        1 / settings["classes"],
        size=count,
        mean_ap=round(areas["ours"], 4),
        difference=difference,
    )


def measure(settings: dict) -> dict:
    """The record: a row per number of images."""
    with measuring.watched() as seen:
        rows = [compare(count, settings) for count in settings["sizes"]]
    values = {"largest difference of the mean APs": max(row["difference"] for row in rows)}
    return measuring.record("svm", settings, rows, seen, values)


def main() -> None:
    parser = measuring.parser(__doc__, "images")
    command_line.add_options(parser, "--workers", default=None, help="classes fitted at one time")
    parser.add_argument(
        "--straightforward", type=Path, metavar="FOLDER", help="only run the plain loop there"
    )
    args = parser.parse_args()
    if args.straightforward:
        print(straightforward(args.straightforward))
    else:
        measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
