"""A full disk ends each stage with one sentence that names the file, and the old files stay.

A limit on the size of files takes the place of a full disk: the system refuses to write beyond it,
as it does when no space is left.
"""

import contextlib
import errno
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from file_limit import files_of_at_most
from gensim.models import LdaModel

from texttopicnet import artefacts, atomic_files, features, json_files
from texttopicnet.errors import UserError

WORDS = ["piano", "violin", "harbour", "castle", "glacier", "volcano", "guitar", "museum"]


@pytest.fixture
def corpus(tmp_path):
    """A collection of eight images with an article each."""
    folder = tmp_path / "data/ImageCLEF_Wikipedia"
    rng = np.random.default_rng(0)
    for name in ("images", "text", "metadata"):
        (folder / name).mkdir(parents=True)
    for i in range(8):
        image = rng.integers(0, 255, (256, 256, 3), np.uint8)
        (folder / f"images/{i}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        (folder / f"text/{i}").write_text(" ".join(rng.choice(WORDS, 60)))
        (folder / f"metadata/{i}.xml").write_text(
            f'<image file="images/{i}.jpg"><text xml:lang="en"><caption'
            f' article="text/{i}"/></text></image>'
        )
    return tmp_path


@pytest.fixture
def run(corpus, load_script, monkeypatch):
    """run(script, ...): 0, or the sentence that ended it."""

    def run(script, *arguments, size=None):
        script = load_script(script)
        command = ["x", "--data", str(corpus / "data"), "--work", str(corpus / "work"), *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with files_of_at_most(size) if size is not None else contextlib.nullcontext():
            try:
                return script.main()
            except UserError as error:
                return str(error)

    return run


ONE = ("--workers", "1")
TWO = ("--topics", "2", *ONE)
ALL = ("--no-below", "1", "--no-above", "1")


def files_in(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_each_stage_names_the_file(run, corpus, capsys, load_script, monkeypatch):
    work = corpus / "work"
    why = (
        "cannot be written (File too large): free space there or give another folder, and run"
        " this again"
    )
    pair, learn = ("LDA/generate_train_dict.py", *ONE), ("LDA/learn_LDA_model.py", *TWO, *ALL)
    label = ("LDA/generate_train_labels.py", *TWO)
    assert run(*pair, size=20) == f"{work / artefacts.TRAIN_DICT} {why}"
    assert not (work / artefacts.TRAIN_DICT).exists()
    assert run(*pair) == 0

    assert run(*learn, size=4096).startswith(f"{work / artefacts.TOKENS}: ")
    assert (
        work / artefacts.TOKENS
    ).stat().st_size <= 4096  # even the database's first pages do not fit
    assert run(*learn) == 0
    model = work / artefacts.lda_model(2)
    before = files_in(work)
    sizes = {name: (work / name).stat().st_size for name in (artefacts.DICTIONARY, artefacts.BOW)}
    script = load_script(
        "LDA/learn_LDA_model.py"
    )  # the limit begins after the store, which would reach it first
    bags, temporary = (
        f"{work / artefacts.DICTIONARY} or {work / artefacts.BOW}",
        f"a temporary file in {work / 'LDA'}",
    )
    for size, name in ((10, temporary), (max(sizes.values()) - 1, bags)):
        with monkeypatch.context() as patch:
            make_bags = script.make_bags

            def limited(*arguments, size=size, make_bags=make_bags):
                with files_of_at_most(size):
                    make_bags(*arguments)

            patch.setattr(script, "make_bags", limited)
            assert run(*learn, "--force") == f"{name} {why}"
    with monkeypatch.context() as patch:
        save = LdaModel.save

        def save_limited(model, *arguments):
            with files_of_at_most(200):
                save(model, *arguments)

        patch.setattr(LdaModel, "save", save_limited)
        assert run(*learn, "--force") == f"{model} {why}"
    assert {name: data for name, data in files_in(work).items() if "tokens" not in name.name} == {
        name: data for name, data in before.items() if "tokens" not in name.name
    }
    assert run(*learn, "--force") == 0
    assert LdaModel.load(str(model)).num_topics == 2

    labels = work / artefacts.training_labels(2)
    assert run(*label, size=8) == f"a temporary file in {work / 'LDA'} {why}"
    assert run(*label, size=80) == f"{labels} {why}"
    assert run(*label) == 0
    assert (
        run("LDA/show_topics.py", "--topics", "2", size=1000)
        == f"{work / artefacts.TOPICS_PAGE} {why}"
    )

    said = run("CNN/create_lmdb.py", *TWO, size=100_000)
    assert said.startswith(f"{work / 'CNN/CaffeNet/train_images_lmdb'}: cannot be written (")
    assert said.endswith("): free space there or give another --work, and run this again")
    assert list((work / "CNN/CaffeNet").iterdir()) == []
    assert "Traceback" not in capsys.readouterr().err


def test_features_on_a_full_disk(tmp_path):
    found = features.Features(["a", "b"], np.ones((2, 5000), np.float32), "fc7", "0" * 64)
    with (
        files_of_at_most(20_000),
        pytest.raises(UserError, match=r"a.npz cannot be written \(.*\): free space there"),
    ):
        features.save(tmp_path / "a.npz", found)
    assert list(tmp_path.iterdir()) == []
    features.save(tmp_path / "a.npz", found)


def test_tables_on_a_full_disk(load_script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--work", str(tmp_path)])
    script = load_script("experiments/make_tables.py")
    with (
        files_of_at_most(1000),
        pytest.raises(
            UserError, match=r"tables.md or .*report.html or .* cannot be written .File too large."
        ),
    ):
        script.main()
    assert not (tmp_path / "experiments/tables.md").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "a.txt cannot be written (No space left on device): free space there",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "a.txt cannot be written (Disk quota exceeded): free space there",
        ),
        (
            OSError("1000 requested and 7 written"),
            "a.txt cannot be written (No space left on device): free space there",
        ),  # NumPy
    ],
)
def test_other_errors_of_a_full_disk(tmp_path, error, says):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UserError) as caught, atomic_files.written_whole(tmp_path / "a.txt"):
        raise error
    assert says in str(caught.value)
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_error_of_something_else_keeps_its_traceback(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_files.written_whole(tmp_path / "a.txt"):
        (tmp_path / "none").read_text()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file/LDA/a.json", "x" * 300 + "/a.json"):
        with pytest.raises(UserError, match=r"a.json cannot be written"):
            json_files.write(tmp_path / place, {})


PRINTS = """
import resource, sys
from texttopicnet import command_line
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
def main():
    print("x" * 1000)
    return 0
command_line.run(main)
"""


def test_output_to_a_full_disk(tmp_path):
    with open(tmp_path / "log", "w") as log:
        command = [sys.executable, "-c", PRINTS]
        done = subprocess.run(
            command, cwd=artefacts.ROOT, stdout=log, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: the output cannot be written (File too large): free space there, and run this"
        " again\n"
    )


PIPED = """
from texttopicnet import command_line
def main():
    for i in range(100_000):
        print(i)
    return 0
command_line.run(main)
"""


def test_a_closed_pipe_ends_quietly(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PIPED],
        cwd=artefacts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()


PAIRS = """
import resource, json, sys
from texttopicnet import command_line
from texttopicnet.pairs import Pairs
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
command_line.run(lambda: len(Pairs.load(sys.argv[1])) and 0)
"""


def test_a_temporary_database_that_does_not_fit(tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps({f"images/{i}.jpg": "text/" + "a" * 200 for i in range(30_000)})
    )
    command = [sys.executable, "-c", PAIRS, str(tmp_path / "a.json")]
    done = subprocess.run(
        command,
        cwd=artefacts.ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: SQLite's temporary file in {tmp_path} cannot be written ("
    )
    assert done.stderr.count("\n") == 1
