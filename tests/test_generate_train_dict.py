"""Images paired with their articles from a small collection that has every blemish of the real one."""

import importlib.util
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from texttopicnet import artefacts
from texttopicnet.artefacts import UserError

SCRIPT = artefacts.ROOT / "LDA/generate_train_dict.py"
METADATA = """<?xml version="1.0" encoding="UTF-8" ?>
<image id="{name}"{file}>
  <name>{name}</name>
  <text xml:lang="en"><description /><comment /><caption{en}>a caption</caption></text>
  <text xml:lang="de"><description /><comment /><caption{de} /></text>
</image>
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


class Collection:
    """A collection in the layout of ImageCLEF's that files are added to one by one."""

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

        fields = {"file": attribute("file", file), "en": attribute("article", en), "de": attribute("article", de)}
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
        command = ["x", "--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), *arguments]
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
    assert "4 metadata files" in printed[0] and len(printed) == 2
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
    assert left_out(capsys.readouterr().out) == [f"left out: 1 smaller than 256 pixels; the first is {small}"]


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
    [("text/en/1/1", "_text/en/1/1"), ("_text/en/1/1", "text/en/1/1"), ("_text/en/1/1", "_text/en/1/1")],
)
def test_the_article_as_it_lies_on_the_disk(collection, run, named, lies):
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
        b'<image id="1" file="images/1/1.jpg"><text xml:lang="de"><caption article="text/de"/></text><text xml:lang="en">'
        b'<caption/><caption article="text/first"/><caption article="text/second"/></text></image>',
    )
    assert run() == {"images/1/1.jpg": "text/first"}


def test_a_grey_jpeg_is_an_image(collection, run):
    collection.add("1/1", grey=True)
    assert list(run()) == ["images/1/1.jpg"]


def test_every_blemish_is_counted_by_its_reason_and_the_first_is_named(collection, run, capsys):
    collection.add("1/1")
    broken = collection.file("metadata/2/1.xml", b'<image id="2" file="images/1/1.jpg"><text xml:lang="en">')
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
        f"left out: 1 article file is missing; the first is {no_article}",
        f"left out: 2 broken XML; the first is {broken}",
        f"left out: 2 image cannot be decoded; the first is {truncated}",
        f"left out: 1 image cannot be read; the first is {folder}",
        f"left out: 1 image file is missing; the first is {no_image}",
        f"left out: 1 metadata name no image file; the first is {unnamed}",
        f"left out: 1 named .jpg but is no JPEG; the first is {disguised}",
        f"left out: 1 no English article; the first is {german}",
        f"left out: 1 not a JPEG; the first is {png}",
        f"left out: 1 smaller than 256 pixels; the first is {small}",
    ]


def test_metadata_fetch_nothing(collection, run, tmp_path):
    """An external entity stays unread: the metadata cannot make the script open a file."""
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
        f'<!DOCTYPE image [<!ENTITY l0 "ha">{LAUGHS}]><image file="images/1/1.jpg"><name>&l11;</name>{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY l0 "ha">{LAUGHS}]><image file="&l11;">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY a "{"x" * 100_000}">]><image file="{"&a;" * 10_000}">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY a "&b;"><!ENTITY b "&a;">]><image file="&a;">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY e SYSTEM "file:///none">]><image file="images/1/1.jpg"><name>&e;</name>{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY e SYSTEM "file:///none">]><image file="&e;">{CAPTION}</image>',
        f'<!DOCTYPE image [<!ENTITY % p SYSTEM "file:///none.dtd"> %p;]><image file="images/1/1.jpg">{CAPTION}</image>',
        f'<!DOCTYPE image SYSTEM "file:///none.dtd"><image file="images/1/1.jpg">{CAPTION}</image>',
        f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE i [<!ENTITY a "b">]><image file="images/1/1.jpg">{CAPTION}</image>',
    ],
)
def test_entities_are_refused(collection, run, capsys, xml):
    collection.add("1/1")
    path = collection.file("metadata/2/1.xml", xml.encode("utf-16" if "UTF-16" in xml else "utf-8"))
    assert list(run()) == ["images/1/1.jpg"]  # from the harmless file
    assert left_out(capsys.readouterr().out) == [f"left out: 1 XML that declares entities (refused); the first is {path}"]


def test_a_bare_document_type_and_the_predefined_entities_are_harmless(collection, run, capsys):
    collection.image("images/a & b.jpg")
    collection.article("text/en/1/1")
    collection.file("metadata/1.xml", f'<!DOCTYPE image><image file="images/a &amp; b.jpg">{CAPTION}</image>'.encode())
    assert run() == {"images/a & b.jpg": "text/en/1/1"}
    assert left_out(capsys.readouterr().out) == []


def test_nothing_usable_is_one_sentence_and_status_1(collection, tmp_path):
    collection.add("1/1", height=64)
    command = [sys.executable, str(SCRIPT), "--data", str(tmp_path / "data"), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: no usable image in {collection.folder}: are images/, metadata/ and text/ of the collection there?"
    )
    assert "Traceback" not in done.stderr and "smaller than 256 pixels" in done.stdout
    assert not (tmp_path / "work" / artefacts.TRAIN_DICT).exists()


def test_missing_collection_is_named(run):
    with pytest.raises(UserError, match="metadata does not exist: make it with the download that data/README.md describes"):
        run()


def test_existing_output_is_kept_without_force(collection, run, tmp_path):
    collection.add("1/1")
    run()
    collection.add("1/2")
    before = (tmp_path / "work" / artefacts.TRAIN_DICT).read_bytes()
    with pytest.raises(UserError, match="train_dict_ImageCLEF_Wikipedia.json exists already: give --force"):
        run()
    assert (tmp_path / "work" / artefacts.TRAIN_DICT).read_bytes() == before
    assert list(run("--force")) == ["images/1/1.jpg", "images/1/2.jpg"]
