"""Wiki markup -> text: the output of gensim's ``filter_wiki``, character for character, in linear
time.

gensim's expressions are written for reading.  Some are tried at every character, and several run to
the end of the article from every opening mark that is never closed, so that a long or malicious
article takes hours.  Here each step first looks for its mark, and reads no part of the text more
often than a fixed number of times.  The steps keep gensim's names in
``gensim/corpora/wikicorpus.py`` (RE_P0 ... RE_P17), its order and its oddities;
``tests/test_markup.py`` compares the two on random markup and on real articles.
"""

import re

from gensim.corpora import wikicorpus
from gensim.utils import decode_htmlentities

ROUNDS = 3  # gensim's: each round removes one level of nested markup, the innermost first

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # P0
# removed with their content: footnotes (P1), nowiki (P9), math (P10)
ELEMENTS = [
    (re.compile(rf"<{tag}[> ].*?(?:</{tag}>|/>)", re.DOTALL), f"</{tag}>")
    for tag in ("ref", "nowiki", "math")
]
TAG = re.compile(r"<[^>]*>")  # P11
LANGUAGE_LINK = re.compile(r"\n\[\[[a-z][a-z][\w-]*:")  # P2, as far as its colon
BRACES = re.compile(r"\{+|\}+")
FILE = re.compile(r"\[\[(?:[fF]ile:|[iI]mage)[^]]*(\]\])?")  # P15, also where it is never closed
CATEGORY = re.compile(r"\[\[Category:[^][]*\]\]")  # P14
URL = re.compile(r"\[\w+://[^] \n]*([^]\n]*)(\]?)")  # P5, also where it is never closed
LINK = re.compile(r"\[[^][]*\|([^][|]*)\]")  # P6: the text after the last bar stays
TABLE_LINE = re.compile(r"(?:\{\||\|-(?!\d)|\|\})[^\n]*(?=\n)")  # P12
CELL = re.compile(r"[|!](?<=(?:[\s\S]\n|\n |  |[^\n]\t)[|!])")  # P13, its first character
CELL_END = re.compile(r"[][\n]")  # where P13 stops
ATTRIBUTES = r"(?:bgcolor|\d? ?colspan|rowspan|style=|class=|align=%s).*"  # P17
ATTRIBUTE_LINE = re.compile(r"\n.{0,4}" + ATTRIBUTES % "|scope=")
FIRST_ATTRIBUTE_LINE = re.compile(r".{0,2}" + ATTRIBUTES % "")

FIRST_OCCURRENCE_BUDGET = 10**8  # characters that gensim's own code for file links may read


def filter_wiki(raw: str) -> str:
    """The text of an article without its markup.

    Parameters
    ----------
    raw : str

    Returns
    -------
    str
        Equal to ``gensim.corpora.wikicorpus.filter_wiki(raw)``, except for articles that are so
        long, with file links whose captions form further file links, that gensim would need minutes
        for them.
    """
    text = decode_htmlentities(raw) if "&" in raw else raw
    text = _without_language_links(text)
    if "{{" in text:
        text = _without_templates(text)
    if "[[" in text:
        text = _captions_of_files(text)
    for _ in range(ROUNDS):
        before = text
        if "<" in text:
            text = _without_tags(text)
        if "[" in text:
            text = CATEGORY.sub("", text)
            text = URL.sub(_description, text)
            text = LINK.sub(r"\1", text)
        if "|" in text or "!" in text:
            text = _without_tables(text)
        text = _without_attribute_lines(text)
        text = text.replace("[]", "")
        if text == before:
            break
    return text.replace("[", "").replace("]", "")


def _without_language_links(text: str) -> str:
    """P2: removes the links `[[de:Title]]`, one per line, at the very end of the article."""
    end = len(text) - text.endswith("\n")
    start = end
    while text.endswith("]]", 0, start):
        others = text.rfind("]", 0, start - 2) + 1  # this link begins here or later
        colon = text.rfind(":", others, start - 2)
        mark = text.rfind("\n[[", others, max(colon, others))
        if mark < 0 or colon == start - 3 or not LANGUAGE_LINK.fullmatch(text, mark, colon + 1):
            break
        start = mark
        if start != others:
            break
    return text[:start] + text[end:] if start < end else text


