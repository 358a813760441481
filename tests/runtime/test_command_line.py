"""What the commands share: flags as gflags reads them, exit statuses, sub-commands, Ctrl-C."""

import importlib
import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import caffe
from caffe import cli, command_line, interrupt
from caffe.cli import main as caffe_main

TOOLS = sorted(
    path for path in (Path(caffe.__file__).parent / "tools").glob("*.py") if path.stem != "__init__"
)
FLAGS = {"fast": {"action": "store_true"}, "size": {"type": int, "default": 1}}


@pytest.mark.parametrize(
    ("arguments", "fast", "size", "rest"),
    [
        ([], False, 1, []),
        (["-fast", "a"], True, 1, ["a"]),
        (["a", "--fast", "b"], True, 1, ["a", "b"]),
        (["--fast=true", "-size", "3"], True, 3, []),
        (["--fast", "-fast=0", "--size=3"], False, 3, []),
        (["-fast", "-nofast"], False, 1, []),
    ],
)
def test_flags(arguments, fast, size, rest):
    found = command_line.flags(arguments, FLAGS, "x.cpp:1", "[A] [B]")
    assert (found.fast, found.size, found.rest) == (fast, size, rest)


@pytest.mark.parametrize(
    "arguments",
    [["-siz", "3"], ["-size", "x"], ["-size"], ["-fast=perhaps"], ["-slow"], ["a", "b", "c"]],
)
def test_refused(arguments):
    with pytest.raises(command_line.Fatal, match=r"^command line: ") as caught:
        command_line.flags(arguments, FLAGS, "x.cpp:1", "A [B]")
    assert caught.value.position == "x.cpp:1"


def test_exit_statuses(capsys):
    def fail(arguments):
        raise caffe.CaffeError("two\nlines")

    def interrupt(arguments):
        raise KeyboardInterrupt

    assert command_line.run(list, "x.cpp:1", ["a"]) == 0
    assert command_line.run(fail, "x.cpp:1", ["a"]) == 1
    assert re.search(r"^F\d{4} .* x\.cpp:1\] two lines\n$", capsys.readouterr().err)
    assert command_line.run(interrupt, "x.cpp:1", ["a"]) == 130


def test_each_tool_is_a_sub_command(capsys):
    """`caffe <tool>` is the tool, its name in the log too; `caffe help` lists all of them."""
    own = {module for module, _ in cli.OWN.values()}
    assert sorted({*cli.TOOLS, *own}) == [path.stem for path in TOOLS]
    assert caffe_main(["help"]) == 0
    listed = capsys.readouterr().out
    for name in (*cli.TOOLS, *cli.OWN):
        assert f"\n  {name} " in listed
        assert caffe_main([name, "-version"]) == 0
        assert capsys.readouterr().out == f"{name} version {caffe.__version__}\n"
        assert caffe_main([name, "-no_such_flag"]) == 1
        assert "command line: unknown flag -no_such_flag" in capsys.readouterr().err


COMMANDS = ["caffe.cli", *(f"caffe.tools.{path.stem}" for path in TOOLS)]


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_answers(module, capsys):
    """-version and -help work anywhere; glog's flags are accepted, unknown ones are not."""
    main = importlib.import_module(module).main
    name = module.rpartition(".")[2].replace("cli", "caffe")
    name = {tool: own for own, (tool, _) in cli.OWN.items()}.get(name, name)
    assert main(["-version"]) == 0
    assert capsys.readouterr().out == f"{name} version {caffe.__version__}\n"
    for question in ("-help", "--help", "-helpshort"):
        assert main(["-minloglevel", "1", question]) == (1 if name == "caffe" else 0)
        assert (
            "usage: caffe <command>" if name == "caffe" else f"usage: caffe {name}"
        ) in capsys.readouterr().out
    for flags in (
        ["-logtostderr"],
        ["--alsologtostderr=false", "-v=1"],
        ["-colorlogtostderr", "-stderrthreshold", "0"],
    ):
        assert main([*flags, "-no_such_flag"]) == 1
        assert "command line: unknown flag -no_such_flag" in capsys.readouterr().err


def test_flags_before_the_action(tmp_path, capsys):
    for arguments in (
        ["-solver", "none", "train"],
        ["-log_dir", str(tmp_path), "train", "-solver=none"],
    ):
        assert caffe_main(arguments) == 1
        assert "none: No such file or directory" in capsys.readouterr().err
    assert "none: No such file or directory" in (tmp_path / "caffe.INFO").read_text()
    assert caffe_main(["train", "test"]) == 1
    assert "expected <command>" in capsys.readouterr().err


def test_a_flag_file_for_caffe(tmp_path, capsys):
    (tmp_path / "flags").write_text(
        "# for the training\n-solver=none\nconvert_imageset\n-solver=other\n"
    )
    assert caffe_main(["train", f"-flagfile={tmp_path / 'flags'}"]) == 1
    assert "none: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "x/y"), "x/y: No space left on device"),
        (MemoryError("Unable to allocate 1 TiB"), "out of memory: lower batch_size"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out of memory: lower batch_size",
        ),
    ],
)
def test_an_error_of_the_system_is_one_fatal_line(capsys, error, message):
    def fail(arguments):
        raise error

    assert command_line.run(fail, "x.cpp:1", ["a"]) == 1
    assert re.search(
        rf"^F\d{{4}} .* x\.cpp:1\] {re.escape(message)}[^\n]*\n$", capsys.readouterr().err
    )


def test_a_bug_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="a bug"):
        command_line.run(lambda _: (_ for _ in ()).throw(RuntimeError("a bug")), "x.cpp:1", ["a"])


@pytest.mark.parametrize("module", ["caffe.cli", "caffe.tools.convert_imageset"])
def test_ctrl_c_while_importing_is_quiet(module, tmp_path):
    """PyTorch is a module here that says when it is loaded, and takes a minute."""
    slow = "import time\nprint('loading', flush=True)\ntime.sleep(300)\n"
    (tmp_path / "torch.py").write_text(slow)
    process = subprocess.Popen(
        [sys.executable, "-m", module, "-help"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGINT
    assert error == ""


USERS = """import signal
import caffe
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.parametrize("name", [*interrupt.COMMANDS, "mine.py"])
def test_users_programs_keep_their_ctrl_c(tmp_path, monkeypatch, name):
    """Also under the name of one of Caffe's commands, and with arguments that look like one."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / name), "-m", "caffe.cli"])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *sys.argv])
    interrupt.quiet_start()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_importing_caffe_changes_no_signal_handling(tmp_path):
    (tmp_path / "parse_log.py").write_text(USERS)
    line = [sys.executable, str(tmp_path / "parse_log.py"), "-m", "caffe.cli"]
    assert subprocess.run(line).returncode == 0


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("name", interrupt.COMMANDS)
def test_console_commands_start_quietly(monkeypatch, name, user):
    """Until `raise_keyboard_interrupt`, SIGINT has the system's own effect; also after
    ``pip install --user``.
    """
    scheme = sysconfig.get_preferred_scheme("user")
    folder = sysconfig.get_path("scripts", scheme) if user else Path(sys.executable).parent
    monkeypatch.setattr(sys, "argv", [str(Path(folder) / name)])
    before = signal.getsignal(signal.SIGINT)
    try:
        interrupt.quiet_start()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        interrupt.raise_keyboard_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_run_as_a_module():
    line = [sys.executable, "-m", "caffe.tools.parse_log", "none.log", "."]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1
    assert "none.log" in done.stderr
    assert "Traceback" not in done.stderr
