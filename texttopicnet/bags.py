"""dictionary.dict and bow.mm as one object, refused where they do not belong together or are not
whole.
"""

import hashlib
import json
import mmap

import numpy as np
from gensim.corpora import MmCorpus

from texttopicnet import artefacts, pickles, vocabulary
from texttopicnet.errors import UserError

SETTING = "bow.mm dictionary"  # of the token store: what `record` says of the two
MADE_BY = "python LDA/learn_LDA_model.py"
ELSEWHERE = "in another --work folder if the files here are not of your making"
REMEDY = f"{pickles.MOVE}, then make both with {MADE_BY}"


def record(work, store, dictionary):
    """Note in the token store that bow.mm was made with this dictionary.

    Parameters
    ----------
    work : Path
    store : token_store.TokenStore
    dictionary : gensim.corpora.Dictionary
    """
    store.set(
        SETTING,
        {"dictionary": _digest(dictionary), "bow.mm": artefacts.sha256(work / artefacts.BOW)},
    )


def _digest(dictionary):
    """SHA-256 of a dictionary's words, ids and counts of documents, hexadecimal."""
    content = [vocabulary.digest(dictionary), dictionary.num_docs, sorted(dictionary.dfs.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def load(work, store, trust=False, by_number=False):
    """Dictionary and bags of words of a work folder.

    Where the token store has a record of this bow.mm the dictionary must be the recorded one.
    Where it has none, every line of bow.mm is read, and the number of documents that each word is
    in must be the dictionary's.

    Parameters
    ----------
    work : Path
    store : token_store.TokenStore
    trust : bool
        See `pickles.read`.
    by_number : bool
        Check that documents can be read by number, too, which gensim does by bow.mm.index.

    Returns
    -------
    dictionary : gensim.corpora.Dictionary
    corpus : gensim.corpora.MmCorpus

    Raises
    ------
    UserError
        A file is missing, damaged, or of another corpus than the other.
    """
    dictionary_path, bow_path = (
        artefacts.existing(work / name, f"{MADE_BY}, {ELSEWHERE}")
        for name in (artefacts.DICTIONARY, artefacts.BOW)
    )
    dictionary = vocabulary.load(dictionary_path, trust)
    corpus = open_corpus(bow_path, trust)
    recorded = store.setting(SETTING) or {}
    if recorded.get("bow.mm") == artefacts.sha256(bow_path):
        belong = recorded["dictionary"] == _digest(dictionary)
    else:
        found = document_frequencies(corpus, bow_path)
        belong = found == {word: count for word, count in dictionary.dfs.items() if count}
        belong &= corpus.num_docs == dictionary.num_docs
    if not belong or corpus.num_terms != len(dictionary):
        raise UserError(
            f"{dictionary_path} ({len(dictionary)} words) and {bow_path} ({corpus.num_terms} words) do not belong together:"
            f" {REMEDY}"
        )
    if by_number:
        check_index(corpus, bow_path)
    return dictionary, corpus


def open_corpus(path, trust=False):
    """A corpus in Matrix Market format; its index, a pickle of gensim's, is read by `pickles.read`,
    and None if it is missing.

    Raises
    ------
    UserError
        It is not whole: the head, or as many lines as the head says, each ended.
    """
    index_path = path.with_name(f"{path.name}.index")
    index = pickles.read(index_path, trust) if index_path.exists() else None
    lines = count_lines(path)
    try:
        with pickles.unpickling_by(lambda _: index):
            corpus = MmCorpus(str(path))
        numbers = corpus.num_docs, corpus.num_terms, corpus.num_nnz
    except (ValueError, OverflowError, OSError) as error:
        why = str(error).partition("\n")[0]
        raise UserError(f"{path} is damaged ({why}): {REMEDY}") from error
    if min(numbers) < 0 or lines != corpus.num_nnz + 2:
        raise UserError(
            f"{path} is damaged ({max(lines - 2, 0)} whole lines of counts where its head says {corpus.num_nnz}): {REMEDY}"
        )
    if index is None:
        corpus.index = None
    corpus.length = corpus.num_docs
    return corpus


def count_lines(path):
    """Line ends in a file; one fewer where the last line is not ended, so that a cut file is
    noticed.
    """
    count, last = 0, b"\n"
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            count += block.count(b"\n")
            last = block[-1:]
    return count - (last != b"\n")


def document_frequencies(corpus, path):
    """{word id: number of documents} by going through all of bow.mm; UserError where a line is
    damaged.
    """
    counts = np.zeros(corpus.num_terms, np.int64)
    number = -1
    try:
        for number, document in enumerate(corpus):
            ids = [word for word, count in document if count > 0]
            if len(set(ids)) < len(document) or (
                ids and not 0 <= min(ids) <= max(ids) < corpus.num_terms
            ):
                raise ValueError(
                    f"document {number + 1} has a word twice, or one that is not in the dictionary"
                )
            counts[ids] += 1
        if number + 1 != corpus.num_docs:
            raise ValueError(f"{number + 1} documents instead of {corpus.num_docs}")
    except (ValueError, AssertionError, OverflowError) as error:
        raise UserError(f"{path} is damaged ({error}): {REMEDY}") from error
    return {word: int(count) for word, count in enumerate(counts) if count}


def check_index(corpus, path):
    """UserError unless the index names, for each document that is not empty, the place of its first
    line.
    """
    index_path, index = f"{path}.index", corpus.index
    if index is None:
        artefacts.existing(index_path, f"{MADE_BY}, {ELSEWHERE}")
    good = index is not None and index.shape == (corpus.num_docs,) and index.dtype.kind in "iu"
    if good and corpus.num_nnz:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            good = _fits(index.tolist(), data)
    if not good:
        raise UserError(f"{index_path} is not the index of {path}: {REMEDY}")


def _fits(index, data):
    """Whether the places of documents are where their first lines start, and no document is passed
    over.

    An empty document is at -1, as gensim has it, the last one at the end of the file.
    """
    listed = [
        (place, number) for number, place in enumerate(index, 1) if place not in (-1, len(data))
    ]
    before = None  # the document whose lines end at a place
    for place, number in [*listed, (len(data), None)]:
        if not 0 < place <= len(data) or data[place - 1 : place] != b"\n":
            return False
        last_line = data[data.rfind(b"\n", 0, place - 1) + 1 : place]
        if before is not None and last_line.split(b" ", 1)[0] != b"%d" % before:
            return False
        if number is not None and data[place : place + 24].split(b" ", 1)[0] != b"%d" % number:
            return False
        before = number
    return True
