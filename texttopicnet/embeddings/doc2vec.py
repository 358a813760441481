"""doc2vec: a paragraph vector is learnt for each new text while the words' vectors stay fixed."""

from collections.abc import Iterable

import gensim.models
import numpy as np
from gensim.models.doc2vec import train_document_dbow

from texttopicnet import parallel
from texttopicnet.embeddings import training_texts
from texttopicnet.embeddings.base import LearntEmbedding, Training, unit
from texttopicnet.embeddings.word_vectors import checked_width, training_options


class Doc2Vec(LearntEmbedding):
    """PV-DBOW."""

    name = "doc2vec"
    gensim_class = gensim.models.Doc2Vec

    @classmethod
    def train(cls, job: Training) -> gensim.models.Doc2Vec:
        texts, dictionary = job.texts, job.tfidf.id2word
        stream = training_texts.TrainingTexts(texts, dictionary, cls.name, tagged=True)
        model = gensim.models.Doc2Vec(stream, dm=0, **training_options(job))
        stream.check()
        model.total_train_time = 0  # the same seed gives the same bytes
        return model

    @classmethod
    def width(cls, model: gensim.models.Doc2Vec) -> int:
        return checked_width(model, model.wv.vectors, model.syn1neg)

    def vectors(self, documents: Iterable[list[str]], seed: int = 0) -> np.ndarray:
        kept = self.model.random
        try:
            rows = [self._infer(tokens, seed) for tokens in documents]
        finally:
            self.model.random = kept
        return unit(np.array(rows, np.float32).reshape(-1, self.num_topics))

    def _infer(self, tokens: list[str], seed: int) -> np.ndarray:
        """Doc2Vec.infer_vector, but from a start that depends on the seed alone.

        gensim draws the start from a hash of the text that changes with every process, and the
        negative samples from the current state of the model's random generator.
        """
        model, width = self.model, self.num_topics
        known = [word for word in tokens if word in model.wv.key_to_index]
        vector = np.zeros((1, width), np.float32)
        if not known:
            return vector[0]
        work, lock = np.zeros(width, np.float32), np.ones(1, np.float32)
        model.random = np.random.RandomState(seed)
        vector[0] = (model.random.random_sample(width) - 0.5) / width
        for alpha in np.linspace(model.alpha, model.min_alpha, model.epochs):
            for piece in parallel.in_groups(known, training_texts.LONGEST):
                train_document_dbow(
                    model,
                    piece,
                    [0],
                    alpha,
                    work,
                    learn_words=False,
                    learn_hidden=False,
                    doctag_vectors=vector,
                    doctags_lockf=lock,
                )
        return vector[0]
