"""Dictionary and LDA as one object: tokens in, topic vector out (paper, section 3.1).

They are loaded together and refused if they do not fit, so that ids cannot shift between them (D1).
Each has its own file: LDA/learn_LDA_model.py writes the dictionary once, after its filter, and
then the models of any numbers of topics over it.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LdaModel

from texttopicnet import (
    artefacts,
    atomic_files,
    inference,
    lda_files,
    lda_training,
    origin,
    parallel,
    pickles,
    vocabulary,
)
from texttopicnet.errors import UserError

UPDATE_EVERY = 3  # chunks; the original's LdaMulticore updates after as many as it has workers
MINIMUM_PROBABILITY = 0.01  # topics below this are 0 in a topic vector, gensim's default
BATCH = 1024  # articles inferred at once
REMEDY = f"{pickles.MOVE}, then make both with python LDA/learn_LDA_model.py"
NEAR = 1e-5  # rounding decides about a topic so close to the minimum probability


class OneStart(inference.Starts):
    """Replaces a model's random state during inference, so that every article starts from the same
    gamma.

    gensim draws a new start for each article, so that two runs, or two images of one article, get
    different vectors (D4).  Here the start depends on the seed alone, and so the vector on text and
    seed alone.
    """

    def __init__(self, seed: int, num_topics: int) -> None:
        super().__init__(np.random.RandomState(seed).gamma(100.0, 1.0 / 100.0, num_topics))


class TopicModel:
    """A filtered gensim Dictionary and an LDA model over it.

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
        After `filter_extremes`.  If the model keeps a dictionary of its own with other words or
        ids, that one is used, and a line on stderr says so: the original saved its dictionary
        before the filter.
    lda : gensim.models.LdaModel
    where : str
        Names of the two, for errors.

    Raises
    ------
    UserError
        The model keeps no dictionary, and the given one has a different number of words.
    """

    def __init__(
        self, dictionary: Dictionary, lda: LdaModel, where: str = "dictionary and model"
    ) -> None:
        own = vocabulary.of_model(lda)
        if own is None and len(dictionary) != lda.num_terms:
            raise UserError(
                f"{where} do not belong together: the dictionary has {len(dictionary)} words, the"
                f" model {lda.num_terms} and no words of its own; {REMEDY}"
            )
        if own is not None and own.token2id != dictionary.token2id:
            print(
                f"{where} do not have the same words: the model's own {len(own)} words are used,"
                f" not the dictionary's {len(dictionary)}",
                file=sys.stderr,
            )
            dictionary = own
        self.dictionary = dictionary
        self.lda = lda
        if own is None:
            lda.id2word = dictionary
        # without gensim's log of times and paths, the same seed gives the same bytes
        for part in (dictionary, lda, lda.state):
            part.lifecycle_events = None

    @classmethod
    def learn(
        cls,
        dictionary: Dictionary,
        corpus: Collection[lda_training.Bow],
        num_topics: int = 40,
        passes: int = 1,
        workers: int = 3,
        seed: int = 0,
        update_every: int = UPDATE_EVERY,
        executor: parallel.Executor | None = None,
        checkpoint: Path | None = None,
        compiled: bool = True,
    ) -> TopicModel:
        """Train LDA with gensim's defaults (chunks of 2000 documents, alpha 1/num_topics, online
        updates).

        Parameters
        ----------
        dictionary : gensim.corpora.Dictionary
        corpus : iterable of bag of words, with a length
            Read `passes` times.
        workers : int
            Processes; 1 trains in this process.
        seed : int
            Same seed, same model, to the bit, with any number of processes.
        update_every : int
            Chunks between two updates of the model.
        executor : what `parallel.executor` yields, optional
            Works in place of `workers` processes.
        checkpoint : Path, optional
            File of the training's state, which is written once a minute, and from which the
            training resumes; remove it once the model is saved (`lda_training.learn`).
        compiled : bool
            Infer in compiled code; False for gensim's own E-step, which gives the same model up to
            rounding and takes several times as long.
        """
        own = parallel.executor(workers) if executor is None else contextlib.nullcontext(executor)
        with own as used:
            lda = lda_training.learn(
                dictionary,
                corpus,
                num_topics,
                passes,
                seed,
                update_every,
                used,
                checkpoint,
                compiled=compiled,
            )
        for made in (dictionary, lda):
            vocabulary.mark(made, dictionary)
        return cls(dictionary, lda)

    @property
    def num_topics(self) -> int:
        return self.lda.num_topics

    # ------------------------------------------------------------------------------- on the disk
    def save(self, work: Path | str) -> None:
        """Write `ldamodel<K>.lda` and gensim's side files below the work folder; the dictionary is
        there already.
        """
        path = Path(work) / artefacts.lda_model(self.num_topics)
        with atomic_files.written_whole(path) as temporary:
            pickles.save(self.lda, temporary)

    @classmethod
    def load(cls, work: Path | str, num_topics: int = 40, trust: bool = False) -> TopicModel:
        """Load a work folder's dictionary and model, made here or by any version of gensim.

        Parameters
        ----------
        work : str or Path
        num_topics : int
        trust : bool
            Run code that may be in the files (`pickles.read`).

        Raises
        ------
        UserError
            A file is missing or damaged; or the two do not belong together (both sizes are named);
            or the words were made with other stop words.
        """
        work, made_by = Path(work), f"python LDA/learn_LDA_model.py --topics {num_topics}"
        dictionary_path = artefacts.existing(work / artefacts.DICTIONARY, made_by)
        lda_path = artefacts.existing(work / artefacts.lda_model(num_topics), made_by)
        dictionary = vocabulary.load(dictionary_path, trust)
        lda = lda_files.load(lda_path, trust)
        if lda.num_topics != num_topics:
            raise UserError(
                f"{lda_path} is a model of {lda.num_topics} topics, not of {num_topics}: see"
                " --topics"
            )
        model = cls(dictionary, lda, where=f"{dictionary_path} and {lda_path}")
        origin.check_words(
            model.dictionary, dictionary_path if model.dictionary is dictionary else lda_path, work
        )
        return model

    # ------------------------------------------------------------------------------------ in use
    def topic_vectors(
        self, documents: Iterable[list[str]], seed: int = 0, workers: int = 1
    ) -> np.ndarray:
        """Topic vectors of tokenized articles.

        Parameters
        ----------
        documents : iterable of list of str
        seed : int
            Seeds the start of the inference, which is the same for every article.
        workers : int
            Processes; a vector depends neither on their number nor on the other articles.

        Returns
        -------
        ndarray of float32, shape (n_documents, num_topics)
            Probabilities; those below 0.01 are 0, so rows sum to at most 1 (gensim's
            get_document_topics).
        """
        batches = parallel.in_groups(map(self._ids, documents), BATCH)
        if workers > 1:
            self.distributions([])  # compiles, so that the processes need not
        rows = list(parallel.ordered_map(TopicModel._infer, batches, workers, self, seed))
        return np.concatenate(rows) if rows else np.zeros((0, self.num_topics), np.float32)

    def _ids(self, tokens: list[str]) -> np.ndarray:
        """The ids of an article's tokens, in their order; -1 for words not in the dictionary."""
        return np.fromiter(
            map(self.dictionary.token2id.get, tokens, itertools.repeat(-1)), np.int32, len(tokens)
        )

    def distributions(self, articles: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
        """Topic distributions of articles given as word ids, without setting any to 0.

        Parameters
        ----------
        articles : sequence of ndarray of int
            Ids of an article's words; numbers below 0 are not in the dictionary.
        seed : int

        Returns
        -------
        ndarray of float32, shape (n_articles, num_topics)
            Rows sum to 1.
        """
        bags = list(map(inference.bag_of_words, articles))
        gamma, doubtful = inference.gammas(self.lda, bags, OneStart(seed, self.num_topics).rows)
        vectors = gamma / gamma.sum(axis=1, keepdims=True)
        near = (np.abs(vectors - MINIMUM_PROBABILITY) < NEAR).any(axis=1)
        doubtful |= set(np.flatnonzero(near).tolist())
        for i in doubtful:  # where rounding decides, gensim's own inference is used
            vectors[i] = self._infer_by_gensim(bags[i], seed)
        return vectors.astype(np.float32)

    def _infer(self, seed: int, articles: list[np.ndarray]) -> np.ndarray:
        vectors = self.distributions(articles, seed)
        return np.where(vectors >= MINIMUM_PROBABILITY, vectors, 0)

    def _infer_by_gensim(self, bag: tuple[np.ndarray, np.ndarray], seed: int) -> np.ndarray:
        """One article's topic distribution by gensim's own inference."""
        ids, counts = bag
        kept = self.lda.random_state
        self.lda.random_state = OneStart(seed, self.num_topics)
        try:
            gamma, _ = self.lda.inference([list(zip(ids.tolist(), counts.tolist(), strict=True))])
        finally:
            self.lda.random_state = kept
        return gamma[0] / gamma[0].sum()

    def perplexity(self, documents: Collection[lda_training.Bow]) -> float:
        """Perplexity of documents: between how many equally likely words the model has to choose.

        ``exp(-bound / words)`` with the variational lower bound of the documents' log likelihood
        given the topics, as Hoffman, Blei and Bach measure it (Online learning for LDA, NIPS 2010,
        section 4).  Lower is better.  It is an upper bound of the true perplexity, and its
        looseness may differ from model to model.  Words that are not in the dictionary do not
        count, so models of different vocabularies cannot be compared by it.

        It differs from ``2 ** -lda.log_perplexity(documents)``.  That adds the topics' own term of
        the bound, which grows with their number, and divides it among the few words that are
        measured, so that it rises with every topic, however good.  It also uses a natural logarithm
        as if it were to the base 2.

        Parameters
        ----------
        documents : iterable of bag of words
            Read several times; together they must have a word.

        Returns
        -------
        float
            At least 1; the number of words in the dictionary for a model in which all words are
            equally likely.
        """
        words = sum(count for document in documents for _, count in document)
        kept = self.lda.random_state
        # the start of the inference must not depend on what learning drew
        self.lda.random_state = np.random.RandomState(0)
        try:
            return float(np.exp((self.lda.bound([]) - self.lda.bound(documents)) / words))
        finally:
            self.lda.random_state = kept

    def top_words(self, topic: int, count: int = 10) -> list[tuple[str, float]]:
        """[(word, probability)] of the `count` most probable words of a topic."""
        return self.lda.show_topic(topic, topn=count)
