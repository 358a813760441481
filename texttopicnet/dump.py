"""A MediaWiki dump (`pages-articles.xml.bz2`) and the list of the images that illustrate its
articles, read as streams.

The journal version of the paper (arXiv 1807.02110) learns from such a dump of the English
Wikipedia, from articles of at least 50 words.  Memory grows with neither the dump nor the list.
"""

import bz2
import gzip
import itertools
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import gensim.utils
import ijson
from gensim.corpora import wikicorpus
from lxml import etree
from tqdm import tqdm

from texttopicnet import artefacts, entities, files
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError

MADE_BY = "the download that data/wikipedia_data/README.md describes"
BZ2_BLOCK = 64 << 20  # bytes of text; a bzip2 block holds at most 46 MB
OTHER_BLOCK = 1 << 16
REDIRECT = re.compile(r"\s*#redirect\s*:?\s*\[\[", re.IGNORECASE)
# what reading a damaged file can raise
DAMAGE = (etree.XMLSyntaxError, OSError, EOFError, zlib.error)


class Page(NamedTuple):
    """An article of a dump: its number, its title, and the wiki markup of its newest revision."""

    id: str
    title: str
    text: str


class _Source:
    """The XML of an open dump in pieces, for lxml; the first bytes say whether it is bzip2, gzip or
    plain.
    """

    def __init__(self, file: BufferedReader, bar: tqdm | None = None) -> None:
        self._file, self._bar = file, bar
        magic = file.peek(3)
        if magic.startswith(b"BZh"):
            # a block is read whole, so that bzip2 has compared its checksum before it is parsed
            self._stream, self._size = bz2.BZ2File(file), BZ2_BLOCK
        elif magic.startswith(b"\x1f\x8b"):
            self._stream, self._size = gzip.GzipFile(fileobj=file), OTHER_BLOCK
        else:
            self._stream, self._size = file, OTHER_BLOCK

    def read(self, _: int) -> bytes:
        piece = self._stream.read1(self._size)
        if self._bar is not None:
            self._bar.update(self._file.tell() - self._bar.n)
        return piece


def progress(path: Path | str) -> tqdm:
    """A tqdm bar for `pages`, over the file's bytes on the disk."""
    total = artefacts.existing(path, MADE_BY).stat().st_size
    return tqdm(desc="dump", total=total, unit="B", unit_scale=True)


def _why(error: Exception) -> str:
    return str(getattr(error, "msg", None) or error).partition("\n")[0].strip()


def _root_of(path: Path) -> str:
    """The tag of the dump's root element, with its schema's namespace; UserError if it is not a
    dump.
    """
    try:
        with open(path, "rb") as file:
            # no huge_tree: with it, older libxml2 does not limit entities in the root's attributes
            _, root = next(etree.iterparse(_Source(file), events=("start",), **entities.OPTIONS))
    except etree.XMLSyntaxError as error:
        if entities.expanded(error):
            raise UserError(
                f"{path} expands XML entities, which no dump does: get {MADE_BY}"
            ) from error
        raise UserError(f"{path} is not a MediaWiki dump ({_why(error)}): get {MADE_BY}") from error
    if entities.declared(root):
        raise UserError(
            f"{path} declares XML entities or an external DTD, which no dump does: get {MADE_BY}"
        )
    if etree.QName(root).localname != "mediawiki":
        raise UserError(
            f"{path} is not a MediaWiki dump (its root is <{etree.QName(root).localname}>):"
            f" get {MADE_BY}"
        )
    return root.tag


