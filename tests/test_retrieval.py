"""The retrieval set's lists, the divergence and the ranking.

The original's recording is in test_average_precision.py.
"""

import tracemalloc

import numpy as np
import pytest
import scipy.stats

from texttopicnet import artefacts, average_precision, retrieval
from texttopicnet.errors import UserError


def test_divergence_is_scipys_entropy():
    rng = np.random.default_rng(0)
    texts = rng.dirichlet(np.full(8, 0.3), 7).astype(np.float32)
    texts[texts < 0.01] = 0
    images = rng.random((5, 8)).astype(np.float32)
    expected = [
        [scipy.stats.entropy(t.astype(float), i.astype(float)) for i in images] for t in texts
    ]
    np.testing.assert_allclose(retrieval.divergences(texts, images), expected, rtol=0, atol=1e-12)


def test_zeros_on_both_sides():
    found = retrieval.divergences([[1.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    assert np.isfinite(found).all()
    assert found[0, 0] == pytest.approx(np.log(2))
    assert found[0, 2] == pytest.approx(0)
    assert found[0, 1] > 80  # log of the smallest normal float32
    assert found[1, 0] == pytest.approx(0)  # nothing above the threshold: uniform


def test_equal_vectors_give_equal_scores_in_any_place():
    rng = np.random.default_rng(0)
    texts, images = rng.random((67, 40)), rng.random((131, 40))
    texts[[3, 40, 66]] = texts[3]
    images[[0, 64, 130]] = images[0]
    found = retrieval.divergences(texts, images)
    assert (found[[3, 40, 66]] == found[3]).all()
    assert (found[:, [0, 64, 130]] == found[:, [0]]).all()


def test_ties_in_the_order_of_sorted_ids():
    queries, ranking = retrieval.rank(
        np.array([[1.0, 0.0, 1.0], [2.0, 2.0, 2.0]]), ["q2", "q1"], ["c", "b", "a"]
    )
    assert queries.tolist() == [1, 0]
    assert ranking.tolist() == [[2, 1, 0], [1, 2, 0]]


@pytest.fixture
def many():
    """300 pairs with ties: some vectors, ids in no order."""
    rng = np.random.default_rng(1)
    texts = rng.dirichlet(np.full(12, 0.2), 300).astype(np.float32)
    images = rng.random((300, 12)).astype(np.float32)
    texts[100:140], images[50:90] = texts[100], images[50]
    ids = [[f"{side}{i}" for i in rng.permutation(300)] for side in "ti"]
    return texts, images, *ids, rng.integers(0, 5, 300)


@pytest.mark.parametrize("cells", [1, 300 * 7, 300 * 128])
def test_blocks_give_what_one_block_gives(many, cells):
    whole = retrieval.both_directions(*many, cells=300 * 300)
    found = retrieval.both_directions(*many, cells=cells)
    for direction in retrieval.DIRECTIONS:
        assert (found[direction].queries == whole[direction].queries).all()
        assert (found[direction].ap == whole[direction].ap).all()  # to the bit
    texts, images, text_ids, image_ids, categories = many
    queries, ranking = retrieval.rank(retrieval.divergences(texts, images), text_ids, image_ids)
    relevant = categories[ranking] == categories[queries][:, None]
    assert (whole["text_query"].ap == average_precision.retrieval(relevant)).all()


def test_blocks_bound_the_memory():
    """2,500 x 2,500 scores are 50 MB, and 400 MB with all that ranking them needs; blocks of 50,000
    scores (20 queries) need 70 bytes per score and the vectors.
    """
    rng = np.random.default_rng(2)
    texts, images = rng.random((2, 2500, 8))
    ids = [f"{i:04}" for i in range(2500)]
    sizes = []

    def score(queries, candidates):
        sizes.append(len(queries) * len(candidates))
        return retrieval.divergences(queries, candidates)

    tracemalloc.start()
    categories = rng.integers(0, 10, 2500)
    found = retrieval.both_directions(texts, images, ids, ids, categories, score, cells=50_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(sizes) == 50_000
    assert len(sizes) == 2 * 125
    assert peak < 70 * 50_000 + 5_000_000
    assert len(found["text_query"].ap) == 2500


def test_the_training_list_is_read_like_the_test_list(tmp_path):
    (tmp_path / "categories.list").write_text("a\nb\n")
    (tmp_path / retrieval.TEST_LIST).write_text("t1\ti1\t1\n")
    (tmp_path / retrieval.TRAIN_LIST).write_text("t2\ti2\t2\n\nt3\ti3\t1\n")
    assert retrieval.read_pairs(tmp_path)[0] == ["t1"]
    texts, images, categories, names = retrieval.read_pairs(tmp_path, retrieval.TRAIN_LIST)
    assert (texts, images, categories.tolist(), names) == (
        ["t2", "t3"],
        ["i2", "i3"],
        [1, 0],
        ["a", "b"],
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("t9 i9 1", "line 2: not 'text id"),
        ("t9\ti9\t3", "line 2: not 'text id"),
        ("t9\ti9\t0", "line 2: not 'text id"),
        ("t1\ti9\t1", "t1 is in it more than once"),
        ("t9\ti1\t1", "i1 is in it more than once"),
    ],
)
def test_wrong_rows_are_named(tmp_path, row, sentence):
    (tmp_path / "categories.list").write_text("a\nb\n")
    (tmp_path / "testset_txt_img_cat.list").write_text(f"t1\ti1\t1\n{row}\n")
    with pytest.raises(UserError, match=sentence):
        retrieval.read_pairs(tmp_path)


def test_a_category_may_have_several_words(tmp_path):
    (tmp_path / "categories.list").write_text("visual arts\r\n  new  media \n\nwar\n")
    (tmp_path / "testset_txt_img_cat.list").write_text("t1\ti1\t2\r\nt2\ti2\t3\r\n")
    texts, images, categories, names = retrieval.read_pairs(tmp_path)
    assert names == ["visual arts", "new  media", "war"]
    assert categories.tolist() == [1, 2]
    assert (texts, images) == (["t1", "t2"], ["i1", "i2"])
    (tmp_path / "categories.list").write_text("war\nwar\n")
    with pytest.raises(UserError, match=r"categories.list: war is in it more than once"):
        retrieval.read_pairs(tmp_path)


@pytest.mark.parametrize("row", ["../t1\ti1\t1", "t1\t/etc/passwd\t1", "\ti1\t1"])
def test_ids_do_not_lead_out_of_the_set(tmp_path, row):
    (tmp_path / "categories.list").write_text("a\n")
    (tmp_path / "testset_txt_img_cat.list").write_text(f"{row}\n")
    with pytest.raises(UserError, match="line 1: an id is not the name of a file of the set"):
        retrieval.read_pairs(tmp_path)


def test_lists_that_are_not_text_are_one_sentence(tmp_path):
    (tmp_path / "categories.list").write_bytes(b"caf\xe9\n")
    (tmp_path / "testset_txt_img_cat.list").write_text("t\ti\t1\n")
    with pytest.raises(UserError, match=r"categories.list cannot be read as text"):
        retrieval.read_pairs(tmp_path)


WIKIPEDIA = artefacts.ROOT.parent / "shared" / "data" / "wikipedia_texts"


@pytest.mark.skipif(not WIKIPEDIA.exists(), reason="needs ../shared/data/wikipedia_texts")
def test_the_real_list_has_the_papers_categories():
    _, _, categories, names = retrieval.read_pairs(WIKIPEDIA)
    assert np.bincount(categories).tolist() == retrieval.PAPER_PAIRS
    assert len(names) == 10


@pytest.mark.parametrize(
    "row", ["../../etc/passwd\tb\t1", "a\t/etc/passwd\t1", "a\tb\\..\\c\t1", "a\0\tb\t1"]
)
def test_an_id_that_leads_out_of_the_set_is_named(tmp_path, row):
    (tmp_path / "categories.list").write_text("art\n")
    (tmp_path / retrieval.TEST_LIST).write_text(f"x\ty\t1\n{row}\n")
    with pytest.raises(
        UserError,
        match=r"testset_txt_img_cat.list, line 2: an id is not the name of a file of the set",
    ):
        retrieval.read_pairs(tmp_path)
