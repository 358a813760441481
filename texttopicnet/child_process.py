"""Run a command as a child process that gets the signals sent to this process.

Ctrl-C in a terminal reaches every process of the group by itself.  A signal that a scheduler or
`kill` sends to this process alone is passed on, and this process waits until the child has ended:
a training writes its snapshot first.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from texttopicnet.errors import UserError

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BLOCK = 1 << 16


class Ended(NamedTuple):
    """How a child process ended.

    Attributes
    ----------
    status : int
        Its exit status; negative if a signal ended it.
    signal : int
        The last signal of `PASSED_ON` that came to this process meanwhile, 0 if there was none.
    """

    status: int
    signal: int

    @property
    def exit_status(self) -> int:
        """What this process should exit with: 128 + signal if a signal came, else the status."""
        return 128 + self.signal if self.signal else self.status


def run(
    command: Sequence[str | Path], folder: Path | None = None, log: Path | None = None
) -> Ended:
    """Run a command and wait for it.

    Parameters
    ----------
    command : sequence of str or Path
    folder : Path, optional
        Where it runs; default: here.
    log : Path, optional
        Its output, stderr included, goes to this process's stdout and is appended to this file.
    """
    child, received = None, []

    def receive(number: int, _: object) -> None:
        received.append(number)
        if child and not (number == signal.SIGINT and _is_in_foreground()):
            child.send_signal(number)

    before = {
        number: signal.signal(number, receive)
        for number in PASSED_ON
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # nohup
    }
    try:
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if log else {}
        child = subprocess.Popen(list(map(str, command)), cwd=folder, **output)
        for number in received.copy():  # they came while it started
            child.send_signal(number)
        if log:
            with child.stdout:
                _copy(child.stdout, log)
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Ended(status, received[-1] if received else 0)


def _is_in_foreground() -> bool:
    """Whether Ctrl-C in this process's terminal reaches its group, the child included."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY)
    except OSError:  # it has none
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _copy(source: BinaryIO, log: Path) -> None:
    """Copy a child's output to stdout and to a log; one that cannot be written is dropped."""
    sys.stdout.flush()
    targets = {"the output": sys.stdout.buffer}
    with contextlib.ExitStack() as stack:
        try:
            targets[str(log)] = stack.enter_context(open(log, "ab", buffering=0))
        except OSError as error:
            _warn(str(log), error)
        while block := source.read1(BLOCK):
            for name, target in list(targets.items()):
                try:
                    target.write(block)
                    target.flush()
                except OSError as error:
                    del targets[name]
                    _warn(name, error)


def _warn(name: str, error: OSError) -> None:
    with contextlib.suppress(OSError):
        why = error.strerror or error
        print(f"warning: {name} cannot be written ({why}): it ends here", file=sys.stderr)


def caffe_train(solver: str, *options: str) -> list[str]:
    """The command of a `caffe train` whose log holds every loss, whatever GLOG_minloglevel says.

    It is the `caffe` of this Python's environment, else the one on the PATH; UserError if there is
    neither.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("caffe", path=places)
    if not found:
        raise UserError("the command caffe is not installed: run bash scripts/00_install.sh")
    return [found, "train", "--solver", solver, *options, "--minloglevel", "0"]
