"""The index of a corpus' topics: the answers are those of the retrieval experiments, to the bit."""

import errno
import os

import numpy as np
import pytest

from texttopicnet import retrieval, topic_index_files
from texttopicnet.errors import UserError
from texttopicnet.topic_index import TopicIndex
from texttopicnet.topic_index_files import build

INPUTS = {"sha256": ["a", "b"]}
TOPICS = 7


def corpus(num_images=60, num_articles=25, seed=0):
    """Images, articles, and the vectors of both; with zeros, and each vector about twice."""
    rng = np.random.default_rng(seed)
    names = sorted(f"images/{i}.jpg" for i in range(num_images))
    articles = sorted(f"text/é{i}" for i in range(num_articles))
    vectors, outputs = (
        rng.dirichlet(np.full(TOPICS, 0.3), n // 2 + 1)[rng.integers(0, n // 2 + 1, n)]
        for n in (num_articles, num_images)
    )
    vectors[vectors < 0.01] = 0
    vectors[3] = 0  # an article without a word of the dictionary
    images = [(name, articles[rng.integers(0, num_articles)]) for name in names]
    return images, articles, vectors.astype(np.float32), outputs.astype(np.float32)


class Net:
    """Computes the rows of `outputs`, and notes for which names it was asked."""

    def __init__(self, images, outputs, stop_after=None):
        self.rows = dict(zip((name for name, _ in images), outputs, strict=True))
        self.asked, self.stop_after = [], stop_after

    def __call__(self, names):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += names
        return np.stack([self.rows[name] for name in names])


def made(folder, drawn=None, inputs=INPUTS, **options):
    images, articles, vectors, outputs = drawn or corpus()
    return build(folder, inputs, images, articles, vectors, Net(images, outputs), 8, **options)


def test_answers_are_those_of_retrieval(tmp_path):
    """All rows, in the same order, with the same bits; a third of the rows are equal to another."""
    images, articles, vectors, outputs = drawn = corpus()
    index = made(tmp_path, drawn)
    names = [name for name, _ in images]
    rng = np.random.default_rng(1)
    for query in [*rng.dirichlet(np.full(TOPICS, 0.3), 4).astype(np.float32), outputs[5]]:
        scores = retrieval.divergences(query[None], outputs)
        _, ranking = retrieval.rank(scores, ["q"], names)
        found = index.images_near(query, len(names))
        assert [each.row for each in found] == ranking[0].tolist()
        assert [each.distance for each in found] == scores[0, ranking[0]].tolist()

        scores = retrieval.divergences(vectors, query[None]).T
        _, ranking = retrieval.rank(scores, ["q"], articles)
        found = index.articles_near(query, len(articles))
        assert [each.row for each in found] == ranking[0].tolist()
        assert [each.distance for each in found] == scores[0, ranking[0]].tolist()
    distances = [each.distance for each in found]
    assert len(set(distances)) < len(distances)  # there were ties
    assert index.images_near(outputs[5], 3)[0].distance == pytest.approx(0, abs=1e-6)
    assert index.images_near(outputs[5], 3) == index.images_near(outputs[5], 60)[:3]


@pytest.mark.parametrize("count", [1, 2, 5, 19, 20, 30])
def test_nearest_is_the_start_of_a_stable_sort(count):
    rng = np.random.default_rng(count)
    for scores in (rng.integers(0, 4, 20).astype(float), rng.standard_normal(20), np.zeros(20)):
        expected = np.argsort(scores, kind="stable")[:count]
        assert retrieval.nearest(scores, count).tolist() == expected.tolist()


def test_images_and_articles_of_a_topic(tmp_path):
    """Images by their share of the topic, not by the net's number for it."""
    images = [("a", "x"), ("b", "y"), ("c", "x")]
    vectors = np.float32([[0.2, 0.8], [0.0, 1.0]])  # x and y
    outputs = np.float32([[0.2, 0.2], [0.1, 0.3], [0.3, 0.1]])
    index = made(tmp_path, (images, ["x", "y"], vectors, outputs))
    assert index.images_of(0, 2) == [2, 0]
    assert [index.image(row) for row in index.images_of(1, 3)] == ["b", "a", "c"]
    assert index.articles_of(0, 2) == [0]  # y does not have the topic
    assert [index.article(row) for row in index.articles_of(1, 2)] == ["y", "x"]
    # two images of x, one of y
    np.testing.assert_allclose(index.shares_of_topics(), [0.4 / 3, 2.6 / 3], rtol=1e-6)


def test_how_often_the_own_article_is_nearer(tmp_path):
    images = [("a", "x"), ("b", "y"), ("c", "x")]
    vectors = np.float32([[0.9, 0.1], [0.1, 0.9]])
    right = np.float32([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    for name, outputs, share in (
        ("good", right, 1),
        ("reversed", right[:, ::-1], 0),
        ("constant", np.full((3, 2), 0.5, np.float32), 0.5),
    ):
        index = made(tmp_path / name, (images, ["x", "y"], vectors, outputs))
        assert index.own_article_is_nearer() == share


# ------------------------------------------------------------------------------------------------
# its files


def test_the_arrays_are_mapped_and_typed(tmp_path):
    index = made(tmp_path)
    assert all(isinstance(array, np.memmap) for array in vars(index).values())
    assert (index.images.dtype, index.articles.dtype) == (np.float32, np.float32)
    assert index.image(0) == "images/0.jpg"
    assert index.article(0) == "text/é0"
    images, _, vectors, outputs = corpus()
    np.testing.assert_array_equal(index.images, outputs)
    np.testing.assert_array_equal(index.articles, vectors)
    assert [index.article(row) for row in index.article_of] == [article for _, article in images]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".npy") == [
        "index.json",
        "lock",
    ]


def test_a_stopped_build_resumes(tmp_path):
    images, articles, vectors, outputs = corpus()
    stopped = Net(images, outputs, stop_after=24)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "a", INPUTS, images, articles, vectors, stopped, 8)
    assert TopicIndex.open(tmp_path / "a", INPUTS) is None
    rest = Net(images, outputs)
    resumed = build(tmp_path / "a", INPUTS, images, articles, vectors, rest, 8)
    assert stopped.asked + rest.asked == [name for name, _ in images]
    whole = made(tmp_path / "b")
    for name, array in vars(whole).items():
        np.testing.assert_array_equal(getattr(resumed, name), array)


def test_a_stopped_build_of_other_inputs_starts_over(tmp_path):
    images, articles, vectors, outputs = corpus()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, INPUTS, images, articles, vectors, Net(images, outputs, stop_after=24), 8)
    net = Net(images, outputs)
    build(tmp_path, {"sha256": ["c"]}, images, articles, vectors, net, 8)
    assert net.asked == [name for name, _ in images]


