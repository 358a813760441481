"""Score one layer's features by linear SVMs on VOC2007 classification, one class against all
others.

Reads:   the features of LAYER (extract_features.py) and
VOCdevkit/VOC2007/ImageSets/Main/<class>_<split>.txt Writes:
experiments/results/voc2007_svm_<LAYER>_<name>.json below --work Paper:   the tables of VOC2007 SVM
classification (average precision per class, mAP per layer) Usage:   python
experiments/voc_2007_classification.py LAYER [--voc DIR] [--difficult positive] [--name untrained]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
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

GRID = [0.5**n for n in range(13, 19)]  # 1.2e-4 ... 3.8e-6, the original's


def fit(array, labels, penalty, seed):
    """StandardScaler and LinearSVC with C = `penalty`, fitted together; returns (model, whether it
    converged).
    """
    svm = LinearSVC(C=penalty, dual="auto", max_iter=5000, random_state=seed)
    model = make_pipeline(StandardScaler(), svm)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(array, labels)
    return model, not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def score_class(array, rows, labels, seed):
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
        area, voc_11_point (test), chance (share of positives in test: the area a random order
        gives), C, val_area, converged.
    """
    val_areas = []
    for penalty in GRID:
        model, _ = fit(array[rows["train"]], labels["train"], penalty, seed)
        val_areas.append(
            average_precision.area(labels["val"], model.decision_function(array[rows["val"]]))
        )
    best = int(np.argmax(val_areas))  # of equals the first, which is the largest C
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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "layer", metavar="LAYER", help="blob whose features are scored, e.g. pool5, fc6, fc7"
    )
    parser.add_argument(
        "--voc", type=Path, default=artefacts.DATA / "VOC2007", help="folder that holds VOCdevkit"
    )
    parser.add_argument("--work", type=Path, default=artefacts.ROOT)
    parser.add_argument(
        "--name", default="trained", help="which net: goes into the file names (trained, untrained)"
    )
    parser.add_argument(
        "--features", type=Path, help="default: experiments/features/voc2007_<LAYER>_<name>.npz"
    )
    parser.add_argument(
        "--difficult", choices=voc.DIFFICULT, default="leave-out", help="positive: as the original"
    )
    parser.add_argument(
        "--note", default="", help="what stands beside the number: training corpus, iterations"
    )
    parser.add_argument(
        "--workers",
        type=command_line.whole("--workers", 1, 1024),
        default=2,
        help="classes fitted at one time",
    )
    parser.add_argument("--seed", type=command_line.seed(), default=0)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()

    source = (
        args.features
        or args.work / "experiments" / "features" / f"voc2007_{args.layer}_{args.name}.npz"
    )
    suffix = "" if args.difficult == "leave-out" else "_difficult-positive"
    output = (
        args.work / "experiments" / "results" / f"voc2007_svm_{args.layer}_{args.name}{suffix}.json"
    )
    artefacts.refuse_existing(output, args.force)
    names = voc.classes(args.voc)
    found = features.load(source, blob=args.layer)
    n_dims = found.array.shape[1]
    print(
        f"VOC2007 SVMs: {args.layer} ({n_dims} numbers an image), {len(names)} classes, difficult: {args.difficult}"
    )

    jobs, split = [], {}
    for name in names:
        splits = voc.read_class(args.voc, name, args.difficult)
        rows = {
            s: found.rows(ids, f"{voc.split_file(args.voc, name, s)} and {source}")
            for s, (ids, _) in splits.items()
        }
        labels = {s: y for s, (_, y) in splits.items()}
        split[name] = {
            s: {"images": len(y), "positives": int((y > 0).sum())} for s, y in labels.items()
        }
        jobs.append(delayed(score_class)(found.array, rows, labels, args.seed))
    scored = Parallel(n_jobs=parallel.usable(args.workers), return_as="generator")(jobs)
    scores = dict(zip(names, tqdm(scored, total=len(jobs), unit="class"), strict=True))

    for name, row in scores.items():
        sizes = split[name]
        print(
            f"{name:>12}: AP {row['area']:.4f} (11-point {row['voc_11_point']:.4f}, chance {row['chance']:.4f}, "
            f"C {row['C']:.2e}) on {sizes['test']['images']} test images, fitted on {sizes['trainval']['images']}"
            + ("" if row["converged"] else "; the SVM did not converge")
        )
    mean = {
        key: float(np.mean([row[key] for row in scores.values()]))
        for key in ("area", "voc_11_point", "chance")
    }
    whole = [voc.split_file(args.voc, None, s) for s in ("trainval", "test")]
    sizes = [len(files.read(f).split()) if f.is_file() else 0 for f in whole]
    paper_set = (len(names), *sizes) == (voc.PAPER_CLASSES, voc.PAPER_TRAINVAL, voc.PAPER_TEST)
    corpus = (
        "VOC2007"
        if paper_set
        else f"part of VOC2007 or another set of its layout ({len(names)} classes)"
    )
    results.save(
        output,
        results.record(
            experiment="voc2007_svm",
            corpus=corpus,
            values={"mean": mean, "classes": scores},
            split=split,
            seed=args.seed,
            inputs={"features": source, "splits": voc.year_folder(args.voc) / "ImageSets" / "Main"},
            seconds=time.perf_counter() - start,
            note=args.note,
            paper_set=paper_set,
            layer=args.layer,
            name=args.name,
            difficult=args.difficult,
            weights_sha256=found.weights_sha256,
        ),
    )
    print(
        f"mean AP over {len(names)} classes: area {mean['area']:.4f}, 11-point {mean['voc_11_point']:.4f} -> {output}"
    )


if __name__ == "__main__":
    command_line.run(main)
