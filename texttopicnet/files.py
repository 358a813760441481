"""Files of a collection: a name that comes from data must stay inside the collection, and only
regular files are read.

Metadata, lists and JSON files are data that somebody else wrote.  A name in them must not open
`/etc/passwd`, wait for a FIFO for ever, or read `/dev/zero` until memory is full.  Whole folders of
a collection may be symbolic links that the user has laid.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from texttopicnet.errors import UserError

MOST_BYTES = (
    1 << 28
)  # of a file that is read whole; the largest articles and images are a tenth of it
OUTSIDE = "its name leads out of the collection"
LINK_OUTSIDE = "it is a link to a file outside the collection"
LOOP = "a loop of symbolic links"
NOT_REGULAR = "not a regular file"
SEPARATOR = re.compile(r"[/\\]")
DRIVE = re.compile(r"[A-Za-z]:")


class Unusable(UserError):
    """A file that is not read.

    Attributes
    ----------
    path : Path
    reason : str
        Why, in a few words.
    """

    def __init__(self, path, reason):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self):
        return f"{printable(self.path)}: cannot be read ({self.reason})"

    @property
    def is_missing(self) -> bool:
        return self.reason == os.strerror(errno.ENOENT)


def printable(name) -> str:
    """A name that any terminal and any UTF-8 file takes: bytes that are not UTF-8, and control
    characters, as `\\x..`.
    """
    text = str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\0-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def name_error(name) -> str:
    """Why a name from data cannot be that of a file in a collection; '' if it can.

    A name is relative and has no `..`, whether its separators are `/` or Windows' `\\`.
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


def member(folder, name: str) -> Path:
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
        Not yet opened: `read` and `opened` say whether it is a regular file.

    Raises
    ------
    Unusable
        The name leads out of the collection, nothing is there, or it is a symbolic link to a file
        that lies neither in the collection nor in one of its linked folders through which the name
        passes.
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


def find_article(folder, name: str) -> str:
    """An article's name as it lies on the disk: `text/` and `_text/` are one folder under two
    names.

    Raises
    ------
    Unusable
        There is no regular file of any of these names.
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


def check_regular(path) -> os.stat_result:
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


def opened(path) -> BinaryIO:
    """Open a regular file for reading; Unusable if it is anything else or cannot be opened."""
    check_regular(path)
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise Unusable(path, _why(error)) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was replaced in between
        file.close()
        raise Unusable(path, NOT_REGULAR)
    return file


def read(path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file of at most `most` bytes; Unusable otherwise."""
    with opened(path) as file:
        try:
            data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
        except OSError as error:
            raise Unusable(path, _why(error)) from error
    if data is None or len(data) > most:
        raise Unusable(path, f"larger than {most >> 20} MiB")
    return data


def read_member(folder, name: str) -> bytes:
    """The bytes of a file of a collection: `read` of `member`."""
    return read(member(folder, name))


def walk(folder, left_out: Callable[[str, str], None] = lambda reason, path: None) -> Iterator[str]:
    """Paths of everything below a folder that is not a folder, in the order of the names, folder by
    folder.

    Links to folders are followed, but none that leads back to a folder above it.

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


def _entered(folder, above, left_out):
    """(the folder's identity and those above it, an iterator over its entries)."""
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


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a loop of links: whoever reads it learns why
        return False


def _why(error):
    if isinstance(error, ValueError):
        return "its name holds a NUL character" if "null" in str(error) else "its name is not UTF-8"
    if error.errno == errno.ELOOP:
        return LOOP
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return os.strerror(errno.ENOENT)
    return error.strerror or str(error)
