"""Ending a command without a traceback if Ctrl-C is pressed while it is still importing."""

import os
import signal
import sys
import sysconfig
import threading

COMMANDS = (  # the console scripts of pyproject.toml
    "caffe",
    "compute_image_mean",
    "convert_cifar_data",
    "convert_imageset",
    "convert_mnist_data",
    "download_model_binary",
    "extract_features.bin",
    "parse_log.py",
    "upgrade_net_proto_binary",
    "upgrade_net_proto_text",
    "upgrade_solver_proto_text",
)


def _is_command() -> bool:
    """Whether this process is one of Caffe's commands.

    A command is a console script in one of the folders into which pip installs them (the
    interpreter's, or with --user the user's), or ``python -m caffe.<module>``.  A user's program of
    the same name elsewhere is not a command.
    """
    if sys.argv[0] == "-m":  # Python puts the module's path there later
        words = sys.orig_argv
        return words[words.index("-m") + 1].startswith("caffe.") if "-m" in words else False
    folder, name = os.path.split(os.path.abspath(sys.argv[0]))
    users = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    folders = (os.path.dirname(sys.executable), sysconfig.get_path("scripts"), users)
    return name in COMMANDS and folder in folders


def quiet_start() -> None:
    """In a command, let SIGINT end the process silently until `raise_keyboard_interrupt` is called.

    A user's program is left alone.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or not sys.argv or not _is_command():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_keyboard_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, from now on; the command catches it."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)
