"""Lists of images: one "path label" per line, as ImageData and convert_imageset read them."""

import re
from pathlib import Path

from caffe import prototxt
from caffe.error import CaffeError


def read(source: Path | str) -> list[tuple[str, int]]:
    """The lines of a list of images; the label is what follows the last blank.

    As in Caffe, the label is read by C's atoi: "1.7" is 1, and a line without a number has the
    label 0 and loses what follows its last blank, if it has one.

    Returns
    -------
    list of (path, label)
        In the file's order, without its empty lines.

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
    """The whole number at the beginning of a text, or 0; beyond 32 bits it wraps round, as in C."""
    match = re.match(r"\s*([-+]?\d+)", text, re.ASCII)
    return (int(match[1]) + 2**31) % 2**32 - 2**31 if match else 0
