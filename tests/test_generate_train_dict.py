"""Images paired with their articles, in a small collection with every blemish of the real one."""

import bz2
import json
import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from texttopicnet import artefacts, token_rows
from texttopicnet.errors import UserError
from texttopicnet.token_store import TokenStore

SCRIPT = artefacts.ROOT / "LDA/generate_train_dict.py"
METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{name}"{file}>
  <name>{name}</name>
  <text xml:lang="en"><description /><comment /><caption{en}>a caption</caption></text>
  <text xml:lang="de"><description /><comment /><caption{de} /></text>
</image>
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("LDA/generate_train_dict.py")


class Collection:
    """A collection in ImageCLEF's layout, to which files are added one by one."""

    def __init__(self, data):
        self.data = data
        self.folder = data / "ImageCLEF_Wikipedia"
        (self.folder / "metadata").mkdir(parents=True)

    def file(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def metadata(self, name, file=None, en=None, de=None):
        def attribute(key, value):
            return f' {key}="{value}"' if value else ""

        fields = {
            "file": attribute("file", file),
            "en": attribute("article", en),
            "de": attribute("article", de),
        }
        return self.file(f"metadata/{name}.xml", METADATA.format(name=name, **fields).encode())

    def image(self, name, height=256, width=256, kind=".jpg", grey=False):
        pixels = np.full((height, width) if grey else (height, width, 3), 90, np.uint8)
        return self.file(name, cv2.imencode(kind, pixels)[1].tobytes())

    def article(self, name):
        return self.file(name, b"<article>piano</article>")

    def add(self, name, **image):
        """A whole entry: images/<name>.jpg and text/en/<name>."""
        self.image(f"images/{name}.jpg", **image)
        self.article(f"text/en/{name}")
        return self.metadata(name, f"images/{name}.jpg", f"text/en/{name}")


@pytest.fixture
def collection(tmp_path):
    return Collection(tmp_path / "data")


@pytest.fixture
def run(script, monkeypatch, tmp_path):
    """run(...): the dictionary the script wrote."""

    def run(*arguments):
        command = [
            "x",
            "--data",
            str(tmp_path / "data"),
            "--work",
            str(tmp_path / "work"),
            *arguments,
        ]
        monkeypatch.setattr(sys, "argv", command)
        assert script.main() == 0
        return json.loads((tmp_path / "work" / artefacts.TRAIN_DICT).read_text())

    return run


def left_out(printed):
    return [line for line in printed.splitlines() if line.startswith("left out")]


def test_images_and_articles_sorted(collection, run, tmp_path, capsys):
    for name in ("2/9", "1/30", "1/4"):
        collection.add(name)
    # the metadata's order is not the images'
    collection.image("images/0.jpg")
    collection.metadata("3/0", "images/0.jpg", "text/en/1/4")
    pairs = run()
    assert list(pairs.items()) == [
        ("images/0.jpg", "text/en/1/4"),
        ("images/1/30.jpg", "text/en/1/30"),
        ("images/1/4.jpg", "text/en/1/4"),
        ("images/2/9.jpg", "text/en/2/9"),
    ]
    printed = capsys.readouterr().out.splitlines()
    assert "4 metadata files" in printed[0]
    assert len(printed) == 2
    assert printed[-1] == f"4 images, 3 articles: {tmp_path / 'work' / artefacts.TRAIN_DICT}"


@pytest.mark.parametrize("size", [(256, 256), (256, 900), (300, 257)])
def test_both_sides_of_256_pixels_are_enough(collection, run, size):
    collection.add("1/1", height=size[0], width=size[1])
    assert list(run()) == ["images/1/1.jpg"]


@pytest.mark.parametrize("size", [(255, 900), (900, 255)])
def test_one_side_of_255_pixels_is_not(collection, run, capsys, size):
    collection.add("1/1")
    small = collection.add("1/2", height=size[0], width=size[1])
    assert list(run()) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 image (smaller than 256 pixels): {small}"
    ]


