"""benchmarks/run.py: every part runs, at a tiny size; tables, plots, a stop, and a part that fails.

No test looks at a time.
"""

import json
import re
import sys

import numpy as np
import pytest

from texttopicnet import artefacts
from texttopicnet.errors import UserError

SIDES = {
    "tokens": {"straightforward", "tokenize", "1 processes"},
    "topics": {"LdaMulticore", "compiled"},
    "labels": {"one call each", "one process", "2 processes"},
    "lmdb": {"create_lmdb.py", "plain loop"},
    "reader": {"Data layer", "-cache ram", "plain loop"},
    "layers": {"caffe", "torch"},
    "training": {"caffe from LMDB", "plain loop"},
    "processes": {"two processes", "one process"},
    "svm": {"voc_2007_classification.py", "plain loop"},
    "retrieval": {"arrays", "one pair at a time"},
    "index": {"index", "scipy"},
}


@pytest.fixture(scope="module")
def run(load_script):
    return load_script("benchmarks/run.py")


@pytest.fixture
def part(load_script, run):
    """part(name): the program of a part, as a module."""
    return lambda name: load_script(f"benchmarks/{run.PARTS[name]}")


def check(record, name, sizes):
    """A record of one round with the sides of its part, at these sizes."""
    assert record["benchmark"] == name
    assert [row["size"] for row in record["comparisons"]] == sizes
    for row in record["comparisons"]:
        assert row["times"].keys() == SIDES[name]
        assert {row["ours"], row["theirs"]} <= SIDES[name]
        assert all(len(times) == 1 and times[0] > 0 for times in row["times"].values())


def test_tokens(part, tmp_path):
    files = [tmp_path / str(i) for i in range(3)]
    for i, path in enumerate(files):
        path.write_text(f"'''Geese''' are [[bird|birds]] of {i} harbours. {{{{cite|a}}}}")
    program = part("tokens")
    record = program.measure({"sizes": [2, 3], "rounds": 1, "workers": 1}, files)
    check(record, "tokens", [2, 3])
    assert record["comparisons"][1]["megabytes"] == pytest.approx(0.0, abs=0.001)
    assert program.spread(list(range(10)), 3) == [0, 3, 6]


def test_sides_that_disagree_are_refused(part, tmp_path, monkeypatch):
    (tmp_path / "article").write_text("geese")
    program = part("tokens")
    monkeypatch.setattr(program, "straightforward", lambda raw: ["duck"])
    with pytest.raises(UserError, match="different tokens: the times mean nothing"):
        program.compare([tmp_path / "article"], {"rounds": 1, "workers": 1})


def test_topics(part):
    settings = {"sizes": [20], "rounds": 1, "topics": 2, "passes": 1, "workers": 2}
    record = part("topics").measure(settings)
    check(record, "topics", [20])
    assert record["comparisons"][0]["difference_from_LdaModel"] < 1e-5


def test_labels(part):
    program = part("labels")
    given = program.drawn([3, 5], 2, learnt_from=20)
    record = program.measure({"rounds": 1, "workers": 2}, *given)
    check(record, "labels", [3, 5])
    assert record["comparisons"][1]["tokens"] == 1500
    assert record["values"]["largest difference"] < 1e-5


def test_lmdb(part):
    record = part("lmdb").measure({"sizes": [4], "rounds": 1, "workers": 1})
    check(record, "lmdb", [4])
    assert record["values"]["MB of both LMDBs, largest size"] > 0


def test_reader(part, tmp_path, load_script):
    program = part("reader")
    check(program.measure({"sizes": [2], "rounds": 1, "batches": 2}), "reader", [2])
    load_script("benchmarks/drawn_images.py").make_lmdbs(tmp_path, 3)
    batch = program.PlainLoop(tmp_path, 4).read()  # begins again after three images
    net = program.net_of(tmp_path, 4, cached=True)
    read = net.forward()["data"]
    # one image, cropped twice: the same pixels, at other places
    assert batch.shape == read.shape == (4, 3, 227, 227)
    np.testing.assert_allclose(batch.mean((2, 3)), read.mean((2, 3)), atol=4)


def test_layers(part):
    program = part("layers")
    record = program.measure({"sizes": [1], "rounds": 1})
    check(record, "layers", [1] * len(program.SHAPES))


def test_training(part):
    record = part("training").measure({"sizes": [1], "rounds": 1, "iterations": 1})
    check(record, "training", [1])
    # weights, their gradients and the momentum of 57 million numbers
    assert 0.6 < record["comparisons"][0]["peak_gb"] < 3


def test_processes(part):
    settings = {"sizes": [4], "rounds": 1, "iterations": 1, "net": "CaffeNetSample", "side": 72}
    check(part("processes").measure(settings), "processes", [4])


