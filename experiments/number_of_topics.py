"""Measure numbers of topics end to end: LDA, labels, a short training, SVMs on VOC2007.

Reads:   WORK/LDA/train_dict_ImageCLEF_Wikipedia.json, DATA, VOC (VOCdevkit/), CNN/<net>/
Writes:  WORK/experiments/results/number_of_topics.json, WORK/experiments/number_of_topics.png;
         everything else in WORK/number_of_topics/
Paper:   the figure of the number of topics (40 is best on validation)
Usage:   python experiments/number_of_topics.py [--data DIR] [--voc DIR] [--work DIR]
                 [--topics 10 20 40 60 80 100] [--net CaffeNet] [--solver solver_short.prototxt]
                 [--iterations N] [--layer fc7] [--passes 1] [--seed 0] [--gpu] [--note TEXT]
                 [--force]

It runs the project's scripts, once per number.  A number that is in the record is not measured
again; a run that was stopped goes on where it was.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from caffe import log, prototxt
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from texttopicnet import (
    artefacts,
    atomic_files,
    child_process,
    command_line,
    images,
    json_files,
    results,
    voc,
)
from texttopicnet.errors import UserError

FOLDER = "number_of_topics"  # below WORK
PAPER = 40
SOLVER = "run_solver.prototxt"


class Failed(Exception):
    """A script failed and has said why; holds its exit status."""


def run(command: list, folder: Path | None = None, record: Path | None = None) -> None:
    """Run a command; raise Failed if it does not end well."""
    ended = child_process.run(list(map(str, command)), folder, record)
    if ended.exit_status:
        raise Failed(ended.exit_status)


def script(name: str, *arguments: str | Path | int) -> None:
    """Run a script of the project."""
    run([sys.executable, artefacts.ROOT / name, *arguments])


def label(args: argparse.Namespace, work: Path, topics: int) -> None:
    """Learn the topics and label the images, unless that has been done."""
    collection = ["--data", args.data, "--collection", args.collection, "--work", work]
    collection += ["--topics", topics, "--seed", args.seed]
    if not (work / artefacts.lda_model(topics)).exists():
        limits = [("--no-below", args.no_below), ("--no-above", args.no_above)]
        given = [part for name, value in limits if value is not None for part in (name, value)]
        learning = ["--passes", args.passes, "--workers", args.workers, *given]
        script("LDA/learn_LDA_model.py", *collection, *learning)
    if not (work / artefacts.training_labels(topics)).exists():
        script("LDA/generate_train_labels.py", *collection)


def copy_net(args: argparse.Namespace, folder: Path, topics: int) -> caffe_pb2.SolverParameter:
    """Write the net with as many outputs as topics, and its solver; returns the solver."""
    source = artefacts.ROOT / "CNN" / args.net
    try:
        solver = prototxt.read_solver(source / args.solver)
        nets = {name: prototxt.read_net(source / name) for name in (solver.net, "deploy.prototxt")}
    except CaffeError as error:
        raise UserError(str(error)) from error
    for name, net in nets.items():
        last = [layer for layer in net.layer if layer.type == "InnerProduct"][-1]
        last.inner_product_param.num_output = topics
        (folder / name).write_text(prototxt.to_text(net), encoding="utf-8")
    if args.iterations:
        if solver.stepsize:  # the rate drops after the same share of the training
            solver.stepsize = max(1, solver.stepsize * args.iterations // solver.max_iter)
        solver.max_iter = args.iterations
    solver.random_seed = args.seed
    (folder / SOLVER).write_text(prototxt.to_text(solver), encoding="utf-8")
    (folder / solver.snapshot_prefix).parent.mkdir(parents=True, exist_ok=True)
    return solver


def train(args: argparse.Namespace, work: Path, topics: int) -> Path:
    """Pack the LMDBs and train, resuming from the newest snapshot; returns the weights."""
    net = f"topics{topics}"
    folder = work / "CNN" / net
    folder.mkdir(parents=True, exist_ok=True)
    solver = copy_net(args, folder, topics)
    weights = folder / f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"
    if weights.exists():
        return weights
    lmdbs = [folder / name for name in (artefacts.IMAGES_LMDB, artefacts.LABELS_LMDB)]
    if not all(path.exists() for path in lmdbs):
        collection = ["--data", args.data, "--collection", args.collection, "--work", work]
        what = ["--net", net, "--topics", topics, "--size", stored_size(args), "--seed", args.seed]
        script("CNN/create_lmdb.py", *collection, *what, "--force")
    gpu = ["--gpu", "0"] if args.gpu else []
    command = child_process.caffe_train(SOLVER, "--resume", *gpu)
    run(command, folder, folder / "trained.log")
    if not weights.is_file():
        raise UserError(
            f"caffe train stopped before its last iteration, {folder / 'trained.log'} says why: the"
            " same command resumes it"
        )
    for path in lmdbs:  # as large as the images, for every number
        shutil.rmtree(path, ignore_errors=True)
    return weights


def stored_size(args: argparse.Namespace) -> int:
    """Side of the images in the LMDB, for the net's crop."""
    net = prototxt.read_net(artefacts.ROOT / "CNN" / args.net / "train_val.prototxt")
    crops = (layer.transform_param.crop_size for layer in net.layer)
    return images.stored_side(next(filter(None, crops), images.CROP))


