"""Download released models, and check them.

Reads:   models/<name>/readme.md (names, addresses, sizes and checksums in its front matter)
Writes:  models/<name>/<file>, or FOLDER/<file> with --into
Paper:   the authors' released models and LDA files
Usage:   python models/get.py NAME... [--into FOLDER]
         python models/get.py --list

A file that exists is checked and kept, never replaced.  A download that was stopped resumes.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from caffe import front_matter
from caffe.error import CaffeError
from texttopicnet import artefacts, command_line, files, tables
from texttopicnet.errors import FULL, UserError, writing

MODELS = artefacts.ROOT / "models"
UNFINISHED = ".download"  # folder of downloads that are not whole or not checked yet
TIMEOUT = 60  # seconds without a byte
RETRIES = 2
WEB_PAGE = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|head|body)", re.IGNORECASE)


@dataclass(frozen=True)
class Released:
    """A file of a released model.

    Attributes
    ----------
    name, url : str
    sha256 : str or None
        None if it is not known.
    size : int or None
        In bytes; None if it is not known.
    least : int
        No such file is smaller.
    """

    name: str
    url: str
    sha256: str | None
    size: int | None
    least: int

    @property
    def page(self) -> str:
        """The address to open by hand."""
        number = parse_qs(urlparse(self.url).query).get("id", [""])[0]
        is_drive = urlparse(self.url).hostname == "drive.google.com"
        return f"https://drive.google.com/file/d/{number}/view" if is_drive and number else self.url


def released(name: str) -> tuple[dict[str, str], list[Released]]:
    """The front matter of a model and its files; UserError if there is no such model."""
    path = MODELS / name / "readme.md"
    if files.name_error(name) or not path.is_file():
        raise UserError(f"{name} is not a released model: choose from {', '.join(names())}")
    try:
        matter = front_matter.read(path)
    except CaffeError as error:
        raise UserError(str(error)) from error
    if "caffemodel" in matter:
        listed = [(matter["caffemodel"], "caffemodel_url", "")]
    else:
        names_of_files = [file.strip() for file in matter.get("files", "").strip("[]").split(",")]
        listed = [(file, f"{file}_url", f"{file}_") for file in names_of_files]
    found = []
    for file, url, start in listed:
        if os.path.basename(file) != file or file in ("", ".", "..", path.name):
            raise UserError(f"{path}: {file!r} is not the name of a file in this folder")
        if not matter.get(url, "").startswith(("https://", "http://")):
            raise UserError(f"{path}: {url} must be an http:// or https:// address")
        numbers = [_number(path, start + key, matter) for key in ("bytes", "least_bytes")]
        found.append(
            Released(
                file,
                matter[url],
                _known(matter.get(f"{start}sha256")),
                numbers[0],
                numbers[1] or 1,
            )
        )
    return matter, found


def _known(value: str | None) -> str | None:
    return None if value in (None, "", "unknown") else value.lower()


def _number(path: Path, key: str, matter: dict[str, str]) -> int | None:
    value = _known(matter.get(key))
    if value is not None and not value.isdecimal():
        raise UserError(f"{path}: {key} must be a number of bytes, or unknown")
    return None if value is None else int(value)


def names() -> list[str]:
    """The released models."""
    return sorted(path.parent.name for path in MODELS.glob("*/readme.md"))


def fault(path: Path, file: Released) -> str:
    """Why a file cannot be the released one; '' if nothing speaks against it."""
    size = files.check_regular(path).st_size
    with files.opened(path) as opened:
        start = opened.read(512)
        opened.seek(max(size - 64, 0))
        end = opened.read(64)
    if not size:
        return "it is empty"
    if WEB_PAGE.match(start):
        return "it is a web page"
    if file.size not in (None, size):
        return f"it has {size:,} bytes, not {file.size:,}"
    if size < file.least:
        return f"it has {size:,} bytes, and the file has at least {file.least:,}"
    if file.sha256 and (found := artefacts.sha256(path)) != file.sha256:
        return f"its sha256 is {found}, not {file.sha256}"
    return _fault_of_kind(path, start, end)


def _fault_of_kind(path: Path, start: bytes, end: bytes) -> str:
    """What the content says against a file, by its ending."""
    if path.suffix == ".caffemodel":
        from caffe import weights_file  # PyTorch takes seconds to load

        try:
            weights_file.read_layers(path)
        except CaffeError:
            return "it is not a whole .caffemodel"
    elif path.suffix == ".json":
        if not (start.lstrip().startswith(b"{") and end.rstrip().endswith(b"}")):
            return "it is not a whole JSON object"
    elif path.suffix in (".lda", ".state", ".dict") and not (
        start.startswith(b"\x80") and end.endswith(b".")
    ):
        return "it is not a whole file of gensim's"
    return ""


def download(file: Released, folder: Path) -> None:
    """Download a file into a folder, unless it is there.

    Raises
    ------
    UserError
        It cannot be downloaded, or what comes is not the file; or another file has its place.  The
        sentence says what to do by hand.
    """
    path = folder / file.name
    if os.path.lexists(path):
        if why := fault(path, file):
            raise UserError(f"{path} exists, but {why}: move it away, and run this again")
        print(f"{path} is there already; {described(path, file)}")
        return
    unfinished = folder / UNFINISHED / file.name
    with writing(path):
        unfinished.parent.mkdir(parents=True, exist_ok=True)
    by_hand = f"open {file.page} in a browser, and save the file as {path}"
    print(f"downloading {file.name} from {file.url}", flush=True)
    try:
        import gdown
    except ImportError as error:
        raise UserError(
            f"gdown is not installed: pip install '{artefacts.ROOT}[models]', or {by_hand}"
        ) from error
    try:
        with writing(path, FULL):
            gdown.download(
                url=file.url,
                output=str(unfinished),
                resume=True,
                use_cookies=False,
                timeout=TIMEOUT,
                retries=RETRIES,
            )
    except UserError:
        raise
    except Exception as error:  # gdown reads Google's pages, which fails in many ways
        raise UserError(
            f"{file.name} could not be downloaded ({reason(error)}): {by_hand}"
        ) from error
    else:
        if why := fault(unfinished, file):
            unfinished.unlink()
            raise UserError(f"what {file.url} sent is not {file.name} ({why}): {by_hand}")
        if os.path.lexists(path):
            raise UserError(f"{path} appeared during the download: move it or {unfinished} away")
        with writing(path):
            os.rename(unfinished, path)
    finally:
        with contextlib.suppress(OSError):  # while it is not empty, the next run resumes
            unfinished.parent.rmdir()
    print(f"{path}: {described(path, file)}")


def reason(error: BaseException) -> str:
    """Why a download failed: what the system said, or else what gdown did."""
    found, inner = "", error
    while inner is not None:
        found = getattr(inner, "strerror", None) or found
        inner = inner.__cause__ or inner.__context__
    return found or " ".join(str(error).split())[:200] or type(error).__name__


def described(path: Path, file: Released) -> str:
    """Size and checksum of a file that passed, and how far they were compared."""
    found = f"{path.stat().st_size:,} bytes, sha256 {artefacts.sha256(path)}"
    known = "which is right" if file.sha256 else "which is not known here, so it was not compared"
    return f"{found}, {known}"


def table() -> str:
    """The released models, as a table."""
    rows = []
    for name in names():
        matter, found = released(name)
        for file in found:
            path = MODELS / name / file.name
            here = f"{path.stat().st_size:,} bytes" if path.is_file() else "not here"
            rows.append([name, file.name, here, matter.get("license", "not stated"), file.page])
    return tables.plain(["name", "file", "here", "licence", "address"], rows)


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="a folder of models/")
    parser.add_argument("--list", action="store_true", help="show what there is, download nothing")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="where the files go (default: models/NAME)"
    )
    args = parser.parse_args()
    if args.list:
        print(table())
        return 0
    if not args.names:
        raise UserError(f"give the NAME of a model: {' or '.join(names())} (--list says more)")
    wanted = [(name, released(name)) for name in args.names]
    failed = 0
    for name, (matter, found) in wanted:
        print(f"{matter.get('name', name)}; licence: {matter.get('license', 'not stated')}")
        for file in found:
            try:
                download(file, args.into or MODELS / name)
            except UserError as error:  # the other files are downloaded nevertheless
                print(f"error: {error}", file=sys.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    command_line.run(main)