def test_names_with_two_dots_and_capitals(collection, run):
    collection.image("images/1/photo.old.jpg")
    collection.image("images/1/photo.JPEG")
    collection.article("text/en/1/article.1.xml")
    collection.metadata("1/photo.old.jpg", "images/1/photo.old.jpg", "text/en/1/article.1.xml")
    collection.metadata("1/photo", "images/1/photo.JPEG", "text/en/1/article.1.xml")
    assert run() == {
        "images/1/photo.JPEG": "text/en/1/article.1.xml",
        "images/1/photo.old.jpg": "text/en/1/article.1.xml",
    }


@pytest.mark.parametrize(
    ("named", "lies"),
    [
        ("text/en/1/1", "_text/en/1/1"),
        ("_text/en/1/1", "text/en/1/1"),
        ("_text/en/1/1", "_text/en/1/1"),
    ],
)
def test_find_article_gives_the_name_on_the_disk(collection, run, named, lies):
    collection.image("images/1/1.jpg")
    collection.article(lies)
    collection.metadata("1/1", "images/1/1.jpg", named)
    assert run() == {"images/1/1.jpg": lies}


def test_the_first_english_caption_that_names_an_article(collection, run):
    for name in ("de", "first", "second"):
        collection.article(f"text/{name}")
    collection.image("images/1/1.jpg")
    collection.file(
        "metadata/1/1.xml",
        b'<image id="1" file="images/1/1.jpg"><text xml:lang="de"><caption'
        b' article="text/de"/></text><text xml:lang="en">'
        b'<caption/><caption article="text/first"/><caption article="text/second"/></text></image>',
    )
    assert run() == {"images/1/1.jpg": "text/first"}


def test_a_grey_jpeg_is_an_image(collection, run):
    collection.add("1/1", grey=True)
    assert list(run()) == ["images/1/1.jpg"]


def test_every_blemish_is_counted_by_its_reason_and_the_first_is_named(collection, run, capsys):
    collection.add("1/1")
    broken = collection.file(
        "metadata/2/1.xml", b'<image id="2" file="images/1/1.jpg"><text xml:lang="en">'
    )
    collection.file("metadata/2/2.xml", b"")
    no_article = collection.metadata("3/1", "images/1/1.jpg", "text/en/none")
    german = collection.metadata("3/2", "images/1/1.jpg", de="text/en/1/1")
    no_image = collection.metadata("3/3", "images/none.jpg", "text/en/1/1")
    unnamed = collection.metadata("3/4", None, "text/en/1/1")
    png = collection.metadata("3/5", "images/3/5.png", "text/en/1/1")
    collection.image("images/3/5.png", kind=".png")
    disguised = collection.add("4/1", kind=".png")
    truncated = collection.add("4/2")
    whole = collection.folder / "images/4/2.jpg"
    whole.write_bytes(whole.read_bytes()[:-100])
    collection.add("4/3")
    (collection.folder / "images/4/3.jpg").write_bytes(b"\xff\xd8 no picture \xff\xd9")
    small = collection.add("5/1", height=64)
    folder = collection.metadata("5/2", "images/5/folder.jpg", "text/en/1/1")
    (collection.folder / "images/5/folder.jpg").mkdir()

    assert run() == {"images/1/1.jpg": "text/en/1/1"}
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 image (article file is missing): {no_article}",
        f"left out: 2 images (broken XML); the first is {broken}",
        f"left out: 2 images (image cannot be decoded); the first is {truncated}",
        f"left out: 1 image (image cannot be read: Is a directory): {folder}",
        f"left out: 1 image (image file is missing): {no_image}",
        f"left out: 1 image (metadata without an image file): {unnamed}",
        f"left out: 1 image (named .jpg but is not a JPEG): {disguised}",
        f"left out: 1 image (no English article): {german}",
        f"left out: 1 image (not a JPEG): {png}",
        f"left out: 1 image (smaller than 256 pixels): {small}",
    ]


def test_metadata_fetch_nothing(collection, run, tmp_path):
    """An external entity is not read: metadata cannot make the script open a file."""
    secret = tmp_path / "secret"
    secret.write_text('<caption article="text/en/1/1"/>')
    collection.add("1/1")
    collection.file(
        "metadata/2/1.xml",
        f'<!DOCTYPE image [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
        '<image file="images/2.jpg"><text xml:lang="en">&e;</text></image>'.encode(),
    )
    collection.image("images/2.jpg")
    assert list(run()) == ["images/1/1.jpg"]


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
CAPTION = '<text xml:lang="en"><caption article="text/en/1/1"/></text>'


