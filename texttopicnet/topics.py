"""Dictionary and LDA as one object: tokens in, topic vector out (paper, section 3.1).

Saved and loaded together, so that ids cannot shift between them (D1: the dictionary is saved after
its filter, once).
"""

import contextlib
import itertools
import sys
from pathlib import Path

import numpy as np

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

UPDATE_EVERY = 3  # chunks; the original's LdaMulticore has 3 workers, and updates after as many
MINIMUM_PROBABILITY = 0.01  # topics below this are 0 in a topic vector, gensim's default
BATCH = 1024  # articles inferred at once
REMEDY = f"{pickles.MOVE}, then make both with python LDA/learn_LDA_model.py"
NEAR = 1e-5  # a topic so near to the minimum probability is in or out by rounding


class _OneStart:
    """Takes the place of a model's random state during inference: every article starts from the
    same drawn gamma.

    gensim draws another start for each article, so that two runs, or two images of one article, get
    different vectors (D4).  Here the start depends on the seed alone, and so the vector on text and
    seed alone.
    """

    def __init__(self, seed, num_topics):
        self.row = np.random.RandomState(seed).gamma(100.0, 1.0 / 100.0, num_topics)

    def gamma(self, shape, scale, size):
        return np.tile(self.row, (size[0], 1))


class TopicModel:
    """A filtered gensim Dictionary and an LDA model over it.

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
        After `filter_extremes`.  Where the model keeps a dictionary of its own with other words or
        ids, that one is used, and a line on stderr says so: the original saved its dictionary
        before the filter.
    lda : gensim.models.LdaModel
    where : str
        Names the two, for errors.

    Raises
    ------
    UserError
        The model keeps no dictionary, and the one that is given has another number of words.
    """

    def __init__(self, dictionary, lda, where="dictionary and model"):
        own = vocabulary.of_model(lda)
        if own is None and len(dictionary) != lda.num_terms:
            raise UserError(
                f"{where} do not belong together: the dictionary has {len(dictionary)} words, the model {lda.num_terms} and"
                f" no words of its own; {REMEDY}"
            )
        if own is not None and own.token2id != dictionary.token2id:
            print(
                f"{where} do not have the same words: the model's own {len(own)} words are used, not the dictionary's"
                f" {len(dictionary)}",
                file=sys.stderr,
            )
            dictionary = own
        self.dictionary = dictionary
        self.lda = lda
        if own is None:
            lda.id2word = dictionary
        for part in (
            dictionary,
            lda,
            lda.state,
        ):  # gensim's diary of times and paths: without it, same seed, same bytes
            part.lifecycle_events = None

    @classmethod
    def learn(
        cls,
        dictionary,
        corpus,
        num_topics=40,
        passes=1,
        workers=3,
        seed=0,
        update_every=UPDATE_EVERY,
        executor=None,
        checkpoint=None,
    ):
        """Train LDA with gensim's defaults (chunks of 2000 documents, alpha 1/num_topics, online
        updates).

        Parameters
        ----------
        dictionary : gensim.corpora.Dictionary
        corpus : iterable of bag of words, with a length
            Gone through `passes` times.
        workers : int
            Processes; 1 trains in this process.
        seed : int
            Same seed, same model, to the bit, whatever works on it.
        update_every : int
            Chunks between two updates of the model.
        executor : what `parallel.executor` yields, optional
            Works instead of `workers` processes.
        checkpoint : Path, optional
            Where the training's state is written once a minute, and from where it resumes; remove
            it once the model is saved (`lda_training.learn`).
        """
        own = parallel.executor(workers) if executor is None else contextlib.nullcontext(executor)
        with own as used:
            lda = lda_training.learn(
                dictionary, corpus, num_topics, passes, seed, update_every, used, checkpoint
            )
        for made in (dictionary, lda):
            vocabulary.mark(made, dictionary)
        return cls(dictionary, lda)

    @property
    def num_topics(self):
        return self.lda.num_topics

    # -------------------------------------------------------------------------------------------------- on the disk
    def save(self, work):
        """Write `ldamodel<K>.lda` and gensim's side files below the work folder; the dictionary is
        there already.
        """
        path = Path(work) / artefacts.lda_model(self.num_topics)
        with atomic_files.written_whole(path) as temporary:
            pickles.save(self.lda, temporary)

    @classmethod
    def load(cls, work, num_topics=40, trust=False):
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
            A file is missing or damaged, they do not belong together (both sizes are named), or the
            words that are used were made with other stop words.
        """
        work, made_by = Path(work), f"python LDA/learn_LDA_model.py --topics {num_topics}"
        dictionary_path = artefacts.existing(work / artefacts.DICTIONARY, made_by)
        lda_path = artefacts.existing(work / artefacts.lda_model(num_topics), made_by)
        dictionary = vocabulary.load(dictionary_path, trust)
        lda = lda_files.load(lda_path, trust)
        if lda.num_topics != num_topics:
            raise UserError(
                f"{lda_path} is a model of {lda.num_topics} topics, not of {num_topics}: see --topics"
            )
        model = cls(dictionary, lda, where=f"{dictionary_path} and {lda_path}")
        origin.check_words(
            model.dictionary, dictionary_path if model.dictionary is dictionary else lda_path, work
        )
        return model

    # -------------------------------------------------------------------------------------------------------- in use
    def topic_vectors(self, documents, seed=0, workers=1):
        """Topic vectors of tokenized articles.

        Parameters
        ----------
        documents : iterable of list of str
        seed : int
            Draws the start of the inference, the same for every article.
        workers : int
            Processes; a vector does not depend on their number, nor on what other articles there
            are.

        Returns
        -------
        ndarray of float32, shape (n_documents, num_topics)
            Probabilities; those below 0.01 are 0, so rows sum to at most 1 (gensim's
            get_document_topics).
        """
        batches = parallel.in_groups(map(self._ids, documents), BATCH)
        if workers > 1:
            self.distributions([])  # compiles what the processes then need not
        rows = list(parallel.ordered_map(TopicModel._infer, batches, workers, self, seed))
        return np.concatenate(rows) if rows else np.zeros((0, self.num_topics), np.float32)

    def _ids(self, tokens):
        """The ids of an article's tokens, in their order; -1 for those that the dictionary has not."""
        return np.fromiter(
            map(self.dictionary.token2id.get, tokens, itertools.repeat(-1)), np.int32, len(tokens)
        )

    def distributions(self, articles, seed=0):
        """Topic distributions of articles given as word ids, none set to 0.

        Parameters
        ----------
        articles : sequence of ndarray of int
            Ids of an article's words; those below 0 are no words of the dictionary.
        seed : int

        Returns
        -------
        ndarray of float32, shape (n_articles, num_topics)
            Rows sum to 1.
        """
        bags = list(map(inference.bag_of_words, articles))
        gamma, doubtful = inference.gammas(self.lda, bags, _OneStart(seed, self.num_topics).row)
        vectors = gamma / gamma.sum(axis=1, keepdims=True)
        doubtful |= set(
            np.flatnonzero((np.abs(vectors - MINIMUM_PROBABILITY) < NEAR).any(axis=1)).tolist()
        )
        for i in doubtful:  # where rounding decides, gensim's own decides
            vectors[i] = self._infer_by_gensim(bags[i], seed)
        return vectors.astype(np.float32)

    def _infer(self, seed, articles):
        vectors = self.distributions(articles, seed)
        return np.where(vectors >= MINIMUM_PROBABILITY, vectors, 0)

    def _infer_by_gensim(self, bag, seed):
        """One article's topic distribution by gensim's own inference."""
        ids, counts = bag
        kept = self.lda.random_state
        self.lda.random_state = _OneStart(seed, self.num_topics)
        try:
            gamma, _ = self.lda.inference([list(zip(ids.tolist(), counts.tolist(), strict=True))])
        finally:
            self.lda.random_state = kept
        return gamma[0] / gamma[0].sum()

    def perplexity(self, documents):
        """Perplexity of documents: the model is as unsure of a word as among so many equally likely
        ones.

        ``exp(-bound / words)`` with the variational lower bound of the documents' log likelihood
        given the topics, as Hoffman, Blei and Bach measure it (Online learning for LDA, NIPS 2010,
        section 4).  Lower is better.  The bound makes it an upper bound of the true perplexity, and
        how loose that is may differ from model to model; words that are not in the dictionary do
        not count, so that it says nothing about models of another vocabulary.

        It is not what ``2 ** -lda.log_perplexity(documents)`` gives.  That adds the topics' own
        term of the bound, which grows with their number, and shares it out among the few words that
        are measured: it rises with every topic, whatever they are worth.  And it takes a natural
        logarithm for one to the base 2.

        Parameters
        ----------
        documents : iterable of bag of words
            Gone through several times; must have a word.

        Returns
        -------
        float
            At least 1; the number of words in the dictionary for a model that holds all of them
            equally likely.
        """
        words = sum(count for document in documents for _, count in document)
        kept = self.lda.random_state
        self.lda.random_state = np.random.RandomState(
            0
        )  # starts the inference, whatever was drawn in learning
        try:
            return float(np.exp((self.lda.bound([]) - self.lda.bound(documents)) / words))
        finally:
            self.lda.random_state = kept

    def top_words(self, topic, count=10):
        """[(word, probability)] of the `count` most probable words of a topic."""
        return self.lda.show_topic(topic, topn=count)
