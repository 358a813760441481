"""Record a training run from Caffe's log: iterations, losses, seconds.

Reads:   WORK/CNN/<net>/trained.log and trained.caffemodel
Writes:  WORK/experiments/results/training.json
Paper:   section 4.2 (training)
Usage:   python experiments/record_training.py [--work DIR] [--net CaffeNet] [--seed 0] [--note
TEXT] [--force]

A run that was stopped and taken up again appends to one log; its seconds are those of all its
parts.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import datetime
import re
from pathlib import Path

from texttopicnet import artefacts, command_line, results
from texttopicnet.errors import UserError

LINE = re.compile(
    r"[IWEF](\d{4} \d\d:\d\d:\d\d\.\d+)\s+(\d+) (?:solver|caffe)\.cpp:\d+\] (.*)"
)  # not the data threads'
LOSS = re.compile(r"Iteration (\d+)(?: \(.*\))?, loss = ([-+.\deE]+)")


def read_log(path):
    """Losses and time of the runs in a log of `caffe train`.

    Returns
    -------
    losses : dict
        {iteration: displayed loss, averaged as average_loss says}; of an iteration that ran twice
        the later one.
    seconds : float
        From the first to the last line of each process, added up.
    """
    losses, spans = {}, {}
    for row in (
        artefacts.existing(path, "scripts/05_train_cnn.sh")
        .read_text("utf-8", "replace")
        .splitlines()
    ):
        found = LINE.match(row)
        if not found:
            continue
        # the log names no year; 2000 is a leap year, so that 29 February parses
        now = datetime.datetime.strptime("2000" + found[1], "%Y%m%d %H:%M:%S.%f")
        spans.setdefault(found[2], [now, now])[1] = now
        loss = LOSS.match(found[3])
        if loss:
            losses[int(loss[1])] = float(loss[2])
    if not losses:
        raise UserError(
            f"{path} holds no line 'Iteration N ..., loss = ...': it is no log of caffe train"
        )
    year = 366 * 86400
    return losses, sum((end - start).total_seconds() % year for start, end in spans.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=artefacts.ROOT, help="folder for artefacts")
    parser.add_argument(
        "--model", default="train_val.prototxt", help="what the solver calls its net"
    )
    parser.add_argument("--net", default="CaffeNet", help="folder of CNN/ that was trained")
    parser.add_argument("--name", default="trained", help="of the log and the weights")
    parser.add_argument(
        "--iterations",
        type=command_line.whole("--iterations"),
        help="of the schedule; default: the last in the log",
    )
    parser.add_argument("--seed", type=command_line.seed(), default=0, help="the run's random_seed")
    parser.add_argument("--note", default="", help="what a reader must know beside the numbers")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    args = parser.parse_args()

    folder = args.work / "CNN" / args.net
    output = args.work / "experiments" / "results" / "training.json"
    artefacts.refuse_existing(output, args.force)
    weights = artefacts.existing(folder / f"{args.name}.caffemodel", "scripts/05_train_cnn.sh")
    print(f"recording the training that {folder / args.name}.log tells of")
    losses, seconds = read_log(folder / f"{args.name}.log")
    steps = sorted(losses)
    result = results.record(
        experiment="training",
        corpus=args.net,
        values={"last_loss": losses[steps[-1]], "iterations": args.iterations or steps[-1]},
        split={},
        seed=args.seed,
        inputs={"weights": weights, "train_val": folder / args.model},
        seconds=seconds,
        note=args.note,
        losses=[[i, losses[i]] for i in steps],
    )
    results.save(output, result)
    print(f"loss {losses[steps[-1]]:.4f} at iteration {steps[-1]}, {seconds:.0f} s: {output}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