@pytest.mark.parametrize(
    "xml",
    [
        f'<!DOCTYPE image [<!ENTITY l0 "ha">{LAUGHS}]><image'
        f' file="images/1/1.jpg"><name>&l11;</name>{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY l0 "ha">{LAUGHS}]><image file="&l11;">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY a "{"x" * 100_000}">]><image'
        f' file="{"&a;" * 10_000}">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY a "&b;"><!ENTITY b "&a;">]><image file="&a;">{CAPTION}</image>',
        '<!DOCTYPE image [<!ENTITY e SYSTEM "file:///none">]><image'
        f' file="images/1/1.jpg"><name>&e;</name>{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY e SYSTEM "file:///none">]><image file="&e;">{CAPTION}</image>',
        '<!DOCTYPE image [<!ENTITY % p SYSTEM "file:///none.dtd"> %p;]><image'
        f' file="images/1/1.jpg">{CAPTION}</image>',
        f'<!DOCTYPE image SYSTEM "file:///none.dtd"><image file="images/1/1.jpg">{CAPTION}</image>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE i [<!ENTITY a "b">]><image'
        f' file="images/1/1.jpg">{CAPTION}</image>',
    ],
)
def test_entities_are_refused(collection, run, capsys, xml):
    collection.add("1/1")
    path = collection.file("metadata/2/1.xml", xml.encode("utf-16" if "UTF-16" in xml else "utf-8"))
    assert list(run()) == ["images/1/1.jpg"]  # from the harmless file
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 image (XML declares entities): {path}"
    ]


def test_a_bare_document_type_and_the_predefined_entities_are_harmless(collection, run, capsys):
    collection.image("images/a & b.jpg")
    collection.article("text/en/1/1")
    collection.file(
        "metadata/1.xml",
        f'<!DOCTYPE image><image file="images/a &amp; b.jpg">{CAPTION}</image>'.encode(),
    )
    assert run() == {"images/a & b.jpg": "text/en/1/1"}
    assert left_out(capsys.readouterr().out) == []


