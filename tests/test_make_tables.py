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
    return json.loads((ROOT / "experiments" / "paper.json").read_text())


@pytest.fixture(scope="module")
def made(load_script):
    return load_script("experiments/paper_tables.py")


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
        "retrieval": make_record("retrieval", score | {"categories": {"a": score}}, examples={}),
        "voc2007_svm_fc7_trained": make_record(
            "voc2007_svm", {"mean": mean, "classes": classes}, **more
        ),
        "training": make_record(
            "training", {"last_loss": 1.5, "iterations": 20}, losses=[[0, 3.0], [20, 1.5]]
        ),
    }


def own(table):
    return [row["cells"] for row in table["rows"] if row["own"]]


def test_own_rows_are_the_records(made, paper, records):
    (row,) = own(made.retrieval(paper, records))
    assert row[1:5] == ["25.00", "75.00", "50.00", "12.50"]
    assert "a note" in row[0]
    assert row[-2:] == ["run", "other data"]
    (row,) = own(made.svm_layers(paper, records))
    assert row[1:6] == ["not run", "not run", "not run", "50.0", "20.0"]
    table = made.svm_classes(paper, records)
    (row,) = own(table)
    assert dict(zip(table["header"], row, strict=True))["bus"] == "90"
    assert dict(zip(table["header"], row, strict=True))["zebra"] == "10"
    assert dict(zip(table["header"], row, strict=True))["cat"] == "—"


def test_classes_that_the_paper_lacks_come_first_with_all_of_ours(made, paper, records):
    papers = list(paper["tables"]["voc2007_svm_classes"]["rows"][0]["values"])
    header = made.svm_classes(paper, records)["header"]
    assert header[1:4] == ["bus", "zebra", "aeroplane"]
    assert sorted(header[1:-3]) == sorted([*papers, "zebra"])
    records["voc2007_svm_fc7_trained"]["values"]["classes"] = {"cat": {"area": 1}}
    assert made.svm_classes(paper, records)["header"][1:-3] == papers


def test_without_records_every_own_row_reads_not_run(made, paper):
    for table in made.tables(paper, {})[:-1]:  # the last one has facts
        (row,) = own(table)
        assert row[0] == "this project"
        assert set(row[1:]) == {"not run", "—"}, table["title"]


def test_the_schema_of_the_papers_numbers(paper):
    assert paper["unit"] == "percent"
    needed = {"title", "metric", "split", "command", "tolerance", "ours", "rows"}
    allowed = needed | {"columns", "note", "digits", "unit", "record"}
    for name, table in paper["tables"].items():
        assert needed <= table.keys() <= allowed, name
        methods = [row["method"] for row in table["rows"]]
        assert len(set(methods)) == len(methods)
        assert table["ours"] is None or table["ours"] in methods
        columns = [c for c, _ in table.get("columns", [])] or list(table["rows"][0]["values"])
        for row in table["rows"]:
            assert set(row["values"]) == set(columns), (name, row["method"])
            assert row["mark"] in paper["marks"]
            assert row["confidence"] in paper["confidences"]
            for value in row["values"].values():
                assert value is None or 0 < value < 100
    for fact in paper["facts"]:
        assert {"figure", "value", "source", "mark"} <= fact.keys()
        assert fact["mark"] != "R" or fact["confidence"] in paper["confidences"]


def test_the_command_of_every_table_is_a_script_or_says_that_it_is_missing(paper):
    for name, table in paper["tables"].items():
        script_name = re.match(r"python (\S+\.py)", table["command"])
        if script_name:
            assert (ROOT / script_name[1]).is_file(), name
        else:
            assert table["command"] == "not written yet", name


def test_every_remembered_row_carries_its_mark_in_the_tables(made, paper, records):
    """Looked up in the Markdown, by the row's name: R with its confidence, V and D alone."""
    found = made.tables(paper, records)
    for table, made_table in zip(paper["tables"].values(), found, strict=False):
        rows = {cells[0].strip(): cells for cells in cells_of(tables.markdown(made_table))}
        column = [c.strip() for c in rows["method"]].index("mark")
        for row in table["rows"]:
            name = next(
                n
                for n in rows
                if re.fullmatch(rf"paper: {re.escape(row['method'])}( \(supervised\))?", n)
            )
            expected = f"R ({row['confidence']})" if row["mark"] == "R" else row["mark"]
            assert rows[name][column].strip() == expected, row["method"]
        assert "R = as remembered, not checked" in made_table["lead"][0]
    assert sum(row["mark"] == "R" for t in paper["tables"].values() for row in t["rows"]) == 57


