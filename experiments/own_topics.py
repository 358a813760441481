"""A part of multi_modal_retrieval.py: an LDA of the retrieval set alone, and vectors in its topics.

The original's first retrieval script loaded such a model (`ldamodel_wd_only_40`, learnt from the
set's texts); its later one takes the model whose topics the net was trained to predict.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from texttopicnet import retrieval
from texttopicnet.errors import UserError

if TYPE_CHECKING:
    from texttopicnet.topics import TopicModel


def training_texts(folder: Path) -> list[Path]:
    """The texts of the set's training list; UserError if there is no such list."""
    if not (folder / retrieval.TRAIN_LIST).exists():
        raise UserError(
            f"{folder / retrieval.TRAIN_LIST} does not exist: --lda own learns from its texts;"
            f" {retrieval.README} says how to get it"
        )
    ids = retrieval.read_pairs(folder, retrieval.TRAIN_LIST)[0]
    return [retrieval.text_file(folder, text_id) for text_id in ids]


def learn(documents: list[list[str]], args: argparse.Namespace) -> "TopicModel":
    """The set's own model: the dictionary filtered and the topics learnt as in learn_LDA_model.py.

    Parameters
    ----------
    documents : list of list of str
        Tokens of the training texts.
    args : Namespace
        num_topics, passes, no_below, no_above and seed.
    """
    # gensim takes seconds to import, which --help need not wait for
    from gensim.corpora import Dictionary

    from texttopicnet import dictionary_filter
    from texttopicnet.topics import TopicModel

    dictionary = Dictionary(documents)
    limits = args.no_below, args.no_above
    defaults = dictionary_filter.NO_BELOW, dictionary_filter.NO_ABOVE
    no_below, no_above = (d if v is None else v for v, d in zip(limits, defaults, strict=True))
    dictionary_filter.apply(dictionary, no_below, no_above)
    bows = [dictionary.doc2bow(tokens) for tokens in documents]
    return TopicModel.learn(
        dictionary, bows, args.num_topics, passes=args.passes, workers=1, seed=args.seed
    )


def translation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What each topic of one model means in the topics of another.

    Row s is the mean of the target vectors of the texts, each weighted by its share of topic s: the
    expected target vector of a word of topic s.  A topic that no text has means all target topics
    alike.

    Parameters
    ----------
    source, target : ndarray of shape (n_texts, n_source_topics), (n_texts, n_target_topics)
        Vectors of the same texts by the two models; >= 0.

    Returns
    -------
    ndarray of float64, shape (n_source_topics, n_target_topics)
        Rows of sum 1.
    """
    together = source.astype(np.float64).T @ target.astype(np.float64)
    together[together.sum(axis=1) == 0] = 1
    return together / together.sum(axis=1, keepdims=True)


def vectors(
    folder: Path, texts: list[Path], prob: np.ndarray, args: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray, list[Path]]:
    """The texts and the images of the test list in the set's own topics.

    A net predicts the topics of the model that labelled its training images.  Unless that was this
    model (--net-lda own), its outputs are translated: the training texts are inferred by both
    models, and `translation` says what the one's topics mean in the other's.

    Parameters
    ----------
    folder : Path
        The retrieval set.
    texts : list of Path
        Of the test list.
    prob : ndarray of float32, shape (n_images, n_topics)
        The net's outputs.
    args : Namespace
        As `learn`, and work, net_lda and trust_pickle.

    Returns
    -------
    texts, images : ndarray of shape (n, n_topics)
    learnt_from : list of Path
    """
    from texttopicnet import text
    from texttopicnet.topics import TopicModel

    learnt_from = training_texts(folder)
    documents = list(text.tokenize_files([*learnt_from, *texts]))
    training, test = documents[: len(learnt_from)], documents[len(learnt_from) :]
    own = learn(training, args)
    images = prob
    if args.net_lda == "corpus":
        corpus = TopicModel.load(args.work, args.num_topics, args.trust_pickle)
        learnt = [model.topic_vectors(training, seed=args.seed) for model in (corpus, own)]
        images = prob / np.maximum(prob.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        images = images.astype(np.float64) @ translation(*learnt)
    return own.topic_vectors(test, seed=args.seed), images, learnt_from
