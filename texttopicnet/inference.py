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
import math
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from gensim.models import LdaModel

# rounding errors of gamma; where the change is this close to the threshold, rounding decides
# whether there is another round
CLOSE = 4
LANES = 32  # an article's words are padded to a multiple of this, to fill vector registers
TILE = 8  # words that are transposed at once, from a row per word to a row per topic
# lets sums be vectorized; NaN and infinity keep their meaning
SUMS_IN_ANY_ORDER = {"reassoc", "contract"}


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Decorator: compile at the first call, and keep the code on the disk for later processes if a
    folder can be written to.
    """

    def compile_later(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, error_model="numpy", **options)(function)
        except RuntimeError:  # neither this folder nor the user's cache can be written to
            return numba.njit(error_model="numpy", **options)(function)

    return compile_later


@compiled()
def _fractions(x: float) -> float:
    """1/x + 1/(x+1) + ... + 1/(x+7)."""
    y = x * (x + 7)  # in pairs: (x+1)(x+6) = y + 6, (x+2)(x+5) = y + 10, (x+3)(x+4) = y + 12
    a, b = y * (y + 6), (y + 10) * (y + 12)
    return (2 * x + 7) * ((2 * y + 6) * b + (2 * y + 22) * a) / (a * b)


@compiled()
def _series(x: float) -> float:
    """exp(digamma(x + 8)) without a logarithm.

    With z = x + 8 - 1/2, it is the exponential of log z + 1/(24 z^2) - 7/(960 z^4) + ...
    """
    z = x + 7.5
    q = 1 / (z * z)
    series = 5509121 / 1393459200 - q * (2709398569 / 367873228800)
    series = 1 / 24 - q * (37 / 5760 - q * (10313 / 2903040 - q * series))
    return z + z * q * series


@compiled()
def exp_digamma(x: float) -> float:
    """exp(digamma(x)) of a float x > 0, to a relative error of 1e-12.

    digamma(x) = digamma(x + 8) - 1/x - ... - 1/(x+7).
    """
    return _series(x) * math.exp(-_fractions(x))


@compiled()
def _runs(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers of an ascending array, and their counts."""
    distinct, counts = np.empty_like(ids), np.empty_like(ids)
    n = 0
    for i in range(len(ids)):
        if i == 0 or ids[i] != ids[i - 1]:
            distinct[n], counts[n] = ids[i], 0
            n += 1
        counts[n - 1] += 1
    return distinct[:n].copy(), counts[:n].copy()


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
    return _runs(ids[np.searchsorted(ids, 0) :])


