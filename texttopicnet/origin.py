"""What a dictionary and every model that keeps one were made from: a record inside gensim's file.

The record is a dict of plain values, the attribute `made_from` of the gensim Dictionary.  gensim
saves it with the dictionary, and so with each model, which holds its dictionary as `id2word`.  A
dictionary without a record was not made by this version of the project, and may be a download.  It
is used unchanged, unless its words show that it was made with other stop words.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensim.corpora import Dictionary

from texttopicnet import artefacts, text
from texttopicnet.errors import UserError

if TYPE_CHECKING:  # the token store imports this module
    from texttopicnet.pairs import Pairs
    from texttopicnet.token_store import TokenStore

LIBRARIES = ("gensim", "nltk", "stop-words")  # whose data and code determine the tokens
# Words with a single form that the 1,333 words of stop-words 2025.11.4 remove and the 174 of this
# project keep.  Each is in 29 to 50 % of the articles of the paper's authors: no English dictionary
# of a thousand words lacks all of them by chance.
# fmt: off
TELLING = [
    "within", "among", "though", "without", "throughout", "especially",
    "usually", "either", "thus", "rather", "across", "upon",
    "generally", "despite", "instead", "particularly", "almost", "sometimes",
    "together", "never", "whose", "currently", "approximately", "available",
]
# fmt: on
FEW = 1000  # words; a smaller dictionary is not judged by its words
OTHER_WORDS = "the dictionary is of other stop words"  # a setting of the token store


def versions() -> dict[str, str]:
    """{library: version} of those that determine the tokens."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def digest(store: TokenStore, pairs: Pairs, unique_articles: bool = False) -> str:
    """SHA-256 of the documents that a model is learnt from.

    Parameters
    ----------
    store : TokenStore
        Holds the articles of `pairs`.
    pairs : Pairs
    unique_articles : bool
        One document per article, not one per image.

    Returns
    -------
    str
        Hexadecimal; it covers each article's name, number of images and tokens, and the order of
        the documents.
    """
    total = hashlib.sha256(json.dumps(bool(unique_articles)).encode())
    for article, images in pairs.articles():
        tokens = hashlib.sha256(" ".join(store.tokens(article)).encode()).hexdigest()
        total.update(json.dumps([article, 1 if unique_articles else images, tokens]).encode())
    if not unique_articles:
        for _, rank in pairs.ranks():
            total.update(rank.to_bytes(8, "little"))
    return total.hexdigest()


def record(
    store: TokenStore, pairs: Pairs, unique_articles: bool, no_below: int, no_above: float
) -> dict[str, Any]:
    """The record of a dictionary that is made from these articles with these options."""
    return {
        "documents": digest(store, pairs, unique_articles),
        "unique_articles": bool(unique_articles),
        "no_below": no_below,
        "no_above": no_above,
        "stop_words": dict(text.stop_words_identity()),
        "versions": versions(),
    }


def of(dictionary: Dictionary) -> dict[str, Any] | None:
    """The record of a gensim Dictionary, or None."""
    found = getattr(dictionary, "made_from", None)
    return found if isinstance(found, dict) else None


def same_words(made_with: Any) -> bool:
    """Whether tokens were made with the current stop words, given the setting 'made with' of their
    store.
    """
    if isinstance(made_with, list):  # an earlier version's: [version, gensim, nltk, stop-words]
        return made_with[3:] == [versions()["stop-words"]]
    return isinstance(made_with, dict) and made_with.get("stop words") == text.stop_words_identity()


def difference(before: Any, now: dict[str, Any]) -> str:
    """How the setting 'made with' of a store differs from what is used now, for a message."""
    if isinstance(before, list):  # version 1 of this file
        before = {"libraries": dict(zip(LIBRARIES, before[1:], strict=False))}
    before = before if isinstance(before, dict) else {}
    libraries, words = before.get("libraries"), before.get("stop words")
    changed = []
    if isinstance(libraries, dict):
        rows = ((name, libraries.get(name), number) for name, number in now["libraries"].items())
        changed += [f"{name} {old} (now {number})" for name, old, number in rows if old != number]
    if isinstance(words, dict) and words != now["stop words"]:
        changed.append(f"{words.get('count')} other stop words (now {now['stop words']['count']})")
    return " and ".join(changed) or "another version of this project"


def _store_tells_of_other_words(work: Path | str) -> bool:
    """Whether tokens.sqlite says that the dictionary beside it was made with other stop words."""
    path = Path(work) / artefacts.TOKENS
    if not path.is_file():
        return False
    try:
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            settings = {
                key: json.loads(value)
                for key, value in database.execute("SELECT key, value FROM settings")
            }
        finally:
            database.close()
    except (sqlite3.Error, ValueError, TypeError, RecursionError):
        return False  # opening the store reports what is wrong with it
    made_here = settings.get("bow.mm") and not same_words(settings.get("made with"))
    return bool(made_here or settings.get(OTHER_WORDS))


def check_words(dictionary: Dictionary, path: Path | str, work: Path | str) -> None:
    """Refuse a dictionary, or a model's own, that was made with other stop words than those of
    `text`.

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
    path : str or Path
        Its file, or its model's, for the error.
    work : str or Path
        The work folder; its tokens.sqlite may know about a dictionary without a record.

    Raises
    ------
    UserError
    """
    known, own = of(dictionary), text.stop_words_identity()
    words = getattr(dictionary, "token2id", None) or {}
    if known:
        found = known.get("stop_words")
        if found == own:
            return
        other = (
            f"{found.get('count')} other stop words"
            if isinstance(found, dict)
            else "other stop words"
        )
    elif len(words) >= FEW and not any(word in words for word in TELLING):
        raise UserError(  # it may be a download: no advice that would replace it
            f"{path} was made with other stop words (it has none of {', '.join(TELLING[:4])}, ...),"
            f" not with the current {own['count']}: learn a model in another --work folder, or move"
            " this one away"
        )
    elif _store_tells_of_other_words(work):
        other = f"other stop words (according to {Path(work) / artefacts.TOKENS})"
    else:
        return
    raise UserError(
        f"{path} was made with {other}, not with the current {own['count']}: learn it again with"
        " python LDA/learn_LDA_model.py --force, or in another --work folder to keep it"
    )


def message_if_changed(
    dictionary: Dictionary, store: TokenStore, pairs: Pairs, path: Path | str
) -> str:
    """A sentence if the articles or their images have changed since a model was learnt; otherwise
    ''.

    Parameters
    ----------
    dictionary : gensim.corpora.Dictionary
        The model's own.
    store : TokenStore
    pairs : Pairs
    path : str or Path
        The model's file.
    """
    known = of(dictionary)
    if not known:
        return ""
    if known.get("documents") == digest(store, pairs, known.get("unique_articles", False)):
        return ""
    return (
        f"{path} was learnt from other articles, or from other texts of them: the labels are its"
        " vectors of the current texts; python LDA/learn_LDA_model.py --force learns from these"
    )
