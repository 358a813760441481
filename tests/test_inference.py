"""Compiled inference, compared with gensim's own, article by article."""

import os
import subprocess
import sys

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from scipy.special import psi

from texttopicnet import artefacts, inference, lda_kernel
from texttopicnet.topics import OneStart


def model(num_topics, words=300, alpha="symmetric", **settings):
    """A model with drawn topics, as sharp as learnt ones: most words have a few topics."""
    dictionary = Dictionary([[f"w{i:03}" for i in range(words)]])
    lda = LdaModel(
        id2word=dictionary, num_topics=num_topics, alpha=alpha, random_state=0, **settings
    )
    rng = np.random.default_rng(num_topics)
    lda.state.sstats[...] = rng.gamma(0.1, 100.0, (num_topics, words))
    lda.state.sstats[:, -20:] = 1000.0  # words of every topic
    lda.sync_state()
    return lda


def articles(lda, lengths, seed=0):
    """Bags of words drawn from one to three topics each."""
    rng = np.random.default_rng(seed)
    topics = lda.get_topics().astype(float)
    topics /= topics.sum(axis=1, keepdims=True)
    bags = []
    for length in lengths:
        own = topics[rng.integers(0, lda.num_topics, rng.integers(1, 4))].mean(axis=0)
        bags.append(np.unique(rng.choice(len(own), length, p=own / own.sum()), return_counts=True))
    return bags


def by_gensim(lda, bags, start):
    class Start:
        def gamma(self, shape, scale, size):
            return np.tile(start, (size[0], 1))

    lda.random_state = Start()
    gamma, _ = lda.inference(
        [list(zip(ids.tolist(), counts.tolist(), strict=True)) for ids, counts in bags]
    )
    return gamma


LENGTHS = [0, 1, 1, 2, 3, 5, 8, 31, 32, 33, 64, 90, 150, 150, 151, 400, 1000, 3000] * 6


@pytest.mark.parametrize("num_topics", [1, 2, 7, 20, 40, 100])
def test_gensims_gamma(num_topics):
    lda, start = model(num_topics), OneStart(3, num_topics).rows
    bags = articles(
        lda, LENGTHS, seed=1
    )  # with other draws, rounding decides about a short article
    gamma, close = inference.gammas(lda, bags, start)
    wanted = by_gensim(lda, bags, start)
    assert gamma.dtype == np.float32
    assert gamma.shape == wanted.shape
    clear = [i for i in range(len(bags)) if i not in close]
    assert len(clear) > 0.7 * len(bags)
    vectors, wanted = (g / g.sum(axis=1, keepdims=True) for g in (gamma, wanted))
    np.testing.assert_allclose(vectors[clear], wanted[clear], atol=5e-6)
    # the others may have made one round more or less
    np.testing.assert_allclose(vectors, wanted, atol=lda.gamma_threshold)


def test_a_model_in_double_precision():
    lda, start = model(40, dtype=np.float64), OneStart(3, 40).rows
    bags = articles(lda, LENGTHS)
    gamma, close = inference.gammas(lda, bags, start)
    assert gamma.dtype == np.float64
    assert close == set()
    np.testing.assert_allclose(gamma, by_gensim(lda, bags, start), rtol=1e-8)


