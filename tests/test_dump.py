"""A MediaWiki dump and its list of images, written here: whole, broken and malicious ones."""

import bz2
import gzip
import json
import random
import re
import subprocess
import sys
from xml.sax.saxutils import escape

import pytest
from gensim.corpora import wikicorpus

from texttopicnet import artefacts, dump, markup
from texttopicnet.errors import UserError

EXPORT = "http://www.mediawiki.org/xml/export-0.10/"
SITE = (
    "<siteinfo><sitename>Wikipedia</sitename><namespaces>"
    '<namespace key="-2">Media</namespace><namespace key="0" /><namespace key="1">Talk</namespace>'
    '<namespace key="10">Template</namespace></namespaces></siteinfo>\n'
)
HEAD = f'<mediawiki xmlns="{EXPORT}" version="0.10" xml:lang="en">\n  {SITE}'
TAIL = "</mediawiki>\n"


def revision(text, time="2016-01-01T00:00:00Z"):
    body = (
        '<text deleted="deleted" />'
        if text is None
        else f'<text xml:space="preserve">{escape(text)}</text>'
    )
    return (
        f"<revision><id>99</id><timestamp>{time}</timestamp><model>wikitext</model>{body}"
        "<sha1>x</sha1></revision>"
    )


def page(number, title, *revisions, ns="<ns>0</ns>", redirect=""):
    revisions = "".join(r if r.startswith("<revision") else revision(r) for r in revisions)
    return (
        f"  <page><title>{escape(title)}</title>{ns}<id>{number}</id>{redirect}{revisions}</page>\n"
    )


def numbered(numbers):
    return "".join(page(n, f"Title {n}", f"violin {n}") for n in numbers)


def written(path, *pages, head=HEAD, tail=TAIL):
    path.write_text(head + "".join(pages) + tail, encoding="utf-8")
    return path


