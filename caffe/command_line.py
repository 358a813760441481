"""What the commands share: Caffe's flags, and how mistakes end (one fatal line, status 1)."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from caffe import cores, gflags, interrupt, log
from caffe.allocation import FAILURES, on_gpu
from caffe.error import CaffeError

VERSION = "1.0.0"  # of the Caffe that this package behaves like


class Fatal(CaffeError):
    """A mistake on the command line, with Caffe's position for the log line."""

    def __init__(self, position: str, text: str):
        super().__init__(text)
        self.position = position


class HelpRequested(Exception):
    """-help or -version was given; it is answered instead of running the command."""


def run(
    command: Callable[[list[str]], object],
    position: str,
    arguments: Sequence[str] | None = None,
    usage: str | None = None,
    help_status: int = 0,
    bare_status: int = 1,
) -> int:
    """Call `command(arguments)`, and turn errors into one line and an exit status.

    Parameters
    ----------
    command : callable
    position : str
        The position in the log line of a CaffeError that has none of its own, such as
        ``'caffe.cpp:1'``.
    arguments : list of str, optional
        Without the command's name; by default those of the process.
    usage : str, optional
        Printed for -help, and if there are no arguments at all.
    help_status, bare_status : int
        The exit status in these two cases.

    Returns
    -------
    int
        The exit status: 0; 1 after a mistake; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else [str(a) for a in arguments]
    name = program(position)
    with log.of_program(name):
        try:
            interrupt.raise_keyboard_interrupt()
            if usage and not arguments:
                return _answer(usage, bare_status)
            if usage and arguments[0] == "-h":
                return _answer(usage, help_status)
            cores.limit_torch()
            command(arguments)
            sys.stdout.flush()
        except HelpRequested as request:
            if str(request) == "version":
                return _answer(f"{name} version {VERSION}\n", 0)
            return _answer(usage or f"usage: {name}\n", help_status)
        except CaffeError as error:
            return _fatal(getattr(error, "position", position), str(error))
        except OSError as error:
            _discard_stdout()
            where = f"{error.filename}: " if error.filename else ""
            return _fatal(position, f"{where}{error.strerror or error}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            where, there = (" on the GPU", "a GPU") if on_gpu(error) else ("", "a machine")
            return _fatal(
                position,
                f"out of memory{where}: lower batch_size, or the sizes in the prototxt, or use"
                f" {there} with more",
            )
        except KeyboardInterrupt:
            log.error(position, "Interrupted: nothing half written was left behind.")
            return 130
    return 0


def program(position: str) -> str:
    """The command's name.

    It is that of the process, or that of Caffe's source file if the command runs as a module, as a
    sub-command or from Python.
    """
    name = os.path.basename(sys.argv[0]).removesuffix(".py")
    return name if position.startswith(f"{name}.") else position.partition(".")[0]


def out_of_memory(error: Exception) -> bool:
    """Whether an exception of NumPy or PyTorch means that there was not enough memory."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in FAILURES)


def _answer(text: str, status: int):
    try:
        print(text, end="", flush=True)
    except OSError:
        _discard_stdout()
    return status


def _discard_stdout():
    """If stdout cannot be written (a full disk, a closed pipe), discard what is left for it.

    Otherwise Python would try again at its end, and print a traceback.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fatal(position: str, text: str):
    log.line("F", position, " ".join(text.split("\n")))
    return 1


def flags(
    arguments: Sequence[str], options: gflags.Options, position: str, names: str = ""
) -> argparse.Namespace:
    """Read a command's flags, and those of gflags and glog, which every command takes.

    See caffe/gflags.py and caffe/log.py.

    Parameters
    ----------
    arguments : list of str
    options : dict
        {flag: keywords}, as gflags.Parser takes them.
    position : str
        For the fatal line.
    names : str
        The arguments that are not flags, with optional ones in brackets:
        ``'INPUT_DB [OUTPUT_FILE]'``.

    Returns
    -------
    argparse.Namespace
        One attribute per flag, and `rest`, the list of arguments that are not flags.

    Raises
    ------
    Fatal
        One sentence that starts with "command line: ".
    HelpRequested
        -help or -version is among the flags.
    """
    try:
        given, rest = gflags.Parser(options, program(position)).parse(arguments)
    except gflags.FlagError as error:
        raise Fatal(position, f"command line: {error}") from error
    log.set_flags(given)
    if any(given.get(name) for name in gflags.HELP):
        raise HelpRequested("help")
    if given.get("version"):
        raise HelpRequested("version")
    most = names.split()
    least = sum(not name.startswith("[") for name in most)
    if not least <= len(rest) <= len(most):
        expected = f"expected {names}" if names else "no arguments but flags are expected"
        raise Fatal(
            position, f"command line: {expected}; {len(rest)} were given ({' '.join(rest)})"
        )
    defaults = {name: keywords.get("default", False) for name, keywords in options.items()}
    return argparse.Namespace(
        **defaults | {name: given[name] for name in options if name in given}, rest=rest
    )
