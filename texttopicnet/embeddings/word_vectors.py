"""word2vec and fasttext: the mean of a text's word vectors, weighted by tf-idf."""

from abc import abstractmethod
from typing import Any

import gensim.models
import numpy as np

from texttopicnet.embeddings.base import Training
from texttopicnet.embeddings.training_texts import TrainingTexts
from texttopicnet.embeddings.word_matrix import WordMatrix

# rows for fastText's n-grams: gensim's 2,000,000 would take 320 MB for some 20,000 words
BUCKETS = 200_000


def training_options(job: Training) -> dict[str, int]:
    """The options that gensim's word2vec, fastText and doc2vec share: all words, one thread."""
    return {
        "vector_size": job.num_topics,
        "min_count": 1,
        "seed": job.seed,
        "workers": 1,
        "epochs": job.epochs,
    }


def checked_width(model: Any, *tables: np.ndarray) -> int:
    """Width of a loaded model's vectors; ValueError unless each table has a row per word.

    gensim's compiled code reads the tables unchecked.
    """
    shape = len(model.wv.key_to_index), model.vector_size
    if any(table.shape != shape or table.dtype != np.float32 for table in tables):
        raise ValueError("its words and their vectors differ in number")
    return model.vector_size


class WordVectors(WordMatrix):
    """Skip-gram word vectors, centred."""

    @classmethod
    @abstractmethod
    def fitted(cls, stream: TrainingTexts, **options: int) -> Any:
        """The gensim model, learnt from the texts."""

    @classmethod
    def train(cls, job: Training) -> Any:
        stream = TrainingTexts(job.texts, job.tfidf.id2word, cls.name)
        model = cls.fitted(stream, **training_options(job))
        stream.check()
        model.total_train_time = 0  # the same seed gives the same bytes
        return model

    @classmethod
    def width(cls, model: Any) -> int:
        return checked_width(model, model.wv.vectors)

    def word_matrix(self) -> np.ndarray:
        matrix = np.zeros((len(self.dictionary), self.num_topics))
        known = self.model.wv.key_to_index
        present = [i for word, i in self.dictionary.token2id.items() if word in known]
        rows = self.model.wv[[self.dictionary[i] for i in present]].astype(float)
        # word vectors share a direction that says nothing about a text, so their mean is
        # subtracted (Mu and Viswanath, ICLR 2018)
        matrix[present] = rows - rows.mean(axis=0)
        return matrix


class Word2Vec(WordVectors):
    name = "word2vec"
    gensim_class = gensim.models.Word2Vec

    @classmethod
    def fitted(cls, stream: TrainingTexts, **options: int) -> gensim.models.Word2Vec:
        return gensim.models.Word2Vec(stream, sg=1, **options)


class FastText(WordVectors):
    name = "fasttext"
    gensim_class = gensim.models.FastText

    @classmethod
    def fitted(cls, stream: TrainingTexts, **options: int) -> gensim.models.FastText:
        model = gensim.models.FastText(stream, sg=1, bucket=BUCKETS, **options)
        del model.wv.buckets_word  # recomputed after loading
        return model