def test_nothing_usable_is_one_sentence_and_status_1(collection, tmp_path):
    collection.add("1/1", height=64)
    command = [
        sys.executable,
        str(SCRIPT),
        "--data",
        str(tmp_path / "data"),
        "--work",
        str(tmp_path / "work"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: no usable image in {collection.folder}: are images/, metadata/ and text/ of the"
        " collection there?"
    )
    assert "Traceback" not in done.stderr
    assert "smaller than 256 pixels" in done.stdout
    assert not (tmp_path / "work" / artefacts.TRAIN_DICT).exists()


def test_missing_collection_is_named(run):
    with pytest.raises(
        UserError,
        match=r"metadata does not exist: data/README.md says how to get it",
    ):
        run()


def test_existing_output_is_kept_without_force(collection, run, tmp_path):
    collection.add("1/1")
    run()
    collection.add("1/2")
    before = (tmp_path / "work" / artefacts.TRAIN_DICT).read_bytes()
    with pytest.raises(
        UserError, match=r"train_dict_ImageCLEF_Wikipedia.json exists already: give --force"
    ):
        run()
    assert (tmp_path / "work" / artefacts.TRAIN_DICT).read_bytes() == before
    assert list(run("--force")) == ["images/1/1.jpg", "images/1/2.jpg"]


# -------------------------------------------------------------------------------------- from a dump
WORDS = " ".join(f"piano{chr(97 + i % 26)}" for i in range(50))
PAGES = [  # id, title, namespace, text
    (7, "Piano", 0, "'''The piano''' and the [[violin|violins]] &amp;lt;b&amp;gt;. " + WORDS),
    (8, "Talk:Piano", 1, WORDS),
    (9, "Stub", 0, "forty-nine is too few " + " ".join(WORDS.split()[:44])),
    (10, "Grand piano", 0, "#REDIRECT [[Piano]] " + WORDS),
    (11, "Nobody's", 0, "harbour " + WORDS),
    (12, "Numbers", 0, "the and of " * 20),
]


def dump_of(pages):
    rows = "".join(
        f"<page><title>{title}</title><ns>{ns}</ns><id>{number}</id><revision><id>1</id><text>{text}</text></revision></page>\n"
        for number, title, ns, text in pages
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n{rows}</mediawiki>\n'


@pytest.fixture
def from_dump(collection, run, tmp_path):
    """from_dump(images, ...): the dictionary that the script made from a dump and a list;
    images/x/<id>#*.jpg are in the collection.
    """
    (tmp_path / "wiki.xml.bz2").write_bytes(bz2.compress(dump_of(PAGES).encode()))

    def from_dump(entries, *arguments):
        (tmp_path / "list.json").write_text(json.dumps(entries))
        return run(
            "--dump",
            str(tmp_path / "wiki.xml.bz2"),
            "--images",
            str(tmp_path / "list.json"),
            *arguments,
        )

    return from_dump


@pytest.mark.parametrize("workers", ["1", "2"])
def test_articles_of_a_dump(collection, from_dump, tmp_path, capsys, workers):
    for name in ("7#a", "7#b", "9#a", "10#a", "12#a", "99#a"):
        collection.image(f"images/x/{name}.jpg")
    collection.image("images/x/7#small.jpg", height=255)
    listed = [
        "images/x/7#b.jpg",
        "images/x/7#a.jpg",
        "images/x/7#small.jpg",
        "images/x/7#gone.jpg",
        "images/x/9#a.jpg",
    ]
    listed += [
        "images/x/10#a.jpg",
        "images/x/12#a.jpg",
        "images/x/99#a.jpg",
        "images/x/none.jpg",
        7,
    ]
    assert from_dump(listed, "--workers", workers) == {
        "images/x/7#a.jpg": "7",
        "images/x/7#b.jpg": "7",
        "images/x/12#a.jpg": "12",
    }
    printed = capsys.readouterr().out
    assert left_out(printed) == [
        "left out: 3 images (article is not in the dump, or has fewer than 50 words); the first"
        " is images/x/9#a.jpg",
        "left out: 1 image (image file is missing): images/x/7#gone.jpg",
        "left out: 1 list entry (not a string): entry 10",
        "left out: 1 image (smaller than 256 pixels): images/x/7#small.jpg",
        "left out: 1 list entry (without an article): images/x/none.jpg",
    ]
    with TokenStore(tmp_path / "work") as store:
        assert store.tokens("7")[:2] == ["piano", "violin"]
        assert len(store.tokens("7")) == 52
        assert store.opening("7")[0] == "Piano"
        assert store.opening("7")[1].startswith("'''The piano''' and the violins")
        assert "11" not in store
        assert "8" not in store
        assert store.blemishes(["7", "12"]) == {("article", "empty after preprocessing"): (1, "12")}


def test_a_dump_that_ends_early_keeps_its_pages_and_can_be_resumed(collection, from_dump, tmp_path):
    collection.image("images/x/7#a.jpg")
    collection.image("images/x/11#a.jpg")
    whole = dump_of(PAGES).encode()
    path, listed = tmp_path / "wiki.xml.bz2", ["images/x/7#a.jpg", "images/x/11#a.jpg"]
    size = path.stat().st_size
    path.write_bytes(bz2.compress(whole[: whole.index(b"harbour")]))
    with pytest.raises(
        UserError,
        match=(
            r"wiki.xml.bz2 ends early or is damaged, the last page read is 10 .Grand piano.:"
            r" fetch it"
        ),
    ):
        from_dump(listed)
    assert not (tmp_path / "work" / artefacts.TRAIN_DICT).exists()
    with TokenStore(tmp_path / "work") as store:
        assert "7" in store
        assert "11" not in store
    path.write_bytes(bz2.compress(whole))
    assert path.stat().st_size == size
    assert from_dump(listed) == {"images/x/11#a.jpg": "11", "images/x/7#a.jpg": "7"}


def test_a_page_is_tokenized_once_per_dump(collection, from_dump, script, monkeypatch, tmp_path):
    collection.image("images/x/7#a.jpg")
    from_dump(["images/x/7#a.jpg"], "--workers", "1")
    monkeypatch.setattr(token_rows.text, "tokens_of", lambda clean: 1 / 0)
    assert from_dump(["images/x/7#a.jpg"], "--workers", "1", "--force") == {"images/x/7#a.jpg": "7"}
    changed = [
        (number, title, ns, body.replace("piano", "harp")) for number, title, ns, body in PAGES
    ]
    (tmp_path / "wiki.xml.bz2").write_bytes(
        bz2.compress(dump_of(changed).encode())
    )  # another text of the same page
    with pytest.raises(ZeroDivisionError):
        from_dump(["images/x/7#a.jpg"], "--workers", "1", "--force")


def test_a_dump_needs_its_list(run):
    with pytest.raises(UserError, match="--dump and --images go together"):
        run("--dump", "wiki.xml.bz2")


def test_a_model_from_a_dump(collection, from_dump, tmp_path, load_script, monkeypatch):
    """The later stages find the articles of a dump where the first stage has put them."""
    collection.image("images/x/7#a.jpg")
    collection.image("images/x/11#a.jpg")
    from_dump(["images/x/7#a.jpg", "images/x/11#a.jpg"])
    common = [
        "--data",
        str(tmp_path / "data"),
        "--work",
        str(tmp_path / "work"),
        "--topics",
        "2",
        "--workers",
        "1",
    ]
    for script, more in (
        ("learn_LDA_model", ["--no-below", "1", "--no-above", "1"]),
        ("generate_train_labels", []),
    ):
        monkeypatch.setattr(sys, "argv", ["x", *common, *more])
        assert not load_script(f"LDA/{script}.py").main()
    labels = json.loads((tmp_path / "work" / artefacts.training_labels(2)).read_text())
    assert list(labels) == ["images/x/11#a.jpg", "images/x/7#a.jpg"]
    assert len(labels["images/x/7#a.jpg"]) == 2


# ------------------------------------------------------------ one bad item never ends a stage
def jpeg_that_declares(height, width):
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def whole_jpeg():
    return cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))[
        1
    ].tobytes()


