"""Embeddings that are linear in the tf-idf weights: a text's weights times a matrix."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
from gensim import matutils
from gensim.models import TfidfModel
from tqdm import tqdm

from texttopicnet.embeddings.base import Bow, LearntEmbedding, Training, unit


class WordMatrix(LearntEmbedding):
    """tf-idf weights times a matrix with a row per word of the dictionary."""

    def __init__(self, tfidf: TfidfModel, model: Any, num_topics: int) -> None:
        super().__init__(tfidf, model, num_topics)
        self.matrix = self.word_matrix()

    @abstractmethod
    def word_matrix(self) -> np.ndarray:
        """float64 of shape (n_words, num_topics); zeros for a word that the model does not have."""

    def sparse_vectors(self, documents: Iterable[list[str]]) -> scipy.sparse.csr_matrix:
        """The whole tf-idf vectors, a reference to compare the embeddings with.

        Parameters
        ----------
        documents : iterable of list of str

        Returns
        -------
        scipy.sparse.csr_matrix, shape (n_documents, n_words)
            Rows of length 1, or 0 for a text without a known word.
        """
        weights = (self.tfidf[self.dictionary.doc2bow(tokens)] for tokens in documents)
        return matutils.corpus2csc(weights, num_terms=len(self.dictionary)).T

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """The products as vectors."""
        return unit(rows)

    def vectors(self, documents: Iterable[list[str]], seed: int = 0) -> np.ndarray:  # noqa: ARG002  nothing is random
        # the sparse product works row by row, unlike a dense product of BLAS
        return self.scaled(self.sparse_vectors(documents) @ self.matrix).astype(np.float32)


def weights_of(job: Training, name: str) -> Iterator[Bow]:
    """The tf-idf weights of bags of words, with a progress bar."""
    return (job.tfidf[bow] for bow in tqdm(job.bows, desc=name, unit="article"))
