"""LDA inference of many articles at once: the numbers of gensim's ``LdaModel.inference``, in a third of its time.

gensim goes through the articles one by one, with a dozen NumPy calls on short vectors a round.  Here articles of like length
share every call (short ones are padded by words that do not count), and a topic that has left an article is left out of the
article's further rounds.  The update is gensim's (Lee and Seung's form of Hoffman's online LDA)::

    gamma = alpha + expElogtheta * sum over words of count * expElogbeta / phinorm
"""

import functools

import numpy as np
from scipy.special import psi
from threadpoolctl import ThreadpoolController

TOGETHER = 64  # articles in one call: their share of expElogbeta should stay in the cache
WORDS = 32  # words are padded to a multiple of this,
TOPICS = 8  # topics to a multiple of this: so an article's sums do not depend on which articles are beside it
NARROWED = (7, 10, 15, 25)  # rounds after which finished articles and absent topics are left out
ABSENT = 1e-6  # a topic to which an article's words add less, of a sum of their number, is absent
CLOSE = 3  # roundings of gamma: where the change is so close to the threshold, they decide about one round more


@functools.cache
def _blas():
    return ThreadpoolController()


def gammas(lda, bags, start):
    """Variational parameters of articles, all begun from one start.

    Parameters
    ----------
    lda : gensim.models.LdaModel
    bags : sequence of (ids, counts)
        Two integer arrays an article: distinct word ids and how often each stands in it.
    start : ndarray, shape (num_topics,)
        gamma before the first round.

    Returns
    -------
    gamma : ndarray of lda.dtype, shape (n_articles, num_topics)
        What ``lda.inference`` gives, up to the order of floating-point sums.  A row depends on its own article alone, to the bit.
    close : set of int
        The articles at which the change came so close to `lda.gamma_threshold` that gensim may go one round more or less: about
        one in twenty, gamma then differs by up to gensim's own threshold.
    """
    gamma = np.empty((len(bags), lda.num_topics), lda.dtype)
    close = set()
    order = np.argsort([len(ids) for ids, _ in bags], kind="stable")
    with _blas().limit(limits=1, user_api="blas"):  # the matrices are small; and a split sum would be another sum
        for first in range(0, len(order), TOGETHER):
            articles = order[first : first + TOGETHER]
            close |= _Batch(lda, articles, [bags[i] for i in articles], start).infer(gamma)
    return gamma, close


class _Batch:
    """Articles that are inferred together; an article is a row of every array.

    A row has the topics that its article still has, most probable first, then some that are absent.  `added` is
    gamma - alpha, what the article's words add to a topic: 0 for an absent one, so that it changes no sum.
    """

    def __init__(self, lda, articles, bags, start):
        self.lda, self.articles = lda, articles
        n, length = len(bags), max(len(ids) for ids, _ in bags)
        length = max(-(-length // WORDS), 1) * WORDS
        self.counts = np.zeros((n, length), lda.dtype)  # 0: padding
        beta = np.empty((n, lda.num_topics, length), lda.dtype)
        word_ids = np.zeros(length, np.intp)
        for (ids, counts), row, matrix in zip(bags, self.counts, beta, strict=True):
            row[: len(ids)] = counts
            word_ids[: len(ids)] = ids
            word_ids[len(ids) :] = 0
            np.take(lda.expElogbeta, word_ids, axis=1, out=matrix, mode="clip")
        self.groups = [(slice(0, n), lda.num_topics, beta)]  # rows of equal width, that width, (rows, width, words)
        self.topics = np.tile(np.arange(lda.num_topics), (n, 1))
        self.alpha = np.tile(lda.alpha.astype(lda.dtype), (n, 1))
        self.added = np.tile(start.astype(lda.dtype), (n, 1)) - self.alpha
        self.live = np.ones(n, bool)
        # can an absent topic come back?  Its words add at most exp(psi(alpha)) / epsilon, were it the only one that has them
        self.epsilon = np.finfo(lda.dtype).eps
        self.mortal = np.exp(psi(lda.alpha)) / self.epsilon < ABSENT

    def infer(self, gamma):
        """Write the articles' rows of `gamma`; returns the set of those that came close to the threshold."""
        lda, close = self.lda, set()
        limit = lda.gamma_threshold * lda.num_topics
        for number in range(1, lda.iterations + 1):
            change = self._round()
            rounding = self.epsilon * self.counts.sum(axis=1)
            close.update(self.articles[self.live & (np.abs(change - limit) < CLOSE * rounding)].tolist())
            done = self.live & (change < limit) if number < lda.iterations else self.live
            if done.any():
                gamma[self.articles[done]] = lda.alpha
                gamma[self.articles[done, None], self.topics[done]] = (self.alpha + self.added)[done]
                self.live = self.live & ~done
                if not self.live.any():
                    break
            if number in NARROWED:
                self._narrow()
        return close

    def _round(self):
        """One update of every row; returns the sum of the changes of each."""
        total = psi(self.lda.alpha.sum(dtype=self.lda.dtype) + self.added.sum(axis=1))
        theta = np.exp(psi(self.alpha + self.added) - total[:, None])  # expElogtheta
        weights = np.empty_like(self.counts)
        for rows, width, beta in self.groups:
            np.matmul(theta[rows, None, :width], beta, out=weights[rows, None])  # phinorm
        weights += self.epsilon
        np.divide(self.counts, weights, out=weights)
        added = np.zeros_like(self.added)
        for rows, width, beta in self.groups:
            np.matmul(beta, weights[rows, :, None], out=added[rows, :width, None])
        added *= theta
        change = np.abs(added - self.added).sum(axis=1)
        self.added = added
        return change

    def _narrow(self):
        """Leave out finished articles and absent topics; rows are sorted by the width they still need."""
        present = ((self.added > ABSENT) | ~self.mortal[self.topics]).sum(axis=1)
        width = np.clip(-(-present // TOPICS) * TOPICS, TOPICS, self.added.shape[1])
        order = np.argsort(width, kind="stable")
        order = order[self.live[order]]
        width = width[order]
        # stays: what cannot leave, then the largest
        rank = np.where(self.mortal[self.topics], -self.added, -np.inf)[order]
        kept = np.argsort(rank, axis=1, kind="stable")[:, : width[-1]]

        matrices = [matrix for _, _, beta in self.groups for matrix in beta]
        groups = []
        for each in np.unique(width):
            first, end = np.searchsorted(width, [each, each + 1])
            beta = np.empty((end - first, each, self.counts.shape[1]), self.lda.dtype)
            for row, matrix in enumerate(beta, first):
                np.take(matrices[order[row]], kept[row, :each], axis=0, out=matrix, mode="clip")
            groups.append((slice(first, end), each, beta))
        self.groups = groups
        rows = order[:, None]
        self.topics, self.alpha, self.added = self.topics[rows, kept], self.alpha[rows, kept], self.added[rows, kept]
        self.articles, self.counts, self.live = self.articles[order], self.counts[order], self.live[order]
        # a row's columns beyond its own width are no longer updated
        self.added[np.arange(kept.shape[1]) >= width[:, None]] = 0
