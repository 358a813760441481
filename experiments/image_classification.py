"""Classify a set with one class per image: STL-10, SUN397, or any folder with a folder per class.

Reads:   the set (data/README.md says what belongs into its folder), WORK/CNN/<net>/*.caffemodel
Writes:  WORK/experiments/results/classification_<set>_<layer>_<name>.json and, after fine-tuning,
         classification_<set>_fine-tuned_<name>.json; WORK/experiments/features/<set>_*.npz;
         WORK/CNN/finetune_classes*_<set>_<fold>/
Paper:   the tables of STL-10 and SUN397
Usage:   python experiments/image_classification.py --data stl10|sun397|folder DIR [--data ...]
                 [--method svm|fine-tuning|both] [--folds N] [--work DIR] [--net CaffeNet]
                 [--name trained] [--weights FILE] [--gpu] [--seed 0] [--note TEXT] [--force]

The accuracy is the mean over the folds: the 10 of STL-10, the 10 partitions of SUN397, those that
a folder has or that are drawn.  SVMs classify the features of max5, pool5, fc6 and fc7, one class
against all others; C is chosen on a fifth of the training images.  Without --name the trained and
the untrained net are scored; records that exist are kept.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import svm_folds
from fine_tuning import CROPS, Training, check, crop_of, is_packed, net_folder, pack, scores

from texttopicnet import (
    artefacts,
    child_process,
    command_line,
    features,
    image_folder,
    images,
    results,
    stl10,
    sun397,
)
from texttopicnet.errors import UserError
from texttopicnet.image_sets import Fold, ImageSet

UNTRAINED_NOTE = "the same net as its fillers made it, not trained"
KINDS = ("stl10", "sun397", "folder")
FINE_TUNED = "fine-tuned"


def read_set(kind: str, folder: Path, args: argparse.Namespace) -> ImageSet:
    """The image set of a pair of --data."""
    if kind == "stl10":
        return stl10.read(folder, args.work / "experiments" / "stl10")
    if kind == "sun397":
        return sun397.read(folder)
    if kind == "folder":
        return image_folder.read(folder, args.splits, args.seed)
    raise UserError(f"--data {kind} {folder}: the kind must be {', '.join(KINDS)}")


def weights_of(name: str, args: argparse.Namespace) -> Path:
    """The weights of a net; UserError if they do not exist."""
    path = args.weights or args.work / "CNN" / args.net / f"{name}.caffemodel"
    return artefacts.existing(path, "scripts/05_train_cnn.sh").absolute()


def extract(image_set: ImageSet, name: str, layers: list[str], args: argparse.Namespace) -> None:
    """Compute the features of these layers in one pass of the net, by extract_features.py."""
    used = sorted(
        {row for fold in image_set.folds for part in (fold.train, fold.test) for row in part}
    )
    out = args.work / artefacts.set_features(image_set.name, "{blob}", name)
    script = artefacts.ROOT / "experiments" / "extract_features.py"
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listing:
        listing.writelines(f"{image_set.paths[row].absolute()}\n" for row in used)
        listing.flush()
        command = [sys.executable, str(script), "--net", args.net, "--list", listing.name]
        command += ["--weights", str(weights_of(name, args)), "--blobs", ",".join(layers)]
        command += ["--out", str(out), "--force", *(["--gpu"] if args.gpu else [])]
        if status := child_process.run(command).exit_status:
            sys.exit(status)  # it has said why


def features_of(
    image_set: ImageSet, name: str, layers: list[str], args: argparse.Namespace
) -> dict[str, Path]:
    """{layer: features file}; those that are missing, damaged or of other weights are computed."""
    digest = artefacts.sha256(weights_of(name, args))
    paths = {b: args.work / artefacts.set_features(image_set.name, b, name) for b in layers}
    missing = [layer for layer, path in paths.items() if args.force or not made_from(path, digest)]
    if missing:
        extract(image_set, name, missing, args)
    return paths


def made_from(path: Path, digest: str) -> bool:
    """Whether a features file exists, is whole, and comes from the weights with a SHA-256."""
    try:
        return path.exists() and features.load(path).weights_sha256 == digest
    except UserError as error:
        print(f"{error}; computing it again", file=sys.stderr)
        return False


def summary(accuracies: list[float]) -> dict[str, float | list[float]]:
    """Mean, standard deviation (of the folds as a population) and the folds' values."""
    mean, std = float(np.mean(accuracies)), float(np.std(accuracies))
    return {"mean": mean, "std": std, "folds": accuracies}


