"""Score features by linear SVMs on VOC2007 classification, one class against all others.

Reads:   WORK/experiments/features/voc2007_<LAYER>_<name>.npz (extract_features.py),
         VOC/VOCdevkit/VOC2007/ImageSets/Main/<class>_<split>.txt
Writes:  WORK/experiments/results/voc2007_svm_<LAYER>_<name>.json
Paper:   the tables of VOC2007 SVM classification (average precision per class, mAP per layer)
Usage:   python experiments/voc_2007_classification.py [LAYER] [--voc DIR] [--work DIR]
                 [--name untrained] [--difficult positive] [--seed 0] [--note TEXT] [--force]

Without LAYER it scores pool5, fc6 and fc7 of the trained and the untrained net; records that exist
are kept.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    average_precision,
    command_line,
    features,
    files,
    parallel,
    results,
    voc,
)
from texttopicnet.errors import UserError

UNTRAINED_NOTE = "the same net as its fillers made it, not trained"
GRID = [0.5**n for n in range(13, 19)]  # 1.2e-4 ... 3.8e-6, the original's


def fit(array: np.ndarray, labels: np.ndarray, penalty: float, seed: int) -> tuple[Pipeline, bool]:
    """StandardScaler and LinearSVC with C = `penalty`, fitted together: (model, has converged)."""
    svm = LinearSVC(C=penalty, dual="auto", max_iter=5000, random_state=seed)
    model = make_pipeline(StandardScaler(), svm)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(array, labels)
    return model, not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def score_class(
    array: np.ndarray, rows: dict[str, np.ndarray], labels: dict[str, np.ndarray], seed: int
) -> dict[str, float | bool]:
    """Choose C on val, fit again on trainval, score test.

    Parameters
    ----------
    array : ndarray of float32, shape (n_images, n_dims)
    rows : dict
        {split: ndarray of int64}, rows of `array`.
    labels : dict
        {split: ndarray of int64}, 1 or -1.
    seed : int

    Returns
    -------
    dict
        area, voc_11_point (test), chance (share of positives in test, the area of a random order),
        C, val_area, converged.
    """
    val_areas = []
    for penalty in GRID:
        model, _ = fit(array[rows["train"]], labels["train"], penalty, seed)
        val_areas.append(
            average_precision.area(labels["val"], model.decision_function(array[rows["val"]]))
        )
    best = int(np.argmax(val_areas))  # the first of equals, which is the largest C
    model, converged = fit(array[rows["trainval"]], labels["trainval"], GRID[best], seed)
    scores = model.decision_function(array[rows["test"]])
    return {
        "area": average_precision.area(labels["test"], scores),
        "voc_11_point": average_precision.voc_11_point(labels["test"], scores),
        "chance": float((labels["test"] > 0).mean()),
        "C": GRID[best],
        "val_area": val_areas[best],
        "converged": converged,
    }


def read_splits(
    folder: Path, difficult: str, found: features.Features, source: Path
) -> dict[str, tuple[dict, dict, dict]]:
    """Rows of the features, labels and sizes of every class.

    Parameters
    ----------
    folder : Path
        Holds VOCdevkit.
    difficult : str
        One of voc.DIFFICULT.
    found : features.Features
    source : Path
        Where they are from, for errors.

    Returns
    -------
    dict
        {class: (rows, labels, sizes)}, each {split: ...}: ndarray of int64; ndarray of int64, 1 or
        -1; {'images', 'positives'}.
    """
    classes = {}
    for name in voc.classes(folder):
        rows, labels, sizes = {}, {}, {}
        for split, (ids, y) in voc.read_class(folder, name, difficult).items():
            rows[split] = found.rows(ids, f"{voc.split_file(folder, name, split)} and {source}")
            labels[split] = y
            sizes[split] = {"images": len(y), "positives": int((y > 0).sum())}
        classes[name] = rows, labels, sizes
    return classes


def is_paper_set(folder: Path, num_classes: int) -> bool:
    """Whether the set has the classes and sizes of the paper's."""
    lists = [voc.split_file(folder, None, split) for split in ("trainval", "test")]
    sizes = [len(files.read(path).split()) if path.is_file() else 0 for path in lists]
    return (num_classes, *sizes) == (voc.PAPER_CLASSES, voc.PAPER_TRAINVAL, voc.PAPER_TEST)


