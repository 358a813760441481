"""LDA inference of articles in compiled code: the numbers of gensim's ``LdaModel.inference``, in a
fraction of its time.

gensim makes a dozen NumPy calls on short vectors in each round of each article.  Here numba
compiles its loop, in its order (Lee and Seung's form of Hoffman's online LDA; Hoffman, Blei and
Bach 2010)::

    phinorm = expElogtheta . expElogbeta + epsilon                                       of each
    word of the article gamma   = alpha + expElogtheta * sum over words of count * expElogbeta /
    phinorm     of each topic

until gamma changes by less than ``lda.gamma_threshold`` on average, or after ``lda.iterations``
rounds.  An article has a few of the topics: one whose gamma has come down to alpha, where what it
adds is too small to change any number, is passed over.
"""

import math

import numba
import numpy as np

# roundings of gamma: where the change is so close to the threshold, they decide about one round
# more
CLOSE = 4
LANES = 32  # an article's words are padded to a multiple of this: whole vector registers
TILE = 8  # words whose probabilities are turned from a row a word into a row a topic at once
SUMS_IN_ANY_ORDER = {
    "reassoc",
    "contract",
}  # what vectorizes them; NaN and infinity stay what they are


def compiled(**options):
    """Decorator: compiled at the first call, kept on the disk for later processes where there is a
    place to write to.
    """

    def compile_later(function):
        try:
            return numba.njit(cache=True, error_model="numpy", **options)(function)
        except RuntimeError:  # neither the program's folder nor the user's cache can be written to
            return numba.njit(error_model="numpy", **options)(function)

    return compile_later


@compiled()
def _fractions(x):
    """1/x + 1/(x+1) + ... + 1/(x+7)."""
    y = x * (x + 7)  # in pairs: (x+1)(x+6) = y + 6, (x+2)(x+5) = y + 10, (x+3)(x+4) = y + 12
    a, b = y * (y + 6), (y + 10) * (y + 12)
    return (2 * x + 7) * ((2 * y + 6) * b + (2 * y + 22) * a) / (a * b)


@compiled()
def _series(x):
    """exp(digamma(x + 8)): in z = x + 8 - 1/2, the exponential of log z + 1/(24 z^2) - 7/(960 z^4)
    + ..., without a logarithm.
    """
    z = x + 7.5
    q = 1 / (z * z)
    series = 5509121 / 1393459200 - q * (2709398569 / 367873228800)
    series = 1 / 24 - q * (37 / 5760 - q * (10313 / 2903040 - q * series))
    return z + z * q * series


@compiled()
def exp_digamma(x):
    """exp(digamma(x)) of a float x > 0, to a relative error of 1e-12: digamma(x) = digamma(x + 8) -
    1/x - ... - 1/(x+7).
    """
    return _series(x) * math.exp(-_fractions(x))


@compiled()
def _runs(ids):
    """Distinct numbers of an ascending array, and how often each stands in it."""
    distinct, counts = np.empty_like(ids), np.empty_like(ids)
    n = 0
    for i in range(len(ids)):
        if i == 0 or ids[i] != ids[i - 1]:
            distinct[n], counts[n] = ids[i], 0
            n += 1
        counts[n - 1] += 1
    return distinct[:n].copy(), counts[:n].copy()


def bag_of_words(ids):
    """Distinct word ids of an article, ascending, and how often each stands in it.

    Parameters
    ----------
    ids : ndarray of int, shape (n_tokens,)
        Those below 0 are no words.

    Returns
    -------
    ids, counts : ndarray of the same dtype, shape (n_distinct,)
        ``np.unique(ids[ids >= 0], return_counts=True)``, in a third of its time.
    """
    ids = np.sort(ids)
    return _runs(ids[np.searchsorted(ids, 0) :])


@compiled()
def _rows_of_words(expElogbeta, ids):
    """expElogbeta of the words that occur, a row a word, zeros in the last one; and each word's
    row.

    A row is read from few cache lines; in gensim's order, a row a topic, each of a word's numbers
    lies in another.
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
def _infer(expElogbeta, alpha, start, epsilon, iterations, limit, ids, counts, ends, gamma, close):
    """Infer one article after the other: ids[ends[i - 1] : ends[i]] are article i's.  Writes
    `gamma` and `close`.
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
    topics = np.empty(num_topics, np.int64)  # that are not passed over
    theta, exponent = np.empty(num_topics), np.empty(num_topics)  # expElogtheta of these
    tile = np.empty(TILE, np.int32)

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
        first = ends[article]
        num_tokens = dtype.type(0)
        for w in range(width):
            num_tokens += count[w]
        # a topic adds theta * num_tokens / epsilon at most: below this, nothing that alpha's last
        # digit shows
        negligible = epsilon * epsilon / 4 / max(num_tokens, dtype.type(1))

        own = gamma[article]
        own[:] = start
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
            for j in range(n):  # apart from the next loop: this one is vectorized
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


def gammas(lda, bags, start):
    """Variational parameters of articles, all begun from one start.

    Parameters
    ----------
    lda : gensim.models.LdaModel
    bags : sequence of (ids, counts)
        Two integer arrays an article: distinct word ids and how often each stands in it
        (`bag_of_words`).
    start : ndarray, shape (num_topics,)
        gamma before the first round.

    Returns
    -------
    gamma : ndarray of lda.dtype, shape (n_articles, num_topics)
        What ``lda.inference`` gives, up to the order of floating-point sums.  A row depends on its
        own article alone, to the bit.
    close : set of int
        The articles at which the change came so close to `lda.gamma_threshold` that gensim may go
        one round more or less: one in seventy to one in twenty-five, gamma then differs by up to
        gensim's own threshold.
    """
    dtype = np.dtype(lda.dtype)
    gamma, close = np.empty((len(bags), lda.num_topics), dtype), np.zeros(len(bags), bool)
    ids, counts = (
        (np.concatenate(arrays) for arrays in zip(*bags, strict=True)) if bags else ([], [])
    )
    _infer(
        lda.expElogbeta,
        lda.alpha.astype(dtype),
        start.astype(dtype),
        np.finfo(dtype).eps,
        lda.iterations,
        dtype.type(lda.gamma_threshold * lda.num_topics),
        np.asarray(ids, np.int32),
        np.asarray(counts, dtype),
        np.cumsum([len(ids) for ids, _ in bags], dtype=np.int64),
        gamma,
        close,
    )
    return gamma, set(np.flatnonzero(close).tolist())
