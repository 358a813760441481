"""Flags as gflags reads them: forms, flag files, the environment, flags of every command."""

import pytest

from caffe.gflags import FlagError, Parser

OPTIONS = {
    "fast": {"action": "store_true"},
    "size": {"type": int, "default": 1},
    "share": {"type": float, "default": 0.5},
    "name": {"default": ""},
    "from_where": {"action": "optional", "const": "auto", "default": ""},
}


def parse(*arguments, program="tool"):
    return Parser(OPTIONS, program).parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "values", "rest"),
    [
        (["a", "-size", "3", "b"], {"size": 3}, ["a", "b"]),
        (["--size=0x10", "-nofast"], {"size": 16, "fast": False}, []),
        (["-size", "-4"], {"size": -4}, []),
        (["-share=1e-7"], {"share": 1e-7}, []),
        (["-share", "3"], {"share": 3.0}, []),
        (["-name=x=y", "-name", "-fast"], {"name": "-fast"}, []),
        (["-fast", "a", "--", "-size", "3"], {"fast": True}, ["a", "-size", "3"]),
        (["-", "-fast=YES"], {"fast": True}, ["-"]),
        (
            ["-logtostderr", "-v=2", "--vmodule=net=1", "-minloglevel", "1"],
            {"logtostderr": True, "v": 2, "vmodule": "net=1", "minloglevel": 1},
            [],
        ),
        (
            ["-stderrthreshold=0", "-noalsologtostderr", "-log_dir", "x"],
            {"stderrthreshold": 0, "alsologtostderr": False, "log_dir": "x"},
            [],
        ),
        (
            ["-undefok=colour,shape", "-colour=red", "-noshape", "a"],
            {"undefok": "colour,shape"},
            ["a"],
        ),
    ],
)
def test_read(arguments, values, rest):
    assert parse(*arguments) == (values, rest)


@pytest.mark.parametrize(
    ("arguments", "value", "rest"),
    [
        (["a", "-from_where"], "auto", ["a"]),
        (["a", "--from-where", "-fast"], "auto", ["a"]),
        (["-from_where", "a"], "auto", ["a"]),  # the first word is the command's
        (["-from_where", "auto", "a"], "auto", ["a"]),
        (["a", "-from_where", "b"], "b", ["a"]),
        (["-from-where=b", "a"], "b", ["a"]),
        (["-from_where=true", "a"], "auto", ["a"]),
        (["-from_where=b", "-from_where=0", "a"], "", ["a"]),
        (["-from_where=b", "-nofrom-where", "a"], "", ["a"]),
    ],
)
def test_an_optional_flag_is_a_switch_or_takes_a_value(arguments, value, rest):
    values, found = parse(*arguments)
    assert (values["from_where"], found) == (value, rest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-colour"], "unknown flag -colour"),
        (["-colour=red", "-undefok=shape"], "unknown flag -colour"),
        (["-size"], "-size is missing its value"),
        (["-size=1.5"], "-size takes a whole number, not '1.5'"),
        (["-size=1_0"], "a whole number"),
        (["-size=99999999999"], "32 bits"),
        (["-size", ""], "a whole number"),
        (["-share=a"], "-share takes a number, not 'a'"),
        (["-share=1_0"], "-share takes a number, not '1_0'"),
        (["-share="], "-share takes a number, not ''"),
        (["-fast=maybe"], "-fast is true or false, not 'maybe'"),
        (["-nosize"], "unknown flag -nosize"),
        (["-nofast=1"], "unknown flag -nofast"),
        (["-flagfile=none.txt"], "-flagfile none.txt: No such file"),
        (["-fromenv=size"], "the environment has no FLAGS_size"),
    ],
)
def test_refused(monkeypatch, arguments, message):
    monkeypatch.delenv("FLAGS_size", raising=False)
    with pytest.raises(FlagError, match=message):
        parse(*arguments)


def test_a_flag_file(tmp_path):
    """Comments, switches, sections for programs by name, and a file that names another one.

    Later flags on the command line override those of the file.
    """
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("-size=7\n")
    outer.write_text(
        f"# all\n--name=x y\n\n-flagfile={inner}\nother\n-size=8\nother to*\n-fast\nnone\n-nofast\n"
    )
    values, rest = parse("-size=1", f"-flagfile={outer}", "a")
    assert (values["name"], values["size"], values["fast"], rest) == ("x y", 7, True, ["a"])
    assert parse(f"-flagfile={outer}", "-size=1")[0]["size"] == 1
    assert parse(f"-flagfile={outer}", program="other")[0]["size"] == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-flagfile={0}", "the file names itself"),
        ("-size 3", "unknown flag -size 3"),
        ("-size", "-size=VALUE"),
    ],
)
def test_a_bad_flag_file(tmp_path, text, message):
    path = tmp_path / "flags"
    path.write_text(text.format(path))
    with pytest.raises(FlagError, match=message):
        parse(f"-flagfile={path}")


def test_from_the_environment(monkeypatch):
    monkeypatch.setenv("FLAGS_size", "5")
    monkeypatch.delenv("FLAGS_name", raising=False)
    assert parse("-fromenv=size", "-tryfromenv=name,fast")[0]["size"] == 5
