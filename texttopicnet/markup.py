"""Wiki markup -> text: what gensim's ``filter_wiki`` makes, character for character, in time linear
in the text.

gensim's expressions are written for reading: some are tried at every character, and several run to
the end of the article from every opening mark that nothing closes, so that a long or spiteful
article takes hours.  Here each step looks for its mark first, and no step goes over a stretch of
the text more often than a fixed number of times.  The steps keep gensim's names in
``gensim/corpora/wikicorpus.py`` (RE_P0 ... RE_P17), its order and its oddities;
``tests/test_markup.py`` compares the two on random markup and on real articles.
"""

import re

from gensim.corpora import wikicorpus
from gensim.utils import decode_htmlentities

ROUNDS = 3  # gensim's: markup within markup goes from the inside outwards, and no further

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # P0
# what goes with its content: footnotes (P1), nowiki (P9), math (P10)
ELEMENTS = [
    (re.compile(rf"<{tag}[> ].*?(?:</{tag}>|/>)", re.DOTALL), f"</{tag}>")
    for tag in ("ref", "nowiki", "math")
]
TAG = re.compile(r"<[^>]*>")  # P11
LANGUAGE_LINK = re.compile(r"\n\[\[[a-z][a-z][\w-]*:")  # P2, as far as its colon
BRACES = re.compile(r"\{+|\}+")
FILE = re.compile(
    r"\[\[(?:[fF]ile:|[iI]mage)[^]]*(\]\])?"
)  # P15, and stretches in which nothing closes it
CATEGORY = re.compile(r"\[\[Category:[^][]*\]\]")  # P14
URL = re.compile(r"\[\w+://[^] \n]*([^]\n]*)(\]?)")  # P5, and stretches in which nothing closes it
LINK = re.compile(r"\[[^][]*\|([^][|]*)\]")  # P6: what stands after the last bar stays
TABLE_LINE = re.compile(r"(?:\{\||\|-(?!\d)|\|\})[^\n]*(?=\n)")  # P12
CELL = re.compile(r"[|!](?<=(?:[\s\S]\n|\n |  |[^\n]\t)[|!])")  # P13, its first character
CELL_END = re.compile(r"[][\n]")  # P13 does not go beyond
ATTRIBUTES = r"(?:bgcolor|\d? ?colspan|rowspan|style=|class=|align=%s).*"  # P17
ATTRIBUTE_LINE = re.compile(r"\n.{0,4}" + ATTRIBUTES % "|scope=")
FIRST_ATTRIBUTE_LINE = re.compile(r".{0,2}" + ATTRIBUTES % "")

FIRST_OCCURRENCE_BUDGET = 10**8  # characters that gensim's own way with file links may go over


def filter_wiki(raw):
    """The text of an article without its markup.

    Parameters
    ----------
    raw : str

    Returns
    -------
    str
        Equal to ``gensim.corpora.wikicorpus.filter_wiki(raw)``.  (The one exception: an article so
        long, with file links whose captions make up further file links, that gensim would need
        minutes for them.)
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


def _without_language_links(text):
    """P2: the links `[[de:Title]]`, a line each, at the very end of the article."""
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


def _without_templates(text):
    """From `{{` to where as many braces are closed as were opened; what is never closed goes to the
    end.
    """
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


def template_depth(raw):
    """How many templates of an article stand within one another: the deepest nesting of `{{`."""
    depth = deepest = 0
    if "{{" in raw:
        for run in BRACES.finditer(raw):
            pairs = (run.end() - run.start()) // 2
            depth = depth + pairs if raw[run.start()] == "{" else max(depth - pairs, 0)
            deepest = max(deepest, depth)
    return deepest


def _captions_of_files(text):
    """P15: of `[[File:name|...|caption]]` the caption stays."""
    captioned = FILE.sub(
        lambda match: match[0][:-2].rsplit("|", 1)[-1] if match[1] else match[0], text
    )
    # gensim replaces the first occurrence of the link's text, which may be one that captions before
    # it made up
    if (
        any(match[1] for match in FILE.finditer(captioned))
        and text.count("[[") * len(text) <= FIRST_OCCURRENCE_BUDGET
    ):
        return wikicorpus.remove_file(text)
    return captioned


def _sub_as_far_as(closers, pattern, text):
    """``pattern.sub("", text)`` as far as the last of the closers: beyond, a search for one would
    run to the end in vain.
    """
    end = max(text.rfind(closer) + len(closer) for closer in closers)
    return pattern.sub("", text[:end]) + text[end:]


def _without_tags(text):
    if "<!--" in text:
        text = _sub_as_far_as(["-->"], COMMENT, text)
    for pattern, closer in ELEMENTS:
        if "<" + closer[2:-1] in text:
            text = _sub_as_far_as([closer, "/>"], pattern, text)
    return _sub_as_far_as([">"], TAG, text)


def _description(match):
    """Of `[http://address description]` the blank and the description stay."""
    return match[1] if match[2] else match[0]


def _without_tables(text):
    text = text.replace("!!", "\n|").replace("|-||", "\n|")
    end = text.rfind("\n") + 1  # a line that no newline ends is left
    text = TABLE_LINE.sub("\n", text[:end]) + text[end:]
    text = text.replace("|||", "|\n|").replace("||", "\n|")
    return _without_cell_marks(text)


def _without_cell_marks(text):
    """P13: a bar or an exclamation mark that begins a cell becomes a newline, with all up to the
    last bar of the stretch.
    """
    kept, done = [], 0
    end = bar = -1  # of the stretch that was looked at last
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


def _without_attribute_lines(text):
    """P17: lines that begin with a table's attributes."""
    first = FIRST_ATTRIBUTE_LINE.match(text)
    if first:
        return "\n" + ATTRIBUTE_LINE.sub("\n", text[first.end() :])
    return ATTRIBUTE_LINE.sub("\n", text)
