"""The command line of every script: errors in one sentence, numbers that are checked, common
options.

`whole`, `seed` and `share` return an argparse `type`.  What it refuses is a UserError that names
the option: `--topics 0: must be ...`.
"""

import argparse
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable

from texttopicnet.errors import FULL, UserError

LARGEST = 2**31 - 1
LARGEST_SEED = 2**32 - 1  # NumPy's


def run(main):
    """Call `main()` and exit with its status; a UserError becomes one line on stderr and status 1."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # texttopicnet.startup's
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show ends no stage
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        _fail(error)
    except (
        sqlite3.OperationalError
    ) as error:  # Pairs and Labels; the token store names its own file
        _fail(
            f"SQLite's temporary file in {tempfile.gettempdir()} cannot be written ({error}): free space there, or set TMPDIR"
        )
    except BrokenPipeError:  # the reader of the output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _fail(
            f"{error.filename or 'the output'} cannot be written ({error.strerror}): free space there, and run this again"
        )
    except KeyboardInterrupt:
        print("interrupted: nothing half written was left behind", file=sys.stderr)
        sys.exit(130)
    sys.exit(status)


def _fail(error):
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def whole(option: str, least: int = 1, most: int = LARGEST) -> Callable[[str], int]:
    """An argparse type: whole numbers from `least` to `most`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"{option} {text}: must be a whole number") from None
        if not least <= value <= most:
            raise UserError(
                f"{option} {text}: must be {f'{least} or more' if value < least else f'{most} or less'}"
            )
        return value

    return parse


def seed(option: str = "--seed") -> Callable[[str], int]:
    """An argparse type: seeds of NumPy's, from 0 to 2^32 - 1."""
    return whole(option, 0, LARGEST_SEED)


def share(option: str, zero: bool = False, one: bool = False) -> Callable[[str], float]:
    """An argparse type: numbers between 0 and 1, these themselves only as said."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):  # nor NaN
            bounds = f"{'0 or more' if zero else 'above 0'} and {'1 or less' if one else 'below 1'}"
            raise UserError(f"{option} {text}: must be a share, {bounds}")
        return value

    return parse


def add_trust_pickle(parser: argparse.ArgumentParser) -> None:
    """Add `--trust-pickle`, for scripts that load gensim's files (`pickles.read`)."""
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="load dictionaries and models by Python's own unpickling, which runs any code that is in them",
    )
