"""Run the stages 1 to 14 in order, from the raw corpus to the tables; finished stages are skipped.

Reads:   DATA (ImageCLEF_Wikipedia/, Wikipedia/), VOC (VOCdevkit/)
Writes:  WORK, laid out like the project: LDA/, CNN/<net>/, experiments/
Paper:   sections 3 and 4, the whole way
Usage:   bash scripts/run_all.sh [--sample] [--dry-run] [--from N] [--to N] [options]

A stage is done when all its outputs exist.  If its outputs are older than what the stage before
wrote, the chain stops and says what to do.  After an interruption, stages 2, 5 to 7, 9, 10, 12 and
13 resume, as does 1 with a dump; the others start over.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evaluation_stages import image_sets, left_out, no_fine_tuning, tuning_solver
from given_models import check_given, install, without_stage_2, without_stages_4_and_5
from net_facts import crop_of, gpu_exists, wants_gpu
from stage import Stage, more_experiments, options, own_topics

from caffe import prototxt
from caffe.error import CaffeError
from texttopicnet import (
    artefacts,
    child_process,
    command_line,
    embedding_ranges,
    images,
    voc,
)
from texttopicnet.errors import UserError

ROOT = artefacts.ROOT
LAST = 14  # stage


def table(s: argparse.Namespace) -> list[Stage]:
    """The stages in order; `s` is the command line with its defaults filled in (`settings`)."""
    work, folder = s.work, s.work / "CNN" / s.net
    train_dict, model = work / artefacts.TRAIN_DICT, work / artefacts.lda_model(s.topics)
    labels = work / artefacts.training_labels(s.topics, s.embedding)
    lmdbs = [folder / name / "data.mdb" for name in (artefacts.IMAGES_LMDB, artefacts.LABELS_LMDB)]
    weights = [folder / f"{name}.caffemodel" for name in s.nets]
    has_voc = (s.voc / "VOCdevkit").is_dir() or (s.makes_sample and s.voc == s.data)
    has_retrieval = (s.data / "Wikipedia").is_dir() or s.makes_sample
    features = [work / artefacts.voc_features("fc7", s.nets[-1])] if has_voc else []
    features += [work / artefacts.RETRIEVAL_FEATURES] if has_retrieval else []
    features = features or [work / "experiments" / "features"]
    svms = [work / artefacts.voc_record(b, n) for n in s.nets for b in artefacts.LAYERS]
    mean_aps = [work / artefacts.RETRIEVAL_RECORD]
    page = [work / "experiments" / "report.html"]

    def given(*names: str) -> list[str]:
        return options(**{name: getattr(s, name) for name in names})

    corpus, target = given("data", "collection", "work"), given("topics", "embedding")
    source = given("dump", "images", "pairs", "scheduler") if s.dump or s.images or s.pairs else []
    learning = given("scheduler", "topics", "passes", "workers", "seed", "no_below", "no_above")
    training = given("work", "net", "solver", "seed", "note", "gpu")
    extraction = given("data", "voc", "work", "net", "name") + options(gpu=s.extracts_on_gpu)
    scoring = given("voc", "work", "name", "seed", "note")
    retrieval = given("data", "work", "topics", "seed", "note", "no_below", "no_above")
    retrieval += own_topics(s)
    trust = given("trust_pickle")
    no_voc, no_retrieval = left_out(s, has_voc, has_retrieval)
    fine_tuned = [work / artefacts.voc_fine_tuning_record(name) for name in s.nets]
    nets = given("work", "net", "name", "seed", "note") + options(gpu=s.extracts_on_gpu)
    tuning = given("voc") + nets + tuning_solver(s, "voc2007")
    sets, classified, no_sets = image_sets(s)
    classification = nets + sets + tuning_solver(s, "classes")
    no_net, no_learning, no_training = (
        no_fine_tuning(s),
        without_stage_2(s),
        without_stages_4_and_5(s),
    )
    return [
        Stage("01_generate_train_dict", [], [train_dict], corpus + source),
        Stage("02_learn_LDA_model", [train_dict], [model], corpus + learning + trust, no_learning),
        Stage(
            "03_generate_train_labels", [model], [labels], corpus + target + given("seed") + trust
        ),
        Stage(
            "04_create_lmdb",
            [labels],
            lmdbs,
            corpus + target + given("net", "size", "seed"),
            no_training,
        ),
        Stage("05_train_cnn", lmdbs[:1], weights, training, no_training, resumes=True),
        Stage("06_extract_features", weights[:1], features, extraction, resumes=True),
        Stage("07_voc_2007_classification", features[:1], svms, scoring, no_voc, resumes=True),
        Stage("08_multi_modal_retrieval", features[-1:], mean_aps, retrieval + trust, no_retrieval),
        Stage("09_voc_2007_fine_tuning", weights[:1], fine_tuned, tuning, no_voc or no_net, True),
        Stage("10_image_classification", weights[:1], classified, classification, no_sets, True),
        *more_experiments(s, weights[:1], no_voc),
        Stage(
            "14_make_tables", [], page, given("data", "work", "net", "topics") + trust, always=True
        ),
    ]


@dataclass(frozen=True)
class Decision:
    """Whether a stage runs, whether with --force, and why."""

    runs: bool
    force: bool
    reason: str


def decide(stage: Stage, force: bool, rewritten: Iterable[Path] = ()) -> Decision:
    """Whether a stage runs.

    Parameters
    ----------
    stage : Stage
    force : bool
        Whether the user asked for --force.
    rewritten : iterable of Path
        Files that would be newer than all others by now, though a dry run has not written them.

    Raises
    ------
    UserError
        The stage is done, but older than what it reads.
    """
    if stage.left_out:
        return Decision(False, False, f"is left out: {stage.left_out}")
    if stage.always:
        return Decision(True, True, "always, because it takes seconds")
    if force:
        return Decision(True, True, "--force")
    present = [path for path in stage.outputs if path.exists()]
    missing = [path for path in stage.outputs if path not in present]
    if missing:
        start_over = bool(present) and not stage.resumes
        return Decision(True, start_over, f"{missing[-1]} is missing")
    output = stage.outputs[0]
    for path in stage.inputs:
        if path in rewritten or is_newer(path, output):
            raise UserError(stale(stage, path))
    return Decision(False, False, f"is done: {output} exists (--force runs it again)")


def is_newer(path: Path, other: Path) -> bool:
    """Whether `path` exists and was modified after `other`."""
    return path.exists() and path.stat().st_mtime_ns > other.stat().st_mtime_ns


def stale(stage: Stage, newer: Path) -> str:
    """What to do about a stage whose output is older than its input."""
    output = stage.outputs[0]
    if stage.number == 2 and artefacts.MARK.encode() not in output.read_bytes():
        return (
            f"{output} was not made here, and not from {newer}: give --from 3 to use it anyway, or"
            " another --work folder"
        )
    return (
        f"stage {stage.number} is older than what it reads: {newer} was made after {output}; give"
        f" --from {stage.number} --force to run it again, or another --work folder to keep it"
    )


def run(stages: list[Stage], force: bool, dry: bool) -> int:
    """Run the stages that are not done, or with `dry` only say which.

    Returns
    -------
    int
        0, or the status with which the chain ended early.
    """
    rewritten = set()
    for stage in stages:
        decision = decide(stage, force, rewritten)
        if not decision.runs:
            print(f"stage {stage.number} {decision.reason}")
            continue
        command = stage.command(decision.force)
        if dry:
            print(f"stage {stage.number} would run ({decision.reason}): {shlex.join(command)}")
            rewritten.update(p for p in stage.outputs if decision.force or not p.exists())
            continue
        print(f"stage {stage.number}: {stage.script}", flush=True)
        if status := child_process.run(command).exit_status:
            return status
    return 0


def settings(args: argparse.Namespace) -> argparse.Namespace:
    """Fill in the defaults of the command line, and what follows from it.

    Adds makes_sample (bool: the sample's data sets are still to be made), size (side of the stored
    images in pixels), note (what the records say beside their numbers), extracts_on_gpu (bool),
    nets (names of the nets that are evaluated) and name (the only one of them, or None).

    Raises
    ------
    UserError
        A net that does not exist or cannot be read, or stages in the wrong order.
    """
    if args.first > args.last:
        raise UserError(f"--from {args.first} comes after --to {args.last}: give them in order")
    sample = args.sample
    args.data = (args.data or (ROOT / "data" / "sample" if sample else artefacts.DATA)).absolute()
    if args.pairs:
        args.collection = str(args.pairs.absolute().parent)
    args.work = args.work or (ROOT / "work" / "sample" if sample else default_work(args))
    args.work, args.voc = args.work.absolute(), voc.holder((args.voc or args.data).absolute())
    for name in ("dump", "images", "pairs", "weights", "lda"):
        setattr(args, name, getattr(args, name) and getattr(args, name).absolute())
    check_given(args)
    args.name = "trained" if args.weights else None  # there is no net as its fillers made it
    args.nets = (args.name,) if args.name else artefacts.NETS
    args.net = args.net or ("CaffeNetSample" if sample else "CaffeNet")
    args.passes = args.passes or (10 if sample else 1)
    args.workers = args.workers or (1 if sample else 3)
    signed = embedding_ranges.RANGES[args.embedding].signed
    args.solver = args.solver or ("solver_euclidean.prototxt" if signed else "solver.prototxt")
    args.makes_sample = sample and not (args.data / "ImageCLEF_Wikipedia").is_dir()
    folder = ROOT / "CNN" / args.net
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: give --net a folder of CNN/")
    try:
        args.size = images.stored_side(crop_of(folder / "train_val.prototxt"))
        args.note = note_of(args, folder / args.solver)
        trains_on_gpu = wants_gpu(folder / args.solver) and gpu_exists()
        args.extracts_on_gpu = args.gpu or trains_on_gpu
    except CaffeError as error:
        raise UserError(str(error)) from error
    return args


def default_work(args: argparse.Namespace) -> Path:
    """The project itself for its own data folder, else work/<name of the folder of the data or of
    the list of pairs>.
    """
    if args.pairs:
        return ROOT / "work" / Path(args.collection).name
    data = args.data
    own = data.exists() and artefacts.DATA.exists() and data.samefile(artefacts.DATA)
    return ROOT if own else ROOT / "work" / data.name


def note_of(args: argparse.Namespace, solver: Path) -> str:
    """What the records say of the training."""
    if args.weights:
        return f"weights {args.weights.name}; topics {args.lda.name if args.lda else 'not given'}"
    iterations = prototxt.read_solver(solver).max_iter if solver.is_file() else "?"
    if args.embedding == "lda":
        target = f"{args.topics} topics, {args.passes} passes"
    else:
        target = f"{args.embedding} of {args.topics} numbers"
    corpus = Path(args.collection).name if args.pairs else args.data.name
    return f"trained on {corpus}: {target}; {args.net}, {iterations} iterations"


def make_sample(data: Path, dry: bool) -> int:
    """Make the sample's data sets, or say that they would be made; returns the status."""
    script = ROOT / "data" / "sample" / "make_sample.py"
    command = [sys.executable, str(script), *options(out=data)]
    if dry:
        print(f"the sample's data sets would be made: {shlex.join(command)}")
        return 0
    return child_process.run(command).exit_status


