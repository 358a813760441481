"""What the stages from 7 on run on, with which options, and why they cannot run.

A part of chain.py.
"""

import argparse
from pathlib import Path

from given_models import has_topics

from texttopicnet import artefacts


def tuning_solver(s: argparse.Namespace, task: str) -> list[str]:
    """The option --solver of a fine-tuning: the training's own, if the fine-tuned net has it."""
    folder = artefacts.ROOT / "CNN" / artefacts.fine_tuned_net(task, s.net)
    return ["--solver", s.solver if (folder / s.solver).is_file() else "solver.prototxt"]


def no_fine_tuning(s: argparse.Namespace) -> str:
    """Why the net cannot be fine-tuned; empty if it can."""
    folder = artefacts.ROOT / "CNN" / artefacts.fine_tuned_net("voc2007", s.net)
    return "" if folder.is_dir() else f"{folder} does not exist: {s.net} has no fine-tuned net"


def image_sets(s: argparse.Namespace) -> tuple[list[str], list[Path], str]:
    """Stage 10: its options, its records, and why it cannot run."""
    sets = [("stl10", s.data / "STL10", "stl10"), ("sun397", s.data / "SUN397", "sun397")]
    sets = [found for found in sets if found[1].is_dir()]
    methods, nets, more = list(artefacts.LAYERS), s.nets, []
    if s.sample:  # no set of its own: the retrieval set's images, by category
        sets = [("folder", s.data / "Wikipedia" / "images", "Wikipedia")]
        methods, nets = [*methods, "fine-tuned"], ("trained",)
        more = ["--method", "both", "--folds", "1", *([] if s.name else ["--name", "trained"])]
    arguments = [word for kind, path, _ in sets for word in ("--data", kind, str(path))]
    records = [
        s.work / artefacts.classification_record(name, method, net)
        for *_, name in sets
        for net in nets
        for method in methods
    ]
    reason = f"neither {s.data}/STL10 nor {s.data}/SUN397 exists (data/README.md says more)"
    return arguments + more, records, "" if sets else reason


def left_out(s: argparse.Namespace, has_voc: bool, has_retrieval: bool) -> tuple[str, str]:
    """Why stages 7 and 8 cannot run; empty where they can."""
    voc_reason = f"{s.voc / 'VOCdevkit'} does not exist (--voc names the folder that holds it)"
    reason = f"{s.data / 'Wikipedia'} does not exist (data/README.md says what belongs there)"
    if s.embedding != "lda":
        reason = f"retrieval compares topics, and the net has learnt {s.embedding}"
    elif has_retrieval and s.weights and not has_topics(s):
        reason = "it needs the topic model behind the outputs of --weights (--lda gives one)"
    elif has_retrieval:
        reason = ""
    return "" if has_voc else voc_reason, reason
