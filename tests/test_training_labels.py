"""Image labels: the check of every embedding, and labels by number, in the order of their names."""

import numpy as np
import pytest

from texttopicnet import artefacts, embeddings, json_files, training_labels
from texttopicnet.errors import UserError
from texttopicnet.training_labels import Labels

SHARED = (
    artefacts.ROOT.parent / "shared" / "data" / "labels" / "imageclef_10k_training_labels40.json"
)


def refused(name, vector, num_topics):
    """The error about b.jpg's vector, which comes after a good one."""
    good = ("a.jpg", [1.0] + [0.0] * (num_topics - 1))
    passed = []
    with pytest.raises(UserError) as caught:
        labels = iter([good, ("b.jpg", vector)])
        passed.extend(training_labels.checked(name, labels, num_topics, "make"))
    assert passed == [good]
    said = str(caught.value)
    assert said.startswith(f"b.jpg: its label is not a vector of {num_topics} {name} numbers (")
    assert said.endswith("; run make again")
    return said


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([0.5, 0.5], "width 2, least 0.5, sum 1"),
        ([0.5, 0.25, 0.25, 0.0], "width 4, least 0, sum 1"),
        ([], "width 0, least 0, sum 0"),
        ([-0.1, 0.6, 0.5], "width 3, least -0.1, sum 1"),
        ([0.5, 0.5, 0.1], "width 3, least 0.1, sum 1.1"),
        ([0.5, float("nan"), 0.1], "sum nan"),
        ([float("nan"), 0.5, 0.1], "sum nan"),
        (0.5, "(0.5)"),
        ("abc", "(abc)"),
        (None, "(None)"),
        ([0.5, "x", 0.1], "([0.5, 'x', 0.1])"),
        ([[0.5], [0.5], [0.0]], "([[0.5], [0.5], [0.0]])"),
    ],
)
def test_labels_that_are_not_topic_vectors_are_refused(vector, said):
    assert said in refused("lda", vector, 3)


@pytest.mark.parametrize("name", ["lsi", "word2vec", "tfidf"])
@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([0.5], "width 1, least 0.5, length 0.5"),
        ([0.8, 0.8], "length 1.13"),
        ([float("nan"), 0.1], "length nan"),
        ([0.1, float("nan")], "length nan"),
        ([float("inf"), 0.0], "length inf"),
        ([], "width 0"),
    ],
    ids=["narrow", "long", "NaN", "NaN later", "inf", "empty"],
)
def test_labels_that_are_not_vectors_of_an_embedding_are_refused(name, vector, said):
    assert said in refused(name, vector, 2)


def test_a_number_below_zero_is_for_signed_labels():
    signed = {"lsi", "word2vec", "doc2vec", "fasttext"}
    for name in signed:
        training_labels.check(name, "a.jpg", [-0.6, 0.8], 2, "make")
    for name in set(embeddings.NAMES) - signed:
        assert "least -0.6" in refused(name, [-0.6, 0.8], 2)


def test_a_sum_above_1_is_for_other_labels_than_topics():
    assert "sum 1.4" in refused("lda", [0.6, 0.8], 2)
    training_labels.check("tfidf", "a.jpg", [0.6, 0.8], 2, "make")


@pytest.mark.parametrize("name", embeddings.NAMES)
def test_no_labels_are_refused(name):
    with pytest.raises(UserError, match="there are no labels: make them with make"):
        list(training_labels.checked(name, iter(()), 3, "make"))


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data/labels")
def test_the_originals_labels_are_accepted():
    labels = json_files.stream(SHARED, "-")
    assert len(list(training_labels.checked("lda", labels, 40, "-"))) == 10_000


def test_labels_by_number():
    labels = Labels(
        iter([("b", [0.5, 0.25]), ("\U0001f600", [1, 0]), ("\ufb01", [0, 1]), ("B", [0.1, 0.2])])
    )
    assert len(labels) == 4
    names = [labels[i][0] for i in range(4)]
    assert (
        names == sorted(names) == ["B", "b", "\ufb01", "\U0001f600"]
    )  # by code points, not by UTF-16's units
    vector = labels[np.int64(0)][1]
    assert vector.dtype == np.float32
    assert vector.tolist() == np.float32([0.1, 0.2]).tolist()
    for number in (-1, 4):
        with pytest.raises(IndexError):
            labels[number]


def test_the_later_of_two_labels_counts():
    labels = Labels([("a", [1.0]), ("b", [0.0]), ("a", [0.5])])
    assert [(image, vector.tolist()) for image, vector in map(labels.__getitem__, range(2))] == [
        ("a", [0.5]),
        ("b", [0.0]),
    ]


def test_files_refused_during_reading_are_reported():
    with pytest.raises(UserError, match=r"b.jpg: its label is not a vector of 1 lda numbers"):
        Labels(
            training_labels.checked("lda", iter([("a.jpg", [1.0]), ("b.jpg", [2.0])]), 1, "make")
        )


def test_a_number_beyond_all_floats_is_refused():
    with pytest.raises(UserError, match="its label is not a vector of 2 lda numbers"):
        training_labels.check("lda", "a.jpg", [10**400, 0], 2, "make")
