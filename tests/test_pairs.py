"""Pairs of image and article: the train dict's order, the order of names, and refused files."""

import json

import pytest

from texttopicnet import json_files
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs

PAIRS = {
    "images/b.jpg": "text/2",
    "images/a.jpg": "text/10",
    "images/ü.jpg": "text/2",
    "images/Z.jpg": "text/1",
}


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(PAIRS))  # one line, as the original's
    return Pairs.load(tmp_path / "train.json")


def test_the_train_dicts_order(pairs):
    assert len(pairs) == 4
    assert pairs.num_articles == 3
    assert list(pairs) == list(PAIRS.items())
    assert dict(pairs.sorted()) == PAIRS
    assert [image for image, _ in pairs.sorted()] == sorted(PAIRS)


def test_articles_are_sorted_and_counted(pairs):
    wanted = [("text/1", 1), ("text/10", 1), ("text/2", 2)]
    assert list(pairs.articles()) == wanted == list(pairs.articles())
    ranks = [("images/b.jpg", 2), ("images/a.jpg", 1), ("images/ü.jpg", 2), ("images/Z.jpg", 0)]
    assert list(pairs.ranks()) == ranks == list(pairs.ranks())
    assert pairs.images("text/2") == ["images/b.jpg", "images/ü.jpg"]
    assert pairs.images("text/3") == []
    assert pairs.has_article("text/10")
    assert not pairs.has_article("text/3")


def test_the_later_of_two_articles_for_one_image_stays():
    pairs = Pairs()
    for image, article in (("b", "one"), ("a", "first"), ("b", "two")):
        pairs.add(image, article)
    assert list(pairs) == [("b", "two"), ("a", "first")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"a": "b"',
            "train.json is not valid JSON .*: rebuild it with python LDA/generate_train_dict.py",
        ),
        (
            "{}",
            "train.json holds no pairs of image and article: rebuild it with python"
            " LDA/generate_train_dict.py --force",
        ),
        ('["a", "b"]', "holds no pairs"),
        (
            '{"a": ["b"]}',
            "train.json: the article of an image, list, is not a file of the collection .it is"
            " not a name.",
        ),
        (None, "train.json does not exist: make it with python LDA/generate_train_dict.py"),
    ],
)
def test_other_files_are_not_train_dicts(tmp_path, content, says):
    if content is not None:
        (tmp_path / "train.json").write_text(content)
    with pytest.raises(UserError, match=says):
        Pairs.load(tmp_path / "train.json")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a", "a/../../b", "a\\..\\b", "C:\\a", "\\\\host\\a", "a\0b", "", "//a"],
)
@pytest.mark.parametrize("place", ["image", "article"])
def test_a_name_that_leads_out_of_the_collection_is_refused(tmp_path, name, place):
    rows = {
        "images/1.jpg": "text/1",
        **({name: "text/2"} if place == "image" else {"images/2.jpg": name}),
    }
    json_files.write(tmp_path / "train.json", rows)
    with pytest.raises(
        UserError,
        match=(
            r"train.json: the .* is not a file of the collection .*generate_train_dict.py"
            r" --force"
        ),
    ) as caught:
        Pairs.load(tmp_path / "train.json")
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)