def test_seconds_of_a_log(part):
    """The first interval does not count, and midnight is no step back."""
    line = "I1126 {} 12345 solver.py:240] Iteration {} (1.2 iter/s, 0.8s/1 iters), loss = 0.5\n"
    times = ["23:59:50.000000", "23:59:57.000000", "23:59:59.500000", "00:00:02.500000"]
    log = "".join(line.format(time, i) for i, time in enumerate(times))
    seconds = part("processes").seconds_per_iteration
    assert seconds(log) == pytest.approx((2.5 + 3) / 2)
    with pytest.raises(UserError, match="the training's log has no displays: nothing"):
        seconds("nothing")


def test_svm(part):
    settings = {"sizes": [600], "rounds": 1, "dims": 8, "classes": 2, "workers": 1}
    record = part("svm").measure(settings)
    check(record, "svm", [600])
    assert 0 < record["comparisons"][0]["mean_ap"] <= 1


def test_retrieval(part):
    settings = {"sizes": [6, 9], "rounds": 1, "topics": 3, "categories": 3}
    check(part("retrieval").measure(settings), "retrieval", [6, 9])


def test_index(part, monkeypatch):
    program, settings = part("index"), {"sizes": [20, 30], "rounds": 1, "topics": 4, "queries": 3}
    record = program.measure(settings)
    check(record, "index", [20, 30])
    assert record["values"]["ms of the slowest query among 30 images"] >= 0
    monkeypatch.setattr(program, "ours", lambda *_: [])
    with pytest.raises(UserError, match="find different images or articles"):
        program.measure(settings)


def test_busy(part):
    program = part("busy")
    fair = program.Side(program.FAIR)
    try:
        found = program.measure("sample", 1, 1, fair)
    finally:
        fair.end()
    assert found.keys() == program.STATES.keys()
    for seconds in found.values():
        assert seconds.keys() == {program.OURS, program.BEFORE, program.FAIR}
        assert all(len(each) == 1 and each[0] > 0 for each in seconds.values())
    assert program.values_of(found)["a fair share takes"]["median"] > 0


def test_a_quick_run_leaves_out_what_takes_too_long(run, programs, monkeypatch, capsys):
    out = programs({"svm": RECORDING, "busy": RECORDING})
    start(run, monkeypatch, "--quick", "--out", out)
    assert not (out / "busy.json").exists()
    start(run, monkeypatch, "--quick", "busy", "--out", out)
    assert (out / "busy.json").exists()


def test_every_part_takes_the_options_of_the_run(run, accept, tmp_path):
    for name in run.PARTS:
        for quick in (False, True):
            _, program, *options = run.command(name, tmp_path, quick, str(tmp_path))
            accept(program.relative_to(artefacts.ROOT), options)


# ------------------------------------------------------------------------------------- the run

RECORDING = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.write_text(json.dumps(json.loads(RECORD) | {"benchmark": out.stem}))
"""


def record_of(name, **changes):
    row = {
        "what": "2 things",
        "size": 2,
        "unit": "ms per thing",
        "ours": "new",
        "theirs": "old",
        "times": {"new": [2.0, 1.0, 4.0], "old": [20.0, 10.0, 1234.0]},
        "ratio": {"least": 10.0, "median": 10.0, "most": 308.5},
    }
    return {
        "benchmark": name,
        "settings": {"rounds": 3, "quick": True},
        "comparisons": [row, row | {"what": "4 things", "size": 4}],
        "values": {"peak": 1.25, "kept": {"least": 0.5, "median": 1.0, "most": 2.0}},
        "note": "",
        "started": "2020-01-02T03:04:05+00:00",
        "seconds": 61.5,
        "load": [0.04, 1.96],
        "other_work": 0.5,
        "commit": "0123456789abcdef-dirty",
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"cpu": "CPU", "cores": 2, "gpu": "none"},
    } | changes


@pytest.fixture
def programs(run, monkeypatch, tmp_path):
    """programs({part: code}): the run has these parts only, in a folder of their own."""

    def programs(parts):
        given = f"RECORD = {json.dumps(record_of('x'))!r}\n"
        for name, code in parts.items():
            (tmp_path / f"{name}.py").write_text(given + code)
        monkeypatch.setattr(run, "HERE", tmp_path)
        monkeypatch.setattr(run, "PARTS", {name: f"{name}.py" for name in parts})
        return tmp_path / "out"

    return programs


def start(run, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    return run.main()


def test_parts_by_name(run, programs, monkeypatch, capsys):
    out = programs(dict.fromkeys(("lmdb", "svm", "layers"), RECORDING))
    assert start(run, monkeypatch, "svm", "layers", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "images.svg",
        "layers.json",
        "svm.json",
        "tables.md",
    ]
    said = capsys.readouterr().out
    assert said.startswith(f"measuring svm, layers: full sizes, records in {out}")
    assert "part 2 of 2: layers (layers.py)" in said


def test_a_wrong_part_is_one_sentence(run, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"^there is no part speed: the parts are tokens, topics, "):
        start(run, monkeypatch, "tokens", "speed", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


STOPPING = """
import os, signal, time
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""