def score(layer: str, name: str, note: str, args: argparse.Namespace) -> None:
    """Score one layer of one net and write the record.

    Parameters
    ----------
    layer, name : str
        Blob, and the net's name in the files.
    note : str
        Goes into the record.
    args : argparse.Namespace
        The command line.
    """
    start = time.perf_counter()
    output = args.work / artefacts.voc_record(layer, name, args.difficult)
    artefacts.refuse_existing(output, args.force)
    source = args.features or args.work / artefacts.voc_features(layer, name)
    voc.year_folder(args.voc)  # its error comes before the features'
    found = features.load(source, blob=layer)
    classes = read_splits(args.voc, args.difficult, found, source)
    print(
        f"VOC2007 SVMs: {layer} ({found.array.shape[1]} numbers per image), {len(classes)} classes,"
        f" difficult: {args.difficult}"
    )
    jobs = [
        delayed(score_class)(found.array, rows, labels, args.seed)
        for rows, labels, _ in classes.values()
    ]
    scored = Parallel(n_jobs=parallel.usable(args.workers), return_as="generator")(jobs)
    scores = dict(zip(classes, tqdm(scored, total=len(jobs), unit="class"), strict=True))
    for label, row in scores.items():
        sizes = classes[label][2]
        print(
            f"{label:>12}: AP {row['area']:.4f} (11-point {row['voc_11_point']:.4f},"
            f" chance {row['chance']:.4f}, C {row['C']:.2e}) on {sizes['test']['images']} test"
            f" images, fitted on {sizes['trainval']['images']}"
            + ("" if row["converged"] else "; the SVM did not converge")
        )
    mean = {
        key: float(np.mean([row[key] for row in scores.values()]))
        for key in ("area", "voc_11_point", "chance")
    }
    paper_set = is_paper_set(args.voc, len(classes))
    part = f"part of VOC2007 or another set of its layout ({len(classes)} classes)"
    main_folder = voc.year_folder(args.voc) / "ImageSets" / "Main"
    record = results.record(
        experiment="voc2007_svm",
        corpus="VOC2007" if paper_set else part,
        values={"mean": mean, "classes": scores},
        split={label: sizes for label, (_, _, sizes) in classes.items()},
        seed=args.seed,
        inputs={"features": source, "splits": main_folder},
        seconds=time.perf_counter() - start,
        note=note,
        paper_set=paper_set,
        layer=layer,
        name=name,
        difficult=args.difficult,
        weights_sha256=found.weights_sha256,
    )
    results.save(output, record)
    print(
        f"mean AP over {len(classes)} classes: area {mean['area']:.4f},"
        f" 11-point {mean['voc_11_point']:.4f} -> {output}"
    )


def score_all(args: argparse.Namespace) -> None:
    """Score every layer of both nets that has no record yet."""
    for name in artefacts.NETS:
        note = args.note if name == "trained" else UNTRAINED_NOTE
        for layer in artefacts.LAYERS:
            record = args.work / artefacts.voc_record(layer, name, args.difficult)
            if record.exists() and not args.force:
                print(f"{record} exists already: --force replaces it")
            else:
                score(layer, name, note, args)


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "layer", metavar="LAYER", nargs="?", help="blob to score, such as pool5, fc6, fc7"
    )
    command_line.add_options(parser, "--voc", "--work")
    parser.add_argument(
        "--name", help="the net's name in the files, with LAYER only (default: trained)"
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="with LAYER only (default: WORK/experiments/features/voc2007_<LAYER>_<name>.npz)",
    )
    parser.add_argument(
        "--difficult",
        choices=voc.DIFFICULT,
        default="leave-out",
        help="objects marked difficult; positive: as the original (default: leave-out)",
    )
    command_line.add_options(parser, "--note")
    command_line.add_options(parser, "--workers", help="classes fitted at one time (default: 2)")
    command_line.add_options(parser, "--seed", "--force")
    args = parser.parse_args()
    if args.layer:
        score(args.layer, args.name or "trained", args.note, args)
    elif args.name or args.features:
        raise UserError("--name and --features need a LAYER: without one, both nets are scored")
    else:
        score_all(args)
    return 0


if __name__ == "__main__":
    command_line.run(main)
