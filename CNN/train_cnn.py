"""Train a net with `caffe train`, keep it untrained as well, and record the training.

Reads:   CNN/<net>/*.prototxt and *.py, the LMDBs in WORK/CNN/<net>/
Writes:  WORK/CNN/<net>/{trained,untrained}.caffemodel and .log, snapshots/;
         WORK/experiments/results/training.json
Paper:   section 4.2 (training)
Usage:   python CNN/train_cnn.py [--work DIR] [--net CaffeNet] [--solver solver.prototxt] [--seed N]
                                 [--note TEXT] [--gpu] [--precision P] [--cache PLACE] [--force]
         python CNN/train_cnn.py --net finetune_voc2007 --weights FILE [--name N] [--classes N]
                                 [--into NAME] ...

A training that was stopped (Ctrl-C, SIGTERM) resumes from its newest good snapshot.  A net that
exists is not trained again without --force; its training is recorded from its log.

With --weights it fine-tunes: the layers that the file names begin with its weights.  Then there is
no untrained net, the weights are <name>.caffemodel, and the record is
training_<folder>_<name>.json.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import math
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from net_copy import check_lmdbs, copy_net, net_of

from caffe import log, log_grammar, prototxt
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from texttopicnet import artefacts, atomic_files, child_process, command_line, results
from texttopicnet.errors import UserError

UNTRAINED_SOLVER = "solver_untrained.prototxt"
LMDBS_MADE_BY = "scripts/04_create_lmdb.sh"
KINDS = (".caffemodel", ".solverstate", ".caffemodel.h5", ".solverstate.h5")
STOPPING = (
    signal.SIGINT,
    signal.SIGTERM,
)  # caffe train writes a snapshot and stops; SIGHUP does not stop it
# log lines of these files tell how long a training took; data threads' lines do not
SOURCES = ("solver.cpp", "caffe.cpp")
LEAP_YEAR = 2000  # assumed for a log without a year, so that 29 February can be read


@dataclass(frozen=True)
class Run:
    """One training: a solver, and the name of what it makes.

    Attributes
    ----------
    name : str
        Name of the weights and the log, without their endings.
    folder : Path
        Work folder of the net, where Caffe runs.
    solver : caffe_pb2.SolverParameter
        As this run uses it: with its seed, its stages and a snapshot_prefix.
    file : str
        What the solver is written to, in `folder`.
    """

    name: str
    folder: Path
    solver: caffe_pb2.SolverParameter
    file: str

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.caffemodel"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def final(self) -> Path:
        """The snapshot after the last iteration."""
        end = ".h5" if self.solver.snapshot_format == caffe_pb2.SolverParameter.HDF5 else ""
        last = f"{self.solver.snapshot_prefix}_iter_{self.solver.max_iter}.caffemodel{end}"
        return self.folder / last

    def made(self) -> list[Path]:
        """All that earlier runs have left, snapshots included."""
        prefix = self.folder / self.solver.snapshot_prefix
        snapshots = [
            path
            for path in prefix.parent.glob("*_iter_*")
            if path.name.startswith(f"{prefix.name}_iter_") and path.name.endswith(KINDS)
        ]
        return [self.weights, self.log, *snapshots]


def read_solver(path: Path) -> caffe_pb2.SolverParameter:
    """Read a solver; a wrong one is a UserError."""
    try:
        return prototxt.read_solver(path)
    except CaffeError as error:
        raise UserError(str(error)) from error


def run_of(
    name: str,
    path: Path,
    folder: Path,
    seed: int | None,
    stages: list[str],
    weights: Path | None = None,
) -> Run:
    """The run of a solver file, whose seed and stages are replaced.

    Parameters
    ----------
    name : str
        Name of the run.
    path : Path
        The solver.
    folder : Path
        Work folder of the net.
    seed : int or None
        None keeps the solver's own random_seed.
    stages : list of str
        Stages of the net's train_state.
    weights : Path, optional
        What a fine-tuning begins with.  Its snapshots have the run's name, because several nets may
        be fine-tuned in one folder.
    """
    solver = read_solver(path)
    if seed is not None:
        solver.random_seed = seed
    solver.train_state.ClearField("stage")
    solver.train_state.stage.extend(stages)
    if not stages and solver.train_state == caffe_pb2.NetState():
        solver.ClearField("train_state")
    file = f"run_{path.name}" if weights is None else f"run_{path.stem}_{name}{path.suffix}"
    prefix = solver.snapshot_prefix or "snapshots/"  # as Caffe: a folder gets the solver's name
    if prefix.endswith("/") or (folder / prefix).is_dir():
        prefix = os.path.join(prefix, Path(file).stem)
    if weights is not None:
        prefix = f"{prefix}_{name}"
        solver.weights[:] = [str(weights.absolute())]
    solver.snapshot_prefix = prefix
    return Run(name, folder, solver, file)


def train(run: Run, force: bool, options: Sequence[str] = ()) -> None:
    """Train until max_iter, resuming from the newest good snapshot; skip a net that exists.

    `options` are more options of `caffe train`.
    """
    if force:
        for path in run.made():
            path.unlink(missing_ok=True)
    elif run.weights.exists():
        print(f"{run.weights} exists already: --force trains it again")
        return
    run.final.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.written_whole(run.folder / run.file) as temporary:
        head = f"# {run.file.removeprefix('run_')} as CNN/train_cnn.py runs it\n"
        temporary.write_text(head + prototxt.to_text(run.solver), encoding="utf-8")
    command = child_process.caffe_train(run.file, "--resume", *options)
    ended = child_process.run(command, run.folder, run.log)
    if ended.status and ended.signal not in STOPPING:
        raise UserError(
            f"caffe train failed with status {ended.status}, {run.log} says why: run the same"
            " command again, and it resumes"
        )
    if not run.final.is_file():
        raise UserError(
            "training stopped before its last iteration: the same command resumes it from"
            f" {run.final.parent}/"
        )
    run.weights.unlink(missing_ok=True)
    try:
        os.link(run.final, run.weights)
    except OSError:  # a file system without hard links
        with atomic_files.written_whole(run.weights) as temporary:
            shutil.copyfile(run.final, temporary)
    print(run.weights)
    if ended.signal in STOPPING:
        raise KeyboardInterrupt


def read_log(path: Path) -> tuple[dict[int, float], float]:
    """Losses and time of the runs in a log of `caffe train`.

    Returns
    -------
    losses : dict
        {iteration: displayed loss, averaged as average_loss says}; the later one of an iteration
        that ran twice.
    seconds : float
        From the first to the last line of each process, added up.
    """
    losses, spans = {}, {}
    text = artefacts.existing(path, "scripts/05_train_cnn.sh").read_text("utf-8", "replace")
    for row in text.splitlines():
        line = log_grammar.parse(row, LEAP_YEAR)
        if not line or line.position.partition(":")[0] not in SOURCES:
            continue
        spans.setdefault(line.thread, [line.time, line.time])[1] = line.time
        loss = log_grammar.LOSS.match(line.text)
        if loss and math.isfinite(float(loss[2])):
            losses[int(loss[1])] = float(loss[2])
    if not losses:
        raise UserError(
            f"{path} has no line 'Iteration N ..., loss = ...': it is not a log of caffe train"
        )
    year = 366 * 86400  # a process that runs over New Year
    return losses, sum((end - start).total_seconds() % year for start, end in spans.values())


def gpu_of(path: Path) -> str:
    """Name of the GPU on which the last run in a log of `caffe train` computed, or 'none'."""
    named = log_grammar.DEVICE.findall(path.read_text("utf-8", "replace"))
    return (named[-1] if named else "") or "none"


def precision_of(path: Path) -> str:
    """The precision of the last run in a log of `caffe train`; 'fp32' if the log has none."""
    named = log_grammar.PRECISION.findall(path.read_text("utf-8", "replace"))
    return named[-1] if named else "fp32"


def record(run: Run, output: Path, net: str, note: str) -> None:
    """Write the record of a training from its log: iterations, losses, seconds."""
    ran = run.folder / run.file
    solver = read_solver(ran) if ran.exists() else run.solver
    losses, seconds = read_log(run.log)
    steps = sorted(losses)
    result = results.record(
        experiment="fine_tuning_log" if run.solver.weights else "training",
        corpus=net,
        values={"last_loss": losses[steps[-1]], "iterations": steps[-1]},
        split={},
        seed=solver.random_seed,
        inputs={
            "weights": run.weights,
            "train_val": run.folder / net_of(run.solver),
            **({"start": run.solver.weights[0]} if run.solver.weights else {}),
        },
        seconds=seconds,
        note=note,
        gpu=gpu_of(run.log),
        precision=precision_of(run.log),
        losses=[[i, losses[i]] for i in steps],
    )
    results.save(output, result)
    print(f"loss {losses[steps[-1]]:.4f} at iteration {steps[-1]}, {seconds:.0f} s: {output}")


def is_recorded(run: Run, output: Path) -> bool:
    """Whether the record exists and is not older than the weights."""
    return output.exists() and output.stat().st_mtime_ns >= run.weights.stat().st_mtime_ns


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--work", "--net", "--solver")
    command_line.add_options(
        parser, "--seed", default=None, help="random_seed of both runs (default: the solver's own)"
    )
    command_line.add_options(parser, "--note")
    command_line.add_options(parser, "--gpu", help="train on a GPU (as solver_mode: GPU)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "tf32", "bf16", "auto"),
        default="auto",
        help="auto (the default): tf32 on a GPU that has it, else fp32",
    )
    parser.add_argument(
        "--cache",
        choices=("none", "ram", "gpu"),
        default="none",
        help="keep the decoded images in memory or on the GPU (default: none)",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="fine-tune: begin with this .caffemodel"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="with --weights: name of the net's files (default: trained)"
    )
    parser.add_argument(
        "--classes",
        type=command_line.whole("--classes"),
        metavar="N",
        help="with --weights: num_output of the net's last layer (default: the net's own)",
    )
    parser.add_argument(
        "--into", metavar="NAME", help="with --weights: folder below WORK/CNN (default: --net's)"
    )
    command_line.add_options(parser, "--force", help="train again from the beginning")
    args = parser.parse_args()

    if args.weights:
        artefacts.existing(args.weights, "scripts/05_train_cnn.sh or caffe train")
    elif args.name or args.classes or args.into:
        raise UserError("--name, --classes and --into belong to a fine-tuning: give --weights, too")
    source = artefacts.ROOT / "CNN" / args.net
    folder = args.work.absolute() / "CNN" / (args.into or args.net)
    if not (source / args.solver).is_file():
        raise UserError(
            f"{source / args.solver} does not exist: --net names a folder of CNN/, --solver a file"
            " in it"
        )
    log.set_flags(
        {"minloglevel": log.LEVELS["W"]}
    )  # no lines about the layers that filter_net leaves out
    given = read_solver(source / args.solver)
    made_by = "the script in experiments/ that fine-tunes" if args.weights else LMDBS_MADE_BY
    check_lmdbs(given, source, folder, made_by)
    folder.mkdir(parents=True, exist_ok=True)
    copy_net(source, folder, args.classes)
    stages, name = list(given.train_state.stage), args.name or "trained"
    trained = run_of(name, folder / args.solver, folder, args.seed, stages, args.weights)
    runs = [trained]
    output = args.work / artefacts.TRAINING_RECORD
    if args.weights:
        output = args.work / artefacts.fine_tuning_record(folder.name, name)
    else:
        solver = folder / UNTRAINED_SOLVER
        runs.insert(0, run_of("untrained", solver, folder, args.seed, stages))
    options = ["--precision", args.precision, "--cache", args.cache]
    options += ["--gpu", "0"] if args.gpu else []  # caffe fails where there is no GPU
    for run in runs:
        train(run, args.force, options)
    if trained.log.is_file() and (args.force or not is_recorded(trained, output)):
        record(trained, output, args.net, args.note)
    return 0


if __name__ == "__main__":
    command_line.run(main)
