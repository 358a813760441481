"""Counts in messages: singular and plural, and the first item of each reason."""

import pytest

from texttopicnet.counts import Tally, counted, first_of


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1000 images")]
)
def test_a_noun_is_in_the_plural_unless_there_is_one(number, text):
    assert counted(number, "image") == text


def test_an_irregular_plural_is_given():
    assert counted(1, "entry was", "entries were") == "1 entry was"
    assert counted(3, "entry was", "entries were") == "3 entries were"


def test_the_first_of_several_is_named_as_the_first():
    assert "1 image" + first_of(1, "a.jpg") == "1 image: a.jpg"
    assert "2 images" + first_of(2, "a.jpg") == "2 images; the first is a.jpg"


def test_a_tally_has_a_line_per_reason_sorted_by_it():
    tally = Tally()
    for name in ("a.png", "b.png", "c.png"):
        tally.add("not a JPEG", name)
    tally.add("image has more than 100,000,000 pixels", "huge.jpg")
    tally.add("not a string", "entry 7", "list entry")
    tally.add("not a string", "entry 9", "list entry")
    tally.add("a link that leads back to itself", "up\n", "folder")
    assert tally.lines() == [
        "1 folder (a link that leads back to itself): up\\x0a",
        "1 image (image has more than 100,000,000 pixels): huge.jpg",
        "3 images (not a JPEG); the first is a.png",
        "2 list entries (not a string); the first is entry 7",
    ]
    assert tally["image", "not a JPEG"] == (3, "a.png")