def parser() -> command_line.Parser:
    """The command line."""
    p, add = command_line.parser(__doc__), command_line.add_options
    sample = "the sample corpus, its small net CaffeNetSample, 10 passes, 1 worker"
    p.add_argument("--sample", action="store_true", help=sample)
    p.add_argument("--dry-run", action="store_true", help="say what would run and why, run nothing")
    for option, dest, default in (("--from", "first", 1), ("--to", "last", LAST)):
        number = command_line.whole(option, 1, LAST)
        text = f"{dest} stage, 1 to {LAST} (default: {default})"
        p.add_argument(option, dest=dest, type=number, default=default, metavar="N", help=text)
    work = "folder for everything that is made (default: the project for data/, else work/<name>)"
    solver = "solver in the net's folder (default: one whose loss suits the embedding)"
    listed = "the dump's list_of_images.json, with --dump"
    add(p, "--data", default=None)
    add(p, "--voc", default=None, help="folder that holds VOCdevkit/ (default: --data)")
    add(p, "--work", default=None, help=work)
    add(p, "--net", default=None)
    add(p, "--solver", default=None, help=solver)
    add(p, "--topics")
    add(p, "--passes", default=None)
    add(p, "--workers", default=None, help="threads that learn the topics (default: 3)")
    add(p, "--no-below", "--no-above", "--seed")
    add(p, "--scheduler", help="address of a Dask cluster for the text half")
    add(p, "--collection", "--dump")
    p.add_argument("--images", type=Path, metavar="FILE", help=listed)
    add(p, "--pairs")
    weights = "a .caffemodel in place of stages 1 to 5, with --from 6"
    model = "a gensim LDA model in place of stage 2, with dictionary.dict beside it"
    p.add_argument("--weights", type=Path, metavar="FILE", help=weights)
    p.add_argument("--lda", type=Path, metavar="FILE", help=model)
    add(p, "--embedding", choices=embedding_ranges.NAMES)
    add(p, "--trust-pickle")
    gpu = "train and extract on a GPU (default: if solver_mode is GPU and there is one)"
    p.add_argument("--gpu", action="store_true", help=gpu)
    add(p, "--force", help="run stages that are done again")
    return p


def main() -> int:
    s = settings(parser().parse_args())
    if s.makes_sample:
        if status := make_sample(s.data, s.dry_run):
            return status
    elif not s.data.is_dir():
        raise UserError(f"{s.data} does not exist: data/README.md says what --data takes")
    print(
        f"stages {s.first} to {s.last}: data {s.data}, work {s.work}, net {s.net}, {s.solver},"
        f" {s.topics} topics, {s.passes} passes, seed {s.seed}",
        flush=True,
    )
    install(s)
    stages = [stage for stage in table(s) if s.first <= stage.number <= s.last]
    if status := run(stages, s.force, s.dry_run):
        return status
    if s.dry_run:
        print("dry run: nothing was run")
    elif s.last == LAST:
        if (s.work / artefacts.training_labels(s.topics)).exists():  # of LDA
            page = options(data=s.data, collection=s.collection, work=s.work, net=s.net)
            page += options(topics=s.topics)
            print(f"try the model: python experiments/demo.py {shlex.join(page)}")
        print(f"look at {s.work}/experiments/report.html (and tables.md beside it)")
    else:
        print(f"stages up to {s.last} are done: see {s.work}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
