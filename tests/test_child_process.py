"""Child processes: signals reach them, their output goes to the terminal and to a log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from texttopicnet import child_process

ROOT = Path(__file__).resolve().parents[1]
# says ready, then waits for a signal, and ends with its own status a little later
CHILD = """
import signal, sys, time
def stop(number, _):
    print(f"got {number}", flush=True)
    time.sleep(0.2)
    sys.exit(7)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, stop)
print("ready", flush=True)
time.sleep(30)
"""
PARENT = """
import signal, sys
from pathlib import Path
from texttopicnet import child_process
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
log = Path(sys.argv[2]) if len(sys.argv) > 2 else None
print(child_process.run([sys.executable, "-c", sys.argv[1]], log=log), flush=True)
"""


def parent(*arguments):
    """A process, in a session without a terminal, that runs the child."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("log", [False, True])
def test_a_signal_is_passed_on_and_the_end_is_waited_for(tmp_path, number, log):
    with parent(*[tmp_path / "log"] * log) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said = process.stdout.read().splitlines()
    assert said == [f"got {number}", f"Ended(status=7, signal={int(number)!r})"]
    assert process.returncode == 0
    if log:
        assert (tmp_path / "log").read_text() == f"ready\ngot {number}\n"


def test_the_log_is_appended_to_and_has_both_streams(tmp_path, capfdbinary):
    log = tmp_path / "log"
    log.write_text("before\n")
    program = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    ended = child_process.run([sys.executable, "-c", program], tmp_path, log)
    assert ended == (3, 0)
    assert ended.exit_status == 3
    assert log.read_text() == "before\nout\nerr\n"
    assert capfdbinary.readouterr().out == b"out\nerr\n"


def test_it_runs_in_the_folder(tmp_path, capfd):
    program = "import os; print(os.getcwd())"
    assert child_process.run([sys.executable, "-c", program], tmp_path).status == 0
    assert capfd.readouterr().out == f"{tmp_path.resolve()}\n"


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path, capfd):
    ended = child_process.run([sys.executable, "-c", "print('out')"], log=tmp_path / "no" / "log")
    said = capfd.readouterr()
    assert ended == (0, 0)
    assert said.out == "out\n"
    assert said.err.startswith(f"warning: {tmp_path}/no/log cannot be written (No such file")


def test_a_full_disk_ends_the_log_only(capfd):
    ended = child_process.run([sys.executable, "-c", "print('out')"], log=Path("/dev/full"))
    assert ended == (0, 0)
    assert capfd.readouterr() == (
        "out\n",
        "warning: /dev/full cannot be written (No space left on device): it ends here\n",
    )


def test_the_handlers_are_as_before(tmp_path):
    before = [signal.getsignal(number) for number in child_process.PASSED_ON]
    child_process.run(["true"])
    assert [signal.getsignal(number) for number in child_process.PASSED_ON] == before
    with pytest.raises(FileNotFoundError):
        child_process.run([tmp_path / "none"])
    assert [signal.getsignal(number) for number in child_process.PASSED_ON] == before


def test_the_exit_status_after_a_signal():
    assert child_process.Ended(0, signal.SIGINT).exit_status == 130
    assert child_process.Ended(1, signal.SIGTERM).exit_status == 143
    assert os.WEXITSTATUS(0) == child_process.Ended(0, 0).exit_status == 0
