"""Tables: made from records, equal to the README's, the paper's numbers with their marks."""

import json
import re
import sys
from pathlib import Path

import pytest

from texttopicnet import results, tables
from texttopicnet.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/make_tables.py")


@pytest.fixture(scope="module")
def paper():
    return json.loads((ROOT / "experiments" / "paper.json").read_text())["tables"]


def make_record(experiment, values, **more):
    common = {
        "corpus": "a set",
        "values": values,
        "split": {"pairs": 4},
        "seed": 3,
        "inputs": {},
        "seconds": 2,
        "note": "a note",
    }
    return results.record(experiment=experiment, **common, **more)


@pytest.fixture
def records():
    score = {"image_query": 0.25, "text_query": 0.75, "average": 0.5, "chance": 0.125}
    classes = {"bus": {"area": 0.9}, "zebra": {"area": 0.1}}
    mean = {"area": 0.5, "voc_11_point": 0.4, "chance": 0.2}
    more = {"layer": "fc7", "name": "trained", "difficult": "leave-out"}
    return {
        "retrieval": make_record("retrieval", score | {"categories": {"a": score}}, examples=[]),
        "voc2007_svm_fc7_trained": make_record(
            "voc2007_svm", {"mean": mean, "classes": classes}, **more
        ),
        "training": make_record(
            "training", {"last_loss": 1.5, "iterations": 20}, losses=[[0, 3.0], [20, 1.5]]
        ),
    }


def own(table):
    return [row["cells"] for row in table["rows"] if row["own"]]


def test_own_rows_are_the_records(script, paper, records):
    (row,) = own(script.retrieval(paper, records))
    assert row[1:5] == ["25.00", "75.00", "50.00", "12.50"]
    assert "a note" in row[0]
    assert row[-1] == "run"
    (row,) = own(script.svm_layers(paper, records))
    assert row[1:6] == ["not run", "not run", "not run", "50.0", "20.0"]
    table = script.svm_classes(paper, records)
    (row,) = own(table)
    assert dict(zip(table["header"], row, strict=True))["bus"] == "90"
    assert dict(zip(table["header"], row, strict=True))["zebra"] == "10"
    assert dict(zip(table["header"], row, strict=True))["cat"] == "—"


def test_without_records_every_own_row_reads_not_run(script, paper):
    for table in (script.retrieval, script.svm_layers, script.svm_classes):
        assert "not run" in own(table(paper, {}))[0]
    assert "not run" in own(script.stl10(paper))[0]


def test_every_number_of_the_paper_has_a_mark(script, paper):
    for table in paper.values():
        assert {row["mark"] for row in table["rows"]} <= {"V", "R", "D"}
    for row in script.retrieval(paper, {})["rows"]:
        assert row["own"] or row["cells"][-1] in ("V", "R")


def test_remembered_averages_are_the_means_of_their_directions(paper):
    for row in paper["wikipedia_retrieval"]["rows"]:
        v = row["values"]
        assert v["average"] == pytest.approx((v["image_query"] + v["text_query"]) / 2, abs=0.0051)


def test_markdown_has_one_cell_per_column(script, paper, records):
    text = tables.markdown(script.svm_layers(paper, records))
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_readme_between_its_marks(script, monkeypatch, tmp_path, records):
    for name, record in records.items():
        results.save(tmp_path / "results" / f"{name}.json", record)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    arguments = ["make_tables.py", "--results", str(tmp_path / "results"), "--readme", str(readme)]

    def run(*more):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        return script.main()

    with pytest.raises(UserError, match=r"README.md are not those of"):
        run("--check")
    assert run() == 0
    assert run("--check") == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "75.00" in text
    readme.write_text(text.replace("75.00", "76.00"))
    with pytest.raises(UserError, match="are not those of"):
        run("--check")
    readme.write_text("no marks")
    with pytest.raises(UserError, match="must hold <!-- results:begin -->"):
        run()


def test_the_projects_readme_and_its_records_agree(script, monkeypatch):
    folder = ROOT / "experiments" / "results" / "openstax_short"
    arguments = ["--results", str(folder), "--readme", str(ROOT / "README.md"), "--check"]
    monkeypatch.setattr(sys, "argv", ["make_tables.py", *arguments])
    assert list(folder.glob("*.json"))
    assert script.main() == 0


def test_report_draws_every_record(script, monkeypatch, tmp_path, records):
    for name, record in records.items():
        results.save(tmp_path / "experiments" / "results" / f"{name}.json", record)
    monkeypatch.setattr(
        sys, "argv", ["make_tables.py", "--work", str(tmp_path), "--data", str(tmp_path)]
    )
    assert script.main() == 0
    page = (tmp_path / "experiments" / "report.html").read_text()
    assert page.count("data:image/png") == 3
    assert "a note" in page
    with pytest.raises(UserError, match="--force"):
        script.main()


def cells_of(markdown):
    """The rows of a Markdown table as GitHub splits them: at bars that have no backslash before
    them.
    """
    return [
        re.split(r"(?<!\\)\|", row)[1:-1] for row in markdown.splitlines() if row.startswith("|")
    ]


def test_notes_and_names_are_shown_as_they_are(script, paper, records, monkeypatch, tmp_path):
    note = "a | b\nc `d` <script>alert(1)</script> <!-- results:end --> [x](http://y) **z**"
    note += " \\ &amp; \udcff"
    shown = "a \\| b c \\`d\\` &lt;script&gt;alert(1)&lt;/script&gt; &lt;!-- results:end --&gt;"
    shown += " \\[x\\](http://y) \\*\\*z\\*\\* \\\\ &amp;amp; \udcff"
    for record in records.values():
        record["note"] = note
    for make in (script.retrieval, script.svm_layers, script.svm_classes):
        table = make(paper, records)
        rows = cells_of(tables.markdown(table))
        assert {len(row) for row in rows} == {len(table["header"])}
    rows = cells_of(tables.markdown(tables.runs(records)))
    assert [row[-1].strip() for row in rows[2:]] == [shown] * len(records)

    for name, record in records.items():
        results.save(tmp_path / "experiments/results" / f"{name}.json", record)
    monkeypatch.setattr("sys.argv", ["x", "--work", str(tmp_path)])
    assert script.main() == 0
    written = (tmp_path / "experiments/tables.md").read_text()
    assert "<script>" not in written
    assert "&lt;script&gt;" in written
    assert tables.escaped("TextTopicNet (CNN), pool5: 1.5 %") == "TextTopicNet (CNN), pool5: 1.5 %"
