"""Ctrl-C while a command is still importing: it ends at once, without a traceback."""

import os
import signal
import sys
import threading


def _is_command():
    """Whether this process runs one of Caffe's commands, by name or as
    ``python -m caffe.<module>``.
    """
    tools = {
        name.removesuffix(".py")
        for name in os.listdir(os.path.join(os.path.dirname(__file__), "tools"))
    }
    if os.path.basename(sys.argv[0]) in tools | {"caffe"}:
        return True
    words = sys.orig_argv[1:]
    return "-m" in words[:-1] and words[words.index("-m") + 1].startswith("caffe.")


def quiet_start():
    """Let SIGINT end the process the system's way until `heard` is called; only in a command, never
    in a user's program.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or not sys.argv
        or not _is_command()
    ):
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def heard():
    """From now on Ctrl-C is a KeyboardInterrupt again, which the command catches."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)