def test_an_asymmetric_prior():
    alpha = np.array([0.01, 0.02, 5.0, 0.3] * 10, np.float32)
    lda, start = model(40, alpha=alpha), np.ones(40)
    bags = articles(lda, LENGTHS)
    gamma, close = inference.gammas(lda, bags, start)
    wanted = by_gensim(lda, bags, start)
    clear = [i for i in range(len(bags)) if i not in close]
    np.testing.assert_allclose(gamma[clear], wanted[clear], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("iterations", [1, 7, 8, 12])
def test_the_models_number_of_rounds(iterations):
    lda, start = model(40, iterations=iterations, gamma_threshold=0.0), np.ones(40)
    bags = articles(lda, LENGTHS[:18])
    gamma, _ = inference.gammas(lda, bags, start)
    np.testing.assert_allclose(gamma, by_gensim(lda, bags, start), rtol=1e-3, atol=1e-3)


def test_a_row_depends_on_its_own_article_to_the_bit():
    lda, start = model(40), np.ones(40)
    bags = articles(lda, LENGTHS)
    together, _ = inference.gammas(lda, bags, start)
    rng = np.random.default_rng(1)
    for size in (1, 2, 5, 30):
        chosen = rng.choice(len(bags), size, replace=False)
        some, _ = inference.gammas(lda, [bags[i] for i in chosen], start)
        assert some.tobytes() == together[chosen].tobytes()


def test_by_hand_two_rounds():
    """Two words, two topics, each word its topic's own: round 1 gives gamma = alpha + count; round
    2 changes nothing.
    """
    lda = model(2, words=30)
    lda.expElogbeta[...] = 0
    lda.expElogbeta[0, 4] = lda.expElogbeta[1, 9] = 1
    bag = np.array([4, 9]), np.array([3, 1])
    gamma, close = inference.gammas(lda, [bag], np.ones(2))
    np.testing.assert_allclose(gamma, [[3.5, 1.5]], atol=1e-5)
    assert close == set()


def test_a_topic_that_comes_back_from_alpha():
    """The second topic begins at alpha, which is so small that its share is 1e-9, but the second
    word belongs to it alone.
    """
    lda, start = model(2, words=30, alpha=np.array([0.05, 0.05], np.float32)), np.array([1, 0.05])
    lda.expElogbeta[...] = 0
    lda.expElogbeta[0, 4] = lda.expElogbeta[1, 9] = 1
    bag = np.array([4, 9]), np.array([3, 2])
    gamma, _ = inference.gammas(lda, [bag], start)
    np.testing.assert_allclose(gamma, [[3.05, 2.05]], atol=1e-5)
    np.testing.assert_allclose(gamma, by_gensim(lda, [bag], start), rtol=1e-6)


def test_an_article_without_words_has_the_prior():
    lda = model(4)
    empty = np.array([], int), np.array([], int)
    gamma, close = inference.gammas(lda, [empty], np.ones(4))
    assert gamma.tolist() == [[0.25] * 4]
    assert close == set()


def test_no_articles():
    gamma, close = inference.gammas(model(4), [], np.ones(4))
    assert gamma.shape == (0, 4)
    assert close == set()


def test_exp_digamma():
    assert lda_kernel.exp_digamma(1.0) == pytest.approx(
        np.exp(-0.5772156649015329), rel=1e-12
    )  # digamma(1) = -Euler's constant
    x = np.concatenate([np.geomspace(0.002, 1e7, 2000), np.linspace(0.5, 20, 500)])
    np.testing.assert_allclose(
        [lda_kernel.exp_digamma(each) for each in x], np.exp(psi(x)), rtol=2e-12
    )


def test_bag_of_words():
    ids, counts = inference.bag_of_words(np.array([7, -1, 3, 7, 0, -1, 7], np.int32))
    assert ids.tolist() == [0, 3, 7]
    assert counts.tolist() == [1, 1, 3]
    for nothing in ([], [-1, -1]):
        ids, counts = inference.bag_of_words(np.array(nothing, np.int32))
        assert len(ids) == len(counts) == 0


def test_folders_that_cannot_be_written():
    """No folder for compiled code: it is compiled in every process."""
    code = (
        "from texttopicnet import lda_kernel; print(lda_kernel.exp_digamma(1.0),"
        " lda_kernel.exp_digamma._cache)"
    )
    environment = os.environ | {
        "NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"
    }  # refuses a folder that is not an archive
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=artefacts.ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    value, cache = run.stdout.split(maxsplit=1)
    assert float(value) == pytest.approx(0.561459483566885)
    assert "NullCache" in cache


def packed(bags):
    ids, counts = (np.concatenate(arrays) for arrays in zip(*bags, strict=True))
    return ids, counts, np.cumsum([len(ids) for ids, _ in bags])


@pytest.mark.parametrize(
    ("num_topics", "dtype"), [(1, np.float32), (40, np.float32), (7, np.float64)]
)
def test_gensims_sufficient_statistics(num_topics, dtype):
    lda = model(num_topics, dtype=dtype)
    bags = articles(lda, LENGTHS)
    lda.random_state = np.random.RandomState(5)
    documents = [list(zip(ids.tolist(), counts.tolist(), strict=True)) for ids, counts in bags]
    _, wanted = lda.inference(documents, collect_sstats=True)
    lda.random_state = np.random.RandomState(5)
    sstats = inference.sufficient_statistics(lda, *packed(bags))
    assert sstats.dtype == dtype
    np.testing.assert_allclose(sstats, wanted, rtol=1e-4, atol=1e-4)
    # every running word counts for some topics; gensim's epsilon takes a little
    np.testing.assert_allclose(sstats.sum(), sum(LENGTHS), rtol=1e-3)


def test_gensim_infers_documents_that_rounding_decides(monkeypatch):
    """With every document so close, all of the statistics are gensim's, to the bit."""
    monkeypatch.setattr(
        inference,
        "_run",
        lambda lda, rows, ids, counts, ends, gamma, sums: np.ones(len(ends), bool),
    )
    lda = model(7)
    bags = articles(lda, LENGTHS[:18])
    documents = [list(zip(ids.tolist(), counts.tolist(), strict=True)) for ids, counts in bags]
    lda.random_state = np.random.RandomState(5)
    _, wanted = lda.inference(documents, collect_sstats=True)
    lda.random_state = np.random.RandomState(5)
    sstats = inference.sufficient_statistics(lda, *packed(bags))
    np.testing.assert_array_equal(sstats, wanted)