def test_open_only_what_was_made_from_the_same_inputs(tmp_path):
    assert TopicIndex.open(tmp_path, INPUTS) is None
    made(tmp_path)
    assert TopicIndex.open(tmp_path, INPUTS) is not None
    assert TopicIndex.open(tmp_path, {"sha256": ["a", "c"]}) is None


@pytest.mark.parametrize("name", ["images.npy", "article_names.npy", "index.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "another"])
def test_a_damaged_index_is_not_opened(tmp_path, name, damage):
    made(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "another" and path.suffix == ".npy":
        np.save(path, np.zeros((2, 2), np.float32))
    elif damage == "another":
        path.write_text("[1]")
    assert TopicIndex.open(tmp_path, INPUTS) is None


def test_a_new_index_leaves_an_open_one_as_it_is(tmp_path):
    old = made(tmp_path)
    before = {name: array.copy() for name, array in vars(old).items()}
    made(tmp_path, corpus(40, 20, seed=5), {"sha256": ["c"]})
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(old, name), array)


def test_images_that_cannot_be_read_are_left_out(tmp_path, capsys):
    images, articles, vectors, outputs = corpus()
    outputs[[0, 7]] = np.nan
    index = made(tmp_path, (images, articles, vectors, outputs))
    assert "left out of the index: 2 images that cannot be read" in capsys.readouterr().out
    kept = [i for i in range(60) if i not in (0, 7)]
    assert [index.image(row) for row in range(58)] == [images[i][0] for i in kept]
    np.testing.assert_array_equal(index.images, outputs[kept])


def test_a_corpus_without_its_images(tmp_path):
    images, articles, vectors, outputs = corpus()
    outputs[:] = np.nan
    with pytest.raises(UserError, match=r"none of the 60 images .* images/0.jpg: give the --data"):
        made(tmp_path, (images, articles, vectors, outputs))


@pytest.mark.parametrize("wrong", [-0.1, np.inf])
def test_outputs_that_are_not_topics(tmp_path, wrong):
    images, articles, vectors, outputs = corpus()
    outputs[11, 2] = wrong
    with pytest.raises(UserError, match=f"outputs for {images[11][0]} are negative or not finite"):
        made(tmp_path, (images, articles, vectors, outputs))


def test_two_builds_at_a_time(tmp_path):
    with (
        topic_index_files._locked(tmp_path),
        pytest.raises(UserError, match=f"another process is building {tmp_path}"),
    ):
        made(tmp_path)
    made(tmp_path)


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        UserError, match=r"cannot be written \(No space left on device\): free space"
    ):
        made(tmp_path)
