"""Files of a collection: a name from data must stay inside the collection, and only regular files
are read.

Somebody else wrote the metadata, lists and JSON files.  A name in them must not open `/etc/passwd`,
block at a FIFO, or read `/dev/zero` until memory is full.  Whole folders of a collection may be
symbolic links that the user has made.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from texttopicnet.errors import UserError

MOST_BYTES = 1 << 28  # of a file that is read whole; the largest articles are a tenth of it
OUTSIDE = "its name leads out of the collection"
LINK_OUTSIDE = "it is a link to a file outside the collection"
LOOP = "a loop of symbolic links"
NOT_REGULAR = "not a regular file"
SEPARATOR = re.compile(r"[/\\]")
DRIVE = re.compile(r"[A-Za-z]:")


class Unusable(UserError):
    """A file that cannot be read.

    Attributes
    ----------
    path : Path
    reason : str
        Why, in a few words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{printable(self.path)}: cannot be read ({self.reason})"

    @property
    def is_missing(self) -> bool:
        return self.reason == os.strerror(errno.ENOENT)


def printable(name: Path | str) -> str:
    """A name that any terminal and any UTF-8 file can hold: bytes that are not UTF-8 and control
    characters become `\\x..`.
    """
    text = str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\0-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def quoted(row: str, most: int = 80) -> str:
    """A row of a list for an error: in quotes, `printable`, and cut after `most` characters."""
    return f"'{printable(row[:most])}{'...' if len(row) > most else ''}'"


def name_error(name: object) -> str:
    """Why a name from data cannot be the name of a file in a collection; '' if it can.

    A good name is relative and has no `..`, whether its separators are `/` or Windows' `\\`.
    """
    if not isinstance(name, str) or not name:
        return "it is not a name"
    if "\0" in name:
        return "its name holds a NUL character"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    parts = SEPARATOR.split(name)
    if ".." in parts or not parts[0] or DRIVE.match(name):
        return OUTSIDE
    return ""


def member(folder: Path | str, name: str) -> Path:
    """The path of a file of a collection.

    Parameters
    ----------
    folder : str or Path
        The collection.
    name : str
        From metadata, a list or a JSON file.

    Returns
    -------
    Path
        It is not opened; `read` and `opened` check that it is a regular file.

    Raises
    ------
    Unusable
        The name leads out of the collection; or nothing is there; or it is a symbolic link to a
        file that is neither in the collection nor in one of the linked folders on the name's path.
    """
    folder = Path(folder)
    wrong = name_error(name)
    if wrong:
        raise Unusable(folder / name if isinstance(name, str) else folder, wrong)
    path = folder / name
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            real = os.path.realpath(path, strict=True)
            folders = [folder, *(folder / parent for parent in Path(name).parents)]
            if not any(Path(real).is_relative_to(os.path.realpath(parent)) for parent in folders):
                raise Unusable(path, LINK_OUTSIDE)
    except OSError as error:
        raise Unusable(path, _why(error)) from error
    return path


def find_article(folder: Path | str, name: str) -> str:
    """An article's name on the disk, where `text/` and `_text/` are two names of one folder.

    Raises
    ------
    Unusable
        There is no regular file with any of these names.
    """
    bare = name.removeprefix("_") if isinstance(name, str) else name
    wrong = None
    for candidate in dict.fromkeys((name, bare, f"_{bare}")):
        try:
            check_regular(member(folder, candidate))
            return candidate
        except Unusable as error:
            wrong = error if wrong is None or (wrong.is_missing and not error.is_missing) else wrong
    raise wrong


def check_regular(path: Path | str) -> os.stat_result:
    """The status of a regular file; Unusable if it is anything else."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise Unusable(path, _why(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise Unusable(
            path, os.strerror(errno.EISDIR) if stat.S_ISDIR(status.st_mode) else NOT_REGULAR
        )
    return status


def check_readable(folder: Path | str, name: str, most: int = MOST_BYTES) -> None:
    """Raise Unusable unless a file of a collection is regular and at most `most` bytes long."""
    path = member(folder, name)
    if check_regular(path).st_size > most:
        raise Unusable(path, f"larger than {most >> 20} MiB")


def opened(path: Path | str) -> BinaryIO:
    """Open a regular file for reading; Unusable if it is anything else or cannot be opened."""
    check_regular(path)
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise Unusable(path, _why(error)) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was replaced in between
        file.close()
        raise Unusable(path, NOT_REGULAR)
    return file


def read(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file of at most `most` bytes; Unusable otherwise."""
    with opened(path) as file:
        try:
            data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
        except OSError as error:
            raise Unusable(path, _why(error)) from error
    if data is None or len(data) > most:
        raise Unusable(path, f"larger than {most >> 20} MiB")
    return data


def read_member(folder: Path | str, name: str) -> bytes:
    """The bytes of a file of a collection: `read` of `member`."""
    return read(member(folder, name))


def walk(
    folder: Path | str, left_out: Callable[[str, str], object] = lambda _reason, _path: None
) -> Iterator[str]:
    """Paths of the files below a folder, in the order of their names, folder by folder.

    Links to folders are followed, except those that lead back to a folder above them.

    Parameters
    ----------
    folder : str or Path
    left_out : callable
        Called with (reason, path) of each folder that is not entered.

    Yields
    ------
    str
    """
    stack = [_entered(os.fspath(folder), [], left_out)]
    while stack:
        above, entries = stack[-1]
        for entry in entries:
            if _is_folder(entry):
                stack.append(_entered(entry.path, above, left_out))
                break
            yield entry.path
        else:
            stack.pop()


def _entered(
    folder: str, above: list[tuple[int, int]], left_out: Callable[[str, str], object]
) -> tuple[list[tuple[int, int]], Iterator[os.DirEntry]]:
    """The identities of the folder and those above it, and its entries."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            left_out("a link that leads back to itself", folder)
            return above, iter(())
        with os.scandir(folder) as entries:
            return [*above, identity], iter(sorted(entries, key=lambda entry: entry.name))
    except OSError as error:
        left_out(f"cannot be read: {_why(error)}", folder)
        return above, iter(())


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links; reading it gives the error
        return False


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "its name holds a NUL character" if "null" in str(error) else "its name is not UTF-8"
    if error.errno == errno.ELOOP:
        return LOOP
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return os.strerror(errno.ENOENT)
    return error.strerror or str(error)
