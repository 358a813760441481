"""Where the recordings are: in ../shared/golden, or without it the share in tests/recordings/."""

import atexit
import functools
import gzip
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARE = Path(__file__).resolve().parent / "recordings"


@functools.cache
def caffe() -> Path:
    """The folder of recordings of BVLC Caffe; the share is unpacked until the process ends."""
    whole = SHARED / "golden" / "caffe"
    return whole if whole.is_dir() else unpacked(SHARE / "caffe")


def unpacked(archives: Path) -> Path:
    """A temporary folder with what the archives ``*.tar.xz`` of a folder hold."""
    folder = Path(tempfile.mkdtemp(prefix="recordings-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.10.12 and on
    for path in sorted(archives.glob("*.tar.xz")):
        with tarfile.open(path) as archive:
            archive.extractall(folder, **safely)
    return folder


def retrieval() -> Path:
    """The recording of the original's retrieval script; the share holds all of it."""
    whole = SHARED / "golden" / "retrieval" / "retrieval.npz"
    return whole if whole.is_file() else SHARE / "retrieval" / "retrieval.npz"


def markup() -> list:
    """Snippets of markup, each ``{"raw": text, "tokens": [token, ...]}``."""
    whole = SHARED / "golden" / "text" / "tokens.json.gz"
    if whole.is_file():
        with gzip.open(whole, "rt", encoding="utf-8") as f:
            return json.load(f)["markup"]
    return json.loads((SHARE / "text" / "markup.json").read_text("utf-8"))