def test_a_stopped_run_keeps_the_parts_that_ended(run, programs, monkeypatch, capsys):
    out = programs({"first": RECORDING, "second": STOPPING, "third": RECORDING})
    with pytest.raises(KeyboardInterrupt):
        start(run, monkeypatch, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == ["first.json", "tables.md"]
    assert "| first |" in (out / "tables.md").read_text()
    assert json.loads((out / "first.json").read_text())["benchmark"] == "first"
    assert (
        "stopped in second; records of this run: first."
        " Measure the rest with: python benchmarks/run.py second third"
    ) in capsys.readouterr().out


def test_a_part_that_fails_does_not_stop_the_others(run, programs, monkeypatch):
    out = programs({"svm": "raise SystemExit(3)", "lmdb": RECORDING})
    with pytest.raises(UserError, match="svm failed; why is said above"):
        start(run, monkeypatch, "--out", out)
    assert (out / "lmdb.json").exists()
    assert "| lmdb |" in (out / "tables.md").read_text()


def test_no_records(run, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="holds no records: make them with python benchmarks/run"):
        start(run, monkeypatch, "--tables", "--out", tmp_path)


# ---------------------------------------------------------------------------- tables and plots


@pytest.fixture(scope="module")
def tables(load_script):
    return load_script("benchmarks/record_tables.py")


def test_tables_by_hand(tables):
    records = {"part": record_of("part")}
    assert tables.compared(records)["rows"][0]["cells"] == [
        "part",
        "2 things",
        "new: 2.00",
        "old: 20.0",
        "ms per thing",
        "10.0 (10.0–308)",
    ]
    assert [row["cells"] for row in tables.further(records)["rows"]] == [
        ["part", "peak", "1.25"],
        ["part", "kept", "1.00 (0.500–2.00)"],
    ]
    assert tables.runs(records, {})["rows"][0]["cells"] == [
        "part, --quick",
        "2020-01-02 03:04:05",
        "62",
        "CPU, 2 cores, GPU none",
        "0.0 to 2.0",
        "0.500",
        "0123456789ab-dirty",
        "python 3.11.7, torch 2.13.0",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (3, "3"),
        (12345, "12,345"),
        (0.5, "0.500"),
        (99.94, "99.9"),
        (100.4, "100"),
        (2.1e-6, "2.1e-06"),
        (1234.5, "1,234"),
        ("some", "some"),
        ({"a": 1, "b": 2.5}, "a: 1; b: 2.50"),
    ],
)
def test_numbers(tables, value, shown):
    assert tables.shown(value) == shown


def test_plots_have_every_side_and_are_the_same_again(load_script, tmp_path):
    plots = load_script("benchmarks/cost_plots.py")
    stage = {"cpu_seconds": 3.0}
    rows = {size: {"stages": dict.fromkeys(plots.STAGES, stage)} for size in ("10", "100")}
    records = {name: record_of(name) for name in plots.PANELS}
    paths = plots.draw(records, rows, tmp_path)
    before = [path.read_bytes() for path in paths]
    assert [path.name for path in paths] == ["corpus.svg", "images.svg"]
    for figure, parts in plots.FIGURES.items():
        svg = (tmp_path / f"{figure}.svg").read_text()
        for name in parts:
            assert f">{plots.PANELS[name][0]}<" in svg
        assert svg.count(">new<") == svg.count(">old<") == len(parts)
    assert "learn_LDA_model.py" in (tmp_path / "corpus.svg").read_text()
    assert [path.read_bytes() for path in plots.draw(records, rows, tmp_path)] == before


def test_the_readme_has_the_records_tables(run):
    run.show(run.RESULTS, run.README, check=True)


def test_claims_of_speed_name_their_record():
    """A paragraph or list item that says how many times as fast something is."""
    pages = [*artefacts.ROOT.glob("*.md"), *artefacts.ROOT.glob("[!.]*/*.md")]
    said = [
        part
        for page in pages
        for part in re.split(r"\n\n|\n- ", page.read_text(encoding="utf-8"))
        if re.search(r"times as fast|faster than", part)
    ]
    assert said
    assert [part for part in said if "benchmarks/" not in part] == []


def test_another_readme_is_refused(run, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:begin -->\nold\n<!-- results:end -->\n")
    with pytest.raises(UserError, match=r"are not those of .*: run python benchmarks/run.py"):
        run.show(run.RESULTS, readme, check=True)
    assert "old" in readme.read_text()
