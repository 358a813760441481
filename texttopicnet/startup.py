"""The first import of every script, before the libraries that take seconds to load.

Until `command_line.run` takes over, Ctrl-C ends the process without a traceback, and a library that
is not installed is reported in one sentence.  Threads that wait for each other sleep soon, so that
a script gets on beside other programs, too; libraries read that from the environment when they are
loaded.  The module does nothing if it is imported by anything but a script of this project, e.g. by
a test.
"""

import os
import signal
import sys
from pathlib import Path
from types import TracebackType

from texttopicnet.artefacts import ROOT

# for OpenMP's libraries: those of scikit-learn and, through caffe (see caffe/waiting.py), PyTorch
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
CHOICES = (*WAITING, "KMP_BLOCKTIME", "KMP_LIBRARY")  # of the user


def _is_project_script() -> bool:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return (
        bool(file)
        and Path(file).resolve().parent.parent == ROOT
        and Path(file).resolve().parent.name != "tests"
    )


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An exception hook: a missing library in one sentence, everything else as usual."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        print(
            f"error: {package} is not installed: run `bash {ROOT}/scripts/00_install.sh`,"
            f" or `pip install '{ROOT}[all]'`",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, trace)


def wait_briefly() -> None:
    """Set how threads wait, for this process and those that it starts, unless the user has."""
    if not any(name in os.environ for name in CHOICES):
        os.environ.update(WAITING)


if _is_project_script():
    wait_briefly()
    sys.excepthook = _report
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
