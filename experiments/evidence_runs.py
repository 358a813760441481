"""The trainings of evidence.py: a folder per labels and seed, resumed from one iteration to the
next.
"""

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

import evidence_nets as nets
import numpy as np

from caffe import log_grammar, prototxt
from caffe.database import LMDB, Writer
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.weights_file import read_layers
from texttopicnet import artefacts, atomic_files, child_process
from texttopicnet.errors import UserError

LABELS = ("topics", "shuffled")
PREFIX = "snapshots/net"
BATCHES = 40  # of which an untrained net's BatchNorm takes its means
KEPT = 2  # newest snapshots; the weights that are evaluated stay besides
# of a solver, which a resumed training must share
SETTINGS = ("base_lr", "lr_policy", "gamma", "stepsize", "momentum", "weight_decay")
EPSILON = 1e-7  # of a probability whose logarithm is taken
LEAP_YEAR = 2000  # assumed for a log without a year


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    labels : str
        One of `LABELS`.
    seed : int
        Of the fillers, crops, mirrors and dropout, and of the shuffled labels.
    folder : Path
        Where Caffe runs.
    """

    labels: str
    seed: int
    folder: Path

    def weights(self, iteration: int) -> Path:
        """The weights after `iteration` iterations, kept for evaluation."""
        return self.folder / "weights" / f"iter_{iteration}.caffemodel"

    @property
    def log(self) -> Path:
        return self.folder / "train.log"

    @property
    def untrained_log(self) -> Path:
        return self.folder / "untrained.log"

    def held_out_loss(self, iteration: int) -> float | None:
        """The loss on the held-out images after `iteration` iterations, if there are any."""
        if iteration:
            return held_out_losses(self.log).get(iteration)
        return held_out_losses(self.untrained_log).get(BATCHES)


def shuffle_labels(folder: Path, split: str, seed: int) -> Path:
    """Give every image the label vector of another image, drawn by `seed`.

    Parameters
    ----------
    folder : Path
        Holds <split>_labels_lmdb.
    split : {'train', 'val'}
    seed : int

    Returns
    -------
    Path
        <split>_labels_shuffled<seed>_lmdb, with the same keys and the same vectors in a random
        order; made unless it exists.
    """
    source = folder / f"{split}_labels_lmdb"
    output = folder / f"{split}_labels_shuffled{seed}_lmdb"
    if not output.exists():
        found = LMDB(str(source))
        order = np.random.default_rng(seed).permutation(len(found))
        with Writer(output) as database:
            for i, j in enumerate(order):
                database.put(found.key_text(i), found.datum(int(j)))
    return output


def loss_of_means(folder: Path) -> float | None:
    """The held-out loss of outputs that are always the topics' means over the training images.

    A net whose loss is not below it has learnt nothing about the images.

    Parameters
    ----------
    folder : Path
        Holds train_labels_lmdb and val_labels_lmdb; None without the second.

    Returns
    -------
    float or None
        SigmoidCrossEntropyLoss of the means, in nats: summed over the topics, mean over the images.
    """
    train, val = (folder / f"{split}_labels_lmdb" for split in ("train", "val"))
    if not val.exists():
        return None
    labels = (LMDB(str(path)) for path in (train, val))
    means, held_out = (
        np.mean([found.datum(i).float_data for i in range(len(found))], axis=0) for found in labels
    )
    means = np.clip(means, EPSILON, 1 - EPSILON)  # a topic that no image has
    return float(-(held_out * np.log(means) + (1 - held_out) * np.log(1 - means)).sum())


def prepare(
    run: Run,
    net_folder: Path,
    solver_file: str,
    recipe: str,
    lmdbs: Path,
    every: int,
    changes: nets.Changes = nets.UNCHANGED,
) -> caffe_pb2.SolverParameter:
    """Write a run's nets into its folder; return its solver, without max_iter.

    Parameters
    ----------
    run : Run
    net_folder : Path
        A folder of CNN/.
    solver_file : str
        In `net_folder`.
    recipe : str
        One of evidence_nets.RECIPES.
    lmdbs : Path
        The folder of create_lmdb.py.
    every : int
        Iterations between snapshots, and between tests on the held-out images if there are any.
    changes : evidence_nets.Changes
        Of the recipe.
    """
    try:
        solver = prototxt.read_solver(net_folder / solver_file)
        sources, batch = {}, 0
        for split in ("train", "val"):
            images, labels = lmdbs / f"{split}_images_lmdb", lmdbs / f"{split}_labels_lmdb"
            if split == "train":
                artefacts.existing(images, "scripts/04_create_lmdb.sh")
            elif not images.exists():
                continue
            if run.labels == "shuffled":
                labels = shuffle_labels(lmdbs, split, run.seed)
            sources[split] = tuple(os.path.relpath(path, run.folder) for path in (images, labels))
        (run.folder / "snapshots").mkdir(parents=True, exist_ok=True)
        (run.folder / "weights").mkdir(exist_ok=True)
        net = nets.net_of(net_folder / solver.net, solver, sources)
        if recipe == "normalised":
            net = nets.normalised(net)
        changes.apply(net, solver)
        batch = next(layer.data_param.batch_size for layer in net.layer if layer.type == "Data")
        if "val" in sources:
            count = len(LMDB(str(lmdbs / "val_images_lmdb")))
            solver.test_iter[:] = [max(1, count // batch)]
            solver.test_interval = every
    except CaffeError as error:
        raise UserError(str(error)) from error
    refuse_other_settings(run, prototxt.to_text(net), solver)
    write(run.folder / "train_val.prototxt", prototxt.to_text(net))
    write(run.folder / "deploy.prototxt", nets.deploy(net_folder / "deploy.prototxt", recipe))
    solver.net, solver.snapshot_prefix = "train_val.prototxt", PREFIX
    solver.ClearField("train_state")
    solver.snapshot, solver.random_seed = every, run.seed
    return solver


def refuse_other_settings(run: Run, net: str, solver: caffe_pb2.SolverParameter) -> None:
    """Raise UserError if a run was begun with another net, other LMDBs or another solver."""
    began, begun_solver = run.folder / "train_val.prototxt", run.folder / "solver.prototxt"
    same = not began.exists() or began.read_text("utf-8") == net
    if same and begun_solver.exists():
        other = prototxt.read_solver(begun_solver)
        same = all(getattr(other, name) == getattr(solver, name) for name in SETTINGS)
    if not same:
        raise UserError(
            f"{run.folder} was begun with another net, other LMDBs or another solver: give another"
            " --name, or the same options"
        )


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_files.written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def train(run: Run, solver: caffe_pb2.SolverParameter, iteration: int, gpu: bool) -> None:
    """Train up to an iteration, from the newest snapshot; nothing if its weights exist.

    Raises
    ------
    UserError
        The training failed or was stopped, or is past that iteration already.
    """
    if run.weights(iteration).exists():
        return
    if not iteration:
        leave_untrained(run, solver, gpu)
        return
    reached = max(snapshots(run), default=0)
    if reached > iteration:
        raise UserError(
            f"{run.folder} has reached iteration {reached}, and the weights of iteration"
            f" {iteration} were not kept: leave it out of --at"
        )
    solver.max_iter = iteration
    print(f"training on {run.labels}, seed {run.seed}, up to iteration {iteration}", flush=True)
    run_caffe(run, solver, "solver.prototxt", run.log, gpu)
    os.link(run.folder / f"{PREFIX}_iter_{iteration}.caffemodel", run.weights(iteration))


def leave_untrained(run: Run, solver: caffe_pb2.SolverParameter, gpu: bool) -> None:
    """Make the weights of iteration 0: the fillers' numbers, and BatchNorm's means of some batches.

    Without those means a net with BatchNorm would multiply its activations by 300 in each layer of
    the phase TEST, and would not be a fair comparison.
    """
    still = caffe_pb2.SolverParameter()
    still.CopyFrom(solver)
    still.base_lr, still.weight_decay, still.lr_policy = 0, 0, "fixed"
    still.snapshot_prefix, still.max_iter = "snapshots/untrained", BATCHES
    if still.test_iter:
        still.test_interval = BATCHES
    still.ClearField("snapshot")
    print(f"untrained net of seed {run.seed}, {BATCHES} batches at rate 0", flush=True)
    run_caffe(run, still, "solver_untrained.prototxt", run.untrained_log, gpu)
    os.link(run.folder / f"{still.snapshot_prefix}_iter_{BATCHES}.caffemodel", run.weights(0))


def run_caffe(run: Run, solver: caffe_pb2.SolverParameter, name: str, log: Path, gpu: bool) -> None:
    """Run `caffe train` in a run's folder, resuming if it can."""
    write(run.folder / name, prototxt.to_text(solver))
    options = ["--resume", "--keep", str(KEPT), *(["--gpu", "0"] if gpu else [])]
    command = child_process.caffe_train(name, *options)
    ended = child_process.run(command, run.folder, log)
    if ended.signal:
        raise KeyboardInterrupt
    final = run.folder / f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"
    if ended.status or not final.exists():
        raise UserError(
            f"caffe train ended with status {ended.status}, {log} says why: run the same command"
            " again, and it resumes"
        )


