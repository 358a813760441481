"""Score features by linear SVMs on VOC2007 classification, one class against all others.

Reads:   WORK/experiments/features/voc2007_<LAYER>_<name>.npz (extract_features.py),
         VOC/VOCdevkit/VOC2007/ImageSets/Main/<class>_<split>.txt
Writes:  WORK/experiments/results/voc2007_svm_<LAYER>_<name>.json, and in a folder of that name
         VOC2007/Main/comp1_cls_test_<class>.txt, which the VOC devkit reads
Paper:   the tables of VOC2007 SVM classification (average precision per class, mAP per layer)
Usage:   python experiments/voc_2007_classification.py [LAYER] [--voc DIR] [--work DIR]
                 [--name untrained] [--difficult positive] [--seed 0] [--note TEXT] [--force]

Without LAYER it scores max5, pool5, fc6 and fc7 of the trained and the untrained net, or of the
one that --name names; records that exist are kept.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    atomic_files,
    average_precision,
    command_line,
    features,
    linear_svm,
    results,
    voc,
)
from texttopicnet.errors import UserError

UNTRAINED_NOTE = "the same net as its fillers made it, not trained"
GRID = [0.5**n for n in range(13, 19)]  # 1.2e-4 ... 3.8e-6, the original's


def fit_all(
    array: np.ndarray, rows: dict[str, np.ndarray], labels: dict[str, np.ndarray], bar: tqdm
) -> tuple[linear_svm.Model, list[float], list[float]]:
    """Choose the C of every class on val and fit on trainval.

    Parameters
    ----------
    array : ndarray of float32, shape (n_images, n_dims)
    rows : dict
        {split: ndarray of int64}, rows of `array`.
    labels : dict
        {split: ndarray of int8, shape (n_rows, n_classes)}, as voc.Table.
    bar : tqdm
        Counts the SVMs that are fitted, ``len(GRID) + 1`` per class.

    Returns
    -------
    model : linear_svm.Model
        A column per class.
    penalties, val_areas : list of float
        The C chosen, and its area on val.
    """
    n_classes, many = labels["train"].shape[1], len(GRID)
    columns, grid = np.repeat(labels["train"], many, axis=1), np.tile(GRID, n_classes)
    model = linear_svm.fit(array, columns, grid, rows["train"], bar.update)
    scores = model.decision_function(array, rows["val"])
    penalties, val_areas = [], []
    for i in range(n_classes):
        counts = labels["val"][:, i] != 0
        areas = [
            average_precision.area(labels["val"][counts, i], scores[counts, i * many + j])
            for j in range(many)
        ]
        best = int(np.argmax(areas))  # the first of equals, which is the largest C
        penalties.append(GRID[best])
        val_areas.append(areas[best])
    model = linear_svm.fit(array, labels["trainval"], penalties, rows["trainval"], bar.update)
    return model, penalties, val_areas


def rows_of(
    found: features.Features, tables: dict[str, voc.Table], folder: Path, source: Path
) -> dict[str, np.ndarray]:
    """{split: rows of the features of its images}; UserError if an image has none."""
    main = voc.year_folder(folder) / "ImageSets" / "Main"
    return {
        split: found.rows(table.ids, f"{main}/*_{split}.txt and {source}")
        for split, table in tables.items()
    }


def write_devkit_results(
    output: Path, folder: Path, found: features.Features, model: linear_svm.Model, source: Path
) -> None:
    """Write comp1_cls_test_<class>.txt of all classes, for all images of each test list."""
    with atomic_files.written_whole(output) as temporary:
        temporary.mkdir()
        for i, name in enumerate(voc.classes(folder)):
            ids, _ = voc.read_split(folder, name, "test", "positive")
            rows = found.rows(ids, f"{voc.split_file(folder, name, 'test')} and {source}")
            scores = model.columns([i]).decision_function(found.array, rows)[:, 0]
            voc.write_results(temporary, name, ids, scores)


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
    classes = voc.classes(args.voc)
    tables = voc.tables(args.voc, args.difficult)
    rows = rows_of(found, tables, args.voc, source)
    labels = {split: table.labels for split, table in tables.items()}
    n_rows, n_dims = len(rows["trainval"]), found.array.shape[1]
    # the features, a float64 copy of trainval, what the SVMs of all penalties need, the libraries
    needed = found.array.nbytes + 8 * n_dims * (n_rows + 12 * len(GRID) * len(classes)) + 2**29
    print(
        f"VOC2007 SVMs: {layer} ({n_dims} numbers per image), {len(classes)} classes,"
        f" difficult: {args.difficult}; memory: about {needed / 2**30:.1f} GiB"
    )
    total = len(classes) * (len(GRID) + 1)
    with threadpool_limits(args.workers), tqdm(total=total, unit="SVM", desc=layer) as bar:
        model, penalties, val_areas = fit_all(found.array, rows, labels, bar)
        test_scores = model.decision_function(found.array, rows["test"])
    scores, sizes = {}, {}
    for i, label in enumerate(classes):
        counts = labels["test"][:, i] != 0
        y, s = labels["test"][counts, i], test_scores[counts, i]
        scores[label] = {
            "area": average_precision.area(y, s),
            "voc_11_point": average_precision.voc_11_point(y, s),
            "chance": float((y > 0).mean()),  # the area of a random order
            "C": penalties[i],
            "val_area": val_areas[i],
            "converged": bool(model.converged[i]),
        }
        sizes[label] = {
            split: {"images": int((t[:, i] != 0).sum()), "positives": int((t[:, i] > 0).sum())}
            for split, t in labels.items()
        }
    for label, row in scores.items():
        print(
            f"{label:>12}: AP {row['area']:.4f} (11-point {row['voc_11_point']:.4f},"
            f" chance {row['chance']:.4f}, C {row['C']:.2e}) on {sizes[label]['test']['images']}"
            f" test images, fitted on {sizes[label]['trainval']['images']}"
            + ("" if row["converged"] else "; the SVM did not converge")
        )
    mean = {
        key: float(np.mean([row[key] for row in scores.values()]))
        for key in ("area", "voc_11_point", "chance")
    }
    paper_set = voc.is_paper_set(args.voc)
    part = f"part of VOC2007 or another set of its layout ({len(classes)} classes)"
    main_folder = voc.year_folder(args.voc) / "ImageSets" / "Main"
    record = results.record(
        experiment="voc2007_svm",
        corpus="VOC2007" if paper_set else part,
        values={"mean": mean, "classes": scores},
        split=sizes,
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
    devkit = args.work / artefacts.voc_devkit_results(layer, name, args.difficult)
    write_devkit_results(devkit, args.voc, found, model, source)
    results.save(output, record)
    print(
        f"mean AP over {len(classes)} classes: area {mean['area']:.4f},"
        f" 11-point {mean['voc_11_point']:.4f} -> {output}"
    )


def score_all(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Score every layer of some nets that has no record yet."""
    for name in names:
        note = UNTRAINED_NOTE if name == "untrained" else args.note
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
        "--name", help="the net's name in the files (default: trained; without LAYER both)"
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
    command_line.add_options(
        parser, "--workers", default=None, help="threads that compute (default: all cores)"
    )
    command_line.add_options(parser, "--seed", "--force")
    args = parser.parse_args()
    if args.layer:
        score(args.layer, args.name or "trained", args.note, args)
    elif args.features:
        raise UserError("--features needs a LAYER: without one, all layers are scored")
    else:
        score_all(args, [args.name] if args.name else artefacts.NETS)
    return 0


if __name__ == "__main__":
    command_line.run(main)
