"""Article text -> tokens: the preprocessing that training, labels and retrieval share (D2).

The steps, in the original's order (its LDA scripts):

1. remove wiki markup (gensim 4's ``filter_wiki``, D12, by `texttopicnet.markup`);
2. remove the table markup that is left (`TABLE_MARKUP`);
3. convert to lower case; tokens are the runs of word characters;
4. remove English stop words (the 174 words of stop-words 2018.7.23: D12);
5. replace every token by its WordNet lemma as a noun;
6. remove every character but a-z from the token;
7. remove tokens of one or two letters.

Steps 4 to 7 depend on the word alone and are done once for each distinct word.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from texttopicnet import artefacts, files, markup, parallel
from texttopicnet.errors import UserError

if TYPE_CHECKING:
    from nltk.stem import WordNetLemmatizer

WORD = re.compile(r"\w+", re.UNICODE)
NOT_A_LETTER = re.compile(r"[^a-z]")
SHORTEST = 3  # letters of the shortest token
MOST_WORDS = 1 << 20  # distinct words whose tokens are remembered
LONG = 10 * 2**20  # characters; a longer article has a blemish
FILES_TOGETHER = 16  # files that a worker process gets at once
DEEP = 40  # nested templates; MediaWiki does not go deeper

# of MediaWiki's tables: an opening mark, attributes name=value, and a closing mark if there is one
TABLE_MARKUP = re.compile(
    r"(?:\{\||\|-|\|\}|\||!)"
    r"(?:\s*\w+=(?:\"[\s\S]*?\"|[^ \t\n\r\f\v|]+))+"
    r"\s*(?:\{\||\|-|\|\}|\|)?"
)


def read_article(path: Path | str) -> str:
    """The raw text of an article file, with markup and XML tags.

    Parameters
    ----------
    path : str or Path
        Read as UTF-8; other bytes become U+FFFD, which no token keeps.

    Returns
    -------
    str

    Raises
    ------
    UserError
        The file cannot be read, or is not a regular file.
    """
    return files.read(path).decode("utf-8", "replace")


@functools.cache
def _stop_words() -> frozenset[str]:
    from stop_words import get_stop_words

    return frozenset(get_stop_words("en"))


@functools.cache
def stop_words_identity() -> dict[str, int | str]:
    """What distinguishes lists of stop words: their count, and the SHA-256 of the sorted words, one
    per line.
    """
    words = sorted(_stop_words())
    return {
        "count": len(words),
        "sha256": hashlib.sha256("".join(f"{word}\n" for word in words).encode()).hexdigest(),
    }


@functools.cache
def _lemmatizer() -> "WordNetLemmatizer":
    import nltk
    from nltk.stem import WordNetLemmatizer

    folder = str(artefacts.DATA / "nltk_data")
    if folder not in nltk.data.path:
        nltk.data.path.insert(0, folder)
    lemmatizer = WordNetLemmatizer()
    try:
        lemmatizer.lemmatize("topics")
    except LookupError as error:
        raise UserError(
            f"WordNet is neither in {folder} nor on NLTK's path: get it with bash"
            " scripts/00_install.sh"
        ) from error
    return lemmatizer


def check_wordnet() -> None:
    """Raise the UserError of a missing WordNet here, before worker processes would raise it."""
    _lemmatizer()


def token_of(word: str) -> str:
    """Steps 4 to 7 for one lower-case word: its token, or '' if it is removed."""
    if word in _stop_words():
        return ""
    token = NOT_A_LETTER.sub("", _lemmatizer().lemmatize(word))
    return token if len(token) >= SHORTEST else ""


class _Tokens(dict[str, str]):
    """Word -> its token; a corpus has few distinct words, and the lemma is expensive."""

    def __missing__(self, word: str) -> str:
        if len(self) >= MOST_WORDS:
            self.clear()
        token = self[word] = token_of(word)
        return token


token_cache = _Tokens()


def tokenize(raw: str) -> list[str]:
    """Tokens of an article.

    Parameters
    ----------
    raw : str
        The text of an article's file (see `read_article`).

    Returns
    -------
    list of str
        Lower-case a-z tokens of three letters or more, in the order of the text.
    """
    return tokens_of(markup.filter_wiki(raw))


def tokens_of(clean: str) -> list[str]:
    """Steps 2 to 7: tokens of an article without its markup (step 1)."""
    if "|" in clean or "!" in clean:
        clean = TABLE_MARKUP.sub("", clean)
    return list(filter(None, map(token_cache.__getitem__, WORD.findall(clean.lower()))))


def examine(data: bytes) -> tuple[list[str], list[str]]:
    """Tokens of an article, and what is wrong with it.

    Parameters
    ----------
    data : bytes
        The article's file.

    Returns
    -------
    tokens : list of str
    blemishes : list of str
        They do not stop a run, but its summary has a line for each.
    """
    raw = data.decode("utf-8", "replace")
    tokens = tokenize(raw)
    not_utf8 = raw.count("\ufffd") > data.count("\ufffd".encode())
    return tokens, ["not UTF-8"] * not_utf8 + blemishes(raw, tokens)


def blemishes(raw: str, tokens: list[str]) -> list[str]:
    """What is wrong with an article, given its text and its tokens."""
    found = {
        f"longer than {LONG >> 20} MB": len(raw) > LONG,
        f"templates more than {DEEP} deep": markup.template_depth(raw) > DEEP,
        "empty after preprocessing": not tokens,
    }
    return [blemish for blemish, there in found.items() if there]


def _tokenize_files(paths: list[Path | str]) -> list[list[str]]:
    return [tokenize(read_article(path)) for path in paths]


def tokenize_files(paths: Iterable[Path | str], workers: int = 1) -> Iterator[list[str]]:
    """Tokens of many article files, in the order of `paths`, from `workers` processes.

    Parameters
    ----------
    paths : iterable of str or Path
    workers : int
        1 works in this process.

    Yields
    ------
    list of str
    """
    check_wordnet()
    groups = parallel.in_groups(paths, FILES_TOGETHER if workers > 1 else 1)
    for group in parallel.ordered_map(_tokenize_files, groups, workers):
        yield from group
