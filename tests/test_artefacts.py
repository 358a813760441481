"""Artefacts are written whole or not at all; errors that the user can correct are one sentence."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from texttopicnet import artefacts, atomic_files, command_line, json_files
from texttopicnet.errors import UserError


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


def test_names_hold_the_number_of_topics():
    assert artefacts.lda_model() == "LDA/ldamodel40.lda"
    assert artefacts.training_labels() == "LDA/training_labels40.json"
    assert artefacts.lda_model(3) == "LDA/ldamodel3.lda"
    assert artefacts.training_labels(3) == "LDA/training_labels3.json"


def test_names_of_other_embeddings_do_not_meet_ldas():
    assert artefacts.embedding_model("lsi") == "LDA/lsi40.model"
    assert artefacts.embedding_model("tfidf", 3) == "LDA/tfidf3.model"
    assert artefacts.training_labels(embedding="lda") == artefacts.training_labels()
    assert artefacts.training_labels(3, "lsi") == "LDA/training_labels_lsi3.json"


def test_renamed_when_whole(tmp_path):
    final = tmp_path / "new" / "folder" / "a.txt"
    with atomic_files.written_whole(final) as temporary:
        temporary.write_text("half")
        assert temporary != final
        assert temporary.name == "a.txt"
        assert (
            temporary.parent.parent == final.parent
        )  # one file system, so that the renaming is one step
        assert not final.exists()
    assert final.read_text() == "half"
    assert names_in(final.parent) == ["a.txt"]


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with atomic_files.written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UserError])
def test_nothing_is_left_behind_by_an_exception(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with (
        pytest.raises(error),
        atomic_files.written_whole(tmp_path / "a.txt", tmp_path / "b") as (a, b),
    ):
        a.write_text("half")
        b.mkdir()
        (b / "data.mdb").write_text("half")
        (a.parent / "a.txt.state").write_text("half")
        raise error("stopped")
    assert names_in(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_side_files_move_along(tmp_path):
    with atomic_files.written_whole(tmp_path / "a", tmp_path / "b") as (a, b):
        a.write_text("a")
        b.write_text("b")
        (a.parent / "a.state").write_text("side")
    assert {name: (tmp_path / name).read_text() for name in names_in(tmp_path)} == {
        "a": "a",
        "a.state": "side",
        "b": "b",
    }


def test_side_files_exist_before_the_named_output(tmp_path, monkeypatch):
    order, replace = [], os.replace

    def noted(source, target):
        order.append(os.path.basename(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", noted)
    with atomic_files.written_whole(tmp_path / "a") as temporary:
        for name in ("a", "a.state", "Z"):
            (temporary.parent / name).write_text(name)
    assert sorted(order) == ["Z", "a", "a.state"]
    assert order[-1] == "a"


KILLED = """
import os, signal, sys
from pathlib import Path
from texttopicnet import atomic_files
replace, moved = os.replace, []
def replace_or_die(source, target):
    if len(moved) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    moved.append(target)
    replace(source, target)
os.replace = replace_or_die
folder = Path(sys.argv[1])
with atomic_files.written_whole(folder / "a", folder / "b") as paths:
    for path in (*paths, paths[0].with_name("a.state")):
        path.write_text("new")