def read_until_error(path):
    """(the pages, the error's sentence)"""
    read = []
    with pytest.raises(UserError) as caught:
        read.extend(dump.pages(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return read, str(caught.value)


class Blemishes(dict):
    def add(self, reason, entry, noun):
        assert noun == "list entry"
        self.setdefault(reason, []).append(entry)


def test_articles_only(tmp_path):
    path = written(
        tmp_path / "dump.xml",
        page(10, "Violin", "A '''violin''' is\na [[string instrument]]."),
        page(11, "Talk:Violin", "I disagree.", ns="<ns>1</ns>"),
        page(12, "Fiddle", "#REDIRECT [[Violin]]", redirect='<redirect title="Violin" />'),
        page(13, "Geige", "#WEITERLEITUNG [[Violin]]", redirect='<redirect title="Violin" />'),
        page(14, "Viola d'amore", "\n #redirect: [[Viola]]"),
        page(15, "Template:Strings", "{{strings}}", ns="<ns>10</ns>"),
        page(16, "Empty", ""),
        page(17, "日本語 & <Müller>", "café 'x' &amp; <ref name=\"a\">b</ref> &#160; 𝄞"),
        page(18, "Redirects", "On #REDIRECT [[and]] what it does"),
        page(19, "Book: A Novel", "a title with a colon"),
    )
    assert list(dump.pages(path)) == [
        ("10", "Violin", "A '''violin''' is\na [[string instrument]]."),
        ("16", "Empty", ""),
        ("17", "日本語 & <Müller>", "café 'x' &amp; <ref name=\"a\">b</ref> &#160; 𝄞"),
        ("18", "Redirects", "On #REDIRECT [[and]] what it does"),
        ("19", "Book: A Novel", "a title with a colon"),
    ]
    assert next(dump.pages(path)).text.startswith("A '''violin")  # by name, too


def test_the_dumps_own_entities_comments_and_cdata(tmp_path):
    text = (
        "<text>&lt;ref&gt;a&lt;/ref&gt; &amp;nbsp; &#160;&#x1D11E;<!-- no --> b<?no"
        " no?><![CDATA[<c>]]></text>"
    )
    path = written(tmp_path / "dump.xml", page(1, "T", f"<revision>{text}</revision>"))
    assert [p.text for p in dump.pages(path)] == ["<ref>a</ref> &nbsp; \u00a0\U0001d11e b<c>"]


@pytest.mark.parametrize(
    "name", ["", EXPORT, "http://www.mediawiki.org/xml/export-0.11/", "urn:other"]
)
def test_any_version_of_the_schema(tmp_path, name):
    path = written(
        tmp_path / "dump.xml", SITE, numbered([1, 2]), head=f'<mediawiki xmlns="{name}">'
    )
    assert [p.id for p in dump.pages(path)] == ["1", "2"]


def test_before_version_0_6_the_title_names_the_namespace(tmp_path):
    titles = ["Violin", "Talk:Violin", "Template:X", "Book: A Novel", "Talk", ":Talk"]
    path = written(
        tmp_path / "dump.xml", *(page(i, title, "x", ns="") for i, title in enumerate(titles))
    )
    assert [p.title for p in dump.pages(path)] == ["Violin", "Book: A Novel", "Talk", ":Talk"]


def test_the_newest_of_several_revisions_counts(tmp_path):
    old, new = revision("old", "2015-12-31T23:59:59Z"), revision("new", "2016-01-01T00:00:00Z")
    untimed = [re.sub("<timestamp>.*</timestamp>", "", r) for r in (old, new)]
    path = written(
        tmp_path / "dump.xml",
        page(1, "rising", old, new),
        page(2, "falling", new, old),
        page(3, "equal", revision("first"), revision("second")),
        page(4, "no times", *untimed),
        page(5, "no revision"),
        page(6, "deleted", old, revision(None)),
        page(7, "no text", "<revision><id>7</id></revision>"),
    )
    assert [p.text for p in dump.pages(path)] == ["new", "new", "second", "new", "", "", ""]


def halves(write):
    """A compressed file of two streams."""
    text = (HEAD + numbered(range(40)) + TAIL).encode()
    return write(text[:1500]) + write(text[1500:])


@pytest.mark.parametrize(
    "make", [lambda: halves(bytes), lambda: halves(bz2.compress), lambda: halves(gzip.compress)]
)
def test_forms_and_progress(tmp_path, make):
    path = tmp_path / "dump"  # its first bytes say what it is, not its name
    path.write_bytes(make())
    with dump.progress(path) as bar:
        assert [p.id for p in dump.pages(path, bar)] == [str(i) for i in range(40)]
        assert bar.n == bar.total == path.stat().st_size


def test_pages_come_before_the_end_is_read(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text(HEAD + numbered(range(5000)))
    pages = dump.pages(path)
    assert next(pages).id == "0"  # long before the missing end is reached
    pages.close()


def test_a_huge_page_and_nested_templates(tmp_path):
    huge = "violin & <b>piano</b>\n" * 1_000_000  # 22 MB
    nested = "{{a|" * 3000 + "}}" * 3000 + "harbour"
    path = written(
        tmp_path / "dump.xml",
        page(1, "huge", huge),
        page(2, "nested", nested),
        page(3, "last", "castle"),
    )
    read = list(dump.pages(path))
    assert [p.text == text for p, text in zip(read, [huge, nested, "castle"], strict=True)] == [
        True
    ] * 3
    assert markup.filter_wiki(read[1].text) == "harbour"


@pytest.mark.parametrize("compress", [bytes, bz2.compress, gzip.compress])
def test_an_early_end_comes_after_all_whole_pages(tmp_path, compress):
    rng = random.Random(0)
    whole = compress(HEAD.encode()) + b"".join(
        compress(numbered(range(i, i + 50)).encode()) for i in range(0, 500, 50)
    )
    path = tmp_path / "dump"
    for _ in range(5):
        path.write_bytes(whole[: rng.randrange(len(whole) // 2, len(whole) - 100)])
        read, error = read_until_error(path)
        assert 200 <= len(read) < 500
        assert [p.text for p in read] == [f"violin {i}" for i in range(len(read))]
        last = f"{len(read) - 1} (Title {len(read) - 1})"
        assert error.startswith(
            f"{path} ends early or is damaged, the last page read is {last}: fetch it again ("
        )
    path.write_bytes(whole)  # all but the end tag
    assert len(read_until_error(path)[0]) == 500


def test_no_page_comes_from_a_damaged_block(tmp_path):
    rng = random.Random(0)
    text = "".join(
        page(i, f"Title {i}", " ".join(str(rng.random()) for _ in range(50))) for i in range(1500)
    )
    path = tmp_path / "dump.bz2"
    whole = bz2.compress((HEAD + text + TAIL).encode(), 1)  # blocks of 100 kB
    path.write_bytes(whole)
    expected = list(dump.pages(path))
    counts = []
    for place in range(1, 10):
        damaged = bytearray(whole)
        damaged[len(whole) * place // 10] ^= 16
        path.write_bytes(damaged)
        read, error = read_until_error(path)
        assert read == expected[: len(read)]
        assert "fetch it again" in error
        counts.append(len(read) / len(expected))
    # of what comes before, at most the block of the damage and the one before it are lost
    assert all(place / 10 - 0.2 < count <= place / 10 for place, count in enumerate(counts, 1)), (
        counts
    )


def test_no_page_comes_from_a_block_whose_checksum_is_another(tmp_path):
    damaged = bytearray(bz2.compress((numbered(range(3, 1000)) + TAIL).encode()))
    assert (
        damaged[4:10].hex() == "314159265359"
    )  # a block's mark; its checksum follows, and its text decodes as before
    damaged[10] ^= 1
    path = tmp_path / "dump.bz2"
    path.write_bytes(bz2.compress((HEAD + numbered(range(3))).encode()) + damaged)
    assert [p.id for p in read_until_error(path)[0]] == ["0", "1", "2"]


def test_broken_xml_comes_after_the_pages_before_it(tmp_path):
    for broken in (
        "<page><title>a</page>",
        "<page>\x02</page>",
        "<page>&nbsp;</page>",
        "</mediawiki><mediawiki>",
    ):
        read, error = read_until_error(
            written(tmp_path / "dump.xml", numbered(range(3)), broken, numbered(range(3)))
        )
        assert [p.id for p in read] == [
            "0",
            "1",
            "2",
        ]
        assert "the last page read is 2 (Title 2)" in error
    path = tmp_path / "dump.xml"
    path.write_bytes(
        (HEAD + numbered([1])).encode() + b"<page><title>caf\xe9</title></page>" + TAIL.encode()
    )
    assert len(read_until_error(path)[0]) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a MediaWiki dump (no element found"),
        (b"a,b,c\n1,2,3\n", "is not a MediaWiki dump (Start tag expected"),
        (
            b"<html><body>Not found",
            "is not a MediaWiki dump (its root is <html>): get the download that"
            " data/wikipedia_data",
        ),
        (bz2.compress(b"<article/>"), "is not a MediaWiki dump (its root is <article>)"),
        (
            b"BZh9 and nothing more",
            "ends early or is damaged, the last page read is none: fetch it again (Invalid data"
            " stream)",
        ),
        (b"\x1f\x8b" + bytes(30), "ends early or is damaged, the last page read is none"),
    ],
)
def test_other_files_are_not_dumps(tmp_path, content, why):
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(content)
    read, error = read_until_error(path)
    assert read == []
    assert error.startswith(f"{path} {why}")


def test_a_missing_dump(tmp_path):
    _read, error = read_until_error(tmp_path / "dump.xml.bz2")
    assert "does not exist" in error
    with pytest.raises(UserError, match="does not exist"):
        dump.progress(tmp_path / "dump.xml.bz2")


LAUGHS = '<!ENTITY l0 "haha">' + "".join(
    f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("doctype", "attribute"),
    [
        (f"[{LAUGHS}]", ""),
        (f"[{LAUGHS}]", "lang='&l11;'"),
        ('[<!ENTITY l11 SYSTEM "SECRET">]', ""),
        ('[<!ENTITY l11 SYSTEM "SECRET">]', "lang='&l11;'"),
        ('[<!ENTITY % l SYSTEM "SECRET"> %l; <!ENTITY l11 "x">]', ""),
        ('SYSTEM "SECRET"', ""),
        ('PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:9/x.dtd"', ""),
    ],
)
@pytest.mark.parametrize("compress", [bytes, bz2.compress])
def test_entities_are_refused(tmp_path, compress, doctype, attribute):
    (tmp_path / "secret").write_text("<!ENTITY stolen 'harbour'>")
    doctype = doctype.replace("SECRET", (tmp_path / "secret").as_uri())
    text = (
        f"<!DOCTYPE mediawiki {doctype}>\n<mediawiki"
        f" {attribute}><page><title>&l11;</title><ns>0</ns></page></mediawiki>"
    )
    path = tmp_path / "dump.xml"
    path.write_bytes(compress(text.encode()))
    read, error = read_until_error(path)
    assert read == []
    assert re.search("(declares|expands) XML entities", error)
    assert len(error) < 300


MEMORY = """
import re, sys
from texttopicnet import dump
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
for count, _ in enumerate(dump.pages(sys.argv[1]), 1):
    if count == 2000:
        before = peak()
print(count, peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_dump(tmp_path):
    with open(tmp_path / "dump.xml", "w") as f:
        f.write(HEAD)
        f.writelines(page(i, f"Title {i}", "violin " * 20) for i in range(29_999))
        f.write(page(29_999, "one page, 20 MB of revisions", *["violin " * 1000] * 3000))
        f.write(TAIL)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "dump.xml")],
        cwd=artefacts.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    count, grown = map(int, done.stdout.split())
    assert count == 30_000
    assert grown < 2000, f"{grown} kB"


@pytest.mark.parametrize(
    ("word", "counts"),
    [
        ("ab", True),
        ("a", False),
        ("a" * 15, True),
        ("a" * 16, False),
        ("_ab", False),
        ("12", False),
        ("été", True),
    ],
)
def test_which_words_count(word, counts):
    assert dump.long_enough("piano " * 49 + word) is counts
    assert len(wikicorpus.tokenize("piano " * 49 + word)) == 49 + counts


def test_the_number_of_words():
    assert not dump.long_enough("piano " * 49)
    assert dump.long_enough("Piano, " * 50)
    assert dump.long_enough("", 0)
    assert not dump.long_enough("", 1)
    assert not dump.long_enough(
        "a1b2c3" * 50
    )  # digits separate words, and single letters are too short


def test_the_same_pages_as_gensim(tmp_path):
    rng = random.Random(0)
    words = [
        "violin",
        "a",
        "été",
        "12",
        "_x",
        "[[piano|grand piano]]",
        "{{t|a b}}",
        "&nbsp;",
        "<ref>no</ref>",
        "ab",
        "z" * 16,
    ]
    pages = [
        page(i, f"Title {i}", " ".join(rng.choices(words, k=rng.randrange(60, 150))))
        for i in range(60)
    ]
    pages += [page(70, "Talk:X", "violin " * 60, ns="<ns>1</ns>"), page(71, "Empty", "")]
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress((HEAD + "".join(pages) + TAIL).encode()))

    corpus = wikicorpus.WikiCorpus(str(path), processes=1, dictionary={}, metadata=True)
    expected = [number for _, (number, _) in corpus.get_texts()]
    kept = [p.id for p in dump.pages(path) if dump.long_enough(markup.filter_wiki(p.text))]
    assert kept == expected
    assert 10 < len(kept) < 50

    with bz2.open(path) as f:
        extracted = [(number, title, text) for title, text, number in wikicorpus.extract_pages(f)]
    assert list(dump.pages(path)) == [row for row in extracted if row[0] != "70"]


def test_images_of_a_list(tmp_path):
    path, blemishes = tmp_path / "list.json", Blemishes()
    path.write_text(
        json.dumps(
            [
                "a/b/12#0.jpg",
                "./b/12#1.jpg",
                "/b/7#x/y#z.jpg",
                "a/b/0034",
                "a/b/5.jpg",
                "b/12",
                "",
                "a/b/",
                "a/b/#1",
                "a/b/-3#1",
                "a/b/١٢#1",
                "../a/12#0.jpg",
                "a/b/12#\x00.jpg",
                "ä/日/12#0.jpg",
                None,
                3,
                ["a/b/9#0.jpg"],
                {"item": "a/b/9#0.jpg", "x": [1]},
                "a/b/12#0.jpg",
            ]
        )
    )
    assert list(dump.images(path, blemishes)) == [
        ("a/b/12#0.jpg", "12"),
        ("b/12#1.jpg", "12"),
        ("b/7#x/y#z.jpg", "7"),
        ("a/b/0034", "0034"),
        ("ä/日/12#0.jpg", "12"),
        ("a/b/12#0.jpg", "12"),
    ]
    assert blemishes == {
        "without an article": [
            *("a/b/5.jpg", "b/12", "", "a/b/", "a/b/#1", "a/b/-3#1"),
            *("a/b/١٢#1", "../a/12#0.jpg", "a/b/12#\0.jpg"),
        ],
        "not a string": ["entry 15", "entry 16", "entry 17", "entry 18"],
    }


@pytest.mark.parametrize(
    ("content", "before", "why"),
    [
        ('{"a/b/1": "a/b/2"}', 0, "is not a JSON list"),
        ('"a/b/1"', 0, "is not a JSON list"),
        ("", 0, "is not valid JSON"),
        ("[]", 0, None),
        ('["a/b/1", "a/b/2"', 2, "is not valid JSON"),
        ('["a/b/1", a/b/2]', 1, "is not valid JSON"),
    ],
)
def test_other_files_are_not_lists(tmp_path, content, before, why):
    path, read = tmp_path / "list.json", []
    path.write_text(content)
    if why is None:
        assert list(dump.images(path, Blemishes())) == []
        return
    with pytest.raises(UserError, match=why) as caught:
        read.extend(dump.images(path, Blemishes()))
    assert len(read) == before
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    with pytest.raises(UserError, match="does not exist"):
        next(dump.images(tmp_path / "missing.json", Blemishes()))


def test_a_list_that_would_break_the_reader(tmp_path):
    """Entries nested 200,000 levels deep, entries that are not strings, names that lead out: each
    is counted, and the good ones are read.
    """
    path, blemishes = tmp_path / "list.json", Blemishes()
    deep = "[" * 200_000 + "]" * 200_000
    path.write_text(
        '["a/b/1#x", '
        + deep
        + ', {"a": '
        + deep
        + '}, "a/b/2#x", "a\\\\..\\\\b/c/3#x", "/a/../b/3#x", "C:/b/3#x"]'
    )
    assert list(dump.images(path, blemishes)) == [("a/b/1#x", "1"), ("a/b/2#x", "2")]
    assert blemishes == {
        "not a string": ["entry 2", "entry 3"],
        "without an article": ["a\\..\\b/c/3#x", "/a/../b/3#x", "C:/b/3#x"],
    }


@pytest.mark.parametrize("entry", ["9" * 5000, '"\\udcff"', "1e999"])
def test_an_entry_that_json_cannot_hold_is_one_sentence(tmp_path, entry):
    path = tmp_path / "list.json"
    path.write_text(f'["a/b/1#x", {entry}]')
    with pytest.raises(UserError, match=r"list.json is not valid JSON"):
        list(dump.images(path, Blemishes()))
