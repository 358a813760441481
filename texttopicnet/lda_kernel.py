"""The loops of LDA inference, compiled by numba.  They work without Python's lock.

`texttopicnet.inference` calls them, and has the formulas.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# rounding errors of gamma; where the change is this close to the threshold, rounding decides
# whether there is another round
CLOSE = 4
BLOCK = 128  # words of an article that are summed over before the next ones
GROUP = 4  # topics that are added at once
LANES = 32  # a block's words are padded to a multiple of this, to fill vector registers
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


@compiled(nogil=True)
def _fractions(x: float) -> float:
    """1/x + 1/(x+1) + ... + 1/(x+7)."""
    y = x * (x + 7)  # in pairs: (x+1)(x+6) = y + 6, (x+2)(x+5) = y + 10, (x+3)(x+4) = y + 12
    a, b = y * (y + 6), (y + 10) * (y + 12)
    return (2 * x + 7) * ((2 * y + 6) * b + (2 * y + 22) * a) / (a * b)


@compiled(nogil=True)
def _series(x: float) -> float:
    """exp(digamma(x + 8)) without a logarithm.

    With z = x + 8 - 1/2, it is the exponential of log z + 1/(24 z^2) - 7/(960 z^4) + ...
    """
    z = x + 7.5
    q = 1 / (z * z)
    series = 5509121 / 1393459200 - q * (2709398569 / 367873228800)
    series = 1 / 24 - q * (37 / 5760 - q * (10313 / 2903040 - q * series))
    return z + z * q * series


@compiled(nogil=True)
def exp_digamma(x: float) -> float:
    """exp(digamma(x)) of a float x > 0, to a relative error of 1e-12.

    digamma(x) = digamma(x + 8) - 1/x - ... - 1/(x+7).
    """
    return _series(x) * math.exp(-_fractions(x))


@compiled(nogil=True)
def runs(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct numbers of an ascending array, and their counts."""
    distinct, counts = np.empty_like(ids), np.empty_like(ids)
    n = 0
    for i in range(len(ids)):
        if i == 0 or ids[i] != ids[i - 1]:
            distinct[n], counts[n] = ids[i], 0
            n += 1
        counts[n - 1] += 1
    return distinct[:n].copy(), counts[:n].copy()


@compiled(nogil=True)
def distinct(ids: np.ndarray, num_words: int) -> tuple[np.ndarray, np.ndarray]:
    """``np.unique(ids, return_inverse=True)`` of word ids (int32) below `num_words`, without a
    sort; IndexError for others.
    """
    place = np.zeros(num_words, np.int32)
    for word in ids:
        if not 0 <= word < num_words:
            raise IndexError("a document has a word that is not in the dictionary")
        place[word] = 1
    n = 0
    for word in range(num_words):
        n += place[word]
    words = np.empty(n, np.int32)
    n = 0
    for word in range(num_words):
        if place[word]:
            words[n], place[word] = word, n
            n += 1
    places = np.empty(len(ids), np.int32)
    for i in range(len(ids)):
        places[i] = place[ids[i]]
    return words, places


@compiled(nogil=True)
def add_rows(sums: np.ndarray, words: np.ndarray, rows: np.ndarray) -> None:
    """``sums[words] += rows``, for distinct words."""
    for i in range(len(words)):
        for k in range(rows.shape[1]):
            sums[words[i], k] += rows[i, k]


@compiled(fastmath=SUMS_IN_ANY_ORDER, nogil=True)
def _fill(
    block: np.ndarray, count: np.ndarray, rows: np.ndarray, ids: np.ndarray, counts: np.ndarray
) -> int:
    """Put words' rows into the columns of a block, and their counts, padded with zeros to a
    multiple of LANES; returns how many words that are.
    """
    num_topics, num_words = block.shape[0], len(ids)
    width = num_words + -num_words % LANES
    count[:num_words] = counts
    count[num_words:width] = 0
    block[:, num_words:width] = 0
    whole = num_words - num_words % TILE
    for begin in range(0, whole, TILE):
        for k in range(num_topics):
            for j in range(TILE):
                block[k, begin + j] = rows[ids[begin + j], k]
    for w in range(whole, num_words):
        for k in range(num_topics):
            block[k, w] = rows[ids[w], k]
    return width


