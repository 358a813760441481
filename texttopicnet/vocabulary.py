"""Read dictionaries, and compute the digest of a dictionary's words, by which a model made here
says which dictionary it was learnt with.
"""

import hashlib
import json
import numbers
from pathlib import Path

from gensim.corpora import Dictionary
from gensim.models import LdaModel
from gensim.utils import SaveLoad

from texttopicnet import artefacts, pickles
from texttopicnet.errors import UserError

TOTALS = "num_docs", "num_pos", "num_nnz"


def digest(dictionary: Dictionary) -> str:
    """SHA-256 of a dictionary's words in the order of their ids, hexadecimal."""
    words = sorted(dictionary.token2id, key=dictionary.token2id.get)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def mark(made: SaveLoad, dictionary: Dictionary) -> None:
    """Note in a dictionary or a model that it was made here, and with which words.

    gensim's log of times and paths is dropped, so that the same seed gives the same bytes.
    """
    setattr(made, artefacts.MARK, digest(dictionary))
    made.lifecycle_events = None


def load(path: Path, trust: bool = False) -> Dictionary:
    """Load a `gensim.corpora.Dictionary` of any gensim version.

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


def _completed(dictionary: Dictionary) -> bool:
    """Add what early gensim versions did not save, and return whether the dictionary is whole."""
    words, counts = vars(dictionary).get("token2id"), vars(dictionary).setdefault("dfs", {})
    if not isinstance(words, dict) or not isinstance(counts, dict):
        return False
    totals = [vars(dictionary).setdefault(name, 0) for name in TOTALS]
    integers = [*words.values(), *counts.values(), *totals]
    if not all(isinstance(number, numbers.Integral) for number in integers):
        return False
    ids = set(words.values())
    if not all(isinstance(word, str) for word in words) or not set(counts) <= ids:
        return False
    dictionary.id2token = {}  # gensim makes it from token2id when it is needed
    vars(dictionary).setdefault("cfs", {})
    return ids == set(range(len(words)))


def of_model(lda: LdaModel) -> Dictionary | None:
    """The dictionary that a model keeps as its `id2word`; None unless it has a word for each of the
    model's ids.
    """
    own = lda.id2word
    if isinstance(own, dict):  # {id: word}, which gensim accepts too
        words, own = own, Dictionary()
        own.token2id = {word: int(number) for number, word in words.items()}
    is_whole = isinstance(own, Dictionary) and _completed(own) and len(own) == lda.num_terms
    return own if is_whole else None


def _made_here(kind: type[SaveLoad], path: Path) -> bool:
    try:
        return hasattr(pickles.load(kind, path), artefacts.MARK)
    except UserError:
        return False


def refuse_existing_model(path: Path, force: bool) -> None:
    """Raise UserError if a topic model exists and `force` is false.

    The sentence advises `--force` only for a model that was made here.
    """
    if path.exists() and not force:
        if _made_here(LdaModel, path):
            artefacts.refuse_existing(path, force)
        raise UserError(
            f"{path} exists already and was not made here: give another --work folder, or move it"
            " away"
        )
