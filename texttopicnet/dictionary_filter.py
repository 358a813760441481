"""Which words a dictionary keeps (gensim's `filter_extremes`), with advice if they are few."""

import numpy as np
from gensim.corpora import Dictionary

from texttopicnet.counts import counted
from texttopicnet.errors import UserError

NO_BELOW, NO_ABOVE = 20, 0.5  # the original's values
# --no-below and --no-above for small corpora; the first pair that leaves enough words is advised
SMALLER = ((5, 0.5), (2, 0.5), (2, 1.0), (1, 1.0))
ENOUGH = 50  # words; fewer are hardly a vocabulary


def apply(dictionary: Dictionary, no_below: int, no_above: float) -> None:
    """Filter a dictionary in place.

    If few words are left and other options would keep more, a line on stdout names them.

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
        With the counts of all documents.
    no_below : int
        Words in fewer documents are removed.
    no_above : float
        Words in more than this share of the documents are removed.

    Raises
    ------
    UserError
        No word is left; the sentence names the options that help.
    """
    documents = np.array(list(dictionary.dfs.values()), dtype=np.int64)
    dictionary.filter_extremes(no_below=no_below, no_above=no_above)
    if not dictionary.token2id:
        raise UserError(why_no_word(documents, dictionary.num_docs, no_below, no_above))
    if len(dictionary) < ENOUGH:
        advice, left = options_for(documents, dictionary.num_docs, no_below, no_above)
        if left > len(dictionary):
            print(
                f"only {len(dictionary)} of {len(documents)} words are left: {advice} would keep"
                f" {left}"
            )


def is_kept(
    documents: np.ndarray, num_documents: int, no_below: int, no_above: float
) -> np.ndarray:
    """Whether `filter_extremes` keeps each word, given its number of documents: ndarray of bool."""
    return (documents >= no_below) & (documents <= int(no_above * num_documents))


def why_no_word(documents: np.ndarray, num_documents: int, no_below: int, no_above: float) -> str:
    """The error of a corpus that has no words left, with the options that help.

    Parameters
    ----------
    documents : ndarray of int64, shape (n_words,)
        Number of documents that have each word.
    num_documents : int
    no_below, no_above : int and float
        The options that removed all words.
    """
    if not len(documents):
        return (
            "no article has a word after preprocessing: all of them are empty, or hold nothing but"
            " markup and stop words"
        )
    advice, left = options_for(documents, num_documents, no_below, no_above)
    return (
        f"none of the {counted(len(documents), 'word')} is in at least {no_below} (--no-below) and"
        f" at most {no_above:g} (--no-above) of the {counted(num_documents, 'document')}: for so"
        f" small a corpus give {advice}, with which {counted(left, 'word is', 'words are')} left"
    )


def options_for(
    documents: np.ndarray, num_documents: int, no_below: int, no_above: float
) -> tuple[str, int]:
    """Options for a small corpus, and the number of words that they leave.

    They are the first of `SMALLER` that leave `ENOUGH` words, or all words if there are fewer.
    Changing --no-above alone is tried before changing both.
    """
    milder = [(min(below, no_below), max(above, no_above)) for below, above in SMALLER]
    options = [pair for below, above in milder for pair in ((no_below, above), (below, above))]
    left = [int(is_kept(documents, num_documents, *option).sum()) for option in options]
    enough = min(ENOUGH, len(documents))
    best = next((i for i, count in enumerate(left) if count >= enough), len(options) - 1)
    below, above = options[best]
    changed = [f"--no-below {below}"] if below != no_below else []
    if above != no_above:
        changed.append(f"--no-above {above:g}")
    return " ".join(changed), left[best]