BAD_IMAGES = {  # content, or a function of the path that makes it; the reason
    "empty": (b"", "named .jpg but is not a JPEG"),
    "two bytes": (b"\xff\xd8", "image cannot be decoded"),
    "bomb of 20,000": (
        jpeg_that_declares(20_000, 20_000),
        "image has more than 100,000,000 pixels",
    ),
    "bomb of 40,000": (
        jpeg_that_declares(40_000, 40_000),
        "image has more than 100,000,000 pixels",
    ),
    "bomb of 65,500": (
        jpeg_that_declares(65_500, 65_500),
        "image has more than 100,000,000 pixels",
    ),
    "header of 9,000 and no more": (
        jpeg_that_declares(9000, 9000)[:200],
        "image cannot be decoded",
    ),
    "truncated": (whole_jpeg()[:3000], "image cannot be decoded"),
    "PNG": (
        cv2.imencode(".png", np.zeros((300, 300, 3), np.uint16))[1].tobytes(),
        "named .jpg but is not a JPEG",
    ),
    "folder": (lambda path: path.mkdir(), "image cannot be read: Is a directory"),
    "FIFO": (os.mkfifo, "image cannot be read: not a regular file"),
    "link to itself": (
        lambda path: path.symlink_to(path.name),
        "image cannot be read: a loop of symbolic links",
    ),
    "link to /dev/zero": (
        lambda path: path.symlink_to("/dev/zero"),
        "image cannot be read: it is a link to a file outside the collection",
    ),
    "link to nothing": (lambda path: path.symlink_to("none"), "image file is missing"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_is_counted(collection, run, capsys, content, reason):
    collection.add("1/1")
    bad = collection.metadata("1/2", "images/bad.jpg", "text/en/1/1")
    if callable(content):
        content(collection.folder / "images/bad.jpg")
    else:
        collection.file("images/bad.jpg", content)
    assert list(run("--workers", "1")) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [f"left out: 1 image ({reason}): {bad}"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../outside", "cannot be read: its name leads out of the collection"),
        ("ABSOLUTE", "cannot be read: its name leads out of the collection"),
        ("images\\..\\..\\outside", "cannot be read: its name leads out of the collection"),
        ("C:\\outside", "cannot be read: its name leads out of the collection"),
        ("x" * 300, "cannot be read: File name too long"),
        ("x/" * 3000, "cannot be read: File name too long"),
        ("text/en/1/1/x", "file is missing"),
    ],
)
@pytest.mark.parametrize("what", ["image", "article"])
def test_a_name_that_leads_nowhere_or_out_is_counted(
    collection, run, capsys, tmp_path, name, reason, what
):
    collection.add("1/1")
    collection.image("outside.jpg").rename(collection.data / "outside.jpg")
    (collection.data / "outside").write_text("a secret")
    name = name.replace("ABSOLUTE", str(collection.data / "outside"))
    names = (name + ".jpg", "text/en/1/1") if what == "image" else ("images/1/1.jpg", name)
    bad = collection.metadata("1/2", *names)
    assert list(run("--workers", "1")) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [f"left out: 1 image ({what} {reason}): {bad}"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "metadata file cannot be read: not a regular file"),
        (
            lambda path: path.symlink_to(path.name),
            "metadata file cannot be read: a loop of symbolic links",
        ),
        (
            lambda path: path.write_bytes(b'<image file="images/1/1.jpg">' + b"<a>" * 100_000),
            "broken XML",
        ),
        (lambda path: path.write_bytes(b"<image"), "broken XML"),
        (
            lambda path: path.write_bytes(b'<?xml version="1.0" encoding="nonsense"?><image/>'),
            "broken XML",
        ),
    ],
)
def test_a_bad_metadata_file_is_counted(collection, run, capsys, make, reason):
    good = collection.add("1/1")
    make(good.with_name("2.xml"))
    assert list(run("--workers", "1")) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 image ({reason}): {good.with_name('2.xml')}"
    ]


