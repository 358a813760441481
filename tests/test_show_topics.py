"""The top words of every topic, as the saved model has them."""

import subprocess
import sys

import numpy as np
import pytest
from gensim.corpora import Dictionary

from texttopicnet import artefacts
from texttopicnet.topics import TopicModel

WORDS = ["cannon", "goal", "piano", "violin"]


@pytest.fixture
def work(tmp_path):
    """A model of two topics whose word counts are set by hand."""
    dictionary = Dictionary([WORDS])
    model = TopicModel.learn(dictionary, [[(0, 1)]], 2, workers=1)
    counts = {"cannon": (1, 6), "goal": (0, 3), "piano": (5, 1), "violin": (4, 0)}  # of 10 each
    model.lda.state.sstats[...] = np.array([counts[dictionary[i]] for i in range(4)]).T
    model.lda.state.eta = np.zeros_like(model.lda.state.eta)  # topics are the counts alone
    model.save(tmp_path)
    return tmp_path


def run(work, *arguments):
    command = [sys.executable, str(artefacts.ROOT / "LDA/show_topics.py"), "--work", str(work), *arguments]
    return subprocess.run(command, cwd=work, capture_output=True, text=True)


def test_most_probable_words_first_with_their_probabilities(work):
    done = run(work, "--topics", "2", "--words", "3")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "topic 0: piano 0.500, violin 0.400, cannon 0.100",
        "topic 1: cannon 0.600, goal 0.300, piano 0.100",
    ]


def test_more_words_than_there_are(work):
    done = run(work, "--topics", "2")
    assert [line.count(",") for line in done.stdout.splitlines()] == [3, 3]


def test_a_missing_model_is_one_sentence(work):
    done = run(work)
    assert done.returncode == 1 and done.stdout == ""
    path = work / "LDA" / "ldamodel40.lda"
    assert done.stderr == f"error: {path} does not exist: make it with python LDA/learn_LDA_model.py --topics 40\n"
