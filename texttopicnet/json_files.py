"""JSON artefacts: read whole or entry by entry, written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from texttopicnet import artefacts, atomic_files
from texttopicnet.errors import UserError

DEEPEST = 100  # levels of nesting in a JSON file that is read as a stream


def write(path: Path | str, value: Any) -> int:
    """Write `value` as JSON, whole or not at all: keys in the order given, one top-level entry per
    line.

    Parameters
    ----------
    path : str or Path
    value : dict, JSON value or iterator of (key, value)
        An iterator's pairs become one object, and are never all in memory.

    Returns
    -------
    int
        Number of entries (1 for a value that is not an object).
    """
    count = 0
    with atomic_files.written_whole(path) as temporary, open(temporary, "w", encoding="utf-8") as f:
        if isinstance(value, (dict, Iterator)):
            f.write("{")
            for key, entry in value.items() if isinstance(value, dict) else value:
                f.write(",\n" if count else "")
                f.write(f"{json.dumps(key)}: {json.dumps(entry)}")
                count += 1
            f.write("}\n")
        else:
            json.dump(value, f)
            f.write("\n")
            count = 1
    return count


@contextlib.contextmanager
def _reading(path: Path, made_by: str) -> Iterator[None]:
    """Turn errors of reading a JSON file into a UserError that names the command that makes it."""
    # a FIFO would block forever, a device might never end
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise UserError(f"{path} cannot be read (not a regular file): rebuild it with {made_by}")
    try:
        yield
    except (ijson.JSONError, ValueError, RecursionError) as error:
        why = str(error).partition("\n")[0].strip()[:200]
        raise UserError(f"{path} is not valid JSON ({why}): rebuild it with {made_by}") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): rebuild it with {made_by}"
        ) from error


def read(path: Path | str, made_by: str) -> Any:
    """Read a JSON artefact.

    Parameters
    ----------
    path : str or Path
    made_by : str
        The command that makes the file, for the error's sentence.

    Raises
    ------
    UserError
        The file is missing or broken.
    """
    path = artefacts.existing(path, made_by)
    with _reading(path, made_by), open(path, encoding="utf-8") as f:
        return json.load(f)


def stream(path: Path | str, made_by: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the entries of a JSON object, one at a time: memory does not grow with the
    file.

    Parameters and errors as `read`; numbers are float or int.  A key that is in the file twice
    comes twice.
    """
    path = artefacts.existing(path, made_by)
    with _reading(path, made_by), open(path, "rb") as f:
        yield from _entries(f)


def _entries(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """(key, value) of the JSON object in a file; nothing for any other JSON value.

    ijson's own `kvitems` keeps a path per level of nesting: 200,000 levels would fill the memory.
    """
    depth, key, builder, in_object = 0, None, None, False
    for event, value in ijson.basic_parse(file, use_float=True):
        opens, closes = event in ("start_map", "start_array"), event in ("end_map", "end_array")
        depth += opens - closes
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        if opens and depth == 1:
            in_object = event == "start_map"
        elif event == "map_key" and depth == 1:
            key, builder = value, ijson.ObjectBuilder()
        elif in_object and builder:
            builder.event(event, value)
            if depth == 1:
                yield key, builder.value
                builder = None