def test_a_metadata_file_whose_name_is_not_utf8(collection, run, capsys):
    good = collection.add("1/1")
    folder = os.fsencode(good.parent)
    os.link(good, folder + b"/\xff.xml")  # a whole JPEG: it is used like any other
    with open(folder + b"/\xfe.xml", "wb") as file:
        file.write(b"<image")
    assert list(run("--workers", "2")) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 image (broken XML): {good.parent}/\\xfe.xml"
    ]


def test_links_to_folders_are_followed_and_cycles_are_counted(collection, run, capsys, tmp_path):
    good = collection.add("1/1")
    (tmp_path / "disk").mkdir()
    for name in ("images", "text", "metadata"):
        (collection.folder / name).rename(tmp_path / "disk" / name)
        (collection.folder / name).symlink_to(tmp_path / "disk" / name)
    (collection.folder / "metadata/1/up").symlink_to("..")
    assert list(run()) == ["images/1/1.jpg"]
    assert left_out(capsys.readouterr().out) == [
        f"left out: 1 folder (a link that leads back to itself): {good.parent / 'up'}"
    ]


def test_entries_of_a_list_that_lead_out_are_counted(collection, from_dump, capsys):
    collection.image("images/x/7#a.jpg")
    (collection.data / "outside.jpg").write_bytes(
        (collection.folder / "images/x/7#a.jpg").read_bytes()
    )
    (collection.folder / "images/x/7#link.jpg").symlink_to("../../../outside.jpg")
    listed = [
        "images/x/7#a.jpg",
        "images/../../7#b.jpg",
        "images/x/7#link.jpg",
        "images/x/7#c\0.jpg",
        "a\\..\\b/x/7#d.jpg",
    ]
    assert list(from_dump(listed, "--workers", "1")) == ["images/x/7#a.jpg"]
    assert left_out(capsys.readouterr().out) == [
        "left out: 1 image (image cannot be read: it is a link to a file outside the collection):"
        " images/x/7#link.jpg",
        "left out: 3 list entries (without an article); the first is images/../../7#b.jpg",
    ]
