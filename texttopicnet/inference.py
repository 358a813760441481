"""LDA inference of articles in compiled code: the numbers of gensim's ``LdaModel.inference`` in a
fraction of its time.

gensim makes a dozen NumPy calls on short vectors in each round of each article.  Here numba
compiles its loop, in its order (Lee and Seung's form of Hoffman's online LDA; Hoffman, Blei and
Bach 2010).  For each word w of the article and each topic k::

    phinorm[w] = sum over topics of expElogtheta[k] * expElogbeta[k, w] + epsilon
    gamma[k]   = alpha[k] + expElogtheta[k] * sum over words of count[w] * expElogbeta[k, w]
                                                                / phinorm[w]

until gamma changes by less than ``lda.gamma_threshold`` on average, or after ``lda.iterations``
rounds.  An article has only a few of the topics: a topic is skipped once its gamma has reached
alpha and its contribution is too small to change any number.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from gensim.models import LdaModel

from texttopicnet import lda_kernel


def bag_of_words(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct word ids of an article, ascending, and their counts.

    Parameters
    ----------
    ids : ndarray of int, shape (n_tokens,)
        Numbers below 0 are not words.

    Returns
    -------
    ids, counts : ndarray of the same dtype, shape (n_distinct,)
        ``np.unique(ids[ids >= 0], return_counts=True)``, in a third of its time.
    """
    ids = np.sort(ids)
    return lda_kernel.runs(ids[np.searchsorted(ids, 0) :])


def gammas(
    lda: LdaModel, bags: Sequence[tuple[np.ndarray, np.ndarray]], start: np.ndarray
) -> tuple[np.ndarray, set[int]]:
    """Variational parameters of articles, all inferred from one start.

    Parameters
    ----------
    lda : gensim.models.LdaModel
    bags : sequence of (ids, counts)
        Two integer arrays per article: distinct word ids and their counts (`bag_of_words`).
    start : ndarray, shape (num_topics,)
        gamma before the first round.

    Returns
    -------
    gamma : ndarray of lda.dtype, shape (n_articles, num_topics)
        The result of ``lda.inference``, up to the order of floating-point sums.  A row depends on
        its own article alone, to the bit.
    close : set of int
        The articles whose change came so close to `lda.gamma_threshold` that gensim may make one
        round more or less.  They are 1.4 to 4 % of the articles, and gamma then differs by up to
        gensim's own threshold.
    """
    gamma = np.tile(start.astype(lda.dtype), (len(bags), 1))
    ids, counts = (
        (np.concatenate(arrays) for arrays in zip(*bags, strict=True))
        if bags
        else np.empty((2, 0), np.int32)  # compiles all the same
    )
    ends = np.cumsum([len(ids) for ids, _ in bags], dtype=np.int64)
    words, ids = lda_kernel.distinct(np.asarray(ids, np.int32), lda.expElogbeta.shape[1])
    rows = np.ascontiguousarray(lda.expElogbeta[:, words].T)
    close = _run(lda, rows, ids, counts, ends, gamma, np.empty((0, lda.num_topics), lda.dtype))
    return gamma, set(np.flatnonzero(close).tolist())


def sufficient_statistics(
    lda: LdaModel, ids: np.ndarray, counts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """The E-step of a training: what ``lda.inference(documents, collect_sstats=True)`` returns.

    The starts are drawn from `lda.random_state`, as gensim draws them.  gensim itself infers the
    documents whose number of rounds hangs on rounding.

    Parameters
    ----------
    lda : gensim.models.LdaModel
        expElogbeta has a column per word.
    ids, counts : ndarray, shape (n_entries,)
        Word ids and counts of all documents, one after the other; a document has a word once.
    ends : ndarray of int, shape (n_documents,)
        Where each document's entries end.

    Returns
    -------
    ndarray of lda.dtype, shape (num_topics, n_words)
        gensim's, up to the order of floating-point sums.
    """
    starts = lda.random_state.gamma(100.0, 1.0 / 100.0, (len(ends), lda.num_topics))
    gamma = starts.astype(lda.dtype)
    rows = np.ascontiguousarray(lda.expElogbeta.T)
    sums = np.zeros_like(rows)
    close = _run(lda, rows, ids, counts, ends, gamma, sums)
    sums *= rows
    if close.any():
        kept = np.repeat(close, np.diff(ends, prepend=0))
        words, ids = lda_kernel.distinct(np.asarray(ids[kept], np.int32), len(rows))
        documents = documents_of(ids, counts[kept], np.cumsum(np.diff(ends, prepend=0)[close]))
        lda.expElogbeta = np.ascontiguousarray(rows[words].T)  # in the order that gensim has
        lda.random_state = Starts(starts[close])
        _, own = lda.inference(documents, collect_sstats=True)
        lda_kernel.add_rows(sums, words, np.ascontiguousarray(own.T))
    return sums.T


def documents_of(ids: np.ndarray, counts: np.ndarray, ends: np.ndarray) -> list[list[tuple]]:
    """gensim's bags of words, a list of (id, count) per document; `ends` is where each ends."""
    pairs = list(zip(ids.tolist(), counts.tolist(), strict=True))
    return [pairs[first:end] for first, end in itertools.pairwise([0, *ends.tolist()])]


class Starts:
    """Replaces a model's random state during inference: gamma starts at `rows`, of shape
    (n_documents, num_topics), or (num_topics,) for all documents.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def gamma(self, _shape: float, _scale: float, size: tuple[int, int]) -> np.ndarray:
        return np.broadcast_to(self.rows, size).copy()


def _run(
    lda: LdaModel,
    rows: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray,
    ends: np.ndarray,
    gamma: np.ndarray,
    sums: np.ndarray,
) -> np.ndarray:
    """`lda_kernel.infer` with a model's numbers; returns `close`, an array of bool."""
    dtype, close = np.dtype(lda.dtype), np.zeros(len(ends), bool)
    lda_kernel.infer(
        rows,
        lda.alpha.astype(dtype),
        np.finfo(dtype).eps,
        lda.iterations,
        dtype.type(lda.gamma_threshold * lda.num_topics),
        np.asarray(ids, np.int32),
        np.asarray(counts, dtype),
        np.asarray(ends, np.int64),
        gamma,
        close,
        sums,
    )
    return close
