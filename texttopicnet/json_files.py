"""JSON artefacts: read whole or entry by entry, written whole or not at all."""

import json
import os
from collections.abc import Iterator

import ijson

from texttopicnet import artefacts, atomic_files
from texttopicnet.errors import UserError

DEEPEST = 100  # levels of nesting in a JSON file that is read as a stream


def write(path, value):
    """Write `value` as JSON (keys in the order given, one top-level entry a line), whole or not at
    all.

    Parameters
    ----------
    path : str or Path
    value : dict, JSON value or iterator of (key, value)
        Of an iterator's pairs one object is made, without ever holding them all.

    Returns
    -------
    int
        Number of entries (1 for what is not an object).
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


def _check_regular(path, made_by):
    """Refuse a FIFO, which would be waited for without end, and a device."""
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise UserError(f"{path} cannot be read (not a regular file): make it again with {made_by}")


def read(path, made_by):
    """Read a JSON artefact; a missing or broken file raises UserError naming the command that makes
    it.
    """
    path = artefacts.existing(path, made_by)
    _check_regular(path, made_by)
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({_short(error)}): make it again with {made_by}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): make it again with {made_by}"
        ) from error


def stream(path, made_by):
    """(key, value) of the entries of a JSON object, one at a time: memory does not grow with the
    file.

    Parameters and errors as `read`; numbers are float or int, a key that is there twice comes
    twice.
    """
    path = artefacts.existing(path, made_by)
    _check_regular(path, made_by)
    try:
        with open(path, "rb") as f:
            yield from _entries(f)
    except (ijson.JSONError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not valid JSON ({_short(error)}): make it again with {made_by}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): make it again with {made_by}"
        ) from error


def _entries(file):
    """(key, value) of the JSON object in a file; nothing for JSON of another kind.

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


def _short(error):
    return str(error).partition("\n")[0].strip()[:200]
