"""experiments/diagram_share.py: what counts as a plain background."""

import json
import sys

import cv2
import numpy as np
import pytest

from texttopicnet import artefacts
from texttopicnet.errors import UserError


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/diagram_share.py")


def picture(plain, colour):
    """10 x 10 pixels, the first `plain` of which have the colour; all others differ."""
    image = np.zeros((100, 3), np.uint8)
    image[:, 0] = 8 * (np.arange(100) % 29)
    image[:, 1] = 8 * (np.arange(100) // 29)
    image[:plain] = colour
    return image.reshape(10, 10, 3)


def test_background(script):
    assert script.background(picture(40, 255)) == (0.4, 0.4)
    assert script.background(picture(40, (90, 40, 200))) == (0.0, 0.4)
    assert script.background(picture(0, 0)) == (0.0, 0.01)
    almost = picture(40, 255)
    almost[0, :5] = 250  # as a JPEG would leave it
    assert script.background(almost) == (0.4, 0.4)


def test_the_record(script, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, image in (
        ("a.png", picture(31, 255)), ("b.png", picture(30, 255)), ("c.png", picture(50, 90)),
        ("d.png", picture(0, 0)),
    ):  # fmt: skip
        cv2.imwrite(str(folder / name), image)
    (folder / "notes.txt").write_text("not an image")
    argv = ["x", f"books={folder}", "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    assert script.main() == 0
    output = tmp_path / "experiments" / "results" / "diagram_share.json"
    found = json.loads(output.read_text())
    assert found["values"] == {"books": {"white": 0.25, "one_colour": 0.5}}
    assert found["split"] == {"books": 4}
    assert "books, 4 images: 0.500 on a plain background, 0.250 on white" in capsys.readouterr().out

    with pytest.raises(UserError, match="exists already"):
        script.main()
    monkeypatch.setattr(sys, "argv", [*argv, "--force", "--sample", "2"])
    assert script.main() == 0
    assert json.loads(output.read_text())["split"] == {"books": 2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("images", "images is not NAME=FOLDER"),
        ("a=nowhere", r"nowhere does not exist: data/README\.md says"),
        ("a=.", r"\. holds no images"),
    ],
)
def test_bad_folders(script, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", given, "--work", str(tmp_path)])
    with pytest.raises(UserError, match=message):
        script.main()


def test_the_readme_has_the_numbers_of_the_records():
    """Shares of plain backgrounds, and how sharp the labels of the union and the authors' are."""
    folder = artefacts.ROOT / "experiments"
    readme = " ".join((folder / "README.md").read_text("utf-8").split())
    results = folder / "results"
    values = {
        path: json.loads((results / path).read_text())["values"]
        for path in (
            "evidence/diagram_share.json",
            "evidence/label_distribution.json",
            "text/label_distribution.json",
        )
    }
    shares = {n: v["one_colour"] for n, v in values["evidence/diagram_share.json"].items()}
    assert round(shares["OpenStax figures"], 1) == 0.5
    assert "Half of the OpenStax figures stand on a plain background" in readme
    assert f"and {100 * shares['VOC2007 subset']:.0f} percent of VOC2007's images do" in readme
    assert f"which adds photographs, it is {100 * shares['union']:.0f} percent" in readme
    ours = values["evidence/label_distribution.json"]["union, passes 20"]
    authors = values["text/label_distribution.json"]["authors' ImageCLEF labels"]
    assert (
        f"({ours['non_zero']:.1f} topics above 0 against {authors['non_zero']:.1f}, maximum"
        f" {ours['largest']:.2f} against {authors['largest']:.2f};"
    ) in readme
