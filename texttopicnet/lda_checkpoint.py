"""The state of an LDA training on the disk: a killed run resumes from it."""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import LdaModel

from texttopicnet import atomic_files

FROM_THE_BEGINNING = "learning from the beginning"


class Checkpoint:
    """The file of a training's state, written once in so many `seconds`.

    `run` describes the training, in JSON values: a file of another one is reported and not used.
    `start` is the pass and the number of its documents after which it was written.  It is (0, 0) if
    this run has not written a file yet.
    """

    def __init__(self, path: Path, seconds: float, lda: LdaModel, run: dict[str, Any]) -> None:
        self.path, self.seconds, self.written = path, seconds, time.monotonic()
        self.run = run
        self.start, self.saved = (0, 0), None
        try:
            with np.load(path, allow_pickle=False) as file:
                saved = dict(file)
            about = json.loads(str(saved["about"]))
            if about["run"] != self.run:
                _report(f"{path} is of another corpus or other settings: {FROM_THE_BEGINNING}")
                return
            self.start, self.saved = tuple(about["at"]), (saved, about)
            trial = copy.copy(lda)  # a state that does not fit fails here, not during the training
            trial.state = copy.deepcopy(lda.state)
            trial.random_state = copy.deepcopy(lda.random_state)
            self.restore(trial)
        except FileNotFoundError:
            return
        except Exception as error:  # a damaged archive fails in many ways
            self.start, self.saved = (0, 0), None
            _report(f"{path} is not a checkpoint ({error}): {FROM_THE_BEGINNING}")
            return
        _report(f"{path}: resuming after document {self.start[1]} of pass {self.start[0] + 1}")

    def restore(self, lda: LdaModel) -> None:
        """Put the saved state into a model; ValueError and others if it does not fit."""
        saved, about = self.saved
        sstats, (number, documents) = saved["sstats"], self.start
        position, *_ = about["random"]
        if (
            not 0 <= position <= 624
            or sstats.shape != lda.state.sstats.shape
            or not np.isfinite(sstats).all()
            or min(number, documents) < 0
        ):
            raise ValueError("its numbers do not fit the model")
        lda.state.sstats[...] = saved["sstats"]
        lda.sync_state()
        lda.num_updates = about["num_updates"]
        lda.random_state.set_state(("MT19937", saved["random_key"], *about["random"]))

    def write_if_due(self, lda: LdaModel, at: tuple[int, int]) -> None:
        """Write the state if `seconds` have passed since the last writing."""
        if time.monotonic() - self.written < self.seconds:
            return
        _, random_key, *random = lda.random_state.get_state()
        about = {"run": self.run, "at": at, "num_updates": lda.num_updates, "random": random}
        with atomic_files.written_whole(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(about), sstats=lda.state.sstats, random_key=random_key)
        self.written = time.monotonic()


def _report(sentence: str) -> None:
    print(sentence, file=sys.stderr)
