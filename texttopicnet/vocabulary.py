"""Which dictionary a model was learnt with: its words, and a digest of them that a model made here carries along."""

import hashlib
import json

from gensim.corpora import Dictionary
from gensim.models import LdaModel

from texttopicnet import artefacts, pickles

MARK = "dictionary_sha256"  # attribute of every dictionary and model that is made here


def digest(dictionary):
    """SHA-256 of a dictionary's words in the order of their ids, hexadecimal."""
    words = sorted(dictionary.token2id, key=dictionary.token2id.get)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def mark(made, dictionary):
    """Note in a dictionary or a model that it was made here, with which words; and drop gensim's diary of times and paths.

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
    if not _is_whole(dictionary):
        raise artefacts.UserError(f"{path} is damaged (its words are not numbered 0, 1, 2, ...): {pickles.MOVE}")
    for name in ("id2token", "dfs", "cfs"):  # early dictionaries lack the last
        vars(dictionary).setdefault(name, {})
    return dictionary


def _is_whole(dictionary):
    words = getattr(dictionary, "token2id", None)
    return isinstance(words, dict) and set(words.values()) == set(range(len(words))) and all(isinstance(w, str) for w in words)


def of_model(lda):
    """The dictionary that a model keeps as its `id2word`; None unless it has a word for each of the model's ids."""
    own = lda.id2word
    if isinstance(own, dict):  # {id: word}, which gensim takes, too
        words, own = own, Dictionary()
        own.token2id = {word: number for number, word in words.items()}
    if isinstance(own, Dictionary) and _is_whole(own) and len(own) == lda.num_terms:
        for name in ("id2token", "dfs", "cfs"):
            vars(own).setdefault(name, {})
        return own
    return None


def _made_here(kind, path):
    try:
        return hasattr(pickles.load(kind, path), MARK)
    except artefacts.UserError:
        return False


def refuse_existing_model(path, force):
    """Raise UserError if a topic model is there and `force` is false; only for one made here is `--force` advised."""
    if path.exists() and not force:
        if _made_here(LdaModel, path):
            artefacts.refuse_existing(path, force)
        raise artefacts.UserError(f"{path} exists already and was not made here: give another --work folder, or move it away")
