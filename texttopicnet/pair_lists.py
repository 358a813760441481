"""A list of images and their texts, for illustrated corpora of any layout: CSV, JSON or JSON lines.

A row has `image` (a path below the list's folder), and `text_file` (another such path) or `text`
(the text itself).  It may have `title`, and `id`: rows with one id share one article, and only one
of them needs the text.  Without an id, equal texts are one article.
"""

import codecs
import csv
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import ijson

from texttopicnet import files
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError
from texttopicnet.token_rows import LISTED
from texttopicnet.usable_images import LeftOut

LONGEST = 1 << 26  # characters of a line, and of a field
LONGEST_ID = 200
DEEPEST = 100  # levels of nesting in JSON
DELIMITERS = (",", ";", "\t", "|")
ENDINGS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "lines", ".ndjson": "lines"}
HELP = "a list has the columns image, and text or text_file; id and title may be added"
BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Row = tuple[str, object]  # where it is in the list, and what is there


class Entry(NamedTuple):
    """A usable row of a list.

    Attributes
    ----------
    image : str
        Path below the list's folder.
    article : str
        Path of its text below the list's folder; or `LISTED` and the article's id, if the text is
        in the list itself.
    title : str
    text : str or None
        The text if it is in this row.
    """

    image: str
    article: str
    title: str
    text: str | None


def entries(path: Path, left_out: Tally) -> Iterator[Entry]:
    """The usable rows of a list, as a stream.

    Parameters
    ----------
    path : Path
        .csv or .tsv (delimited by comma, semicolon, tab or bar, as its first row shows), .json (a
        list of objects), or .jsonl (an object per line).  UTF-8, with or without a byte order mark;
        CSV and JSON lines also UTF-16 with one.
    left_out : Tally
        Counts the other rows by reason.

    Raises
    ------
    UserError
        The file cannot be read, or is of another kind, or has no column `image`.
    """
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path}: --pairs takes a list named .csv, .tsv, .json or .jsonl")
    folder = path.absolute().parent
    rows = {"csv": _csv_rows, "json": _json_rows, "lines": _json_lines}[kind]
    texts: dict[str, int] = {}  # {id: hash of its text}
    for place, row in rows(path, left_out):
        try:
            entry = _entry(row, folder)
            if entry.text is not None and entry.article in texts:
                if texts[entry.article] != hash((entry.title, entry.text)):
                    raise LeftOut("another text than an earlier row with the same id")
            elif entry.text is not None and _field(row, "id"):
                texts[entry.article] = hash((entry.title, entry.text))
        except LeftOut as reason:
            left_out.add(str(reason), f"{path}, {place}", "row")
        else:
            yield entry


def _entry(row: object, folder: Path) -> Entry:
    """What a row says; LeftOut if that is not an image and its text."""
    if not isinstance(row, Mapping):
        raise LeftOut("not an object with the keys image and text")
    image = _name(_field(row, "image"), "image", folder)
    text, file, number = (_field(row, name) for name in ("text", "text_file", "id"))
    title = " ".join(_field(row, "title").split())
    if text.strip() and file:
        raise LeftOut("has both a text and a text_file")
    if file:
        return Entry(image, _name(file, "text_file", folder), title, None)
    if not text.strip() and not number:
        raise LeftOut("has no text")
    if not number:
        content = f"{title}\0{text}".encode("utf-8", "surrogatepass")
        number = hashlib.sha256(content).hexdigest()[:32]
    article = LISTED + number
    if len(number) > LONGEST_ID or files.name_error(article):
        raise LeftOut(f"its id is not a name of at most {LONGEST_ID} characters")
    return Entry(image, article, title, text if text.strip() else None)


def _field(row: Mapping[str, object], name: str) -> str:
    """A row's value; '' if there is none."""
    value = row.get(name)
    if isinstance(value, (int, float)) and name == "id":
        value = str(value)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise LeftOut(f"its {name} is not a string")
    return value if name == "text" else value.strip()


