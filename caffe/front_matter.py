"""The front matter of a model's readme.md: `key: value` between lines of ---, as in BVLC's zoo."""

import os

from caffe import prototxt
from caffe.error import CaffeError


def read(path: str | os.PathLike[str]) -> dict[str, str]:
    """The keys and values between the first two lines of ---, without quotes and comments.

    Raises
    ------
    CaffeError
        The file has no front matter.
    """
    lines = [line.strip() for line in prototxt.read_text(path).splitlines()]
    if lines.count("---") < 2:
        raise CaffeError(
            f"{path}: has no front matter (lines `key: value` between two lines of ---)"
        )
    top = lines.index("---")
    matter = {}
    for line in lines[top + 1 : lines.index("---", top + 1)]:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            value = value.split(" #")[0].strip()
            if value[:1] in ("'", '"') and value[-1:] == value[:1]:
                value = value[1:-1]
            matter[key.strip()] = value
    return matter