def chance(image_set: ImageSet, folds: list[Fold]) -> float:
    """Accuracy of the answer that is right most often, mean over the folds."""
    shares = [np.bincount(image_set.labels[f.test]).max() / len(f.test) for f in folds]
    return float(np.mean(shares))


def save(
    image_set: ImageSet,
    folds: list[Fold],
    method: str,
    name: str,
    values: dict,
    inputs: dict,
    start: float,
    args: argparse.Namespace,
) -> None:
    """Write a record and say what was measured."""
    note = UNTRAINED_NOTE if name == "untrained" else args.note
    record = results.record(
        experiment="image_classification",
        corpus=image_set.name,
        values=values | {"chance": chance(image_set, folds)},
        split={
            "classes": len(image_set.classes),
            "folds": len(folds),
            "train": len(folds[0].train),
            "test": len(folds[0].test),
        },
        seed=args.seed,
        inputs=inputs | ({"lists": image_set.sources} if image_set.sources else {}),
        seconds=time.perf_counter() - start,
        note=note,
        paper_set=image_set.paper_set and len(folds) == len(image_set.folds),
        method=method,
        name=name,
        net=args.net,
    )
    output = args.work / artefacts.classification_record(image_set.name, method, name)
    results.save(output, record)
    for key, row in values.items():
        if key.startswith("accuracy"):
            print(
                f"{image_set.name}, {method}, {name}: {key.replace('_', ' ')} {row['mean']:.4f}"
                f" +- {row['std']:.4f} over {len(folds)} folds (chance"
                f" {record['values']['chance']:.4f})"
            )
    print(output)


def classify_features(
    image_set: ImageSet, folds: list[Fold], name: str, layers: list[str], args: argparse.Namespace
) -> None:
    """SVMs on the features of some layers of a net."""
    svm_folds.check(image_set, folds)
    for layer, path in features_of(image_set, name, layers, args).items():
        start = time.perf_counter()
        found = features.load(path, blob=layer)
        used = {image: i for i, image in enumerate(found.ids)}
        ids = [str(p.absolute().with_suffix("")) for p in image_set.paths]
        rows = np.array([used.get(image, -1) for image in ids])
        needed = np.concatenate([part for f in folds for part in (f.train, f.test)])
        if (rows[needed] < 0).any():
            raise UserError(f"{path} lacks images of the set: --force computes it again")
        labels = np.zeros(len(found.array), dtype=np.int64)
        labels[rows[rows >= 0]] = image_set.labels[rows >= 0]
        own = [Fold(fold.name, rows[fold.train], rows[fold.test]) for fold in folds]
        scored = svm_folds.score(found, labels, own, len(image_set.classes), args.seed, path)
        accuracies, penalties = map(list, zip(*scored, strict=True))
        values = {"accuracy": summary(accuracies), "C": penalties}
        save(image_set, folds, layer, name, values, {"features": path}, start, args)


