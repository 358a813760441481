"""Numbers on the command line, each checked in one sentence, and the option about pickles.

The functions give an argparse `type`.  What it refuses is a UserError that names the option: `--topics 0: must be ...`.
"""

import argparse
from collections.abc import Callable

from texttopicnet.artefacts import UserError

LARGEST = 2**31 - 1
LARGEST_SEED = 2**32 - 1  # NumPy's


def whole(option: str, least: int = 1, most: int = LARGEST) -> Callable[[str], int]:
    """An argparse type: whole numbers from `least` to `most`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"{option} {text}: must be a whole number") from None
        if not least <= value <= most:
            raise UserError(f"{option} {text}: must be {f'{least} or more' if value < least else f'{most} or less'}")
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