"""


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_kill_amid_the_renaming_leaves_no_mixture(tmp_path, moved):
    for name in ("a", "a.state", "b"):
        (tmp_path / name).write_text("old")
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(moved)]
    assert subprocess.run(command, cwd=artefacts.ROOT).returncode == -signal.SIGKILL
    found = {p.name: p.read_text() for p in tmp_path.iterdir() if p.is_file()}
    assert "b" not in found
    assert found.get("a", "new") == "new"
    assert found["a.state"] == "new" or "a" not in found
    with atomic_files.written_whole(
        tmp_path / "c"
    ) as temporary:  # the next writer removes the leftovers
        temporary.write_text("c")
    assert not [name for name in names_in(tmp_path) if name.startswith(".tmp-")]


def test_a_folder_that_another_process_writes_in_is_not_removed(tmp_path):
    with atomic_files.written_whole(tmp_path / "a") as a:
        with atomic_files.written_whole(tmp_path / "b") as b:
            b.write_text("b")
        a.write_text("a")
    assert names_in(tmp_path) == ["a", "b"]


def test_a_folder_replaces_a_folder(tmp_path):
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "old").write_text("old")
    with atomic_files.written_whole(tmp_path / "lmdb") as temporary:
        temporary.mkdir()
        (temporary / "data.mdb").write_text("new")
    assert names_in(tmp_path) == ["lmdb"]
    assert names_in(tmp_path / "lmdb") == ["data.mdb"]


def test_outputs_of_two_folders_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="be in one folder"),
        atomic_files.written_whole(tmp_path / "a", tmp_path / "x" / "b"),
    ):
        pass
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "value", [{"b": [0.5, 1e-9], "a": 'ü "quoted"\n'}, {}, [1, None, "x"], 0.1]
)
def test_json_comes_back(tmp_path, value):
    json_files.write(tmp_path / "a.json", value)
    assert json_files.read(tmp_path / "a.json", "-") == value
    assert names_in(tmp_path) == ["a.json"]


def test_json_keeps_the_order_one_entry_per_line(tmp_path):
    json_files.write(tmp_path / "a.json", {"b": [1, 2], "a": "text"})
    assert (tmp_path / "a.json").read_text() == '{"b": [1, 2],\n"a": "text"}\n'


def test_json_from_a_stream(tmp_path):
    assert json_files.write(tmp_path / "a.json", iter([("b", [0.5]), ("a", "ü")])) == 2
    assert (tmp_path / "a.json").read_text() == '{"b": [0.5],\n"a": "\\u00fc"}\n'
    assert list(json_files.stream(tmp_path / "a.json", "-")) == [("b", [0.5]), ("a", "ü")]
    assert json_files.write(tmp_path / "a.json", iter([])) == 0
    assert list(json_files.stream(tmp_path / "a.json", "-")) == []


def test_a_stream_that_ends_in_an_error_leaves_the_old_json(tmp_path):
    def entries():
        yield "a", 2
        raise UserError("stopped")

    json_files.write(tmp_path / "a.json", {"a": 1})
    with pytest.raises(UserError, match="stopped"):
        json_files.write(tmp_path / "a.json", entries())
    assert json_files.read(tmp_path / "a.json", "-") == {"a": 1}
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [b'{"a": 1, "b"', b"", b'{"a": 1} x', b'{"a": "\xff"}'])
def test_broken_json_in_a_stream(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(
        UserError, match=r"a.json is not valid JSON .*: rebuild it with python make.py"
    ) as caught:
        list(json_files.stream(tmp_path / "a.json", "python make.py"))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"b.json does not exist: make it with python make.py"):
        list(json_files.stream(tmp_path / "b.json", "python make.py"))


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path):
    json_files.write(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        json_files.write(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert names_in(tmp_path) == ["a.json"]


def test_missing_and_broken_json_name_file_and_command(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(UserError) as caught:
        json_files.read(path, "python make.py")
    assert str(caught.value) == f"{path} does not exist: make it with python make.py"
    path.write_text('{"a": 1')
    with pytest.raises(
        UserError, match=r"a.json is not valid JSON .*: rebuild it with python make.py"
    ) as caught:
        json_files.read(path, "python make.py")
    assert "\n" not in str(caught.value)
    path.write_bytes(b'{"a": "\xff"}')  # no UTF-8
    with pytest.raises(UserError, match=r"a.json is not valid JSON"):
        json_files.read(path, "python make.py")


def test_existing(tmp_path):
    (tmp_path / "a").write_text("")
    assert artefacts.existing(str(tmp_path / "a"), "-") == tmp_path / "a"
    with pytest.raises(UserError) as caught:
        artefacts.existing(tmp_path / "b", "python make.py")
    assert str(caught.value) == f"{tmp_path / 'b'} does not exist: make it with python make.py"


def test_outputs_are_not_overwritten_without_force(tmp_path):
    artefacts.refuse_existing(tmp_path / "a", force=False)
    (tmp_path / "a").mkdir()
    artefacts.refuse_existing(tmp_path / "a", force=True)
    with pytest.raises(UserError) as caught:
        artefacts.refuse_existing(tmp_path / "a", force=False)
    assert str(caught.value) == (
        f"{tmp_path / 'a'} exists already: give --force to replace it, or another --work"
        " folder to keep it"
    )


def test_run_turns_a_user_error_into_one_line(capsys):
    def fails():
        raise UserError("x.json does not exist: make it with y")

    with pytest.raises(SystemExit) as stopped:
        command_line.run(fails)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: x.json does not exist: make it with y\n"


def test_run_leaves_status_and_other_errors_alone(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.run(lambda: 0)
    assert stopped.value.code == 0
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        command_line.run(lambda: 1 / 0)


def test_run_says_that_it_was_interrupted(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        command_line.run(interrupted)
    assert stopped.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted")


@pytest.mark.parametrize(
    "data", [b"", b"abc", bytes(range(256)) * 8192 + b"x"]
)  # the last is longer than a block
def test_sha256(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    assert artefacts.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_sha256_of_abc(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert (
        artefacts.sha256(tmp_path / "a")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_dead_processes_are_removed(tmp_path, kind):
    """Files <name>.tmp<process> of the same name go, unless their process still runs."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    kept = [
        f"a.json.tmp{os.getpid()}",
        f"b.json.tmp{process.pid}",
        f"a.json.tmp{process.pid}x",
        "a.json.tmp",
    ]
    for name in (f"a.json.tmp{process.pid}", "a.json.tmp99999999999999999999", *kept):
        if kind == "file":
            (tmp_path / name).write_text("half")
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "data.mdb").write_text("half")
    json_files.write(tmp_path / "a.json", {})
    assert names_in(tmp_path) == sorted(["a.json", *kept])


