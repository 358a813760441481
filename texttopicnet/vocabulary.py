"""Which dictionary a model was learnt with: its words, and a digest of them that a model made here
carries along.
"""

import hashlib
import json
import numbers

from gensim.corpora import Dictionary
from gensim.models import LdaModel

from texttopicnet import artefacts, pickles
from texttopicnet.errors import UserError

TOTALS = "num_docs", "num_pos", "num_nnz"
MARK = "dictionary_sha256"  # attribute of every dictionary and model that is made here


def digest(dictionary):
    """SHA-256 of a dictionary's words in the order of their ids, hexadecimal."""
    words = sorted(dictionary.token2id, key=dictionary.token2id.get)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def mark(made, dictionary):
    """Note in a dictionary or a model that it was made here, with which words; and drop gensim's
    diary of times and paths.

    Without the diary, the same seed gives the same bytes.
    """
    setattr(made, MARK, digest(dictionary))
    made.lifecycle_events = None


def load(path, trust=False):
    """Load a `gensim.corpora.Dictionary`, of any version of gensim's.

    Raises
    ------
    UserError
        As `pickles.load`, or its words are not numbered 0, 1, 2, ...
    """
    dictionary = pickles.load(Dictionary, path, trust)
    if not _completed(dictionary):
        raise UserError(
            f"{path} is damaged (its words are not numbered 0, 1, 2, ...): {pickles.MOVE}"
        )
    return dictionary


def _completed(dictionary):
    """Whether a dictionary is whole; if so, it gets the attributes that early versions of gensim's
    lack.
    """
    words, counts = vars(dictionary).get("token2id"), vars(dictionary).setdefault("dfs", {})
    if (
        not isinstance(words, dict)
        or not isinstance(counts, dict)
        or not all(isinstance(word, str) for word in words)
    ):
        return False
    integers = [
        *words.values(),
        *counts.values(),
        *(vars(dictionary).setdefault(name, 0) for name in TOTALS),
    ]
    if not all(isinstance(number, numbers.Integral) for number in integers) or not set(
        counts
    ) <= set(words.values()):
        return False
    dictionary.id2token = {}  # gensim makes it of token2id where it is needed
    vars(dictionary).setdefault("cfs", {})
    return set(words.values()) == set(range(len(words)))


def of_model(lda):
    """The dictionary that a model keeps as its `id2word`; None unless it has a word for each of the
    model's ids.
    """
    own = lda.id2word
    if isinstance(own, dict):  # {id: word}, which gensim takes, too
        words, own = own, Dictionary()
        own.token2id = {word: int(number) for number, word in words.items()}
    return (
        own
        if isinstance(own, Dictionary) and _completed(own) and len(own) == lda.num_terms
        else None
    )


def _made_here(kind, path):
    try:
        return hasattr(pickles.load(kind, path), MARK)
    except UserError:
        return False


def refuse_existing_model(path, force):
    """Raise UserError if a topic model is there and `force` is false; only for one made here is
    `--force` advised.
    """
    if path.exists() and not force:
        if _made_here(LdaModel, path):
            artefacts.refuse_existing(path, force)
        raise UserError(
            f"{path} exists already and was not made here: give another --work folder, or move it away"
        )
