"""What the commands share: Caffe's flags, and how a mistake ends (one fatal line, status 1)."""

import argparse
import re
import sys

from caffe import log
from caffe.error import CaffeError


class Fatal(CaffeError):
    """A mistake on the command line, with Caffe's position for the log line."""

    def __init__(self, position, text):
        super().__init__(text)
        self.position = position


def run(command, position, arguments=None, usage=None):
    """Call `command(arguments)`.

    Parameters
    ----------
    command : callable
    position : str
        Where a CaffeError without a position of its own is said to come from, such as ``'caffe.cpp:1'``.
    arguments : list of str, optional
        Without the command's name; those of the process if not given.
    usage : str, optional
        Printed for -help, and where there are no arguments at all.

    Returns
    -------
    int
        The exit status: 0; 1 after a mistake; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else [str(a) for a in arguments]
    if usage and (not arguments or arguments[0] in ("-h", "-help", "--help")):
        print(usage, end="")
        return 0 if arguments else 1
    try:
        command(arguments)
    except CaffeError as error:
        log.line("F", getattr(error, "position", position), " ".join(str(error).split("\n")))
        return 1
    except KeyboardInterrupt:
        log.error(position, "Interrupted: nothing half written was left behind.")
        return 130
    return 0


def flags(arguments, options, position, names=""):
    """Read flags as gflags does: `-name value` or `-name=value`, one dash or two; switches `-name`, `-noname`, `-name=false`.

    Parameters
    ----------
    arguments : list of str
    options : dict
        {flag: keywords of ArgumentParser.add_argument}.
    position : str
        For the fatal line.
    names : str
        The arguments that are no flags, optional ones in brackets: ``'INPUT_DB [OUTPUT_FILE]'``.

    Returns
    -------
    argparse.Namespace
        One attribute a flag, and `rest`: the arguments that are no flags, list of str.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
    for name, keywords in options.items():
        parser.add_argument(f"-{name}", f"--{name}", **keywords)
    if names:
        parser.add_argument("rest", nargs="*")
    parser.error = lambda message: _raise(Fatal(position, f"command line: {message}"))
    switches = {name for name, keywords in options.items() if keywords.get("action") == "store_true"}
    found = parser.parse_intermixed_args(_plain_switches(arguments, switches, position))
    most = names.split()
    least = sum(not name.startswith("[") for name in most)
    if names and not least <= len(found.rest) <= len(most):
        raise Fatal(position, f"command line: wanted are {names}, but {len(found.rest)} arguments were given")
    return found


def _plain_switches(arguments, switches, position):
    """The arguments with every switch as `-name`, where it is on, or gone, where it is off."""
    on, others = {}, []
    for argument in arguments:
        match = re.fullmatch(r"--?(\w+)(?:=(.*))?", argument)
        name, value = match.groups() if match else (None, None)
        if name in switches:
            if value is not None and value.lower() not in TRUE + FALSE:
                raise Fatal(position, f"command line: -{name} is true or false, not '{value}'")
            on[name] = value is None or value.lower() in TRUE
        elif name and name.startswith("no") and name[2:] in switches and value is None:
            on[name[2:]] = False
        else:
            others.append(argument)
    return [f"-{name}" for name, value in on.items() if value] + others


TRUE, FALSE = ["1", "t", "true", "y", "yes"], ["0", "f", "false", "n", "no"]


def _raise(error):
    raise error
