"""data/check.py: small copies of the sets' layouts, whole and with faults; official numbers."""

import bz2
import json
import re
import sys

import cv2
import numpy as np
import pytest

from texttopicnet import artefacts, retrieval, stl10, sun397, voc

PICTURE = cv2.imencode(".jpg", np.full((256, 256, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def script(load_script):
    return load_script("data/check.py")


@pytest.fixture
def modules(script):
    """The modules that check.py loads."""
    return {name: sys.modules[name] for name in ("set_checks", "corpus_checks", "set_parts")}


@pytest.fixture
def check(script, monkeypatch, tmp_path, capsys):
    """check("NAME", ...): status, and what --json says of the only set."""

    def check(name, *more):
        arguments = ["check.py", name, "--data", str(tmp_path), "--json", "--workers", "1", *more]
        monkeypatch.setattr(sys, "argv", arguments)
        status = script.main()
        (found,) = json.loads(capsys.readouterr().out).values()
        assert found["complete"] == (status == 0)
        return status, {part["what"]: part for part in found["parts"]}

    return check


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def bad(parts):
    return [what for what, part in parts.items() if not part["complete"]]


# --------------------------------------------------------------------------------------- VOC2007
@pytest.fixture
def voc2007(tmp_path, monkeypatch, modules):
    year = tmp_path / "VOCdevkit" / "VOC2007"
    splits = {"train": ["1"], "val": ["2"], "trainval": ["1", "2"], "test": ["3"]}
    for split, ids in splits.items():
        rows = {"": "".join(f"{i}\n" for i in ids), "bus_": "".join(f"{i}  1\n" for i in ids)}
        write(year, {f"ImageSets/Main/{n}{split}.txt": text for n, text in rows.items()})
    for i in "123":
        write(year, {f"JPEGImages/{i}.jpg": PICTURE, f"Annotations/{i}.xml": "<annotation/>"})
    monkeypatch.setattr(voc, "PAPER_CLASSES", 1)
    numbers = {split: len(ids) for split, ids in splits.items()}
    monkeypatch.setattr(modules["set_checks"], "VOC_SPLITS", numbers)
    monkeypatch.setattr(modules["set_checks"], "VOC_IMAGES", 3)
    return year


def test_voc2007(voc2007, check):
    status, parts = check("VOC2007", "--thorough")
    assert (status, bad(parts)) == (0, [])
    assert (parts["images"]["found"], parts["images that decode"]["found"]) == (3, 3)
    assert parts["lists of a class and split"]["found"] == 4
    assert not parts["images in train.txt"]["official_is_verified"]
    (voc2007 / "JPEGImages/2.jpg").unlink()
    (voc2007 / "JPEGImages/3.jpg").write_bytes(b"no picture")
    write(voc2007, {"ImageSets/Main/bus_test.txt": "4  1\n"})
    status, parts = check("VOC2007", "--thorough")
    assert status == 1
    assert bad(parts) == ["lists of a class and split", "images", "images that decode"]
    assert parts["images"]["first_missing"] == ["JPEGImages/2.jpg"]
    assert parts["images that decode"]["first_missing"] == [
        "JPEGImages/2.jpg (No such file or directory)",
        "JPEGImages/3.jpg (cannot be decoded)",
    ]
    assert parts["lists of a class and split"]["first_missing"] == [
        "bus_test.txt does not have the images of test.txt"
    ]


def test_voc2007_in_a_folder_of_its_own(voc2007, check, tmp_path):
    voc2007.parent.rename(tmp_path / "moved")
    status, parts = check("VOC2007")
    assert (status, list(parts)) == (1, ["folders"])
    (tmp_path / "else").mkdir()
    (tmp_path / "moved").rename(tmp_path / "else" / "VOCdevkit")
    assert check("VOC2007", "--voc", str(tmp_path / "else"))[0] == 0


# ------------------------------------------------------------------------------------- Wikipedia
def test_wikipedia(check, tmp_path, monkeypatch, modules):
    folder = tmp_path / "Wikipedia"
    write(
        folder,
        {
            "categories.list": "art\nsport\n",
            retrieval.TEST_LIST: "a\tx\t1\nb\ty\t2\n",
            retrieval.TRAIN_LIST: "c\tz\t2\n",
            "raw_features.mat": "x",
            **{f"texts/{name}.xml": "text" for name in "abc"},
            **{f"images/{name}.jpg": PICTURE for name in ("art/x", "sport/y", "sport/z")},
        },
    )
    monkeypatch.setattr(retrieval, "PAPER_PAIRS", [1, 1])
    for name, value in (("CATEGORIES", 2), ("TRAIN", 1), ("PAIRS", 3)):
        monkeypatch.setattr(modules["set_checks"], f"WIKIPEDIA_{name}", value)
    assert bad(check("Wikipedia", "--thorough")[1]) == []
    (folder / "texts/b.xml").unlink()
    (folder / "images/sport/z.jpg").unlink()
    (folder / "images/sport/z.jpg").mkdir()
    status, parts = check("Wikipedia")
    assert (status, bad(parts)) == (1, ["texts", "images"])
    assert parts["images"]["first_missing"] == ["images/sport/z.jpg (Is a directory)"]
    (folder / retrieval.TRAIN_LIST).write_text("c\tz\t9\n")
    _, parts = check("Wikipedia")
    assert "line 1: not 'text id" in parts["training pairs"]["first_missing"][0]


# ---------------------------------------------------------------------------------------- STL-10
def test_stl_10(check, tmp_path, monkeypatch, modules):
    folder = tmp_path / "STL10" / "stl10_binary"
    write(
        folder,
        {
            "train_X.bin": bytes(2 * stl10.BYTES),
            "test_X.bin": bytes(3 * stl10.BYTES),
            "train_y.bin": bytes([1, 10]),
            "test_y.bin": bytes([1, 2, 3]),
            "fold_indices.txt": "0 \n1 \n",
            "class_names.txt": "bird\ncar\n",
        },
    )
    for name, value in (("PAPER_TRAIN", 2), ("PAPER_TEST", 3), ("FOLDS", 2)):
        monkeypatch.setattr(stl10, name, value)
    monkeypatch.setattr(modules["set_checks"], "STL_FOLD", 1)
    status, parts = check("STL10")
    assert bad(parts) == ["names in class_names.txt"]  # 2, not 10
    write(folder, {"class_names.txt": "\n".join("abcdefghij")})
    status, parts = check("STL10")
    assert (status, bad(parts)) == (0, [])
    assert parts["images in unlabeled_X.bin"]["found"] == 0  # it is not needed
    write(folder, {"test_X.bin": bytes(3 * stl10.BYTES - 1), "train_y.bin": b"\0\1"})
    (folder / "fold_indices.txt").unlink()
    status, parts = check("STL10")
    assert status == 1
    assert bad(parts) == [
        "labels in train_y.bin",
        "images in test_X.bin",
        "folds of 1,000 images",
    ]
    assert "not a multiple of 27,648" in parts["images in test_X.bin"]["first_missing"][0]


# ---------------------------------------------------------------------------------------- SUN397
def test_sun397(check, tmp_path, monkeypatch, modules):
    folder = tmp_path / "SUN397"
    rows = {"Training": ["/a/abbey/1.jpg", "/z/zoo/1.jpg"]}
    rows["Testing"] = [row.replace("1.jpg", "2.jpg") for row in rows["Training"]]
    for kind, images in rows.items():
        write(folder, {f"Partitions/{kind}_01.txt": "".join(f"{row}\n" for row in images)})
        write(folder, {f"SUN397{row}": PICTURE for row in images})
    write(folder, {"Partitions/ClassName.txt": "/a/abbey\n/z/zoo\n", "SUN397/z/zoo/3.jpg": "x"})
    for name, value in (("CLASSES", 2), ("PARTITIONS", 1), ("IMAGES", 1)):
        monkeypatch.setattr(sun397, f"PAPER_{name}", value)
    monkeypatch.setattr(modules["set_checks"], "SUN_PHOTOGRAPHS", 5)
    status, parts = check("SUN397", "--thorough")
    assert (status, bad(parts)) == (0, [])
    assert parts["images that the lists name"]["found"] == 4
    (folder / "SUN397/a/abbey/2.jpg").unlink()
    write(folder, {"Partitions/Training_01.txt": "/a/abbey/1.jpg\n"})
    status, parts = check("SUN397")
    assert bad(parts) == [
        "lists of 2 images",
        "images that the lists name",
        "photographs in SUN397/",
    ]
    assert parts["images that the lists name"]["first_missing"] == ["a/abbey/2.jpg"]


# ------------------------------------------------------------------------------------- ImageCLEF
def metadata(number, ending="jpg", language="en"):
    return (
        f'<image id="{number}" file="images/1/{number}.{ending}"><text xml:lang="{language}">'
        f'<caption article="text/en/1/{number}">c</caption></text></image>'
    )


@pytest.fixture
def clef(tmp_path, monkeypatch, modules):
    """Two usable pairs, a PNG, and an image with a German article only."""
    folder = tmp_path / "ImageCLEF_Wikipedia"
    for number in range(2):
        write(
            folder,
            {
                f"metadata/1/{number}.xml": metadata(number),
                f"images/1/{number}.jpg": PICTURE,
                f"text/en/1/{number}": "piano",
            },
        )
    write(
        folder,
        {
            "metadata/1/2.xml": metadata(2, "png"),
            "images/1/2.png": "png",
            "metadata/1/3.xml": metadata(3, language="de"),
            "images/1/3.jpg": PICTURE,
        },
    )
    for name, value in (("IMAGES", 4), ("USABLE", 2), ("ARTICLES", 2)):
        monkeypatch.setattr(modules["corpus_checks"], name, value)
    return folder


def test_the_full_imageclef_collection(clef, check):
    status, parts = check("ImageCLEF_Wikipedia")
    assert (status, next(iter(parts))) == (0, "metadata files, full version")
    assert parts["usable pairs of image and English article"]["official"] is None
    status, parts = check("ImageCLEF_Wikipedia", "--thorough")
    assert status == 0
    assert parts["usable pairs of image and English article"]["official"] == 2
    (clef / "text/en/1/1").unlink()
    (clef / "images/1/0.jpg").write_bytes(b"no picture")
    write(clef, {"metadata/1/3.xml": "<image"})
    status, parts = check("ImageCLEF_Wikipedia")
    assert status == 1
    assert parts["metadata whose files are there"]["first_missing"] == [
        "metadata/1/1.xml (article file is missing)",
        "metadata/1/3.xml (broken XML)",
    ]
    _, parts = check("ImageCLEF_Wikipedia", "--thorough")
    assert parts["usable pairs of image and English article"]["found"] == 0


def test_the_streamlined_imageclef_collection(clef, check):
    for number in (2, 3):
        (clef / f"metadata/1/{number}.xml").unlink()
    (clef / "text").rename(clef / "_text")
    status, parts = check("ImageCLEF_Wikipedia")
    assert (status, next(iter(parts))) == (0, "metadata files, streamlined version")
    assert parts["articles of these pairs"]["found"] == 2
    assert check("ImageCLEF_Wikipedia_streamlined")[0] == 0
    status, parts = check("ImageCLEF_Wikipedia_full")
    assert bad(parts) == ["metadata files, full version"]
    (clef / "images/1/1.jpg").unlink()
    status, parts = check("ImageCLEF_Wikipedia")
    assert bad(parts) == ["usable pairs of image and English article", "articles of these pairs"]


# ---------------------------------------------------------------------------------------- a dump
DUMP = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">{}</mediawiki>'
PAGE = "<page><title>T</title><ns>0</ns><id>7</id><revision><text>piano</text></revision></page>"


def test_a_wikipedia_dump(check, tmp_path):
    folder = tmp_path / "wikipedia_data"
    data = bz2.compress(DUMP.format(PAGE).encode())
    write(
        folder,
        {
            "text_dump/enwiki-pages-articles.xml.bz2": data,
            "list_of_images.json": '["a/b/7#1.jpg", "a/b/7#2.jpg"]',
            "a/b/7#1.jpg": PICTURE,
            "a/b/7#2.jpg": PICTURE,
        },
    )
    status, parts = check("wikipedia_data", "--thorough")
    assert (status, bad(parts)) == (0, [])
    assert parts["articles of these images"]["found"] == 1
    assert parts["articles of these images"]["official"] == 1_700_000  # remembered: not compared
    (folder / "a/b/7#2.jpg").unlink()
    write(folder, {"list_of_images.json": '["a/b/7#1.jpg", "a/b/7#2.jpg", 3, "x.jpg"]'})
    write(folder, {"text_dump/enwiki-pages-articles.xml.bz2": data[:-30]})
    status, parts = check("wikipedia_data")
    assert bad(parts) == ["dump", "images in list_of_images.json", "images that are there"]
    assert "ends early or is damaged" in parts["dump"]["first_missing"][0]
    write(folder, {"text_dump/enwiki-pages-articles.xml.bz2": "no dump"})
    assert "is not a MediaWiki dump" in check("wikipedia_data")[1]["dump"]["first_missing"][0]


# ------------------------------------------------------------------------------------ the command
def test_nothing_is_there(script, monkeypatch, tmp_path, capsys):
    """Every set is named, with its address and its README, and the status is 1."""
    monkeypatch.setattr(sys, "argv", ["check.py", "--data", str(tmp_path)])
    assert script.main() == 1
    printed = capsys.readouterr().out
    assert printed.count(": not complete\n") == len(script.SETS) == 6
    for data_set in script.SETS:
        assert f"get it from {data_set.address} ({data_set.readme} says what goes where)" in printed
        readme = (artefacts.ROOT / data_set.readme).read_text("utf-8")
        for address in re.findall(r"https?://\S+", data_set.address):
            assert address in readme
        assert "Licence" in readme


def test_the_table(script, voc2007, monkeypatch, tmp_path, capsys):
    for i in "12":
        (voc2007 / f"JPEGImages/{i}.jpg").unlink()
    monkeypatch.setattr(sys, "argv", ["check.py", "VOC2007", "--data", str(tmp_path)])
    assert script.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"PASCAL VOC2007, in {tmp_path}: not complete"
    rows = [re.split(r"  +", line) for line in lines]
    assert ["classes", "1", "1", "complete"] in rows
    assert ["images in val.txt", "1", "about 1", "not compared"] in rows
    assert ["images", "1", "3", "2 missing or faulty"] in rows
    assert "images: JPEGImages/1.jpg; JPEGImages/2.jpg" in lines


def test_an_unknown_name_is_one_sentence(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["check.py", "MNIST"])
    with pytest.raises(
        script.UserError, match="MNIST is not a data set: choose from ImageCLEF_Wikipedia, "
    ):
        script.main()


def test_the_official_numbers_are_in_the_readmes(modules):
    numbers = {
        "VOC2007": (9963, 5011, 4952, 20),
        "Wikipedia": (2866, 693, 2173, 10),
        "STL10": (5000, 8000, 100_000),
        "SUN397": (397, 108_754, 19_850),
        "ImageCLEF_Wikipedia": (237_434, 100_785, 35_582),
    }
    checks, corpora = modules["set_checks"], modules["corpus_checks"]
    assert numbers["VOC2007"][:3] == (
        checks.VOC_IMAGES,
        checks.VOC_SPLITS["trainval"],
        checks.VOC_SPLITS["test"],
    )
    pairs = checks.WIKIPEDIA_PAIRS, sum(retrieval.PAPER_PAIRS), checks.WIKIPEDIA_TRAIN
    assert numbers["Wikipedia"][:3] == pairs
    assert pairs[0] == pairs[1] + pairs[2]
    assert numbers["ImageCLEF_Wikipedia"] == (corpora.IMAGES, corpora.USABLE, corpora.ARTICLES)
    for name, official in numbers.items():
        text = (artefacts.ROOT / "data" / name / "README.md").read_text("utf-8")
        for number in official:
            assert f"{number:,}" in text, (name, number)
