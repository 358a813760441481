"""The tokens of files on standard output, one line per file."""

import importlib.util
import sys

import pytest

from texttopicnet import artefacts, command_line, text


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """run(file, ...): exit status, standard output and standard error of the script in tmp_path."""
    spec = importlib.util.spec_from_file_location(
        "script", artefacts.ROOT / "LDA/preprocess_text.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(tmp_path)

    def run(*files):
        monkeypatch.setattr(sys, "argv", ["x", *files])
        with pytest.raises(SystemExit) as stopped:
            command_line.run(script.main)
        return stopped.value.code, *capsys.readouterr()

    return run


def test_one_line_per_file_with_tokens_separated_by_blanks(run, tmp_path):
    (tmp_path / "b.xml").write_text(
        "<text>The [[violin|pianos]],\nthe harbour\n\nand geese.</text>"
    )
    (tmp_path / "empty").write_text("")
    (tmp_path / "a").write_text("Glaciers")
    assert run("b.xml", "empty", "a", "b.xml") == (
        0,
        "piano harbour goose\n\nglacier\npiano harbour goose\n",
        "",
    )


def test_a_missing_file_is_one_sentence(run, tmp_path):
    (tmp_path / "a").write_text("Glaciers")
    assert run("a", "none.xml") == (
        1,
        "glacier\n",
        "error: none.xml: cannot be read (No such file or directory)\n",
    )


def test_a_call_without_files_is_refused(run):
    status, out, err = run()
    assert status == 1
    assert out == ""
    assert err.startswith("error: the following arguments are required: FILE (--help lists ")
    assert err.count("\n") == 1


def test_what_is_printed_is_what_is_learnt_from(run, tmp_path):
    (tmp_path / "a").write_text(
        '{| class="wikitable"\n|-\n| style="x" | castle\n|}\nNaïve wolves\' castles'
    )
    assert (
        run("a")[1].split()
        == text.tokenize(text.read_article(tmp_path / "a"))
        == ["castle", "nave", "wolf", "castle"]
    )