def score(args: argparse.Namespace, work: Path, topics: int, weights: Path) -> dict:
    """The mean APs of the SVMs: {'val': area, 'test': area, 'classes': {class: area on val}}."""
    name = f"topics{topics}"
    found = work / artefacts.voc_features(args.layer, name)
    if not found.exists():
        deploy = work / "CNN" / name / "deploy.prototxt"
        pictures = voc.year_folder(args.voc) / "JPEGImages"
        given = ["--net", deploy, "--weights", weights, "--blobs", args.layer]
        given += ["--images", pictures, "--out", found, *(["--gpu"] if args.gpu else [])]
        script("experiments/extract_features.py", *given)
    given = ["--voc", args.voc, "--work", work, "--name", name, "--seed", args.seed, "--force"]
    script("experiments/voc_2007_classification.py", args.layer, *given)
    values = results.load(work / artefacts.voc_record(args.layer, name))["values"]
    on_val = {label: row["val_area"] for label, row in values["classes"].items()}
    found.unlink()
    mean = float(np.mean(list(on_val.values())))
    return {"val": mean, "test": values["mean"]["area"], "classes": on_val}


def measure(args: argparse.Namespace, work: Path, topics: int) -> dict:
    """Everything for one number of topics; returns its row of the record."""
    start = time.perf_counter()
    label(args, work, topics)
    weights = train(args, work, topics)
    row = {"topics": topics, **score(args, work, topics, weights)}
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def new_record(args: argparse.Namespace) -> dict:
    """The record, without rows."""
    from texttopicnet import voc_objects  # loads SciPy, which starting other scripts does not need

    source = artefacts.ROOT / "CNN" / args.net
    solver = prototxt.read_solver(source / args.solver)
    paper_set = voc.is_paper_set(args.voc)
    return results.record(
        experiment="number_of_topics",
        corpus="VOC2007" if paper_set else "part of VOC2007 or another set of its layout",
        values={},
        split={
            split: len(voc_objects.images(voc.year_folder(args.voc), split))
            for split in ("train", "val")
        },
        seed=args.seed,
        inputs={
            "train_dict": args.work / artefacts.TRAIN_DICT,
            "net": source / "train_val.prototxt",
            "solver": source / args.solver,
        },
        seconds=0,
        note=args.note,
        paper_set=paper_set,
        settings={
            "net": args.net,
            "iterations": args.iterations or solver.max_iter,
            "layer": args.layer,
            "passes": args.passes,
            "no_below": args.no_below,
            "no_above": args.no_above,
        },
        rows=[],
    )


def resume(record: dict, path: Path) -> None:
    """Take the rows of an earlier run; UserError if they were measured differently."""
    if not path.exists():
        return
    found = json_files.read(path, "python experiments/number_of_topics.py --force")
    for name in ("experiment", "seed", "split", "inputs", "settings"):
        if found.get(name) != record[name]:
            raise UserError(
                f"{path} was measured with another {name} ({found.get(name)}): give --force to"
                " measure all numbers again"
            )
    record |= {name: found[name] for name in ("rows", "values", "seconds")}


def add(record: dict, row: dict) -> None:
    """Put a row into the record, and the best number on val into its values."""
    record["rows"] = sorted([*record["rows"], row], key=lambda r: r["topics"])
    best = max(record["rows"], key=lambda r: (r["val"], -r["topics"]))
    record["values"] = {"best": best["topics"], "val": best["val"], "test": best["test"]}
    record["seconds"] = round(record["seconds"] + row["seconds"], 1)


