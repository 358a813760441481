"""The command line of every script: parser, common options, checked numbers, errors in a sentence.

`whole`, `seed` and `share` return an argparse `type`.  A value that it refuses is a UserError that
names the option: `--topics 0: must be ...`.
"""

import argparse
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from texttopicnet import artefacts
from texttopicnet.errors import FULL, UserError

LARGEST = 2**31 - 1
LARGEST_SEED = 2**32 - 1  # NumPy's
MOST_WORKERS = 1024
NEEDS_VALUE = re.compile(r"argument (?P<option>\S+): expected (?:one|at least one) argument")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main()` and exit with its status; a UserError is one line on stderr and status 1."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # texttopicnet.startup's
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        _fail(error)
    except sqlite3.OperationalError as error:  # of Pairs and Labels; the token store names its file
        _fail(
            f"SQLite's temporary file in {tempfile.gettempdir()} cannot be written ({error}):"
            " free space there, or set TMPDIR"
        )
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _fail(
            f"{error.filename or 'the output'} cannot be written ({error.strerror}):"
            " free space there, and run this again"
        )
    except KeyboardInterrupt:
        print("interrupted: no half-written file was left behind", file=sys.stderr)
        sys.exit(130)
    sys.exit(status)


def _fail(error: Exception | str) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are UserErrors, and so one sentence each."""

    def parse_args(
        self, args: list[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            what = "option" if unknown[0].startswith("-") else "argument"
            self.error(f"unknown {what} {unknown[0]}")
        return found

    def error(self, message: str) -> NoReturn:
        if match := NEEDS_VALUE.fullmatch(message):
            message = f"{match['option']} needs a value"
        raise UserError(f"{message} (--help lists the options of {self.prog})")


def parser(doc: str) -> Parser:
    """A parser that shows a script's docstring as its help."""
    return Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def whole(option: str, least: int = 1, most: int = LARGEST) -> Callable[[str], int]:
    """An argparse type: whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"{option} {text}: must be a whole number") from None
        if not least <= value <= most:
            bound = f"{least} or more" if value < least else f"{most} or less"
            raise UserError(f"{option} {text}: must be {bound}")
        return value

    return parse


def seed(option: str = "--seed") -> Callable[[str], int]:
    """An argparse type: NumPy's seeds, from 0 to 2^32 - 1."""
    return whole(option, 0, LARGEST_SEED)


def share(option: str, zero: bool = False, one: bool = False) -> Callable[[str], float]:
    """An argparse type: numbers between 0 and 1; 0 itself only with `zero`, 1 itself with `one`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):  # nor NaN
            bounds = f"{'0 or more' if zero else 'above 0'} and {'1 or less' if one else 'below 1'}"
            raise UserError(f"{option} {text}: must be a share, {bounds}")
        return value

    return parse


# Options that several scripts take.  A script may say what an option means for it, or change the
# default: add_options(parser, "--seed", help="seed of the order").
OPTIONS = {
    "--data": {
        "type": Path,
        "default": artefacts.DATA,
        "metavar": "DIR",
        "help": "folder of the data sets, ImageCLEF_Wikipedia/ and Wikipedia/ (default: data/)",
    },
    "--collection": {
        "default": "ImageCLEF_Wikipedia",
        "metavar": "NAME",
        "help": "the collection's folder, below --data or an absolute path (default:"
        " ImageCLEF_Wikipedia)",
    },
    "--work": {
        "type": Path,
        "default": artefacts.ROOT,
        "metavar": "DIR",
        "help": "folder for everything that is made (default: the project)",
    },
    "--voc": {
        "type": Path,
        "default": artefacts.DATA / "VOC2007",
        "metavar": "DIR",
        "help": "folder that holds VOCdevkit/ (default: data/VOC2007)",
    },
    "--net": {
        "default": "CaffeNet",
        "metavar": "NAME",
        "help": "folder of CNN/ that holds the net (default: CaffeNet)",
    },
    "--solver": {
        "default": "solver.prototxt",
        "metavar": "FILE",
        "help": "solver in the net's folder (default: solver.prototxt)",
    },
    "--dump": {
        "type": Path,
        "metavar": "FILE",
        "help": "articles from a MediaWiki dump (data/wikipedia_data/README.md), with --images",
    },
    "--pairs": {
        "type": Path,
        "metavar": "FILE",
        "help": "a list of images and texts, .csv, .json or .jsonl (data/README.md); its paths are"
        " relative to its own folder",
    },
    "--topics": {
        "type": whole("--topics"),
        "default": 40,
        "metavar": "N",
        "help": "number of topics, or width of another embedding (default: 40)",
    },
    "--embedding": {
        "default": "lda",
        "help": "text embedding that the net learns (default: lda)",
    },
    "--passes": {
        "type": whole("--passes"),
        "default": 1,
        "metavar": "N",
        "help": "times that LDA reads the corpus (default: 1)",
    },
    "--update-every": {
        "type": whole("--update-every"),
        "metavar": "N",
        "help": "chunks of 2000 documents per update of the model (default: %(default)s)",
    },
    "--no-below": {
        "type": whole("--no-below", 0),
        "metavar": "N",
        "help": "fewest documents that a word must be in; 2 suits up to 100 articles (default: 20)",
    },
    "--no-above": {
        "type": share("--no-above", one=True),
        "metavar": "SHARE",
        "help": "largest share of the documents that a word may be in; 1 suits up to 100 articles"
        " (default: 0.5)",
    },
    "--workers": {
        "type": whole("--workers", 1, MOST_WORKERS),
        "default": 2,
        "metavar": "N",
        "help": "processes or threads, at most one per core; the result does not depend on their"
        " number (default: %(default)s)",
    },
    "--processes": {
        "type": whole("--processes", 1, MOST_WORKERS),
        "default": 1,
        "metavar": "N",
        "help": "processes that share the images, at most one per core (default: %(default)s)",
    },
    "--scheduler": {
        "metavar": "tcp://HOST:PORT",
        "help": "address of a Dask cluster to work on",
    },
    "--rounds": {
        "type": whole("--rounds"),
        "default": 3,
        "metavar": "N",
        "help": "times that each side of a benchmark runs (default: 3)",
    },
    "--note": {
        "default": "",
        "metavar": "TEXT",
        "help": "what a reader must know besides the numbers: training corpus, iterations",
    },
    "--seed": {
        "type": seed(),
        "default": 0,
        "metavar": "N",
        "help": "seed of every random step (default: 0)",
    },
    "--seeds": {
        "type": seed("--seeds"),
        "nargs": "+",
        "metavar": "N",
        "help": "one model is learnt per seed (default: %(default)s)",
    },
    "--gpu": {"action": "store_true", "help": "compute on the GPU"},
    "--force": {"action": "store_true", "help": "replace existing outputs"},
    "--trust-pickle": {
        "action": "store_true",
        "help": "load dictionaries and models by Python's own unpickling, which runs any code that"
        " is in them",
    },
}


def add_options(to: argparse.ArgumentParser, *names: str, **changes: object) -> None:
    """Add common options to a parser; `changes` replace arguments that `OPTIONS` has for them.

    Raises
    ------
    KeyError
        `OPTIONS` lacks a name.
    """
    for name in names:
        to.add_argument(name, **OPTIONS[name] | changes)
