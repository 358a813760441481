"""The interface of all embeddings, and the common part of those that generate_train_labels.py
learns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gensim import matutils
from gensim.corpora import Dictionary
from gensim.models import TfidfModel

from texttopicnet import artefacts, atomic_files, origin, pickles, vocabulary
from texttopicnet.embedding_ranges import RANGES
from texttopicnet.errors import UserError

# passes of word2vec, doc2vec and fasttext over the texts; more passes did not improve retrieval of
# Wikipedia texts, and made it worse with doc2vec
EPOCHS = 5
Bow = list[tuple[int, float]]


class Training(NamedTuple):
    """The data and settings of a training; `LearntEmbedding.learn` describes them."""

    tfidf: TfidfModel
    bows: Collection[Bow]
    texts: Iterable[list[str]]
    num_topics: int
    seed: int
    epochs: int


class Embedding(ABC):
    """Turns texts into vectors.

    Attributes
    ----------
    name : str
        Its name on the command line.
    signed, loss, bounded_by
        As in `texttopicnet.embedding_ranges`.
    of_unknown_text : str
        Describes the vector of a text without any word of the dictionary.
    dictionary : gensim.corpora.Dictionary
        The words that it knows.
    num_topics : int
        Width of its vectors.
    """

    name: ClassVar[str]
    signed: ClassVar[bool]
    loss: ClassVar[str]
    bounded_by: ClassVar[str]
    of_unknown_text: ClassVar[str] = "the vector 0"
    dictionary: Dictionary
    num_topics: int

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            cls.signed, cls.loss, cls.bounded_by = RANGES[cls.name]

    @classmethod
    @abstractmethod
    def path(cls, work: Path, num_topics: int) -> Path:
        """The model's file."""

    @classmethod
    @abstractmethod
    def load(cls, work: Path, num_topics: int = 40, trust: bool = False) -> Embedding:
        """Load the model from the work folder.

        Parameters
        ----------
        work : Path
        num_topics : int
        trust : bool
            Run code that may be in the files (`pickles.read`).

        Raises
        ------
        UserError
            A file is missing, damaged or of another width, was made with other stop words, or the
            model was learnt with another dictionary than the work folder's.
        """

    @property
    @abstractmethod
    def record_dictionary(self) -> Dictionary:
        """The dictionary inside the model's file, which holds the record of what the model was
        learnt from (`texttopicnet.origin`).
        """

    @abstractmethod
    def vectors(self, documents: Iterable[list[str]], seed: int = 0) -> np.ndarray:
        """Vectors of tokenized articles.

        Parameters
        ----------
        documents : iterable of list of str
            All are held at once: pass them in groups.
        seed : int
            Seeds the inference of lda and doc2vec; the others have no random step.

        Returns
        -------
        ndarray of float32, shape (n_documents, num_topics)
            For their range see the table in `texttopicnet.embeddings`.
        """

    def described(self) -> str:
        """Name and width, for messages."""
        return f"{self.name} of {self.num_topics} numbers"