def test_the_verdict_of_a_number(made):
    papers, other = {"paper_set": True}, {"paper_set": False}
    assert made.verdict(papers, 40.0, 41.0, 1.0) == "OK"
    assert made.verdict(papers, 42.01, 41.0, 1.0) == "OK*"
    assert made.verdict(papers, 44.0, 41.0, 1.0) == "OK*"
    assert made.verdict(papers, 44.01, 41.0, 1.0) == "FAIL"
    assert made.verdict(papers, 41.0, None, 1.0) == "—"
    assert made.verdict(papers | {"name": "untrained"}, 41.0, 41.0, 1.0) == "—"
    assert made.verdict(other, 41.0, 41.0, 1.0) == "other data"
    assert made.worst(["OK", "—", "OK*"]) == "OK*"
    assert made.worst(["OK", "FAIL"]) == "FAIL"
    assert made.worst(["—"]) == "—"


def test_baselines_stand_beside_the_published_rows(made, paper):
    rows = {
        "CCA": {"image_query": 0.2549, "text_query": 0.1846, "average": 0.2198},
        "SCM": {"image_query": 0.20, "text_query": 0.20, "average": 0.20},
    }
    record = make_record("retrieval_baselines", {"methods": rows, "chance": 0.1}, paper_set=True)
    record |= {"dims": {"image": 128, "text": 10}, "split": {"pairs": 693}}
    records = {"retrieval_baselines": record}
    sift = made.generic(paper["tables"]["wikipedia_retrieval_sift"], records)
    cca, scm = own(sift)
    assert cca[:4] == ["this project, CCA", "25.49", "18.46", "21.98"]
    assert cca[-2:] == ["run", "OK"]
    assert scm[-1] == "FAIL"
    topic_space = own(made.retrieval(paper, records))
    assert topic_space[0][1:4] == ["not run"] * 3
    assert topic_space[1][1:4] == ["25.49", "18.46", "21.98"]
    assert topic_space[1][-1] == "other features"


def test_retrieval_with_the_sets_own_topics_is_a_row_of_its_own(made, paper, records):
    values = dict(records["retrieval"]["values"], average=0.25)
    both = records | {"retrieval_own": make_record("retrieval", values, lda="own")}
    first, second = own(made.retrieval(paper, both))
    assert "LDA of the set alone" not in first[0]
    assert "LDA of the set alone" in second[0]
    assert (first[3], second[3]) == ("50.00", "25.00")


def test_remembered_averages_are_the_means_of_their_directions(paper):
    for name in ("wikipedia_retrieval", "wikipedia_retrieval_sift"):
        for row in paper["tables"][name]["rows"]:
            v = row["values"]
            mean = (v["image_query"] + v["text_query"]) / 2
            assert v["average"] == pytest.approx(mean, abs=0.0051)


def test_means_of_the_classes_agree_with_pool5_of_the_layers(paper):
    """Derived from the remembered rows: why that table is probably pool5."""
    layers = {r["method"]: r["values"] for r in paper["tables"]["voc2007_svm_layers"]["rows"]}
    layers["TextTopicNet"] = layers["TextTopicNet (Wikipedia)"]
    for row in paper["tables"]["voc2007_svm_classes"]["rows"]:
        values = list(row["values"].values())
        assert len(values) == 20
        assert row["derived"]["mean"] == pytest.approx(sum(values) / 20)
        assert row["derived"]["mean"] == pytest.approx(layers[row["method"]]["pool5"], abs=0.101)


def test_markdown_has_one_cell_per_column(made, paper, records):
    text = tables.markdown(made.svm_layers(paper, records))
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


def cells_of(markdown):
    """The rows of a Markdown table as GitHub splits them: at bars that have no backslash before
    them.
    """
    return [
        re.split(r"(?<!\\)\|", row)[1:-1] for row in markdown.splitlines() if row.startswith("|")
    ]


def test_notes_and_names_are_shown_as_they_are(script, made, paper, records, monkeypatch, tmp_path):
    note = "a | b\nc `d` <script>alert(1)</script> <!-- results:end --> [x](http://y) **z**"
    note += " \\ &amp; \udcff"
    shown = "a \\| b c \\`d\\` &lt;script&gt;alert(1)&lt;/script&gt; &lt;!-- results:end --&gt;"
    shown += " \\[x\\](http://y) \\*\\*z\\*\\* \\\\ &amp;amp; \udcff"
    for record in records.values():
        record["note"] = note
    for make in (made.retrieval, made.svm_layers, made.svm_classes):
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
