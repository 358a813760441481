"""Reading and writing prototxt, Caffe's text format; every error names the file and the line."""

import os
import re
from pathlib import Path

from google.protobuf import text_encoding, text_format
from google.protobuf.message import Message

from caffe import log, upgrade, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.regular_file import open_regular

# a string or a comment, whichever begins first; a string ends on its line
STRING_OR_COMMENT = re.compile(
    rb"""(?P<quote>["'])((?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)|\#[^\n]*"""
)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
WHOLE_FLOAT = re.compile(r"^(\s*\w+: -?\d+)\.0$", re.MULTILINE)


def parse(text: str, message: wire.M, name: str = "<text>") -> wire.M:
    """Parse prototxt into `message`.

    Unknown fields are refused, as by Caffe; nothing is skipped.

    Parameters
    ----------
    text : str
    message : protobuf message
    name : str
        The file's name, for the error.

    Returns
    -------
    protobuf message
        `message` itself.

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
        raise CaffeError(
            f"{where}: {what} (a {message.DESCRIPTOR.name} was expected here)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CaffeError(
            f"{name}: not a {message.DESCRIPTOR.name} in prototxt form ({error})"
        ) from error


def read_text(path: Path | str) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises
    ------
    CaffeError
        The file is missing, not a regular file, or not UTF-8; the message names it.
    """
    path = os.fspath(path)
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaffeError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error


def _read_bytes(path: str):
    try:
        with open_regular(path, pipes=True) as f:
            data = f.read()
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    if data.startswith(UTF_16):
        raise CaffeError(f"{path}: is text in UTF-16; save it as UTF-8")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_message(path: Path | str, message: wire.M) -> wire.M:
    """Read a prototxt file into `message`, without upgrading old forms.

    Caffe's strings are bytes, Python's are text: bytes that are not UTF-8 are read as characters of
    Latin-1, with a warning.  Bytes in comments are ignored.

    Returns
    -------
    protobuf message
        `message` itself.

    Raises
    ------
    CaffeError
        ``<path>:<line>: <what is wrong>``.
    """
    path = os.fspath(path)
    data = _read_bytes(path).removeprefix(b"\xef\xbb\xbf")

    def clean(match: re.Match[bytes]):
        if match["quote"] is None:
            return b""  # a comment
        return _string(match, path)

    data = STRING_OR_COMMENT.sub(clean, data)
    try:
        return parse(data.decode("utf-8"), message, path)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CaffeError(f"{path}:{line}: byte {data[error.start]:#04x} is not text") from error


def _string(match: re.Match[bytes], path: str):
    """A string literal of a prototxt; one that is not UTF-8 is converted, with a warning."""
    whole, inner = match[0], match[2]
    if inner.isascii() and b"\\" not in inner:
        return whole
    try:  # an escape such as "\\351" is a byte too
        value = text_encoding.CUnescape(inner.decode("utf-8", wire.LATIN_1))
    except ValueError:  # a wrong escape, which the parser reports with its line
        return whole
    text = value.decode("utf-8", wire.LATIN_1)
    if text.encode() == value and inner.decode("utf-8", "ignore").encode() == inner:
        return whole
    line = match.string.count(b"\n", 0, match.start()) + 1
    log.warning(
        "io.cpp:34", f"{path}:{line}: '{text}' is not UTF-8 there; its bytes are read as Latin-1"
    )
    return b'"' + text_encoding.CEscape(text, as_utf8=True).encode() + b'"'


def read_net(path: Path | str) -> caffe_pb2.NetParameter:
    """Read a net's prototxt and upgrade older forms (see caffe/upgrade.py).

    Raises
    ------
    CaffeError
        The file cannot be read, parsed or upgraded.
    """
    net = read_message(path, caffe_pb2.NetParameter())
    upgrade.upgrade_net(net, os.fspath(path))
    return net


def read_solver(path: Path | str) -> caffe_pb2.SolverParameter:
    """Read a solver's prototxt and upgrade older forms (see caffe/upgrade.py).

    Raises
    ------
    CaffeError
        The file cannot be read, parsed or upgraded.
    """
    solver = read_message(path, caffe_pb2.SolverParameter())
    upgrade.upgrade_solver(solver, os.fspath(path))
    return solver


def to_text(message: Message) -> str:
    """A message as prototxt: fields in the order of their numbers, values as Caffe logs them.

    A whole number is `104`, not Python's `104.0`.
    """
    return WHOLE_FLOAT.sub(r"\1", text_format.MessageToString(message))