DEEP = 200_000


@pytest.mark.parametrize(
    "content",
    [
        "[" * DEEP + "]" * DEEP,
        '{"a": ' * DEEP + "1" + "}" * DEEP,
        '{"a": ' + "[" * DEEP + "]" * DEEP + "}",
        '{"a": ' + "9" * 5000 + "}",
        '{"a": "\\udcff"}',
        "\ufeff{}",
    ],
    ids=["list", "objects", "value", "integer", "surrogate", "BOM"],
)
def test_json_that_would_break_the_reader(tmp_path, content):
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(
        UserError, match=r"a.json is not valid JSON .*: rebuild it with make"
    ) as caught:
        list(json_files.stream(tmp_path / "a.json", "make"))
    assert len(str(caught.value)) < 500
    if "udcff" not in content:  # which the other reader accepts
        with pytest.raises(UserError, match=r"a.json is not valid JSON"):
            json_files.read(tmp_path / "a.json", "make")


@pytest.mark.parametrize("value", [[], ["a", {"b": 1}], "a", 1.5, None, [[{"a": [1]}]]])
def test_a_stream_of_json_that_is_not_an_object_is_empty(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert list(json_files.stream(tmp_path / "a.json", "-")) == []


def test_a_stream_gives_values_of_every_kind(tmp_path):
    value = {"a": 1, "b": [1.5, [True, None], {}], "c": {"d": {"a": []}}, "": "x", "e": []}
    json_files.write(tmp_path / "a.json", value)
    assert list(json_files.stream(tmp_path / "a.json", "-")) == list(value.items())


def test_a_folder_instead_of_a_file_is_one_sentence(tmp_path):
    (tmp_path / "a.json").mkdir()
    for read in (json_files.read, lambda *args: list(json_files.stream(*args))):
        with pytest.raises(
            UserError, match=r"a.json cannot be read .Is a directory.: rebuild it with make"
        ):
            read(tmp_path / "a.json", "make")


def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for read in (json_files.read, lambda *args: list(json_files.stream(*args))):
        with pytest.raises(
            UserError, match=r"a.json cannot be read .not a regular file.: rebuild it with make"
        ):
            read(tmp_path / "a.json", "make")


def test_a_name_that_is_too_long_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        artefacts.existing(tmp_path / ("x" * 300), "make")


SLOW = """
import sys, time, types
class Slow:
    def find_spec(self, name, *_):
        if name == "numpy":
            print("loading", flush=True)
            time.sleep(300)
sys.meta_path.insert(0, Slow())
import runpy
sys.path.insert(0, "LDA")
sys.modules["__main__"].__file__ = "LDA/learn_LDA_model.py"
runpy.run_path("LDA/learn_LDA_model.py", run_name="__main__")
"""


def test_ctrl_c_while_libraries_are_loading_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        cwd=artefacts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGINT
    assert error == ""


def test_every_script_is_quiet_from_its_first_import_on():
    for folder in ("LDA", "CNN", "experiments"):
        for path in (artefacts.ROOT / folder).glob("*.py"):
            code = path.read_text()
            if "command_line.run(main)" in code:
                assert code.index("import texttopicnet.startup") == code.index("import "), path


RUNNING = """
import sys, time
from texttopicnet import command_line
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # as texttopicnet.startup leaves it
def main():
    print("running", flush=True)
    time.sleep(300)
command_line.run(main)
"""


def test_ctrl_c_afterwards_is_one_line():
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING],
        cwd=artefacts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert error == "interrupted: no half-written file was left behind\n"


def test_names_that_the_terminal_cannot_show_are_printed(tmp_path):
    code = (
        "from texttopicnet import command_line; command_line.run(lambda: print('\\udcff \u65e5'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=artefacts.ROOT,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert done.stdout == b"\\udcff \\u65e5\n"
