"""Article text to tokens: each step by hand, and the recorded tokens of the original."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import recorded
from stop_words import get_stop_words

from texttopicnet import artefacts, text
from texttopicnet.errors import UserError

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
RECORDING = SHARED / "golden" / "text" / "tokens.json.gz"
AUTHORS_DICTIONARY = SHARED / "data" / "labels" / "authors_dictionary_100785docs.tsv"
needs_recording = pytest.mark.skipif(not RECORDING.exists(), reason="needs ../shared/golden/text")


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        ("[[violin|piano]] [[harbour]]", ["piano", "harbour"]),  # a link shows its second half
        ("{{Infobox|name=violin}} piano", ["piano"]),
        ("<!-- violin --> <ref name='x'>violin</ref> <b>piano</b>", ["piano"]),
        ("<math>violin</math> <article>piano</article>", ["piano"]),
        ("[http://example.org piano] '''harbour'''", ["piano", "harbour"]),
        ("&lt;b&gt;piano&lt;/b&gt; harbour&amp;castle", ["piano", "harbour", "castle"]),
    ],
)
def test_step_1_removes_wiki_markup(raw, tokens):
    assert text.tokenize(raw) == tokens


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ('| style="a" | cell', " cell"),  # opening mark, attribute, closing mark
        ("! scope=col | Year", " Year"),
        ("|-\nalign=right\n| cell", " cell"),  # white space is any white space
        (
            "{| class=wikitable border=1\n|-\n! x",
            "\n! x",
        ),  # several attributes; the closing mark is `|-` as a whole
        ('{|a="1\n2"c=3|}x', "x"),  # a quoted value spans lines
        ('|a="x|y" z', "z"),  # and holds bars
        ('|a="x"y"', 'y"'),  # and is the shortest
        ('|a="x', ""),  # an unpaired quote does not begin a quoted value
        ("|a=b|c=d", "c=d"),  # a bar ends an unquoted value, and one closing mark goes along
        ("!a=1!b", ""),  # an exclamation mark does not
        ("||a=1 b", "|b"),  # one opening mark
        ("| cell || cell |}", "| cell || cell |}"),  # no attribute, no markup
        ("x=1 and a = b", "x=1 and a = b"),  # no opening mark
        ("| a =1", "| a =1"),  # no blank before `=`
    ],
)
def test_step_2_removes_table_markup(raw, left):
    assert text.TABLE_MARKUP.sub("", raw) == left


def test_step_2_comes_after_step_1():
    # the entities become quotes first, so the value is one string
    assert text.tokenize("castle | style=&quot;violin harbour&quot; | piano") == ["castle", "piano"]


def test_step_3_lower_case_runs_of_word_characters():
    assert text.tokenize("PIANO-Violin,harbour.\nCastle/glacier") == [
        "piano",
        "violin",
        "harbour",
        "castle",
        "glacier",
    ]
    assert text.tokenize("piano_violin") == ["pianoviolin"]  # `_` is a word character


def test_step_4_removes_exactly_the_stop_words():
    assert text.tokenize("The piano AND the violin of these") == ["piano", "violin"]
    assert text.tokenize("being beings") == [
        "being"
    ]  # the list has the singular only; the plural's lemma stays
    assert text.tokenize("within which they began") == [
        "within",
        "began",
    ]  # on the list of later releases, not on this one
    assert text.tokenize("the the1") == ["the"]  # digits go later


def test_the_stop_words_are_those_of_the_papers_time():
    words = get_stop_words("en")
    assert len(words) == len(set(words)) == 174
    assert {"the", "being", "couldn't", "yourselves"} < set(words)


@pytest.mark.skipif(not AUTHORS_DICTIONARY.exists(), reason="needs ../shared/data/labels")
def test_the_authors_dictionary_was_made_with_these_stop_words():
    rows = AUTHORS_DICTIONARY.read_text("utf-8").splitlines()[1:]
    documents = {word: int(count) for word, count in (row.split("\t") for row in rows)}
    assert len(documents) == 100_000
    kept = [word for word in get_stop_words("en") if word in documents]
    assert len(kept) == 20  # lemmas of other words, such as "being" of "beings", all of them rare
    assert max(documents[word] for word in kept) == 2315
    later = (Path(__file__).parent / "stop_words_2025.txt").read_text("utf-8").splitlines()[1:]
    assert len(later) == 1333
    assert sum(word in documents for word in later) == 653
    assert documents["within"] == 50_111  # of 100,785 documents: it had not been removed


def test_step_5_lemmas_are_those_of_nouns():
    assert text.tokenize("geese mice wolves glaciers") == ["goose", "mouse", "wolf", "glacier"]
    assert text.tokenize("swimming swam") == ["swimming", "swam"]  # verbs stay
    assert text.tokenize("geese2") == ["geese"]  # digits go later


def test_step_6_removes_all_but_a_to_z():
    assert text.tokenize("naïve MÜLLER b2b4c 日本語 1984") == ["nave", "mller", "bbc"]


def test_step_7_removes_tokens_of_two_letters():
    assert text.tokenize("ox oak b2b 3rd") == ["oak"]


@pytest.mark.parametrize("raw", ["", " \n\t", "the and of a an", "12 34"])
def test_texts_without_tokens(raw):
    assert text.tokenize(raw) == []


def test_order_and_repetitions_are_kept():
    assert text.tokenize("violin piano violin violins") == ["violin", "piano", "violin", "violin"]


def test_bytes_that_are_not_utf8_leave_no_token(tmp_path):
    (tmp_path / "a").write_bytes("piano \xe9t\xe9 caf\xe9".encode("latin-1") + " café".encode())
    raw = text.read_article(tmp_path / "a")
    assert raw == "piano \ufffdt\ufffd caf\ufffd café"
    assert text.tokenize(raw) == ["piano", "caf", "caf"]


def test_an_unreadable_article_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a.xml: cannot be read .No such file"):
        text.read_article(tmp_path / "a.xml")
    with pytest.raises(UserError, match=r"cannot be read .Is a directory"):
        text.read_article(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_files_in_their_order_by_any_number_of_workers(tmp_path, workers):
    words = [
        "piano",
        "violin",
        "harbour",
        "castle",
        "glacier",
    ] * 8  # more than one chunk of a worker's
    paths = [tmp_path / str(i) for i in range(len(words))]
    for path, word in zip(paths, words, strict=True):
        path.write_text(f"the {word}s")
    assert list(text.tokenize_files(paths, workers)) == [[word] for word in words]
    with pytest.raises(UserError, match="missing: cannot be read"):
        list(text.tokenize_files([*paths, tmp_path / "missing"], workers))


@pytest.mark.parametrize(
    ("data", "count", "blemishes"),
    [
        (b"piano", 1, []),
        ("caf\xe9 piano".encode("latin-1"), 2, ["not UTF-8"]),
        ("piano \ufffd".encode(), 1, []),  # a U+FFFD in the file itself is UTF-8
        (b"", 0, ["empty after preprocessing"]),
        (b"the of and", 0, ["empty after preprocessing"]),
        (b"{{" * 41 + b"a" + b"}}" * 41 + b" piano", 1, ["templates more than 40 deep"]),
        (b"{{" * 40 + b"a" + b"}}" * 40 + b" piano", 1, []),
        (b"{{a}}" * 41 + b" piano", 1, []),
        (b"piano ." * 2**18, 2**18, ["longer than 1 MB"]),
        (
            b"\xff{{" * 500_000,
            0,
            [
                "not UTF-8",
                "longer than 1 MB",
                "templates more than 40 deep",
                "empty after preprocessing",
            ],
        ),
    ],
)
def test_examine_says_what_is_wrong_with_an_article(monkeypatch, data, count, blemishes):
    monkeypatch.setattr(text, "LONG", 2**20)
    tokens, found = text.examine(data)
    assert (len(tokens), found) == (count, blemishes)


# markup that a naive expression of step 1 or 2 would reread endlessly, for minutes to hours
STALLING = """
import sys
from texttopicnet import text
UNITS = ["{{", "{{a|", "[[File:", "[[File: a] ", "[[Fi[[File:x|le:b]]]] ", "<!--", "<ref>", "<ref ",
         "<math ", "<", "[", "[a://b ", "[a|b|", "|", "  !", "\\n|", "{|", "\\n[[en:b",
         "\\n[[en:b]]", '|a="', "|a=b ", "!a", "&amp", '|a="b"']
