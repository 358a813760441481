"""The shell scripts: one command each, help, and what they say when something is missing."""

import argparse
import itertools
import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from texttopicnet import artefacts, json_files

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
STAGES = [p for p in SCRIPTS if re.match(r"\d\d_", p.name)]


def run(name, *arguments, cwd):
    command = ["bash", str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_the_stages_are_numbered_without_a_gap():
    assert [int(p.name[:2]) for p in STAGES] == list(range(15))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_heads(path):
    rows = path.read_text().splitlines()
    head = list(itertools.takewhile(lambda row: row.startswith("#"), rows))
    assert 2 <= len(head) <= 4
    assert max(map(len, rows)) <= 100
    if path.name != "environment.sh":
        assert rows[0] == "#!/usr/bin/env bash"
        assert "set -euo pipefail" in rows
        assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_no_logic_in_shell(path):
    """Shell scripts parse no text; apart from setting up and testing, a script is one command."""
    text = path.read_text()
    assert not re.search(r"\b(sed|awk|grep|cut|tr|declare|eval)\b", text)
    if path.name in ("00_install.sh", "environment.sh", "test.sh"):
        return
    assert not re.search(r"^\s*(if|for|while|case|until)\b", text, re.MULTILINE)
    rows = [row for row in text.splitlines() if row and not row.startswith("#")]
    assert rows[:2] == [
        "set -euo pipefail",
        'source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"',
    ]
    (command,) = rows[2:]
    called = re.fullmatch(r'exec "\$PYTHON" "\$ROOT/(.*\.py)" "\$@"', command)
    assert (ROOT / called[1]).is_file()


def help_of(path):
    command = ["bash", str(path), "--help"]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_every_shell_script_has_help():
    """Two run at a time, because most of the time goes into imports."""
    paths = [path for path in SCRIPTS if path.name != "environment.sh"]
    with ThreadPoolExecutor(2) as threads:
        for path, done in zip(paths, threads.map(help_of, paths), strict=True):
            assert (done.returncode, done.stderr) == (0, ""), path
            assert "usage: " in done.stdout, path
            assert len(done.stdout.splitlines()) > 2, path


FOLDERS = ("LDA", "CNN", "experiments", "scripts", "data", "data/sample", "models", "benchmarks")
PYTHON_SCRIPTS = [
    path.relative_to(ROOT)
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if 'if __name__ == "__main__":' in path.read_text()
]


@pytest.mark.parametrize("path", PYTHON_SCRIPTS, ids=str)
def test_every_python_script_has_help(load_script, monkeypatch, capsys, path):
    """Each of their options is explained."""
    parsers, print_help = [], argparse.ArgumentParser.print_help

    def recorded(parser, file=None):
        parsers.append(parser)
        print_help(parser, file)

    monkeypatch.setattr(argparse.ArgumentParser, "print_help", recorded)
    monkeypatch.syspath_prepend(ROOT / path.parent)
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as stopped:
        load_script(path).main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {path.name} ")
    if path.parts[0] != "benchmarks":
        assert not [action.dest for action in parsers[0]._actions if not action.help]


@pytest.mark.parametrize(
    "path", [path for path in PYTHON_SCRIPTS if path.parts[0] != "benchmarks"], ids=str
)
def test_heads_of_python_scripts(path):
    rows = (ROOT / path).read_text().split('"""')[1].splitlines()
    words = [match[1] for row in rows if (match := re.match(r"(Reads|Writes|Paper|Usage):  ", row))]
    assert rows[0].endswith(".")
    assert words == ["Reads", "Writes", "Paper", "Usage"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("run_all.sh", ["--colour", "red"], "unknown option --colour"),
        ("run_all.sh", ["--from"], "--from needs a value"),
        ("run_all.sh", ["--from", "99"], f"--from 99: must be {int(STAGES[-1].name[:2])} or less"),
        ("run_all.sh", ["--data", "nowhere"], "nowhere does not exist: data/README.md"),
        ("run_all.sh", ["--net", "NoNet", "--data", "."], "CNN/NoNet does not exist"),
        (
            "run_all.sh",
            ["--data", ".", "--work", "w", "--from", "3", "--to", "3"],
            "make it with python LDA/generate_train_dict.py",
        ),
        (
            "01_generate_train_dict.sh",
            ["--data", "."],
            "ImageCLEF_Wikipedia/metadata does not exist",
        ),
        (
            "05_train_cnn.sh",
            ["--work", "w"],
            "train_images_lmdb does not exist: make it with scripts/04_create_lmdb.sh",
        ),
        ("05_train_cnn.sh", ["--solver", "no.prototxt"], "CNN/CaffeNet/no.prototxt does not exist"),
        ("06_extract_features.sh", ["--layer"], "unknown option --layer"),
        (
            "07_voc_2007_classification.sh",
            ["fc7", "--voc", ".", "--work", "w"],
            "does not exist: give --voc",
        ),
        ("run_all.sh", ["--embedding"], "--embedding needs a value"),
        ("run_all.sh", ["--no-below"], "--no-below needs a value"),
        ("text_records.sh", ["--colour"], "unknown option --colour"),
        (
            "text_records.sh",
            ["--labels", "none.json"],
            "none.json does not exist: --labels takes a file of topic labels",
        ),
        (
            "text_records.sh",
            ["--data", "."],
            "ImageCLEF_Wikipedia does not exist: data/README.md",
        ),
        (
            "08_multi_modal_retrieval.sh",
            ["--data", ".", "--work", "w"],
            "categories.list does not exist",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, name, arguments, message):
    done = run(name, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (said,) = [row for row in done.stderr.splitlines() if row.startswith("error: ")]
    assert message in said
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_downloaded_model_is_never_advised_to_be_replaced(tmp_path):
    """It is older than the train dict, which is made here; the usual advice would overwrite it."""
    folder = tmp_path / "w" / "LDA"
    folder.mkdir(parents=True)
    for name, content in (
        ("ldamodel40.lda", b"downloaded"),
        ("train_dict_ImageCLEF_Wikipedia.json", b"{}"),
    ):
        (folder / name).write_bytes(content)
    os.utime(folder / "ldamodel40.lda", (1, 1))
    arguments = ["--data", tmp_path, "--work", "w", "--from", "2", "--to", "2"]
    done = run("run_all.sh", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "--force" not in done.stderr
    assert "ldamodel40.lda was not made here, and not from " in done.stderr
    assert "or another --work folder" in done.stderr
    (folder / "ldamodel40.lda").write_bytes(b"\x80\x04 ... dictionary_sha256 ...")
    os.utime(folder / "ldamodel40.lda", (1, 1))
    assert (
        "give --from 2 --force to run it again"
        in run("run_all.sh", *arguments, cwd=tmp_path).stderr
    )


def test_run_all_passes_trust_pickle_on(tmp_path):
    class Planted:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    folder = tmp_path / "w" / "LDA"
    folder.mkdir(parents=True)
    (folder / "train_dict_ImageCLEF_Wikipedia.json").write_text('{"images/a.jpg": "text/a"}')
    for name in ("dictionary.dict", "ldamodel40.lda"):
        (folder / name).write_bytes(pickle.dumps(Planted()))
    arguments = ["--data", tmp_path, "--work", "w", "--from", "3", "--to", "3"]
    assert (
        "dictionary.dict was not loaded: it asks for "
        in run("run_all.sh", *arguments, cwd=tmp_path).stderr
    )
    assert not (tmp_path / "ran").exists()
    done = run("run_all.sh", *arguments, "--trust-pickle", cwd=tmp_path)
    assert (tmp_path / "ran").exists()
    assert "is not a Dictionary of gensim's" in done.stderr


def test_missing_sets_are_left_out(tmp_path):
    done = run("06_extract_features.sh", "--data", ".", "--work", "w", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("left out: ") == 3


def test_stages_may_run_from_any_folder(tmp_path):
    done = run("14_make_tables.sh", "--work", "w", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "w" / "experiments" / "report.html").is_file()
    assert "not run" in (tmp_path / "w" / "experiments" / "tables.md").read_text()


def test_the_set_up_is_done_once():
    done = run("00_install.sh", cwd="/")
    assert done.returncode == 0
    assert "setting up" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("set up: ")


def test_a_python_that_the_pinned_packages_lack_is_not_taken(tmp_path):
    """The system's Python is 3.14, and 3.13 is there, too; neither can make an environment."""
    for name in ("scripts/00_install.sh", "scripts/environment.sh", "requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pyproject.toml").touch()
    for name, version in (("python3", (3, 14, 0)), ("python3.13", (3, 13, 9))):
        program = tmp_path / name
        code = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{code}" "$2"\nfalse'
        )
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / "00_install.sh")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON3": "python3"},
    )
    assert done.returncode == 1
    assert "error: python3.13 cannot make" in done.stderr


def test_run_all_passes_the_options_for_small_corpora_on(tmp_path):
    """--no-below and --no-above reach stage 2: with its defaults, three articles would leave no
    word.
    """
    folder = tmp_path / "data/ImageCLEF_Wikipedia/text"
    folder.mkdir(parents=True)
    pairs = {}
    for i in range(3):
        (folder / str(i)).write_text("piano violin harbour castle " * 5)
        pairs[f"images/{i}.jpg"] = f"text/{i}"
    json_files.write(tmp_path / "w" / artefacts.TRAIN_DICT, pairs)
    stage = [
        "--data",
        "data",
        "--work",
        "w",
        "--from",
        "2",
        "--to",
        "2",
        "--topics",
        "2",
        "--workers",
        "1",
    ]
    done = run("run_all.sh", *stage, cwd=tmp_path)
    assert done.returncode == 1
    assert "give --no-below 2 --no-above 1, with which 4 words are left" in done.stderr
    done = run("run_all.sh", *stage, "--no-below", "2", "--no-above", "1", cwd=tmp_path)
    assert done.returncode == 0
    assert "dictionary: 4 words" in done.stdout


LIGHT = """
import runpy, sys
sys.path[:0] = ["scripts", "CNN", "experiments"]
for path in ("scripts/chain.py", "CNN/train_cnn.py", "CNN/create_lmdb.py",
             "experiments/number_of_topics.py"):
    runpy.run_path(path)
print(sorted({"torch", "gensim", "numba", "sklearn", "scipy", "matplotlib"} & set(sys.modules)))
"""


def test_scripts_that_start_others_load_no_large_library():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
