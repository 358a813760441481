"""A row of the token store: the tokens of one article, and what they were made from.

The stamp of an article says what its tokens were made from: size and times of its file, or the
digest of its page in a dump.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from texttopicnet import artefacts, dump, markup, text
from texttopicnet.errors import UserError

PAGE = "page "  # how the stamp of an article begins that has no file: a dump's page, a list's text
LISTED = "#"  # how the name of a text begins that is in a list of pairs
FEWEST_WORDS = 50  # of an article in a dump (arXiv 1807.02110)
OPENING = 400  # characters of an article without a file that are kept, to be shown
TITLE = 80  # characters of a text's first line that stand for its title
FROM_DUMP = "python LDA/generate_train_dict.py --dump FILE --images FILE --force"
FROM_LIST = "python LDA/generate_train_dict.py --pairs FILE --force"


class Row(NamedTuple):
    """One article.

    Attributes
    ----------
    name : str
        Path of its file below the collection, or the id of a dump's page, or `LISTED` and the id of
        a list's text.
    stamp : str
        `file_stamp` or `page_stamp`.
    tokens : bytes
        `packed`.
    blemishes : list of str
        `text.blemishes`.
    title, opening : str or None
        Of a dump's page or a list's text: its title and its first `OPENING` characters.
    """

    name: str
    stamp: str
    tokens: bytes
    blemishes: list[str]
    title: str | None = None
    opening: str | None = None


def packed(tokens: Iterable[str]) -> bytes:
    """Tokens as the store keeps them."""
    return zlib.compress(" ".join(tokens).encode("ascii"), 1)


def unpacked(data: bytes) -> list[str]:
    """Inverse of `packed`; UserError for bytes that are not packed tokens."""
    try:
        return zlib.decompress(data).decode("ascii").split()
    except (zlib.error, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{artefacts.TOKENS} holds a damaged entry ({error}): delete the file, and the articles"
            f" are preprocessed again; pages of a dump are read again with {FROM_DUMP}, texts of a"
            f" list with {FROM_LIST}"
        ) from error


def page_stamp(title: str, wiki_markup: str) -> str:
    """The stamp of a dump's page; it changes with title and text."""
    content = f"{title}\0{wiki_markup}".encode("utf-8", "surrogatepass")
    return PAGE + hashlib.sha256(content).hexdigest()


def file_stamp(status: os.stat_result) -> str:
    """The stamp of an article's file, from its os.stat.

    The change time moves even when somebody resets the modification time.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def article_rows(articles: Iterable[tuple[str, str, bytes]]) -> list[Row]:
    """Rows of articles, given as (name, stamp, bytes of the file)."""
    rows = []
    for name, stamp, data in articles:
        tokens, blemishes = text.examine(data)
        rows.append(Row(name, stamp, packed(tokens), blemishes))
    return rows


def page_rows(pages: Iterable[dump.Page]) -> list[Row]:
    """Rows of a dump's pages; those with fewer than `FEWEST_WORDS` words are left out."""
    rows = []
    for page in pages:
        clean = markup.filter_wiki(page.text)
        if dump.long_enough(clean, FEWEST_WORDS):
            tokens = text.tokens_of(clean)
            blemishes, stamp = text.blemishes(page.text, tokens), page_stamp(page.title, page.text)
            opening = clean[:OPENING]
            rows.append(Row(page.id, stamp, packed(tokens), blemishes, page.title, opening))
    return rows


def text_rows(texts: Iterable[tuple[str, str, str]]) -> list[Row]:
    """Rows of a list's texts, given as (name, title, text)."""
    rows = []
    for name, title, content in texts:
        data, stamp = as_bytes(content), page_stamp(title, content)
        tokens, blemishes = text.examine(data)
        clean = markup.filter_wiki(data.decode("utf-8", "replace")[: 50 * OPENING])[:OPENING]
        shown = (
            as_bytes(title).decode("utf-8", "replace") or clean.strip().split("\n", 1)[0][:TITLE]
        )
        rows.append(Row(name, stamp, packed(tokens), blemishes, shown, clean))
    return rows


def as_bytes(content: str) -> bytes:
    """The bytes of a text in which bytes that are not UTF-8 were kept as surrogates."""
    try:
        return content.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates of other kinds, from a JSON file's escapes
        return content.encode("utf-8", "surrogatepass")


def is_sound(
    stamp: object, blemishes: object, title: object, opening: object, tokens: object
) -> bool:
    """Whether the columns of a stored row are as `TokenStore.keep` writes them."""
    try:
        zlib.decompress(tokens).decode("ascii")
        listed = [] if blemishes is None else json.loads(blemishes)
        return isinstance(listed, list) and all(
            part is None or isinstance(part, str) for part in (stamp, title, opening, *listed)
        )
    except (zlib.error, TypeError, ValueError, RecursionError):
        return False
