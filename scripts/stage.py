"""A part of chain.py: one stage of the chain, and the last experiments as stages."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from texttopicnet import artefacts

ROOT = artefacts.ROOT


@dataclass(frozen=True)
class Stage:
    """One row of the table of stages.

    Attributes
    ----------
    script : str
        In scripts/, without .sh; begins with the stage's number.
    inputs : list of Path
        What the stage before wrote: the first output must not be older.
    outputs : list of Path
        The stage is done when all of them exist.
    arguments : list of str
        Command line of the script, without --force.
    left_out : str
        Why the stage cannot run with these settings; empty if it can.
    resumes : bool
        Whether an interrupted run is resumed from the outputs that it left, not started over.
    always : bool
        Whether it runs even if it is done.
    """

    script: str
    inputs: list[Path]
    outputs: list[Path]
    arguments: list[str]
    left_out: str = ""
    resumes: bool = False
    always: bool = False

    @property
    def number(self) -> int:
        return int(self.script[:2])

    def command(self, force: bool) -> list[str]:
        """The command that runs the stage."""
        script = ROOT / "scripts" / f"{self.script}.sh"
        return ["bash", str(script), *self.arguments, *options(force=force)]


def options(**values: object) -> list[str]:
    """Options of a command line: None and False give none, True gives an option alone."""
    found = []
    for name, value in values.items():
        if value is not None and value is not False:
            found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return found


def own_topics(s: argparse.Namespace) -> list[str]:
    """Options of the retrieval: also by an LDA of the set alone, where it has a training list."""
    known = s.makes_sample or (s.data / "Wikipedia" / artefacts.RETRIEVAL_TRAIN_LIST).exists()
    return options(lda="both" if known else None)


def more_experiments(s: argparse.Namespace, weights: list[Path], no_voc: str) -> list[Stage]:
    """Stages 11 to 13; the long ones run only on the sample, where they are short."""

    def given(*names: str) -> list[str]:
        return options(**{name: getattr(s, name) for name in names})

    outputs = [[s.work / name] for name in artefacts.MORE_RECORDS]
    mat = s.data / "Wikipedia" / "raw_features.mat"
    no_features = "" if mat.exists() or s.makes_sample else f"{mat} does not exist"
    long = "" if s.sample else "it takes days; run it by itself (experiments/README.md)"
    learning = given("data", "collection", "voc", "work", "net", "passes", "workers", "seed")
    limits = given("no_below", "no_above", "note")
    gpu = options(gpu=s.extracts_on_gpu)
    short = ["--solver", "solver.prototxt", "--iterations", "20", "--topics", "10", "40"]
    detector = ["--net", "fast_rcnn_sample", "--first", "40"]
    return [
        Stage("11_retrieval_baselines", [], outputs[0], given("data", "work", "seed"), no_features),
        Stage(
            "12_number_of_topics",
            [],
            outputs[1],
            learning + limits + gpu + (short if s.sample else []),
            long or no_voc or (s.weights and "it learns topics and nets of its own") or "",
            resumes=True,
        ),
        Stage(
            "13_voc_2007_detection",
            weights,
            outputs[2],
            given("voc", "work", "seed", "note") + gpu + (detector if s.sample else []),
            long or no_voc,
            resumes=True,
        ),
    ]