@compiled(fastmath=SUMS_IN_ANY_ORDER, nogil=True)
def _divide(
    block: np.ndarray,
    topics: np.ndarray,
    theta: np.ndarray,
    n: int,
    count: np.ndarray,
    epsilon: np.floating,
    weight: np.ndarray,
) -> None:
    """weight = count / phinorm of a block's words; the first `n` of `topics` have a `theta`."""
    weight[:] = epsilon
    for j in range(0, n, GROUP):
        beta0, beta1 = block[topics[j]], block[topics[j + 1]]
        beta2, beta3 = block[topics[j + 2]], block[topics[j + 3]]
        theta0, theta1, theta2, theta3 = theta[j], theta[j + 1], theta[j + 2], theta[j + 3]
        for w in range(len(weight)):
            weight[w] += (
                theta0 * beta0[w] + theta1 * beta1[w] + theta2 * beta2[w] + theta3 * beta3[w]
            )
    for w in range(len(weight)):
        weight[w] = count[w] / weight[w]


@compiled(fastmath=SUMS_IN_ANY_ORDER, nogil=True)
def _add(
    block: np.ndarray, topics: np.ndarray, n: int, weight: np.ndarray, added: np.ndarray
) -> None:
    """added += the sum over a block's words of weight * expElogbeta, for `n` topics."""
    zero = weight.dtype.type(0)
    for j in range(0, n, GROUP):
        beta0, beta1 = block[topics[j]], block[topics[j + 1]]
        beta2, beta3 = block[topics[j + 2]], block[topics[j + 3]]
        sum0 = sum1 = sum2 = sum3 = zero
        for w in range(len(weight)):
            sum0 += weight[w] * beta0[w]
            sum1 += weight[w] * beta1[w]
            sum2 += weight[w] * beta2[w]
            sum3 += weight[w] * beta3[w]
        added[j] += sum0
        added[j + 1] += sum1
        added[j + 2] += sum2
        added[j + 3] += sum3


@compiled(fastmath=SUMS_IN_ANY_ORDER, nogil=True)
def infer(
    rows: np.ndarray,
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
    """Infer one article after the other; article i's words are ids[ends[i - 1] : ends[i]], which
    are numbers of `rows`, the words' rows of expElogbeta.

    `gamma` holds the starts and gets the results.  Writes `close`, as `gammas` returns it, and, if
    `sums` has a row per word, adds expElogtheta * count / phinorm to it for the other articles.
    """
    num_topics, dtype = len(alpha), rows.dtype
    zero = dtype.type(0)
    of_alpha = np.empty(num_topics)
    for k in range(num_topics):
        of_alpha[k] = exp_digamma(alpha[k])
    longest = first = 0
    for end in ends:
        longest = max(longest, end - first)
        first = end
    # the article's part of expElogbeta, in blocks that the fastest cache has room for
    beta = np.empty((longest // BLOCK + 1, num_topics, BLOCK), dtype)
    count = np.empty((longest // BLOCK + 1, BLOCK), dtype)
    widths = np.empty(longest // BLOCK + 1, np.int64)
    weight = np.empty(BLOCK, dtype)
    room = num_topics + GROUP
    topics = np.zeros(room, np.int64)  # those that are not skipped; then some whose theta is 0
    numbers, exponent = np.empty(num_topics), np.empty(num_topics)
    theta, added = np.empty(room, dtype), np.empty(room, dtype)  # theta is expElogtheta

    first = 0
    for article in range(len(ends)):
        begin, first = first, ends[article]
        blocks = 0
        num_tokens = zero
        for at in range(begin, first, BLOCK):
            end = min(at + BLOCK, first)
            widths[blocks] = _fill(beta[blocks], count[blocks], rows, ids[at:end], counts[at:end])
            for w in range(widths[blocks]):
                num_tokens += count[blocks, w]
            blocks += 1
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
                    topics[n], numbers[n] = k, own[k]
                    n += 1
            for j in range(n):  # separate from the next loop, so that it is vectorized
                exponent[j] = -_fractions(numbers[j])
                numbers[j] = scale * _series(numbers[j])
            for j in range(n):
                theta[j] = numbers[j] * math.exp(exponent[j])
            topics[n : n + GROUP] = 0
            theta[n : n + GROUP] = 0
            added[:] = 0
            for b in range(blocks):
                part = weight[: widths[b]]
                _divide(beta[b], topics, theta, n, count[b], epsilon, part)
                _add(beta[b], topics, n, part, added)
            change = zero
            for j in range(n):
                k = topics[j]
                updated = alpha[k] + theta[j] * added[j]
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
        for k in range(num_topics):
            topics[k], theta[k] = k, scale * exp_digamma(own[k])
        topics[num_topics:] = 0
        theta[num_topics:] = 0
        for b in range(blocks):
            part = weight[: widths[b]]
            _divide(beta[b], topics, theta, num_topics, count[b], epsilon, part)
            at = begin + b * BLOCK
            for w in range(min(BLOCK, first - at)):
                word = ids[at + w]
                for k in range(num_topics):
                    sums[word, k] += theta[k] * weight[w]
