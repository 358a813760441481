"""lsi: latent semantic indexing of the tf-idf weights."""

import numpy as np
from gensim.models import LsiModel

from texttopicnet.embeddings.base import Training
from texttopicnet.embeddings.word_matrix import WordMatrix, weights_of


class Lsi(WordMatrix):
    """The tf-idf weights projected on the corpus's first singular vectors."""

    name = "lsi"
    gensim_class = LsiModel

    @classmethod
    def train(cls, job: Training) -> LsiModel:
        weights = weights_of(job, cls.name)
        dictionary = job.tfidf.id2word
        # where every document has every word, all weights are 0
        with np.errstate(invalid="ignore"):
            return LsiModel(weights, job.num_topics, id2word=dictionary, random_seed=job.seed)

    @classmethod
    def width(cls, model: LsiModel) -> int:
        return model.num_topics

    def word_matrix(self) -> np.ndarray:
        matrix = np.zeros((len(self.dictionary), self.num_topics))
        # fewer columns where the corpus has a lower rank
        columns = self.model.projection.u[:, : self.num_topics]
        matrix[:, : columns.shape[1]] = columns
        return matrix
