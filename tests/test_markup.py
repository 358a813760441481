"""Markup is removed exactly as by gensim's filter_wiki, and in linear time."""

from pathlib import Path

import pytest
from gensim.corpora.wikicorpus import filter_wiki
from hypothesis import given, settings
from hypothesis import strategies as st

from texttopicnet import markup

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
PIECES = [
    "{{",
    "}}",
    "{{a|b}}",
    "[[File:",
    "[[Image:x|y",
    "]]",
    "<!--",
    "-->",
    "<ref>",
    "</ref>",
    "<ref/>",
    "<nowiki>",
    "</nowiki>",
    "<math",
    "</math>",
    "<b>",
    "<",
    "[",
    "]",
    "[[",
    "|",
    "||",
    "!",
    "{",
    "}",
    "{|",
    "|-",
    "|}",
    "|-1",
    "[[a|b]]",
    "[a|b|c]",
    "[[Category:x]]",
    "http://a.b",
    "[http://a",
    "[http://a&b]",
    "&amp;",
    "&#65;",
    "&",
    "style=a",
    "class=",
    "colspan",
    "align=left",
    "scope=",
    "a=b",
    "é",
    "_",
]
PIECES += [
    " ",
    "  ",
    "\n",
    "\n ",
    "\t",
    "\n[[en:b]]",
    "\n[[a-b:",
    "\n!",
    "\n| ",
    "word ",
    'a="b" ',
    "'''",
    "==",
]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a<!-- b -->c", "ac"),
        ("a{{b|{{c}}}}d", "ad"),
        ("[[link|shown]] and [[plain]]", "shown and plain"),
        ("a<ref>note</ref>b<br>c", "abc"),
        ("[[File:x.jpg|thumb|a caption]]", "a caption"),
        ("[http://a.b shown]", "shown"),
        ("5 &lt; 6", "5 < 6"),
    ],
)
def test_markup_by_hand(raw, text):
    assert markup.filter_wiki(raw).strip() == text == filter_wiki(raw).strip()


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_as_gensim_on_random_markup(pieces):
    raw = "".join(pieces)
    assert markup.filter_wiki(raw) == filter_wiki(raw)


def test_a_caption_that_forms_a_link_is_treated_as_by_gensim():
    """gensim replaces the first occurrence of a link's text, which here the first caption forms."""
    raw = "[[Fi[[File:x|le:b]]]] and [[File:b]]"
    assert markup.filter_wiki(raw) == filter_wiki(raw) == "File:b and File:b"
    # gensim needs seconds for two thousand of them, and hours for a hundred thousand
    assert "File:b" in markup.filter_wiki(raw * 2000)


@pytest.mark.parametrize(
    ("raw", "depth"),
    [
        ("", 0),
        ("{a}", 0),
        ("{{a}}{{b}}", 1),
        ("{{a|{{b}} {{c}}}}", 2),
        ("{{{{a}}}}", 2),
        ("}}}}{{a", 1),
        ("{{" * 50, 50),
    ],
)
def test_depth_of_templates(raw, depth):
    assert markup.template_depth(raw) == depth


def test_as_gensim_on_real_articles():
    if not SHARED.is_dir():
        pytest.skip(f"the real articles are not here ({SHARED})")
    folders = (
        "openstax/ImageCLEF_Wikipedia/text",
        "openstax/Wikipedia/texts",
        "wikipedia_texts/texts",
        "wikipedia_texts",
    )
    files = sorted(
        {
            p
            for name in folders
            for p in (SHARED / name).rglob("*")
            if p.is_file() and p.suffix in ("", ".xml")
        }
    )
    assert len(files) > 4000
    for path in files[::10]:  # every tenth: all of them take half a minute
        raw = path.read_bytes().decode("utf-8", "replace")
        assert markup.filter_wiki(raw) == filter_wiki(raw), path


@pytest.mark.parametrize(
    "mark",
    ["{{", "[[File:", "<!--", "<ref>", "<", "[", "[[", "[a://b ", "|", "\n[[en:b", "<math ", "{|"],
)
def test_marks_that_are_never_closed_take_linear_time(mark):
    """gensim's expressions take quadratic time for such a text: minutes for this one."""
    assert isinstance(markup.filter_wiki(mark * 50_000), str)
