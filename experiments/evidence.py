"""Measure whether the text teaches a net to see: learning curves on topics and shuffled labels.

Reads:   the LMDBs in WORK/CNN/<net>/, WORK/LDA/, DATA/Wikipedia/, VOC/VOCdevkit/
Writes:  WORK/evidence/<name>/<labels>_seed<N>/ (weights, log, scores of each iteration);
         WORK/experiments/results/evidence_<name>.json and .png
Paper:   none of its tables; section 4 claims that the features come from the text
Usage:   python experiments/evidence.py [--data DIR] [--voc DIR] [--work DIR] [--net CaffeNet]
                 [--solver solver.prototxt] [--recipe paper] [--labels topics shuffled]
                 [--seeds 0] --at N [N ...] [--name NAME] [--no-training]
                 [--fine-tuning solver.prototxt] [--rate R] [--dropout P] [--no-mirror]
                 [--lmdbs DIR] [--gpu] [--note TEXT]

Shuffled labels are the same vectors, each at another image.  All trainings of a seed start from the
same weights, those of iteration 0: the untrained net.  They advance in turn from one iteration of
--at to the next, and are evaluated there by retrieval and by linear SVMs.  A run that was stopped
resumes; with larger numbers in --at it goes on.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import evidence_curves as curves
import evidence_nets as nets
import evidence_runs as runs
from tqdm import tqdm

from texttopicnet import artefacts, child_process, command_line, results, voc
from texttopicnet.errors import UserError

ROOT = artefacts.ROOT
SCORED = "trained"  # the net's name in the evaluation scripts' files


def run_script(name: str, *arguments: object) -> None:
    """Run a script of experiments/; UserError if it does not end well (it has said why)."""
    command = [sys.executable, ROOT / "experiments" / name, *map(str, arguments)]
    ended = child_process.run(command)
    if ended.signal:
        raise KeyboardInterrupt
    if ended.status:
        raise UserError(
            f"{name} ended with status {ended.status}: the same command resumes where it stopped"
        )


def evaluate(run: runs.Run, iteration: int, args: argparse.Namespace) -> dict[str, dict]:
    """Score the weights of one iteration by retrieval and by an SVM per layer.

    Parameters
    ----------
    run : evidence_runs.Run
    iteration : int
        Its weights exist.
    args : argparse.Namespace
        The command line.

    Returns
    -------
    dict
        {'retrieval' or layer: result record}; an evaluation whose data set does not exist is left
        out.  Records that exist are read, not made again.
    """
    folder = run.folder / "scores" / f"iter_{iteration}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "LDA").exists():  # multi_modal_retrieval.py looks for the topics in --work
        (folder / "LDA").symlink_to(os.path.relpath(args.work / "LDA", folder))
    note = (
        f"{args.net}, {args.solver}, {args.described}, {run.labels}, seed {run.seed}, iteration"
        f" {iteration}"
    )
    common = ("--work", folder, "--note", note)
    photographs = voc.holder(args.voc) / "VOCdevkit" / "VOC2007" / "JPEGImages"
    if photographs.is_dir():
        missing = [
            layer
            for layer in artefacts.LAYERS
            if not (folder / artefacts.voc_record(layer, SCORED)).exists()
        ]
        named = folder / artefacts.voc_features("{blob}", SCORED)
        extract(run, iteration, missing, photographs, named, args.gpu)
        if missing:
            named = ("--voc", args.voc, "--name", SCORED)
            run_script("voc_2007_classification.py", *named, *common)
    if (args.data / "Wikipedia").is_dir() and not (folder / artefacts.RETRIEVAL_RECORD).exists():
        images = args.data / "Wikipedia" / "images"
        named = folder / artefacts.RETRIEVAL_FEATURES
        extract(run, iteration, ["prob"], images, named, args.gpu)
        run_script(
            "multi_modal_retrieval.py", "--data", args.data, "--topics", args.topics, *common
        )
    if args.fine_tuning and photographs.is_dir():
        fine_tune(run, iteration, folder, args, note)
    shutil.rmtree(folder / "experiments" / "features", ignore_errors=True)  # they are large
    paths = {layer: folder / artefacts.voc_record(layer, SCORED) for layer in artefacts.LAYERS}
    paths["retrieval"] = folder / artefacts.RETRIEVAL_RECORD
    paths["fine_tuning"] = folder / artefacts.voc_fine_tuning_record(SCORED)
    return {name: results.load(path) for name, path in paths.items() if path.exists()}


def fine_tune(
    run: runs.Run, iteration: int, folder: Path, args: argparse.Namespace, note: str
) -> None:
    """Fine-tune the net for VOC2007 unless that has been done; a stopped training resumes."""
    if (folder / artefacts.voc_fine_tuning_record(SCORED)).exists():
        return
    weights = run.weights(iteration)
    if args.recipe == "normalised":  # the fine-tuned nets have no BatchNorm
        weights = folder / "folded.caffemodel"
        plain = ROOT / "CNN" / args.net / "deploy.prototxt"
        nets.fold(run.folder / "deploy.prototxt", run.weights(iteration), plain, weights)
    named = ["--voc", args.voc, "--net", args.net, "--name", SCORED, "--weights", weights]
    common = ["--solver", args.fine_tuning, "--work", folder, "--note", note]
    gpu = ["--gpu"] if args.gpu else []
    run_script("voc_2007_fine_tuning.py", *named, *common, *gpu)


def share_scores(run: runs.Run, every: list[runs.Run]) -> None:
    """Let a run take the scores of iteration 0 from a run of the same seed, if the weights there
    are the same.
    """
    own = run.folder / "scores" / "iter_0"
    for other in every:
        scores = other.folder / "scores" / "iter_0"
        usable = other.seed == run.seed and scores.exists() and not own.exists()
        if usable and runs.same_weights(run.weights(0), other.weights(0)):
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(os.path.relpath(scores, own.parent))


def extract(
    run: runs.Run, iteration: int, blobs: list[str], images: Path, out: Path, gpu: bool
) -> None:
    """Extract the features of some images that `out` names."""
    if blobs:
        net = ["--net", run.folder / "deploy.prototxt", "--weights", run.weights(iteration)]
        which = ["--blobs", ",".join(blobs), "--images", images, "--out", out]
        run_script("extract_features.py", *net, *which, "--force", *(["--gpu"] if gpu else []))


def point(run: runs.Run, iteration: int, scores: dict[str, dict]) -> dict:
    """One row of the record: a run at one iteration."""
    row = {"labels": run.labels, "seed": run.seed, "iteration": iteration}
    row |= {"held_out_loss": run.held_out_loss(iteration)}
    row |= {"moved": runs.moved(run.weights(0), run.weights(iteration))}
    if "retrieval" in scores:
        values = scores["retrieval"]["values"]
        row["retrieval"] = {k: values[k] for k in ("image_query", "text_query", "average")}
        row["image_variance"] = scores["retrieval"]["image_variance"]
    if "fine_tuning" in scores:
        values = scores["fine_tuning"]["values"]
        row["fine_tuned"] = {crops: of["mean"]["area"] for crops, of in values.items()}
    svm = {k: scores[k]["values"]["mean"]["area"] for k in artefacts.LAYERS if k in scores}
    return row | {"svm": svm, "weights_sha256": artefacts.sha256(run.weights(iteration))}


def advance(args: argparse.Namespace) -> list[dict]:
    """Train and evaluate all runs up to the last iteration of --at; returns the record's rows."""
    source = ROOT / "CNN" / args.net
    if not (source / args.solver).is_file():
        raise UserError(
            f"{source / args.solver} does not exist: --net names a folder of CNN/, --solver a file"
            " in it"
        )
    every = [
        runs.Run(labels, seed, args.work / "evidence" / args.name / f"{labels}_seed{seed}")
        for seed in args.seeds
        for labels in args.labels
    ]
    rows, scores = [], {}
    steps = [(iteration, run) for iteration in sorted({0, *args.at}) for run in every]
    for iteration, run in tqdm(steps, unit="evaluation"):
        if not args.no_training:
            settings = (args.recipe, args.lmdbs, args.snapshot, args.changes)
            solver = runs.prepare(run, source, args.solver, *settings)
            runs.train(run, solver, iteration, args.gpu)
        if run.weights(iteration).exists():
            if not iteration:
                share_scores(run, every)
            is_new = not (run.folder / "scores" / f"iter_{iteration}").exists()
            scores = evaluate(run, iteration, args)
            rows.append(point(run, iteration, scores))
            if is_new:  # a record takes seconds
                save(rows, scores, args)
    if rows:
        save(rows, scores, args)
    return rows