def pages(path: Path | str, bar: tqdm | None = None) -> Iterator[Page]:
    """The articles of a dump: pages of namespace 0 that are not redirects.

    Parameters
    ----------
    path : str or Path
        MediaWiki's XML export in any version of its schema: plain, or compressed with bzip2 (one
        stream or many) or gzip.
    bar : tqdm, optional
        A bar (see `progress`) that follows the bytes read.

    Yields
    ------
    Page
        In the dump's order, with the newest revision; no text if that was deleted.

    Raises
    ------
    UserError
        The file is missing or not a dump; or it declares entities or an external DTD; or, after the
        pages before that place, it ends early or is damaged.  No page comes from a damaged bzip2
        block.
    """
    path = artefacts.existing(path, MADE_BY)
    other_namespaces, timestamp, text, last = set(), "", "", "none"
    try:
        prefix = _root_of(path).removesuffix("mediawiki")
        tags = [prefix + "namespaces", prefix + "revision", prefix + "page"]
        with open(path, "rb") as file:
            source = _Source(file, bar)
            for _, element in etree.iterparse(
                source,
                tag=tags,
                huge_tree=True,
                remove_comments=True,
                remove_pis=True,
                **entities.OPTIONS,
            ):
                if element.tag == prefix + "namespaces":
                    other_namespaces = {name.text for name in element if name.text}
                elif element.tag == prefix + "revision":
                    time = element.findtext(prefix + "timestamp", "")
                    if time >= timestamp:
                        timestamp, text = time, element.findtext(prefix + "text", "")
                    element.clear()
                else:
                    page = Page(
                        element.findtext(prefix + "id", ""),
                        element.findtext(prefix + "title", ""),
                        text,
                    )
                    is_article = _is_article(element, prefix, page, other_namespaces)
                    timestamp, text, last = "", "", f"{page.id} ({page.title})"
                    # even cleared elements would pile up in the root
                    while element.getprevious() is not None:
                        del element.getparent()[0]
                    if is_article:
                        yield page
    except DAMAGE as error:
        raise UserError(
            f"{path} ends early or is damaged, the last page read is {last}: fetch it again"
            f" ({_why(error)})"
        ) from error


def _is_article(
    element: etree._Element, prefix: str, page: Page, other_namespaces: set[str]
) -> bool:
    namespace = element.findtext(prefix + "ns")
    if namespace is None:  # before version 0.6 of the schema only the title shows it
        name, colon, _ = page.title.partition(":")
        namespace = "other" if colon and name in other_namespaces else "0"
    return (
        namespace == "0"
        and element.find(prefix + "redirect") is None
        and not REDIRECT.match(page.text)
    )


def long_enough(clean: str, words: int = wikicorpus.ARTICLE_MIN_WORDS) -> bool:
    """Whether an article has at least `words` words, as gensim's WikiCorpus counts them.

    Parameters
    ----------
    clean : str
        The article without its markup (`texttopicnet.markup.filter_wiki`).
    words : int
        Runs of 2 to 15 letters that do not begin with `_`; the count stops here.

    Returns
    -------
    bool
    """
    shortest, longest = wikicorpus.TOKEN_MIN_LEN, wikicorpus.TOKEN_MAX_LEN
    tokens = gensim.utils.tokenize(clean, lower=True)
    counted = (
        token for token in tokens if shortest <= len(token) <= longest and not token.startswith("_")
    )
    return sum(1 for _ in itertools.islice(counted, words)) >= words


def images(path: Path | str, blemishes: Tally) -> Iterator[tuple[str, str]]:
    """The images of a list, with the articles that they illustrate.

    Parameters
    ----------
    path : str or Path
        JSON list of paths such as "a/b/1234#0.jpg": the third component up to `#` is the page's id.
    blemishes : Tally
        Counts each entry that does not name an image of an article, by its path or its place in the
        list.

    Yields
    ------
    image : str
        Relative path, without a leading `./` or `/`.
    article : str
        The id of a `Page`.

    Raises
    ------
    UserError
        The file is missing or not a JSON list; the entries before the fault come first.
    """
    path = artefacts.existing(path, MADE_BY)
    count = depth = 0
    try:
        with open(path, "rb") as file:
            # ijson.parse keeps a path per level of nesting; without use_float, its C code crashes
            # at integers of 5,000 digits
            for event, value in ijson.basic_parse(file, use_float=True):
                if depth == 0 and event != "start_array":
                    raise UserError(f"{path} is not a JSON list of image paths: get {MADE_BY}")
                depth -= event in ("end_array", "end_map")
                if depth == 1 and event not in ("end_array", "end_map"):
                    count += 1
                    if event != "string":
                        blemishes.add("not a string", f"entry {count}", "list entry")
                    elif article := _article_of(value):
                        yield str(Path(value.lstrip("/"))), article
                    else:
                        blemishes.add("without an article", value, "list entry")
                depth += event in ("start_array", "start_map")
    except (ijson.JSONError, ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({_why(error)}): get {MADE_BY}") from error


def _article_of(image: str) -> str:
    """The page's id in an image's path; '' if there is none or the path leads out of the
    collection.
    """
    parts = image.split("/")
    if len(parts) < 3 or files.name_error(image.lstrip("/")):
        return ""
    number = parts[2].partition("#")[0]
    return number if number.isascii() and number.isdecimal() else ""
