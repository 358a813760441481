"""tfidf: the weights of the words that weigh most in the corpus."""

from pathlib import Path

import numpy as np
import scipy.sparse
from gensim.models import TfidfModel

from texttopicnet.embeddings.base import Training
from texttopicnet.embeddings.word_matrix import WordMatrix, weights_of


class Tfidf(WordMatrix):
    """Some numbers of the whole tf-idf vector; the model is the TfidfModel itself, with the ids of
    the chosen words as its attribute `chosen`.
    """

    name = "tfidf"
    gensim_class = TfidfModel
    needs_a_word_per_number = True

    @classmethod
    def train(cls, job: Training) -> TfidfModel:
        sums = np.zeros(len(job.tfidf.id2word))
        for vector in weights_of(job, cls.name):
            for word, weight in vector:
                sums[word] += weight
        job.tfidf.chosen = np.argsort(-sums, kind="stable")[: job.num_topics].tolist()
        return job.tfidf

    @classmethod
    def tfidf_path(cls, path: Path) -> Path:
        return path

    @classmethod
    def width(cls, model: TfidfModel) -> int:
        return len(model.chosen)

    def word_matrix(self) -> np.ndarray:
        shape = len(self.dictionary), self.num_topics
        places = self.model.chosen, range(self.num_topics)
        return scipy.sparse.csr_matrix((np.ones(self.num_topics), places), shape).toarray()

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        return rows
