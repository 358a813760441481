"""lda: the topic model with the interface of an embedding."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary

from texttopicnet import artefacts
from texttopicnet.embeddings.base import Embedding
from texttopicnet.topics import TopicModel


class Lda(Embedding):
    """Topic probabilities.  LDA/learn_LDA_model.py learns and writes the model.

    Parameters
    ----------
    model : TopicModel
    """

    name = "lda"
    of_unknown_text = "the topics of an empty article, the same for all"

    def __init__(self, model: TopicModel) -> None:
        self.model = model
        self.dictionary, self.num_topics = model.dictionary, model.num_topics

    @classmethod
    def path(cls, work: Path, num_topics: int) -> Path:
        return work / artefacts.lda_model(num_topics)

    @classmethod
    def load(cls, work: Path, num_topics: int = 40, trust: bool = False) -> Lda:
        return cls(TopicModel.load(work, num_topics, trust))

    @property
    def record_dictionary(self) -> Dictionary:
        return self.model.lda.id2word

    def vectors(self, documents: Iterable[list[str]], seed: int = 0) -> np.ndarray:
        return self.model.topic_vectors(documents, seed)

    def described(self) -> str:
        return f"{self.num_topics} topics"
