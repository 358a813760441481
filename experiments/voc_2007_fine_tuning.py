"""Fine-tune a trained net for VOC2007 classification, and score it with 1 and with 10 crops.

Reads:   WORK/CNN/<net>/{trained,untrained}.caffemodel, CNN/finetune_voc2007*/,
         VOC/VOCdevkit/VOC2007/{JPEGImages,ImageSets/Main}
Writes:  WORK/CNN/finetune_voc2007*/ (LMDBs, weights, logs),
         WORK/experiments/results/voc2007_fine_tuning_<name>.json, and in a folder of that name
         VOC2007/Main/comp1_cls_test_<class>.txt (10 crops)
Paper:   the table of VOC2007 classification with fine-tuning
Usage:   python experiments/voc_2007_fine_tuning.py [--voc DIR] [--work DIR] [--net CaffeNet]
                 [--solver solver.prototxt] [--name trained] [--weights FILE] [--gpu] [--seed 0]
         python experiments/voc_2007_fine_tuning.py --name NAME --fine-tuned FILE [--voc DIR] ...

Without --name it fine-tunes the trained and the untrained net; records that exist are kept, and a
training that was stopped resumes.  Difficult objects have no part in training and test.  With
--fine-tuned it trains nothing: it scores weights that were fine-tuned elsewhere, such as the
authors', whose outputs are in the order of the sorted classes.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
from fine_tuning import CROPS, Training, adopt, check, crop_of, is_packed, net_folder, pack, scores

from texttopicnet import (
    artefacts,
    atomic_files,
    average_precision,
    command_line,
    images,
    results,
    voc,
)
from texttopicnet.counts import counted, first_of
from texttopicnet.errors import UserError

UNTRAINED_NOTE = "begun with the same net as its fillers made it, not trained"


def image_paths(folder: Path, ids: list[str]) -> list[Path]:
    """The files of images; UserError if one is missing."""
    jpegs = voc.year_folder(folder) / "JPEGImages"
    paths = [jpegs / f"{image}.jpg" for image in ids]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{jpegs}: {counted(len(missing), 'image is', 'images are')} missing of {len(paths)} in"
            f" the lists in ImageSets/Main{first_of(len(missing), missing[0].name)}; unpack the set"
            " again, or correct the lists"
        )
    return paths


def ignoring(labels: np.ndarray) -> np.ndarray:
    """Labels as the net's loss takes them: 1, 0 for -1, and -1 (ignored) for 0."""
    return np.where(labels == 0, -1, (labels > 0).astype(np.int8))


def lmdbs(args: argparse.Namespace, net: Path) -> None:
    """Pack the trainval images and their labels, if that has not been done."""
    folder = args.work / "CNN" / net.name
    outputs = [folder / artefacts.IMAGES_LMDB, folder / artefacts.LABELS_LMDB]
    table = voc.tables(args.voc)["trainval"]
    if not args.force and all(is_packed(path, len(table.ids)) for path in outputs):
        print(f"{outputs[0]} exists already: --force packs the images again")
        return
    paths = image_paths(args.voc, table.ids)
    side = images.stored_side(crop_of(net))
    print(f"packing {len(paths)} images of trainval at {side} x {side} into {folder}")
    pack(outputs, paths, ignoring(table.labels), side, args.seed)


def average_precisions(
    labels: np.ndarray, found: np.ndarray, classes: list[str]
) -> dict[str, dict]:
    """Mean and per-class AP of scores (n_images, n_classes), as area and by 11 points."""
    by_class = {}
    for i, label in enumerate(classes):
        counts = labels[:, i] != 0
        y, s = labels[counts, i], found[counts, i]
        by_class[label] = {
            "area": average_precision.area(y, s),
            "voc_11_point": average_precision.voc_11_point(y, s),
            "chance": float((y > 0).mean()),
        }
    keys = ("area", "voc_11_point", "chance")
    mean = {key: float(np.mean([row[key] for row in by_class.values()])) for key in keys}
    return {"mean": mean, "classes": by_class}


