"""The first import of every script: Ctrl-C while the libraries are loading ends the process without
a traceback.

gensim, torch and the others take seconds to import.  Until `command_line.run` takes over, SIGINT
has the system's own effect.  Where the module is imported by something other than a script of this
project, e.g. by the tests, it does nothing.
"""

import signal
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def _is_a_script_of_ours() -> bool:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return (
        bool(file)
        and Path(file).resolve().parent.parent == _ROOT
        and Path(file).resolve().parent.name != "tests"
    )


if _is_a_script_of_ours() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