def snapshots(run: Run) -> list[int]:
    """The iterations of a run's snapshots."""
    paths = (run.folder / PREFIX).parent.glob("*.solverstate")
    found = (re.fullmatch(r"net_iter_(\d+)\.solverstate", path.name) for path in paths)
    return sorted(int(match[1]) for match in found if match)


def held_out_losses(path: Path) -> dict[int, float]:
    """{iteration: loss on the held-out images} in a log of `caffe train`; empty without a log."""
    found, iteration = {}, None
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    for row in text.splitlines():
        line = log_grammar.parse(row, LEAP_YEAR)
        if not line:
            continue
        if (match := log_grammar.ITERATION.match(line.text)) and "Testing net" in line.text:
            iteration = int(match[1])
        output = log_grammar.OUTPUT.match(line.text.strip())
        if output and output[1] == "Test" and output[2] == "loss" and iteration is not None:
            found[iteration] = float(output[3])
    return found


def same_weights(first: Path, second: Path) -> bool:
    """Whether two .caffemodel hold the same numbers; the names of LMDBs in them may differ."""
    numbers = (
        [(name, i, blob.data) for name, blobs in read_layers(path) for i, blob in blobs.items()]
        for path in (first, second)
    )
    return all(
        a[:2] == b[:2] and np.array_equal(a[2], b[2])
        for a, b in itertools.zip_longest(*numbers, fillvalue=(None, None, None))
    )


def moved(before: Path, after: Path) -> dict[str, float]:
    """How far training has moved each layer's weights, relative to their own length.

    Parameters
    ----------
    before, after : Path
        Two .caffemodel of the same net.

    Returns
    -------
    dict
        {layer: |after - before| / |before|}, Euclidean lengths of the weights without the biases;
        layers whose blobs have one axis, such as BatchNorm, are left out.
    """
    first, found = dict(read_layers(before)), {}
    for name, blobs in read_layers(after):
        if 0 in blobs and len(blobs[0].shape) > 1:
            old, new = (b[0].data.astype(np.float64) for b in (first[name], blobs))
            found[name] = float(np.linalg.norm(new - old) / np.linalg.norm(old))
    return found