def _name(name: str, what: str, folder: Path) -> str:
    """A path of a list, relative to the list's folder and with `/`; LeftOut if it leads out."""
    if not name:
        raise LeftOut(f"has no {what}")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() and path.is_relative_to(folder):
        path = path.relative_to(folder)
    if wrong := files.name_error(str(path)):
        raise LeftOut(f"{what}: {wrong}")
    return str(path)


# ---------------------------------------------------------------------------------------- formats
def _opened(path: Path) -> io.TextIOWrapper:
    """A list as text; bytes that are not UTF-8 become surrogates."""
    file = files.opened(path)
    start = file.peek(3)
    if start.startswith(BOMS):
        return io.TextIOWrapper(file, "utf-16", "replace", newline="")
    return io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")


def _lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    for number in itertools.count(1):
        line = file.readline(LONGEST + 1)
        if len(line) > LONGEST:
            raise UserError(f"{path}, line {number} has more than {LONGEST:,} characters: {HELP}")
        if not line:
            return
        yield line.replace("\0", "\ufffd")  # which csv refuses


def _csv_rows(path: Path, left_out: Tally) -> Iterator[Row]:
    csv.field_size_limit(LONGEST)
    with _opened(path) as file:
        lines = _lines(file, path)
        first = next(lines, "")
        columns, delimiter = _header(first, path)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            place = f"line {reader.line_num + 2}"
            try:
                fields = next(reader, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise UserError(
                        f"{path}, {place} opens a quote that is never closed: write a quote within"
                        ' a text twice ("")'
                    ) from error
                left_out.add("not a row of CSV", f"{path}, {place}", "row")
                continue
            if fields is None:
                return
            if len(fields) > len(columns):
                reason = "more fields than columns: a text with a delimiter needs quotes"
                left_out.add(reason, f"{path}, {place}", "row")
            elif any(map(str.strip, fields)):
                yield place, dict(zip(columns, fields, strict=False))


def _header(line: str, path: Path) -> tuple[list[str], str]:
    """The names of the columns and the delimiter."""
    for delimiter in DELIMITERS:
        try:
            (row,) = csv.reader([line], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError):
            continue
        columns = [name.strip().lower() for name in row]
        if "image" in columns and len(set(columns)) == len(columns) > 1:
            return columns, delimiter
    shown = files.printable(line.strip()[:80])
    raise UserError(
        f"{path}: its first row, '{shown}', does not name the columns, each of them once: {HELP}"
    )


def _json_lines(path: Path, _: Tally) -> Iterator[Row]:
    with _opened(path) as file:
        for number, line in enumerate(_lines(file, path), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                yield f"line {number}", row


def _json_rows(path: Path, _: Tally) -> Iterator[Row]:
    """The entries of a JSON list, one at a time."""
    depth, count, builder = 0, 0, None
    with files.opened(path) as file:
        if file.peek(3).startswith(codecs.BOM_UTF8):
            file.read(3)
        try:
            # without use_float, ijson's C code crashes at integers of 5,000 digits
            for event, value in ijson.basic_parse(file, use_float=True):
                opens, closes = event in ("start_map", "start_array"), event.startswith("end_")
                if depth == 0 and event != "start_array":
                    raise UserError(f"{path} is not a JSON list of objects: {HELP}")
                is_item = depth > 1 or (depth == 1 and not closes)
                depth += opens - closes
                if depth > DEEPEST:
                    raise ValueError(f"nested more than {DEEPEST} levels deep")
                if is_item:
                    builder = builder or ijson.ObjectBuilder()
                    builder.event(event, value)
                    if depth == 1:
                        count += 1
                        yield f"entry {count}", builder.value
                        builder = None
        except (ijson.JSONError, ValueError, RecursionError) as error:
            why = str(error).partition("\n")[0].strip()[:200]
            raise UserError(
                f"{path} is not valid JSON in UTF-8 ({why}), after entry {count}: {HELP}"
            ) from error