def save(rows: list[dict], scores: dict[str, dict], args: argparse.Namespace) -> None:
    """Write the record of all rows so far, and the plot."""
    layers = [name for name in artefacts.LAYERS if name in scores]
    output = args.work / artefacts.RESULTS / f"evidence_{args.name}.json"
    record = results.record(
        experiment="evidence",
        corpus="; ".join(dict.fromkeys(record["corpus"] for record in scores.values())),
        values=curves.summary(rows),
        split={name: record["split"] for name, record in scores.items()},
        seed=args.seeds,
        inputs={
            "train_val": ROOT / "CNN" / args.net / "train_val.prototxt",
            "solver": ROOT / "CNN" / args.net / args.solver,
            "labels": args.lmdbs / artefacts.LABELS_LMDB / "data.mdb",
        },
        seconds=time.perf_counter() - args.start,
        note=args.note,
        net=args.net,
        solver=args.solver,
        recipe=args.described,
        layers=layers,
        loss_of_means=runs.loss_of_means(args.lmdbs) if args.lmdbs.exists() else None,
        chance={
            name: record["values"]["mean"]["chance"]
            if name in layers
            else record["values"]["chance"]
            for name, record in scores.items()
            if name != "fine_tuning"
        },
        rows=rows,
    )
    results.save(output, record)
    curves.draw(record, output.with_suffix(".png"))


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--voc", "--work", "--net", "--solver", "--topics")
    parser.add_argument(
        "--recipe",
        choices=nets.RECIPES,
        default="paper",
        help="paper: the net as it is; normalised: with BatchNorm, and outputs that start at the"
        " topics' mean (default: paper)",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        choices=runs.LABELS,
        default=list(runs.LABELS),
        help="what the net learns to predict (default: topics shuffled)",
    )
    command_line.add_options(
        parser, "--seeds", default=[0], help="trainings per kind of labels (default: 0)"
    )
    parser.add_argument(
        "--at",
        type=command_line.whole("--at", 0),
        nargs="+",
        required=True,
        metavar="N",
        help="iterations at which the nets are evaluated; 0 always is",
    )
    parser.add_argument(
        "--snapshot",
        type=command_line.whole("--snapshot"),
        default=100,
        metavar="N",
        help="iterations between snapshots, and between tests on held-out images (default: 100)",
    )
    parser.add_argument(
        "--name", help="name of the record and of its folder (default: the net's name)"
    )
    parser.add_argument(
        "--no-training", action="store_true", help="only evaluate the weights that exist"
    )
    parser.add_argument(
        "--fine-tuning",
        metavar="FILE",
        help="also fine-tune for VOC2007 by this solver of CNN/finetune_voc2007*",
    )
    trials = parser.add_argument_group("changes of the recipe, for trials (give each a --name)")
    trials.add_argument(
        "--rate",
        type=command_line.share("--rate"),
        metavar="R",
        help="base_lr in place of the solver's",
    )
    trials.add_argument(
        "--dropout",
        type=command_line.share("--dropout", zero=True),
        metavar="P",
        help="dropout_ratio in place of the net's; 0 leaves dropout out",
    )
    trials.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="whether training images are mirrored at random (default: as the net says)",
    )
    trials.add_argument(
        "--lmdbs",
        type=Path,
        metavar="DIR",
        help="the LMDBs of create_lmdb.py, such as those with other labels (default:"
        " WORK/CNN/<net>)",
    )
    command_line.add_options(parser, "--gpu", "--note")
    args = parser.parse_args()
    args.start, args.name = time.perf_counter(), args.name or args.net
    args.changes = nets.Changes(args.rate, args.dropout, args.mirror)
    other = f"LMDBs {args.lmdbs.name}" if args.lmdbs else ""
    args.described = ", ".join(filter(None, (args.recipe, str(args.changes), other)))
    args.lmdbs = args.lmdbs or args.work / "CNN" / args.net
    for name in ("work", "data", "voc", "lmdbs"):
        setattr(args, name, getattr(args, name).absolute())
    print(
        f"evidence {args.name}: {args.net}, {args.solver}, recipe {args.described}, labels"
        f" {', '.join(args.labels)}, seeds {', '.join(map(str, args.seeds))},"
        f" at {', '.join(map(str, sorted(args.at)))}",
        flush=True,
    )
    rows = advance(args)
    if not rows:
        raise UserError(f"{args.work / 'evidence' / args.name} has no weights to evaluate")
    output = args.work / artefacts.RESULTS / f"evidence_{args.name}.json"
    print(curves.block(results.load(output)))
    print(output)
    return 0


if __name__ == "__main__":
    command_line.run(main)