def _without_templates(text: str) -> str:
    """Removes templates, from `{{` to where all opened braces are closed, or to the end."""
    kept, done = [], 0
    while (start := text.find("{{", done)) >= 0:
        kept.append(text[done:start])
        depth = 0
        for run in BRACES.finditer(text, start):
            length = run.end() - run.start()
            if text[run.start()] == "{":
                depth += length
            elif length < depth:
                depth -= length
            else:
                done = run.start() + depth
                break
        else:
            return "".join(kept)
    kept.append(text[done:])
    return "".join(kept)


def template_depth(raw: str) -> int:
    """The deepest nesting of `{{` in an article."""
    depth = deepest = 0
    if "{{" in raw:
        for run in BRACES.finditer(raw):
            pairs = (run.end() - run.start()) // 2
            depth = depth + pairs if raw[run.start()] == "{" else max(depth - pairs, 0)
            deepest = max(deepest, depth)
    return deepest


def _captions_of_files(text: str) -> str:
    """P15: `[[File:name|...|caption]]` becomes its caption."""
    captioned = FILE.sub(
        lambda match: match[0][:-2].rsplit("|", 1)[-1] if match[1] else match[0], text
    )
    # gensim replaces the first occurrence of the link's text, which an earlier caption may have
    # formed
    if (
        any(match[1] for match in FILE.finditer(captioned))
        and text.count("[[") * len(text) <= FIRST_OCCURRENCE_BUDGET
    ):
        return wikicorpus.remove_file(text)
    return captioned


def _sub_as_far_as(closers: list[str], pattern: re.Pattern[str], text: str) -> str:
    """``pattern.sub("", text)`` up to the last closer; beyond it, every search for a closer would
    run to the end and find none.
    """
    end = max(text.rfind(closer) + len(closer) for closer in closers)
    return pattern.sub("", text[:end]) + text[end:]


def _without_tags(text: str) -> str:
    if "<!--" in text:
        text = _sub_as_far_as(["-->"], COMMENT, text)
    for pattern, closer in ELEMENTS:
        if "<" + closer[2:-1] in text:
            text = _sub_as_far_as([closer, "/>"], pattern, text)
    return _sub_as_far_as([">"], TAG, text)


def _description(match: re.Match[str]) -> str:
    """P5: `[http://address description]` becomes the blank and the description."""
    return match[1] if match[2] else match[0]


def _without_tables(text: str) -> str:
    text = text.replace("!!", "\n|").replace("|-||", "\n|")
    end = text.rfind("\n") + 1  # a last line without a newline stays
    text = TABLE_LINE.sub("\n", text[:end]) + text[end:]
    text = text.replace("|||", "|\n|").replace("||", "\n|")
    return _without_cell_marks(text)


def _without_cell_marks(text: str) -> str:
    """P13: a bar or an exclamation mark that begins a cell becomes a newline, and so does the text
    up to the last bar before `CELL_END`.
    """
    kept, done = [], 0
    end = bar = -1  # the last CELL_END that was found, and the last bar before it
    for match in CELL.finditer(text):
        start = match.start()
        if start < done:
            continue
        if start >= end:
            closing = CELL_END.search(text, start)
            end = closing.start() if closing else len(text)
            bar = text.rfind("|", start, end)
        kept.append(text[done:start])
        done = max(bar, start) + 1
    kept.append(text[done:])
    return "\n".join(kept)


def _without_attribute_lines(text: str) -> str:
    """P17: removes lines that begin with a table's attributes."""
    first = FIRST_ATTRIBUTE_LINE.match(text)
    if first:
        return "\n" + ATTRIBUTE_LINE.sub("\n", text[first.end() :])
    return ATTRIBUTE_LINE.sub("\n", text)
