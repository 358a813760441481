"""Article text -> tokens: the one preprocessing that training, labels and retrieval share (D2).

The steps, in the original's order (its LDA scripts):

1. wiki markup goes (gensim's ``filter_wiki``, by `texttopicnet.markup`; D12: that of gensim 4);
2. table markup that is left over goes (`TABLE_MARKUP`);
3. lower case; tokens are the runs of word characters;
4. English stop words go (the 174 words of stop-words 2018.7.23: D12);
5. every token becomes its WordNet lemma as a noun;
6. every character but a-z goes from the token;
7. tokens of one or two letters go.

Steps 4 to 7 depend on the word alone and are done once for each distinct word.
"""

import functools
import hashlib
import re

from texttopicnet import artefacts, files, markup, parallel
from texttopicnet.errors import UserError

WORD = re.compile(r"\w+", re.UNICODE)
NOT_A_LETTER = re.compile(r"[^a-z]")
SHORTEST = 3  # letters a token has at least
MOST_WORDS = 1 << 20  # distinct words whose tokens are remembered
LONG = 10 * 2**20  # characters; longer articles are counted as very long
FILES_TOGETHER = 16  # files that a worker process gets at once
DEEP = 40  # templates within one another; MediaWiki itself goes no deeper

# an opening mark, attributes name=value, and a closing mark if there is one, of MediaWiki's tables
TABLE_MARKUP = re.compile(
    r"(?:\{\||\|-|\|\}|\||!)"
    r"(?:\s*\w+=(?:\"[\s\S]*?\"|[^ \t\n\r\f\v|]+))+"
    r"\s*(?:\{\||\|-|\|\}|\|)?"
)


def read_article(path):
    """The raw text of an article file, markup and XML tags as they stand.

    Parameters
    ----------
    path : str or Path
        Read as UTF-8; bytes that are not become U+FFFD, which no token keeps.

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
def _stop_words():
    from stop_words import get_stop_words

    return frozenset(get_stop_words("en"))


@functools.cache
def stop_words_identity():
    """What tells lists of stop words apart: {'count': number of words, 'sha256': of the sorted
    words, one a line}.
    """
    words = sorted(_stop_words())
    return {
        "count": len(words),
        "sha256": hashlib.sha256("".join(f"{word}\n" for word in words).encode()).hexdigest(),
    }


@functools.cache
def _lemmatizer():
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
            f"WordNet is not in {folder} nor on NLTK's path: get it with bash scripts/00_install.sh"
        ) from error
    return lemmatizer


def check_wordnet():
    """Raise the UserError of a missing WordNet here, once, and not in every worker process."""
    _lemmatizer()


def token_of(word):
    """Steps 4 to 7 for one lower-case word: its token, or '' if it goes."""
    if word in _stop_words():
        return ""
    token = NOT_A_LETTER.sub("", _lemmatizer().lemmatize(word))
    return token if len(token) >= SHORTEST else ""


class _Tokens(dict):
    """Word -> its token: a corpus has few distinct words, and the lemma is what costs."""

    def __missing__(self, word):
        if len(self) >= MOST_WORDS:
            self.clear()
        token = self[word] = token_of(word)
        return token


_tokens = _Tokens()


def tokenize(raw):
    """Tokens of an article.

    Parameters
    ----------
    raw : str
        The article as it stands in its file (see `read_article`).

    Returns
    -------
    list of str
        Lower-case a-z tokens of three letters or more, in the order of the text.
    """
    return tokens_of(markup.filter_wiki(raw))


def tokens_of(clean):
    """Steps 2 to 7: tokens of an article from which step 1 has removed the markup (str -> list of
    str).
    """
    if "|" in clean or "!" in clean:
        clean = TABLE_MARKUP.sub("", clean)
    return list(filter(None, map(_tokens.__getitem__, WORD.findall(clean.lower()))))


def examine(data):
    """Tokens of an article's bytes, and what is wrong with it.

    Parameters
    ----------
    data : bytes
        The article's file as it stands.

    Returns
    -------
    tokens : list of str
    blemishes : list of str
        Nothing that stops a run, but worth a line in its summary.
    """
    raw = data.decode("utf-8", "replace")
    tokens = tokenize(raw)
    not_utf8 = raw.count("\ufffd") > data.count("\ufffd".encode())
    return tokens, ["not UTF-8"] * not_utf8 + blemishes(raw, tokens)


def blemishes(raw, tokens):
    """What is wrong with an article (list of str), given its text and its tokens."""
    found = {
        f"longer than {LONG >> 20} MB": len(raw) > LONG,
        f"templates more than {DEEP} deep": markup.template_depth(raw) > DEEP,
        "empty after preprocessing": not tokens,
    }
    return [blemish for blemish, there in found.items() if there]


def _tokenize_files(paths):
    return [tokenize(read_article(path)) for path in paths]


def tokenize_files(paths, workers=1):
    """Tokens of many article files, in the order of `paths`, made by `workers` processes.

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