def fine_tune(image_set: ImageSet, folds: list[Fold], name: str, args: argparse.Namespace) -> None:
    """Fine-tune a net on every fold, and score the test images with 1 and with 10 crops."""
    start, begin = time.perf_counter(), weights_of(name, args)
    net = net_folder("classes", args.net)
    check(net, args.solver, [begin])
    side, found = images.stored_side(crop_of(net)), {crops: [] for crops in CROPS}
    for number, fold in enumerate(folds, 1):
        folder = args.work / "CNN" / f"{net.name}_{image_set.name}_{fold.name}"
        lmdb = folder / "train_lmdb"
        paths = [image_set.paths[row] for row in fold.train]
        if args.force or not is_packed(lmdb, len(paths)):
            pack([lmdb], paths, image_set.labels[fold.train], side, args.seed)
        training = Training(net.name, folder, begin, name, len(image_set.classes))
        print(f"{image_set.name}, fold {number} of {len(folds)}: {len(paths)} images", flush=True)
        training.run(args.solver, args.seed, args.note, args.force, args.gpu)
        test = [image_set.paths[row] for row in fold.test]
        prob = scores(folder / "deploy.prototxt", training.weights, test, args.gpu)
        for crops in CROPS:
            right = prob[crops].argmax(axis=1) == image_set.labels[fold.test]
            found[crops].append(float(right.mean()))
    values = {"accuracy": summary(found[10]), "accuracy_1_crop": summary(found[1])}
    save(image_set, folds, FINE_TUNED, name, values, {"start": begin}, start, args)


def missing(
    image_set: ImageSet, methods: tuple[str, ...], name: str, args: argparse.Namespace
) -> list[str]:
    """Those of the methods that have no record yet; says which have."""
    found = []
    for method in methods:
        record = args.work / artefacts.classification_record(image_set.name, method, name)
        if record.exists() and not args.force:
            print(f"{record} exists already: --force replaces it")
        else:
            found.append(method)
    return found


def main() -> int:
    args = parsed()
    args.work = args.work.absolute()
    names = [args.name] if args.name else artefacts.NETS
    for kind, folder in args.data:
        image_set = read_set(kind, Path(folder).absolute(), args)
        folds = image_set.folds[: args.folds]
        print(
            f"{image_set.name}: {len(image_set.paths)} images, {len(image_set.classes)} classes,"
            f" {len(folds)} of {len(image_set.folds)} folds"
        )
        for name in names:
            steps: list[tuple[str, tuple[str, ...], Callable]] = [
                ("svm", artefacts.LAYERS, classify_features),
                ("fine-tuning", (FINE_TUNED,), fine_tune),
            ]
            for method, records, run in steps:
                if args.method in (method, "both"):
                    todo = missing(image_set, records, name, args)
                    if todo and method == "svm":
                        run(image_set, folds, name, todo, args)
                    elif todo:
                        run(image_set, folds, name, args)
    return 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--data",
        nargs=2,
        action="append",
        required=True,
        metavar=("KIND", "DIR"),
        help="stl10, sun397 or folder, and the set's folder; may be given several times",
    )
    parser.add_argument(
        "--method",
        choices=("svm", "fine-tuning", "both"),
        default="svm",
        help="SVMs on features, fine-tuning of the net, or both (default: svm)",
    )
    parser.add_argument(
        "--folds",
        type=command_line.whole("--folds"),
        metavar="N",
        help="only the first N folds (default: all)",
    )
    parser.add_argument(
        "--splits",
        type=command_line.whole("--splits", 2),
        default=5,
        metavar="N",
        help="folds that a folder without train/ and test/ is split into (default: 5)",
    )
    command_line.add_options(parser, "--work")
    command_line.add_options(parser, "--net", help="the net that was trained (default: CaffeNet)")
    command_line.add_options(
        parser, "--solver", help="in CNN/finetune_classes* (default: solver.prototxt)"
    )
    parser.add_argument(
        "--name", help="score only this net, WORK/CNN/<net>/<name>.caffemodel (default: both)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="with --name: another .caffemodel"
    )
    command_line.add_options(parser, "--gpu", "--note", "--seed", "--force")
    args = parser.parse_args()
    if args.weights and not args.name:
        raise UserError("--weights needs a --name for the files of its results")
    return args


if __name__ == "__main__":
    command_line.run(main)
