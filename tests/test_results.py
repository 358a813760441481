"""The result record: complete, checkable, and without paths of the machine it was made on."""

import hashlib
import json
import subprocess

import pytest

from texttopicnet import artefacts, results
from texttopicnet.errors import UserError


def make(tmp_path, **changes):
    source = tmp_path / "features" / "fc7.npz"
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(b"abc")
    arguments = {
        "experiment": "retrieval",
        "corpus": "sample",
        "values": {"average": 0.5},
        "split": {"pairs": 3},
        "seed": 0,
        "inputs": {"features": source},
        "seconds": 1.26,
    }
    return results.record(**(arguments | changes))


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )


def test_record_holds_all_that_is_needed(tmp_path):
    record = make(tmp_path, layer="fc7")
    assert set(results.FIELDS) < set(record)
    assert record["command"] == results.command()
    assert record["inputs"]["features"] == {
        "path": "features/fc7.npz",
        "sha256": hashlib.sha256(b"abc").hexdigest(),
    }
    assert record["seconds"] == 1.3
    assert record["layer"] == "fc7"
    assert record["versions"]["numpy"].count(".") == 2
    assert record["hardware"]["cores"] >= 1
    assert record["hardware"]["cpu"]
    assert record["hardware"]["gpu"] == "none"  # whatever the machine has: nothing used it
    assert record["paper_set"] is False
    assert str(tmp_path) not in json.dumps(record)


def test_saved_and_loaded(tmp_path):
    record = make(tmp_path)
    results.save(tmp_path / "results" / "b.json", record)
    results.save(tmp_path / "results" / "a.json", record)
    assert results.load_all(tmp_path / "results") == {"a": record, "b": record}
    assert list(results.load_all(tmp_path / "results")) == ["a", "b"]
    assert results.load_all(tmp_path / "nowhere") == {}


def test_no_nan_in_a_record(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.save(tmp_path / "a.json", make(tmp_path, values={"average": float("nan")}))
    assert not (tmp_path / "a.json").exists()


def test_further_entries_do_not_replace(tmp_path):
    with pytest.raises(ValueError, match="commit"):
        make(tmp_path, commit="mine")


def test_a_file_that_is_not_a_record_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"values": {}}')
    with pytest.raises(UserError, match=r"x.json is not a result record: it lacks experiment"):
        results.load_all(tmp_path)


def test_commit_clean_dirty_and_without_git(tmp_path):
    assert results.commit(tmp_path) == "unknown"
    git(tmp_path, "init", "-q")
    (tmp_path / "f").write_text("1")
    git(tmp_path, "add", "f")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = results.commit(tmp_path)
    assert len(clean) == 40
    assert int(clean, 16) >= 0
    (tmp_path / "untracked").write_text("1")
    assert results.commit(tmp_path) == clean
    (tmp_path / "f").write_text("2")
    assert results.commit(tmp_path) == clean + "-dirty"
    (tmp_path / "inner").mkdir()
    assert results.commit(tmp_path / "inner") == "unknown"


def test_checksum_of_a_folder_is_of_sha256sums_lines(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "b.txt").write_bytes(b"b")
    (tmp_path / "s" / "a.txt").write_bytes(b"a")
    rows = sorted(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("b.txt", b"b"), ("s/a.txt", b"a"))
    )
    expected = hashlib.sha256("".join(rows).encode()).hexdigest()
    assert results.checksum(tmp_path) == expected
    assert results.checksum([tmp_path / "s" / "a.txt", tmp_path / "b.txt"]) == expected
    (tmp_path / "b.txt").write_bytes(b"c")
    assert results.checksum(tmp_path) != expected


def test_paths_inside_the_project_are_relative_to_it():
    assert results.portable(artefacts.ROOT / "LDA" / "dictionary.dict") == "LDA/dictionary.dict"


def test_the_command_has_no_path_of_the_machine(tmp_path, monkeypatch):
    script = str(artefacts.ROOT / "experiments" / "make_tables.py")
    arguments = [script, "--work", str(tmp_path / "a" / "b"), f"--data={tmp_path / 'c' / 'd'}"]
    arguments += ["--note", "pool5 / fc7", "fc7", str(artefacts.ROOT / "data")]
    monkeypatch.setattr("sys.argv", arguments)
    command = (
        "python experiments/make_tables.py --work a/b --data=c/d --note 'pool5 / fc7' fc7 data"
    )
    assert results.command() == command
    monkeypatch.chdir(artefacts.ROOT / "experiments")
    assert results.command(["./make_tables.py"]) == "python experiments/make_tables.py"
    assert results.command(["LDA/x.py"]) == "python LDA/x.py"  # no such file: as it is