def score(training: Training, args: argparse.Namespace, note: str, start: float) -> None:
    """Score the fine-tuned net on test; write the record and the devkit's files."""
    classes = voc.classes(args.voc)
    ids = list(
        dict.fromkeys(
            image
            for label in classes
            for image in voc.read_split(args.voc, label, "test", "positive")[0]
        )
    )
    deploy = training.folder / "deploy.prototxt"
    found = scores(deploy, training.weights, image_paths(args.voc, ids), args.gpu)
    row = {image: i for i, image in enumerate(ids)}
    table = voc.tables(args.voc)["test"]
    counted = [row[image] for image in table.ids]
    values = {
        f"crops_{crops}": average_precisions(table.labels, found[crops][counted], classes)
        for crops in CROPS
    }
    output = args.work / artefacts.voc_fine_tuning_record(training.name)
    results_folder = artefacts.devkit_results(artefacts.voc_fine_tuning_record(training.name))
    with atomic_files.written_whole(args.work / results_folder) as devkit:
        devkit.mkdir()
        for i, label in enumerate(classes):
            of_class = voc.read_split(args.voc, label, "test", "positive")[0]
            rows = [row[image] for image in of_class]
            voc.write_results(devkit, label, of_class, found[10][rows, i])
    paper_set = voc.is_paper_set(args.voc)
    part = f"part of VOC2007 or another set of its layout ({len(classes)} classes)"
    record = results.record(
        experiment="voc2007_fine_tuning",
        corpus="VOC2007" if paper_set else part,
        values=values,
        split={"trainval": len(voc.tables(args.voc)["trainval"].ids), "test": len(table.ids)},
        seed=args.seed,
        inputs={
            "weights": training.weights,
            "start": training.start,
            "splits": voc.year_folder(args.voc) / "ImageSets" / "Main",
        },
        seconds=time.perf_counter() - start,
        note=note,
        paper_set=paper_set,
        name=training.name,
        net=training.net,
        solver=args.solver,
    )
    results.save(output, record)
    for crops in CROPS:
        mean = values[f"crops_{crops}"]["mean"]
        print(
            f"{training.name}, {crops:2d} crops: mean AP over {len(classes)} classes: area"
            f" {mean['area']:.4f}, 11-point {mean['voc_11_point']:.4f} (chance"
            f" {mean['chance']:.4f})"
        )
    print(output)


def begin_of(name: str, args: argparse.Namespace) -> Path:
    """The weights that a fine-tuning begins with; UserError if they do not exist."""
    begin = args.weights or args.work / "CNN" / args.net / f"{name}.caffemodel"
    return artefacts.existing(begin, "scripts/05_train_cnn.sh")


def fine_tune(name: str, note: str, args: argparse.Namespace) -> None:
    """Fine-tune one net and score it."""
    start = time.perf_counter()
    net = net_folder("voc2007", args.net)
    n_classes = len(voc.classes(args.voc))
    folder = args.work / "CNN" / net.name
    training = Training(net.name, folder, begin_of(name, args), name, n_classes)
    training.run(args.solver, args.seed, note, args.force, args.gpu)
    score(training, args, note, start)


def score_given(args: argparse.Namespace) -> None:
    """Score weights that were fine-tuned elsewhere."""
    start, net = time.perf_counter(), net_folder("voc2007", args.net)
    given = artefacts.existing(args.fine_tuned, "a fine-tuning, or python models/get.py")
    count, folder = len(voc.classes(args.voc)), args.work / "CNN" / net.name
    training = Training(net.name, folder, given, args.name, count)
    artefacts.refuse_existing(training.weights, args.force)
    adopt(given, net / "deploy.prototxt", training.weights, count)
    with atomic_files.written_whole(folder / "deploy.prototxt") as temporary:
        shutil.copyfile(net / "deploy.prototxt", temporary)
    score(training, args, args.note or f"{given.name}, fine-tuned elsewhere", start)


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--voc", "--work")
    command_line.add_options(parser, "--net", help="the net that was trained (default: CaffeNet)")
    command_line.add_options(
        parser, "--solver", help="in CNN/finetune_voc2007* (default: solver.prototxt)"
    )
    parser.add_argument(
        "--name", help="fine-tune only this net, WORK/CNN/<net>/<name>.caffemodel (default: both)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="with --name: weights to begin with"
    )
    parser.add_argument(
        "--fine-tuned",
        type=Path,
        metavar="FILE",
        help="with --name: score this fine-tuned .caffemodel, and train nothing",
    )
    command_line.add_options(parser, "--gpu", "--note", "--seed", "--force")
    args = parser.parse_args()
    args.work = args.work.absolute()
    if (args.weights or args.fine_tuned) and not args.name:
        option = "--weights" if args.weights else "--fine-tuned"
        raise UserError(f"{option} needs a --name for the files of the fine-tuned net")
    if args.weights and args.fine_tuned:
        raise UserError("--weights is where a fine-tuning begins, --fine-tuned its end: give one")
    names = []
    for name in [args.name] if args.name else artefacts.NETS:
        record = args.work / artefacts.voc_fine_tuning_record(name)
        if record.exists() and not args.force:
            print(f"{record} exists already: --force replaces it")
        else:
            names.append(name)
    if names and args.fine_tuned:
        score_given(args)
    elif names:
        net = net_folder("voc2007", args.net)
        check(net, args.solver, [begin_of(name, args) for name in names])
        lmdbs(args, net)
    for name in [] if args.fine_tuned else names:
        fine_tune(name, UNTRAINED_NOTE if name == "untrained" else args.note, args)
    return 0


if __name__ == "__main__":
    command_line.run(main)
