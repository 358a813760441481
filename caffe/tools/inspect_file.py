"""caffe inspect: what a net, a solver, weights, a solver state, a mean file or an LMDB holds."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from caffe import command_line, inspect_files, inspect_text, inspect_weights, log
from caffe.command_line import Fatal
from caffe.layer import Shape

HERE = "inspect.cpp:1"
USAGE = """inspect: Say what a file of Caffe's holds.
usage: caffe inspect FILE [-json] [-weights FILE] [-phase TRAIN|TEST] [-level N] [-stage A,B]
       [-shape BLOB:64,3,227,227[;BLOB:...]]

FILE is a net's or solver's prototxt (also in the old forms V0 and V1), a .caffemodel or
.solverstate (binary or HDF5), a mean file (.binaryproto, .npy), or the folder of an LMDB.  Its
content decides, not its name.  No data is needed: nets are not run.

-json      print one JSON object instead of tables.
-weights   for a net: which layers Caffe would copy from this file.
-phase     of a net; by default TRAIN if it has layers for TRAIN only, else TEST.
-level, -stage
           of the net's state, as for caffe time.
-shape     the shape of a blob that an Input, data or Python layer produces.
"""
FLAGS = {
    "json": {"action": "store_true"},
    "weights": {"default": ""},
    "phase": {"choices": ("", "TRAIN", "TEST"), "default": ""},
    "level": {"type": int, "default": 0},
    "stage": {"default": ""},
    "shape": {"default": ""},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command; returns the exit status."""
    return command_line.run(inspect, HERE, arguments, USAGE)


def inspect(arguments: Sequence[str]) -> None:
    """Read the command line, and print what the file holds."""
    args = command_line.flags(arguments, FLAGS, HERE, "FILE")
    log.set_flags({"minloglevel": max(1, int(log.setting("minloglevel")))})  # what nets say of INFO
    (path,) = args.rest
    options = inspect_files.Options(
        args.phase, args.level, args.stage.split(","), parsed_shapes(args.shape)
    )
    found = inspect_files.read(path, options)
    if args.weights:
        if found["kind"] != "net":
            raise Fatal(HERE, f"-weights is for the prototxt of a net; {path}: {found['kind']}")
        found |= inspect_weights.match(found, args.weights)
    if args.json:
        print(json.dumps(_finite(found), indent=1, allow_nan=False))
    else:
        print(inspect_text.text(found), end="")


def parsed_shapes(text: str) -> dict[str, Shape]:
    """{blob: shape} of a flag such as ``data:64,3,227,227;label:64``.

    Raises
    ------
    Fatal
        It does not read so.
    """
    shapes = {}
    for part in filter(None, text.split(";")):
        blob, colon, dims = part.rpartition(":")
        if not colon or not blob or not all(d.strip().isdecimal() for d in dims.split(",")):
            raise Fatal(HERE, f"-shape takes BLOB:64,3,227,227, or several with ; between: {part}")
        shapes[blob] = tuple(int(d) for d in dims.split(","))
    return shapes


def _finite(value: Any) -> Any:
    """A copy in which NaN and infinity, which JSON does not have, are None."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
