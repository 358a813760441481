"""download_model_binary: download the weights that a model folder's readme.md names (Caffe:
scripts/download_model_binary.py).

Only http and https addresses are read, and only a file in the folder itself is written.

The front matter is between two lines of ---, with one `key: value` per line.  It needs caffemodel
(the file's name), caffemodel_url and sha1; name and license are shown.  With `sha1: unknown` the
file is not compared, but it must be a whole .caffemodel.
"""

import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from caffe import command_line, front_matter, leftovers, regular_file
from caffe.command_line import Fatal
from caffe.error import CaffeError

USAGE = """download_model_binary: Download trained model binary.
usage: caffe download_model_binary DIRNAME

DIRNAME is a folder with a readme.md whose front matter has caffemodel, caffemodel_url and sha1.
"""
HERE = "download_model_binary.py:1"
REQUIRED = ("caffemodel", "caffemodel_url", "sha1")
ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)
UNKNOWN = "unknown"  # in place of a sha1
BLOCK = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(download, HERE, arguments, USAGE)


def download(arguments: Sequence[str]) -> None:
    """Download the weights of a folder, unless they are there."""
    (folder,) = command_line.flags(arguments, {}, HERE, "DIRNAME").rest
    matter = complete_matter(os.path.join(folder, "readme.md"))
    path = os.path.join(folder, matter["caffemodel"])
    leftovers.remove(path)
    if os.path.lexists(path):
        regular_file.check(path)
        if matter["sha1"] == UNKNOWN:
            check_content(path, path, "move it away")
            print(f"Model already exists: {path} (readme.md has no sha1 to compare)")
            return
        if sha1(path) == matter["sha1"]:
            print(f"Model already exists: {path}")
            return
        print(f"{path} exists, but its sha1 is not the one in readme.md: downloading it again")
    print(
        f"{matter.get('name', matter['caffemodel'])}, license: {matter.get('license', 'not given')}"
    )
    print(f"Downloading {matter['caffemodel_url']}")
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        fetch(matter["caffemodel_url"], temporary)
        found = sha1(temporary)
        if matter["sha1"] == UNKNOWN:
            check_content(temporary, matter["caffemodel_url"], "open the address in a browser")
        elif found != matter["sha1"]:
            raise Fatal(
                HERE,
                f"{matter['caffemodel_url']} has the sha1 {found}, but {folder}/readme.md says"
                f" {matter['sha1']}: the download failed or the file has changed; run this again",
            )
        os.replace(temporary, path)
    except OSError as error:
        raise CaffeError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    right = f"its sha1 is {found}" if matter["sha1"] == UNKNOWN else "the sha1 is right"
    print(f"{path}: {right}")


def check_content(path: str, where: str, remedy: str) -> None:
    """CaffeError, naming file or address, if a file is not a whole .caffemodel."""
    from caffe import weights_file  # PyTorch takes seconds to load

    try:
        weights_file.read_layers(path)
    except CaffeError as error:
        raise CaffeError(f"{where}: is not a whole .caffemodel; {remedy}") from error


def complete_matter(path: str) -> dict[str, str]:
    """The front matter of a model's readme.md, with all that a download needs.

    Raises
    ------
    CaffeError
        The front matter or a key of it is missing, or caffemodel is not a name in this folder.
    """
    matter = front_matter.read(path)
    missing = [key for key in REQUIRED if not matter.get(key)]
    if missing:
        raise CaffeError(f"{path}: its front matter has no {' and no '.join(missing)}")
    name, address = matter["caffemodel"], matter["caffemodel_url"]
    if (
        os.path.basename(name) != name
        or name in (".", "..")
        or "\0" in name
        or name == os.path.basename(path)
    ):
        raise CaffeError(
            f"{path}: caffemodel must be the name of a file in this folder, not {name!r}"
        )
    if not ADDRESS.match(address):
        raise CaffeError(
            f"{path}: caffemodel_url must be an http:// or https:// address, not {address}"
        )
    matter["sha1"] = matter["sha1"].lower()
    return matter


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https only; Python's own handler also follows ftp."""

    def redirect_request(
        self, request: urllib.request.Request, *rest: object
    ) -> urllib.request.Request | None:
        address = rest[-1]
        if not ADDRESS.match(address):
            raise CaffeError(
                f"{request.full_url}: leads to {address}, which is not an http:// or https://"
                " address"
            )
        return super().redirect_request(request, *rest)


OPENER = urllib.request.build_opener(_WebOnly)


def fetch(url: str, path: str) -> None:
    """Download `url` to `path`, with the progress on stderr."""
    try:
        with OPENER.open(url, timeout=60) as source, open(path, "wb") as f:
            total, done = int(source.headers.get("Content-Length") or 0), 0
            while block := source.read(BLOCK):
                f.write(block)
                done += len(block)
                share = f"{100 * done // total}%, " if total else ""
                print(f"\r...{share}{done / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
        ValueError,
    ) as error:
        raise CaffeError(
            f"{url}: cannot be downloaded ({getattr(error, 'reason', error)})"
        ) from error
    if done < total:
        raise CaffeError(f"{url}: broke off after {done} of {total} bytes; run this again")


def sha1(path: str) -> str:
    """Hexadecimal SHA-1 of a file's bytes."""
    digest = hashlib.sha1()
    with open(path, "rb") as f:
        while block := f.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
