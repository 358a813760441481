"""Lists of images: one "path label" per line, as ImageData and convert_imageset read them."""

import re
from pathlib import Path

from caffe import prototxt
from caffe.error import CaffeError


def read(source: Path | str) -> list[tuple[str, int]]:
    """Read the lines of a list of images; the label follows the last space.

    As in Caffe, the label is read with C's atoi: "1.7" is 1.  If a line does not end in a number,
    its label is 0, and whatever follows its last space is lost.

    Returns
    -------
    list of (path, label)
        In the file's order; empty lines are left out.

    Raises
    ------
    CaffeError
        The file cannot be read, or lists no images.
    """
    lines = []
    for line in prototxt.read_text(source).split("\n"):
        line = line.rstrip()
        if line:
            path, blank, label = line.rpartition(" ")
            lines.append((path if blank else line, atoi(label)))
    if not lines:
        raise CaffeError(f"{source}: lists no images")
    return lines


def atoi(text: str) -> int:
    """The integer at the beginning of a text, or 0; beyond 32 bits it wraps round, as in C."""
    match = re.match(r"\s*([-+]?\d+)", text, re.ASCII)
    return (int(match[1]) + 2**31) % 2**32 - 2**31 if match else 0