for unit in UNITS:
    text.tokenize(unit * (300_000 // len(unit)) + sys.argv[1])
"""


@pytest.mark.parametrize("end", ["", "]] }} > --> | \n"])
def test_endless_marks_take_linear_time(end):
    subprocess.run(
        [sys.executable, "-c", STALLING, end], cwd=artefacts.ROOT, check=True, timeout=300
    )


def test_the_map_of_words_does_not_grow_without_limit(monkeypatch):
    monkeypatch.setattr(text, "MOST_WORDS", 5)
    monkeypatch.setattr(text, "token_cache", text._Tokens())
    words = [f"piano{letter}" for letter in "abcdefghijklmnop"]
    assert text.tokenize(" ".join(words)) == words
    assert len(text.token_cache) <= 5


WITHOUT_WORDNET = """
import pathlib, sys
import nltk
from texttopicnet import artefacts, command_line, text
artefacts.DATA = pathlib.Path(sys.argv[1])
nltk.data.path[:] = []
command_line.run(lambda: list(text.tokenize_files([])) and 0)
"""


def test_missing_wordnet_is_reported_once_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WORDNET, str(tmp_path)],
        cwd=artefacts.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    folder = tmp_path / "nltk_data"
    assert done.stderr == (
        f"error: WordNet is neither in {folder} nor on NLTK's path: get it with bash"
        " scripts/00_install.sh\n"
    )


@pytest.fixture(scope="module")
def recording():
    with gzip.open(RECORDING, "rt", encoding="utf-8") as f:
        return json.load(f)


@needs_recording
def test_the_recorded_files(recording):
    assert len(recording["files"]) == 140
    differing = []
    for name, wanted in recording["files"].items():
        path = SHARED / "data" / name
        assert hashlib.sha1(path.read_bytes()).hexdigest() == wanted["sha1"], (
            f"{name} is another text"
        )
        if text.tokenize(text.read_article(path)) != wanted["tokens"]:
            differing.append(name)
    assert differing == []


def test_the_recorded_markup():
    snippets = recorded.markup()
    assert len(snippets) == 9
    for snippet in snippets:
        assert text.tokenize(snippet["raw"]) == snippet["tokens"], snippet["raw"]
