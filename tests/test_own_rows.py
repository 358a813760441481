"""Our rows in the paper's tables: STL-10 by method, SUN397 by layer, fine-tuning, other sets."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made(load_script):
    return load_script("experiments/paper_tables.py")


@pytest.fixture(scope="module")
def paper():
    return json.loads((ROOT / "experiments" / "paper.json").read_text())["tables"]


def record(corpus, method, mean, **more):
    return {
        "experiment": "image_classification",
        "corpus": corpus,
        "method": method,
        "name": "trained",
        "note": "a note",
        "paper_set": False,
        "values": {"accuracy": {"mean": mean, "std": 0.01, "folds": [mean]}, "chance": 0.1},
        "split": {"classes": 10, "folds": 1, "train": 1000, "test": 8000},
    } | more


def own(table):
    return [row["cells"] for row in table["rows"] if row["own"]]


def test_stl10_has_a_row_per_method_and_compares_each_with_its_own(made, paper):
    records = {
        "a": record("stl10", "fine-tuned", 0.7651, paper_set=True),
        "b": record("stl10", "fc7", 0.5, paper_set=True),
        "c": record("stl10", "pool5", 0.6, paper_set=True),
        "d": record("elsewhere", "fc7", 0.9),
    }
    first, second, third = own(made.generic(paper["stl10"], records))
    assert first == ["this project, trained, fine-tuned (a note)", "76.51", "stl10", "run", "OK"]
    assert second[1:] == ["50.00", "stl10", "run", "FAIL"]
    assert third[1:] == ["60.00", "stl10", "run", "—"]  # the paper has no such row


def test_sun397_has_the_layers_of_a_net_in_one_row(made, paper):
    records = {
        "a": record("sun397", "fc7", 0.25),
        "b": record("sun397", "max5", 0.125),
        "c": record("sun397", "fine-tuned", 0.5),
        "d": record("sun397", "fc7", 0.0625, name="untrained"),
    }
    trained, untrained = own(made.generic(paper["sun397"], records))
    assert trained[1:5] == ["12.5", "not run", "not run", "25.0"]
    assert untrained[1:5] == ["not run", "not run", "not run", "6.2"]
    assert trained[-1] == "other data"


def test_fine_tuning_on_voc2007_is_the_ten_crops_area(made, paper):
    values = {f"crops_{n}": {"mean": {"area": n / 20}} for n in (1, 10)}
    found = {
        "experiment": "voc2007_fine_tuning",
        "corpus": "VOC2007",
        "name": "trained",
        "note": "",
        "paper_set": True,
        "values": values,
    }
    (row,) = own(made.generic(paper["voc2007_finetuning"], {"a": found}))
    assert row[:3] == ["this project, trained (no note)", "50.0", "not run"]


def test_other_sets_have_a_table_of_their_own(load_script):
    own_rows = load_script("experiments/own_rows.py")
    assert own_rows.other_sets({"a": record("stl10", "fc7", 0.5)}) == []
    (table,) = own_rows.other_sets({"a": record("Wikipedia", "fc7", 0.5)})
    assert own(table) == [
        [
            "this project, trained, fc7 (a note)",
            *("50.0", "1.0", "10.0", "Wikipedia, 1 folds of 1000 + 8000 images"),
        ]
    ]
