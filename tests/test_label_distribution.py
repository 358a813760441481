"""The labels' distribution against values computed by hand, and the real labels against what is
known of them.
"""

import json
import sys

import numpy as np
import pytest
from gensim.corpora import MmCorpus

from texttopicnet import artefacts
from texttopicnet.errors import UserError

REAL = artefacts.ROOT.parent / "shared" / "data" / "labels" / "imageclef_10k_training_labels40.json"


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/label_distribution.py")


def test_measures_by_hand(script):
    found = script.describe(
        [[0.5, 0.25, 0, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0]]
    )
    ln2 = np.log(2)
    expected = {
        "non_zero": (2 + 1 + 4 + 3) / 4,
        "median_non_zero": 2.5,
        "sum": (0.75 + 1 + 1 + 1) / 4,
        "largest": (0.5 + 1 + 0.25 + 0.5) / 4,
        # of the first: .5 ln 2 + .25 ln 4; normalised to 2/3 and 1/3 it would be 0.637
        "entropy": (1 * ln2 + 0 + 2 * ln2 + 1.5 * ln2) / 4,
        "least_topic": 0.25 / 4,
        "most_topic": (0.25 + 1 + 0.25 + 0.25) / 4,
    }
    assert found == pytest.approx(expected, abs=1e-15)


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/labels")
def test_the_real_labels_are_as_described(script):
    found = script.describe(script.read_labels(REAL))
    assert (round(found["non_zero"], 2), found["median_non_zero"]) == (10.75, 11)
    assert [round(found[key], 3) for key in ("sum", "largest")] == [0.968, 0.437]
    assert round(found["entropy"], 2) == 1.65
    assert [round(found[key], 4) for key in ("least_topic", "most_topic")] == [0.0052, 0.0806]


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["label_distribution.py", *map(str, arguments)])
    return script.main()


def write(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(labels))
    return path


def test_files_side_by_side(script, monkeypatch, tmp_path, capsys):
    first = write(tmp_path / "a" / "labels.json", {"1.jpg": [0.5, 0.5], "2.jpg": [1, 0]})
    second = write(tmp_path / "b" / "labels.json", {"1.jpg": [0.2, 0.1, 0.7]})
    MmCorpus.serialize(str(tmp_path / "b" / "bow.mm"), [[(0, 4), (1, 1)], [(2, 1)]])
    run(script, monkeypatch, f"flat={first}", f"peaked={second}", "--work", tmp_path)
    record = json.loads(
        (tmp_path / "experiments" / "results" / "text" / "label_distribution.json").read_text()
    )
    assert record["split"] == {"flat": 2, "peaked": 1}
    assert record["inputs"]["flat"]["sha256"]
    assert record["values"]["flat"]["non_zero"] == 1.5
    assert "distinct_words" not in record["values"]["flat"]
    assert record["values"]["peaked"]["distinct_words"] == 1.5
    assert "flat, 2 labels: non_zero 1.5" in capsys.readouterr().out
    with pytest.raises(UserError, match="--force"):
        run(script, monkeypatch, f"flat={first}", "--work", tmp_path)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({}, "there are no labels"),
        ({"1.jpg": [0.5, 0.6]}, "1.jpg: its label is not a vector of 2 lda numbers"),
        ({"1.jpg": [0.5, 0.5], "2.jpg": [1]}, "2.jpg: its label is not a vector of 2 lda numbers"),
        ([[0.5, 0.5]], "does not hold labels"),
    ],
)
def test_what_is_not_labels_is_refused(script, monkeypatch, tmp_path, labels, sentence):
    path = write(tmp_path / "labels.json", labels)
    with pytest.raises(UserError, match=sentence):
        run(script, monkeypatch, f"a={path}", "--work", tmp_path)
    assert not (tmp_path / "experiments").exists()


def test_each_file_needs_a_name_of_its_own(script, monkeypatch, tmp_path):
    path = write(tmp_path / "labels.json", {"1.jpg": [1, 0]})
    with pytest.raises(UserError, match="is not NAME=LABELS"):
        run(script, monkeypatch, path, "--work", tmp_path)
    with pytest.raises(UserError, match="two label files have the same name"):
        run(script, monkeypatch, f"a={path}", f"a={path}", "--work", tmp_path)