def draw(record: dict, path: Path) -> None:
    """Mean AP over the number of topics, on val and on test."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes, rows = figure.subplots(), record["rows"]
    numbers = [row["topics"] for row in rows]
    for name, colour, what in (("val", "#1f6fb2", "validation"), ("test", "#9aa4ae", "test")):
        values = [100 * row[name] for row in rows]
        axes.plot(numbers, values, "o-", color=colour, label=f"{what} images")
    axes.axvline(PAPER, color="#b5402a", linewidth=1, linestyle="--", label="the paper's 40 topics")
    axes.set_xticks(sorted({PAPER, *numbers}))
    axes.set(xlabel="number of topics", ylabel="mean AP, percent")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    settings = record["settings"]
    axes.set_title(
        f"SVMs on {settings['layer']} after {settings['iterations']:,} iterations of"
        f" {settings['net']};\n{record['corpus']}",
        loc="left",
        fontsize=10,
    )
    with atomic_files.written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def parse() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--collection", "--voc", "--work")
    command_line.add_options(
        parser,
        "--topics",
        type=command_line.whole("--topics", 2),
        nargs="+",
        default=[10, 20, 40, 60, 80, 100],
        help="numbers of topics to compare (default: 10 20 40 60 80 100)",
    )
    command_line.add_options(parser, "--net")
    command_line.add_options(
        parser,
        "--solver",
        default="solver_short.prototxt",
        help="solver in the net's folder (default: solver_short.prototxt)",
    )
    parser.add_argument(
        "--iterations",
        type=command_line.whole("--iterations"),
        metavar="N",
        help="length of each training (default: the solver's max_iter)",
    )
    parser.add_argument(
        "--layer", default="fc7", metavar="BLOB", help="blob whose features count (default: fc7)"
    )
    command_line.add_options(parser, "--passes", "--no-below", "--no-above", "--workers", "--seed")
    command_line.add_options(parser, "--gpu", "--note")
    command_line.add_options(parser, "--force", help="measure all numbers again")
    args = parser.parse_args()
    for name in ("data", "voc", "work"):
        setattr(args, name, getattr(args, name).absolute())
    args.voc = voc.holder(args.voc)
    return args


def main() -> int:
    args = parse()
    log.set_flags({"minloglevel": log.LEVELS["W"]})
    pairs = artefacts.existing(
        args.work / artefacts.TRAIN_DICT, "python LDA/generate_train_dict.py"
    )
    if not (artefacts.ROOT / "CNN" / args.net / args.solver).is_file():
        raise UserError(f"CNN/{args.net}/{args.solver} does not exist: give --net and --solver")
    output, work = args.work / artefacts.TOPIC_NUMBERS_RECORD, args.work / FOLDER
    try:
        record = new_record(args)
    except CaffeError as error:
        raise UserError(str(error)) from error
    if args.force:
        shutil.rmtree(work, ignore_errors=True)
    else:
        resume(record, output)
    copied = work / artefacts.TRAIN_DICT
    if not copied.exists() or artefacts.sha256(copied) != artefacts.sha256(pairs):
        shutil.rmtree(work, ignore_errors=True)  # made of other articles
        copied.parent.mkdir(parents=True)
        with atomic_files.written_whole(copied) as temporary:
            shutil.copyfile(pairs, temporary)
    done = {row["topics"] for row in record["rows"]}
    missing = [number for number in sorted(set(args.topics)) if number not in done]
    print(
        f"numbers of topics: {', '.join(map(str, sorted(set(args.topics))))};"
        f" {len(done)} are measured already; {record['settings']['iterations']} iterations of"
        f" {args.net} each",
        flush=True,
    )
    try:
        for number in tqdm(missing, unit="number"):
            row = measure(args, work, number)
            add(record, row)
            results.save(output, record)
            tqdm.write(
                f"{number} topics: mean AP {row['val']:.4f} on val, {row['test']:.4f} on test"
            )
    except Failed as failed:
        return failed.args[0]
    plot = args.work / artefacts.TOPIC_NUMBERS_PLOT
    draw(record, plot)
    print(f"best on val: {record['values']['best']} topics; record: {output}; plot: {plot}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
