"""What check.py says of a data set: its parts, what each lacks, and the official numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from texttopicnet import files, images, parallel
from texttopicnet.errors import UserError

EXAMPLES = 10  # names of missing files that a report keeps
TOGETHER = 64  # images that a process decodes at once


@dataclass
class Part:
    """A part of a data set.

    Attributes
    ----------
    what : str
        Such as "training images".
    found : int
        How many are there.
    official : int or None
        How many the official set has; None if there is no such number.
    is_verified : bool
        False for an official number that is only remembered; it is not compared.
    missing : list of str
        Names of the first missing or faulty items.
    num_missing : int
    is_needed : bool
        Whether the set is incomplete without this part.
    """

    what: str
    found: int
    official: int | None = None
    is_verified: bool = True
    missing: list[str] = field(default_factory=list)
    num_missing: int = 0
    is_needed: bool = True

    @property
    def is_complete(self) -> bool:
        differs = self.official is not None and self.is_verified and self.found != self.official
        return not self.is_needed or not (differs or self.num_missing)

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.num_missing:
            return f"{self.num_missing:,} missing or faulty"
        if self.official is None:
            return "" if self.found else "none"
        if not self.is_verified:
            return "not compared"
        if self.found == self.official:
            return "complete"
        if not self.is_needed:
            return "not needed"
        if not self.found:
            return "missing"
        less = self.official - self.found
        return f"{abs(less):,} too {'few' if less > 0 else 'many'}"

    def lacks(self, name: object) -> None:
        """Count a missing item."""
        self.num_missing += 1
        if len(self.missing) < EXAMPLES:
            self.missing.append(files.printable(name))


@dataclass(frozen=True)
class DataSet:
    """A data set that can be checked.

    Attributes
    ----------
    name : str
    title : str
    address : str
        Where to get it.
    readme : str
    check : callable
        check(folder, options) returns the parts of the set in `folder`.
    """

    name: str
    title: str
    address: str
    readme: str
    check: Callable[..., list[Part]]


@dataclass(frozen=True)
class Options:
    """How a set is checked: whether to the bottom, and by how many processes."""

    is_thorough: bool = False
    workers: int = 1


def number(what: str, official: int | None, count: Callable[[], int], **more: object) -> Part:
    """A part that `count` counts; its UserError is what is missing."""
    try:
        return Part(what, count(), official, **more)
    except UserError as error:
        part = Part(what, 0, official, **more)
        part.lacks(error)
        return part


def present(what: str, official: int | None, folder: Path, names: Iterable[str]) -> Part:
    """A part of files: which of the names are regular files in the folder."""
    part = Part(what, 0, official)
    for name in tqdm(names, desc=what, unit="file", mininterval=1, leave=False):
        try:
            files.check_regular(files.member(folder, name))
            part.found += 1
        except files.Unusable as error:
            part.lacks(name if error.is_missing else f"{name} ({error.reason})")
    return part


def decoded(what: str, folder: Path, names: Iterable[str], total: int, options: Options) -> Part:
    """A part of images: which of `total` names can be decoded."""
    part = Part(what, 0)
    groups = parallel.in_groups(names, TOGETHER)
    faults = parallel.ordered_map(_faults, groups, options.workers, folder)
    with tqdm(desc=what, unit="image", total=total) as bar:
        for group in faults:
            for name, fault in group:
                if fault:
                    part.lacks(f"{name} ({fault})")
                else:
                    part.found += 1
                bar.update()
    return part


def _faults(folder: Path, names: list[str]) -> list[tuple[str, str]]:
    """(name, why it cannot be decoded or '') of some images."""
    found = []
    for name in names:
        try:
            images.decode(files.read_member(folder, name), name)
            found.append((name, ""))
        except files.Unusable as error:
            found.append((name, error.reason))
        except UserError:
            found.append((name, "cannot be decoded"))
    return found
