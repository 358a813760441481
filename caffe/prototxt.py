"""Reading and writing prototxt: Caffe's text format, with the file and the line in every complaint."""

import os
import re

from google.protobuf import text_format

from caffe import regular_file, upgrade
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

WHOLE_FLOAT = re.compile(r"^(\s*\w+: -?\d+)\.0$", re.MULTILINE)


def parse(text, message, name="<text>"):
    """Parse prototxt into `message`.

    Unknown fields are refused, as Caffe does; nothing is skipped.

    Raises
    ------
    CaffeError
        ``<name>:<line>: <what is wrong>``.
    """
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        what = str(error).replace('"caffe.', '"')
        match = re.match(r"(\d+):(\d+)\s*:\s*(.*)", what, re.DOTALL)
        where = f"{name}:{match.group(1)}" if match else name
        what = " ".join((match.group(3) if match else what).split())
        raise CaffeError(f"{where}: {what} (a {message.DESCRIPTOR.name} was expected here)") from error
    except (ValueError, RecursionError) as error:
        raise CaffeError(f"{name}: not a {message.DESCRIPTOR.name} in prototxt form ({error})") from error


def read_text(path):
    """The text of a file; a missing or undecodable one is a CaffeError that names it."""
    regular_file.check(path, pipes=True)
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except OSError as error:
        raise CaffeError(f"{os.fspath(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CaffeError(f"{os.fspath(path)}: not a text file (byte {error.start} is not UTF-8)") from error


def read_net(path):
    """Read a net's prototxt, bringing older forms up to date (see caffe/upgrade.py).

    Returns
    -------
    NetParameter
    """
    net = parse(read_text(path), caffe_pb2.NetParameter(), os.fspath(path))
    upgrade.upgrade_net(net, os.fspath(path))
    return net


def read_solver(path):
    """Read a solver's prototxt.

    Returns
    -------
    SolverParameter
    """
    solver = parse(read_text(path), caffe_pb2.SolverParameter(), os.fspath(path))
    upgrade.upgrade_solver(solver, os.fspath(path))
    return solver


def to_text(message):
    """A message as prototxt, fields in the order of their numbers, as Caffe logs it (`104`, not Python's `104.0`)."""
    return WHOLE_FLOAT.sub(r"\1", text_format.MessageToString(message))
