"""Load dictionary.dict and bow.mm, unless they are damaged or do not belong together."""

import hashlib
import json
import mmap
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus

from texttopicnet import artefacts, pickles, vocabulary
from texttopicnet.bow_file import BowFile
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore

SETTING = "bow.mm dictionary"  # of the token store: the two files' digests
MADE_BY = "python LDA/learn_LDA_model.py"
ELSEWHERE = "in another --work folder if you did not make the files here"
REMEDY = f"{pickles.MOVE}, then make both with {MADE_BY}"


def record(work: Path, store: TokenStore, dictionary: Dictionary) -> None:
    """Note in the token store that bow.mm was made with this dictionary.

    Parameters
    ----------
    work : Path
    store : TokenStore
    dictionary : gensim.corpora.Dictionary
    """
    store.set(
        SETTING,
        {"dictionary": _digest(dictionary), "bow.mm": artefacts.sha256(work / artefacts.BOW)},
    )


def _digest(dictionary: Dictionary) -> str:
    """SHA-256 of a dictionary's words, ids and document counts, hexadecimal."""
    content = [vocabulary.digest(dictionary), dictionary.num_docs, sorted(dictionary.dfs.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def load(
    work: Path, store: TokenStore, trust: bool = False, by_number: bool = False
) -> tuple[Dictionary, BowFile]:
    """Dictionary and bags of words of a work folder.

    If the token store has a record of this bow.mm, the dictionary must be the recorded one.  If it
    has none, every line of bow.mm is read, and each word must be in as many documents as the
    dictionary says.

    Parameters
    ----------
    work : Path
    store : TokenStore
    trust : bool
        See `pickles.read`.
    by_number : bool
        Also check that documents can be read by number, for which gensim uses bow.mm.index.

    Returns
    -------
    dictionary : gensim.corpora.Dictionary
    corpus : BowFile

    Raises
    ------
    UserError
        A file is missing or damaged, or the two are of different corpora.
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
            f"{dictionary_path} ({len(dictionary)} words) and {bow_path} ({corpus.num_terms} words)"
            f" do not belong together: {REMEDY}"
        )
    if by_number:
        check_index(corpus, bow_path)
    return dictionary, corpus


def open_corpus(path: Path, trust: bool = False) -> BowFile:
    """A corpus in Matrix Market format.

    `pickles.read` reads its index, a pickle of gensim's; a missing index is None.

    Raises
    ------
    UserError
        The head is damaged, or the file does not have as many whole lines as its head says.
    """
    index_path = path.with_name(f"{path.name}.index")
    index = pickles.read(index_path, trust) if index_path.exists() else None
    lines = count_lines(path)
    try:
        with pickles.unpickling_by(lambda _: index):
            corpus = BowFile(str(path))
        numbers = corpus.num_docs, corpus.num_terms, corpus.num_nnz
    except (ValueError, OverflowError, OSError) as error:
        why = str(error).partition("\n")[0]
        raise UserError(f"{path} is damaged ({why}): {REMEDY}") from error
    if min(numbers) < 0 or lines != corpus.num_nnz + 2:
        raise UserError(
            f"{path} is damaged ({max(lines - 2, 0)} whole lines of counts, but its head says"
            f" {corpus.num_nnz}): {REMEDY}"
        )
    if index is None:
        corpus.index = None
    corpus.length = corpus.num_docs
    return corpus


def count_lines(path: Path) -> int:
    """Number of line ends in a file, minus one if the last line has none, so that a cut file is
    noticed.
    """
    count, last = 0, b"\n"
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            count += block.count(b"\n")
            last = block[-1:]
    return count - (last != b"\n")


def document_frequencies(corpus: MmCorpus, path: Path) -> dict[int, int]:
    """{word id: number of documents}, from all of bow.mm; UserError for a damaged line."""
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


def check_index(corpus: MmCorpus, path: Path) -> None:
    """UserError unless the index has the place of the first line of each non-empty document."""
    index_path, index = f"{path}.index", corpus.index
    if index is None:
        artefacts.existing(index_path, f"{MADE_BY}, {ELSEWHERE}")
    good = index is not None and index.shape == (corpus.num_docs,) and index.dtype.kind in "iu"
    if good and corpus.num_nnz:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            good = _fits(index.tolist(), data)
    if not good:
        raise UserError(f"{index_path} is not the index of {path}: {REMEDY}")


def _fits(index: list[int], data: mmap.mmap) -> bool:
    """Whether the documents' first lines start at their places, and no document is left out.

    gensim puts an empty document at -1, and an empty last one at the end of the file.
    """
    listed = [
        (place, number) for number, place in enumerate(index, 1) if place not in (-1, len(data))
    ]
    before = None  # the document whose lines end at the place
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