@compiled()
def _rows_of_words(expElogbeta: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """expElogbeta with a row per word that occurs, then a row of zeros; and each word's row number.

    A word's row takes few cache lines.  In gensim's order, with a row per topic, each of the word's
    numbers is in another cache line.
    """
    num_topics, num_words = expElogbeta.shape
    row_of = np.full(num_words, -1, np.int32)
    words = np.empty(num_words, np.int32)
    n = 0
    for word in ids:
        if row_of[word] < 0:
            row_of[word] = n
            words[n] = word
            n += 1
    rows = np.zeros((n + 1, num_topics), expElogbeta.dtype)
    for k in range(num_topics):
        for i in range(n):
            rows[i, k] = expElogbeta[k, words[i]]
    return rows, row_of


@compiled(fastmath=SUMS_IN_ANY_ORDER)
def _infer(
    expElogbeta: np.ndarray,
    alpha: np.ndarray,
    epsilon: np.floating,
    iterations: int,
    limit: np.floating,
    ids: np.ndarray,
    counts: np.ndarray,
    ends: np.ndarray,
    gamma: np.ndarray,
    close: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Infer one article after the other; article i's words are ids[ends[i - 1] : ends[i]].

    `gamma` holds the starts and gets the results.  Writes `close`, as `gammas` returns it, and, if
    `sums` has a row per word, adds expElogtheta * count / phinorm to it for the other articles.
    """
    num_topics, dtype = len(alpha), expElogbeta.dtype
    rows, row_of = _rows_of_words(expElogbeta, ids)
    of_alpha = np.empty(num_topics)
    for k in range(num_topics):
        of_alpha[k] = exp_digamma(alpha[k])
    longest = first = 0
    for end in ends:
        longest = max(longest, end - first)
        first = end
    longest += -longest % LANES
    beta = np.empty((num_topics, longest), dtype)  # the article's part of expElogbeta
    count, weight = np.empty(longest, dtype), np.empty(longest, dtype)
    topics = np.empty(num_topics, np.int64)  # those that are not skipped
    theta, exponent = np.empty(num_topics), np.empty(num_topics)  # expElogtheta of these
    tile = np.empty(TILE, np.int32)
    last = np.empty(num_topics, dtype)  # expElogtheta after the last round

    first = 0
    for article in range(len(ends)):
        num_words = ends[article] - first
        width = num_words + -num_words % LANES
        count[:num_words] = counts[first : ends[article]]
        count[num_words:width] = 0
        for begin in range(0, width, TILE):
            for j in range(TILE):
                tile[j] = row_of[ids[first + begin + j]] if begin + j < num_words else len(rows) - 1
            for k in range(num_topics):
                for j in range(TILE):
                    beta[k, begin + j] = rows[tile[j], k]
        begin_of_words, first = first, ends[article]
        num_tokens = dtype.type(0)
        for w in range(width):
            num_tokens += count[w]
        # a topic adds at most theta * num_tokens / epsilon; below this, alpha's last digit does not
        # change
        negligible = epsilon * epsilon / 4 / max(num_tokens, dtype.type(1))

        own = gamma[article]
        for number in range(iterations):
            total = 0.0
            for k in range(num_topics):
                total += own[k]
            scale = 1 / exp_digamma(total)
            n = 0
            for k in range(num_topics):
                if own[k] != alpha[k] or scale * of_alpha[k] > negligible * alpha[k]:
                    topics[n], theta[n] = k, own[k]
                    n += 1
            for j in range(n):  # separate from the next loop, so that it is vectorized
                exponent[j] = -_fractions(theta[j])
                theta[j] = scale * _series(theta[j])
            for j in range(n):
                theta[j] *= math.exp(exponent[j])
            weight[:width] = epsilon
            for j in range(n):
                k, own_theta = topics[j], dtype.type(theta[j])
                for w in range(width):
                    weight[w] += own_theta * beta[k, w]  # phinorm
            for w in range(width):
                weight[w] = count[w] / weight[w]
            change = dtype.type(0)
            for j in range(n):
                k, added = topics[j], dtype.type(0)
                for w in range(width):
                    added += weight[w] * beta[k, w]
                updated = alpha[k] + dtype.type(theta[j]) * added
                change += abs(updated - own[k])
                own[k] = updated
            if number < iterations - 1 and abs(change - limit) < CLOSE * epsilon * num_tokens:
                close[article] = True
            if change < limit:
                break
        if len(sums) == 0 or close[article]:
            continue
        total = 0.0
        for k in range(num_topics):
            total += own[k]
        scale = 1 / exp_digamma(total)
        weight[:width] = epsilon
        for k in range(num_topics):
            last[k] = own_theta = dtype.type(scale * exp_digamma(own[k]))
            for w in range(width):
                weight[w] += own_theta * beta[k, w]
        for w in range(num_words):
            word, share = ids[begin_of_words + w], count[w] / weight[w]
            for k in range(num_topics):
                sums[word, k] += last[k] * share


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
        (np.concatenate(arrays) for arrays in zip(*bags, strict=True)) if bags else ([], [])
    )
    ends = np.cumsum([len(ids) for ids, _ in bags], dtype=np.int64)
    close = _run(lda, ids, counts, ends, gamma, np.empty((0, lda.num_topics), lda.dtype))
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
    sums = np.zeros((lda.expElogbeta.shape[1], lda.num_topics), lda.dtype)
    close = _run(lda, ids, counts, ends, gamma, sums)
    sstats = sums.T * lda.expElogbeta
    if close.any():
        documents = list(itertools.compress(documents_of(ids, counts, ends), close))
        lda.random_state = Starts(starts[close])
        sstats += lda.inference(documents, collect_sstats=True)[1]
    return sstats


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
    ids: np.ndarray,
    counts: np.ndarray,
    ends: np.ndarray,
    gamma: np.ndarray,
    sums: np.ndarray,
) -> np.ndarray:
    """`_infer` with a model's numbers; returns `close`, an array of bool."""
    dtype, close = np.dtype(lda.dtype), np.zeros(len(ends), bool)
    _infer(
        lda.expElogbeta,
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