class LearntEmbedding(Embedding):
    """An embedding with tf-idf weights and a gensim model over one dictionary.

    Parameters
    ----------
    tfidf : gensim.models.TfidfModel
        With the dictionary as its `id2word`.
    model : gensim model
        The embedding's own (`gensim_class`).
    num_topics : int
        Width of the vectors.
    """

    gensim_class: ClassVar[type]
    # whether each of its numbers is a word's, so that the dictionary must have as many words
    needs_a_word_per_number: ClassVar[bool] = False

    def __init__(self, tfidf: TfidfModel, model: Any, num_topics: int) -> None:
        self.tfidf, self.model, self.num_topics = tfidf, model, num_topics
        self.dictionary = tfidf.id2word

    @property
    def record_dictionary(self) -> Dictionary:
        return self.dictionary

    @classmethod
    def path(cls, work: Path, num_topics: int) -> Path:
        return work / artefacts.embedding_model(cls.name, num_topics)

    # ---------------------------------------------------------------------------------- learning
    @classmethod
    @abstractmethod
    def train(cls, job: Training) -> Any:
        """The gensim model."""

    @classmethod
    def learn(
        cls,
        dictionary: Dictionary,
        bows: Collection[Bow],
        texts: Iterable[list[str]],
        num_topics: int = 40,
        seed: int = 0,
        epochs: int = EPOCHS,
    ) -> LearntEmbedding:
        """Learn the embedding from a corpus, without holding it in memory (doc2vec alone keeps a
        vector per text).

        Parameters
        ----------
        dictionary : gensim.corpora.Dictionary
            After `filter_extremes`; its counts give the idf.
        bows : iterable of bag of words, with a length
            lsi and tfidf read it once; the others do not use it.
        texts : iterable of list of str
            Tokens of each article; word2vec, fasttext and doc2vec read them 1 + `epochs` times.
        num_topics : int
            Width of the vectors.
        seed : int
            Same seed, same bytes.  gensim trains in one thread, because the order of several
            threads depends on timing.
        epochs : int

        Raises
        ------
        UserError
            The dictionary has no words, or too few.
        """
        if len(dictionary) < (num_topics if cls.needs_a_word_per_number else 1):
            raise UserError(
                f"the dictionary has {len(dictionary)} words, too few for {num_topics} numbers of"
                f" {cls.name}: learn it from more articles, or with a lower --no-below of python"
                " LDA/learn_LDA_model.py"
            )
        vocabulary.mark(dictionary, dictionary)
        tfidf = TfidfModel(dictionary=dictionary, normalize=matutils.unitvec)
        model = cls.train(Training(tfidf, bows, texts, num_topics, seed, epochs))
        return cls(tfidf, model, num_topics)

    # ---------------------------------------------------------------------------------- on the disk
    def save(self, work: Path) -> None:
        """Write `<name><K>.model` and gensim's side files below the work folder; the dictionary is
        there already.
        """
        nested = (getattr(self.model, part, None) for part in ("projection", "wv", "dv"))
        with atomic_files.written_whole(self.path(work, self.num_topics)) as path:
            for part in (self.tfidf, self.model, *nested):
                if part is not None:
                    vocabulary.mark(part, self.dictionary)
            pickles.save(self.model, path)
            if self.model is not self.tfidf:
                pickles.save(self.tfidf, self.tfidf_path(path))

    @classmethod
    def tfidf_path(cls, path: Path) -> Path:
        """The file of the tf-idf weights, given the model's."""
        return path.with_name(f"{path.name}.tfidf")

    @classmethod
    @abstractmethod
    def width(cls, model: Any) -> int:
        """How many numbers a loaded model's vectors have; ValueError if it is damaged."""

    @classmethod
    def load(cls, work: Path, num_topics: int = 40, trust: bool = False) -> LearntEmbedding:
        made_by = (
            f"python LDA/generate_train_labels.py --embedding {cls.name} --topics {num_topics}"
        )
        path = artefacts.existing(cls.path(work, num_topics), made_by)
        dictionary_path = artefacts.existing(
            work / artefacts.DICTIONARY, "python LDA/learn_LDA_model.py"
        )
        dictionary = vocabulary.load(dictionary_path, trust)
        model = pickles.load(cls.gensim_class, path, trust)
        tfidf_path = cls.tfidf_path(path)
        tfidf = model if tfidf_path == path else pickles.load(TfidfModel, tfidf_path, trust)
        own = getattr(tfidf, "id2word", None)
        for used, file in ((dictionary, dictionary_path), (own, path)):
            origin.check_words(used, file, work)
        words = getattr(own, "token2id", {})
        if words != dictionary.token2id:
            raise UserError(
                f"{dictionary_path} ({len(dictionary)} words) and {tfidf_path} (learnt with"
                f" {len(words)}) do not belong together: {pickles.MOVE}, then make the model with"
                f" {made_by}"
            )
        try:
            return cls._checked(tfidf, model, num_topics, dictionary)
        except Exception as error:  # parts of different models can fail to fit in any way
            raise UserError(
                f"{path} and the files beside it are not a {cls.name} model of {num_topics} numbers"
                f" for {dictionary_path} ({error}): {pickles.MOVE}, then make it with {made_by}"
            ) from error

    @classmethod
    def _checked(
        cls, tfidf: TfidfModel, model: Any, num_topics: int, dictionary: Dictionary
    ) -> LearntEmbedding:
        """Make an embedding of loaded parts and try it; ValueError or others if they do not fit."""
        width, digest = cls.width(model), vocabulary.digest(dictionary)
        if getattr(model, artefacts.MARK, digest) != digest:
            raise ValueError("it was learnt with another dictionary")
        if width != num_topics:
            raise ValueError(f"its vectors have {width} numbers")
        embedding = cls(tfidf, model, num_topics)
        embedding.vectors([[], list(dictionary.token2id)[:10]])
        return embedding


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
