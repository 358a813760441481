"""download_model_binary: the front matter of a readme.md, the file it names, and the checksum."""

import functools
import hashlib
import http.server
import threading

import pytest

from caffe.tools import download_model_binary
from caffe.tools.download_model_binary import main

WEIGHTS = b"weights" * 300_000  # more than one block


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; /to/ADDRESS leads to ADDRESS."""

    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """The address of a server of tmp_path/server on this machine."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "net.caffemodel").write_bytes(WEIGHTS)
    handler = functools.partial(Handler, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def model(tmp_path, server, monkeypatch):
    """model(**changes): a model folder with these changes in its front matter; None drops a key."""
    monkeypatch.setenv("no_proxy", "*")

    def make(**changes):
        folder = tmp_path / "model"
        folder.mkdir()
        matter = {
            "name": "A net: the first",
            "caffemodel": "net.caffemodel",
            "caffemodel_url": f"{server}/net.caffemodel",
            "license": "'MIT'",
            "sha1": hashlib.sha1(WEIGHTS).hexdigest(),
        } | changes
        rows = [f"{key}: {value}" for key, value in matter.items() if value is not None]
        (folder / "readme.md").write_text(
            "\n".join(["---", "# a comment: here", *rows, "---", "", "sha1: none", "---"])
        )
        return folder

    return make


def test_downloaded_and_checked(model, capsys):
    folder = model()
    assert main([str(folder)]) == 0
    assert (folder / "net.caffemodel").read_bytes() == WEIGHTS
    assert {path.name for path in folder.iterdir()} == {"readme.md", "net.caffemodel"}
    output = capsys.readouterr()
    assert "A net: the first, license: MIT\n" in output.out
    assert "the sha1 is right" in output.out
    assert "\r...49%, 1.0 MB\r...99%, 2.1 MB\r...100%, 2.1 MB\n" in output.err


def test_an_existing_file_is_not_downloaded_again(model, tmp_path, capsys):
    folder = model()
    (folder / "net.caffemodel").write_bytes(WEIGHTS)
    (tmp_path / "server" / "net.caffemodel").unlink()
    assert main([str(folder)]) == 0
    assert "Model already exists" in capsys.readouterr().out


def test_an_existing_file_with_a_wrong_checksum_is_replaced(model):
    folder = model(sha1=hashlib.sha1(WEIGHTS).hexdigest().upper())
    (folder / "net.caffemodel").write_bytes(b"half")
    assert main([str(folder)]) == 0
    assert (folder / "net.caffemodel").read_bytes() == WEIGHTS


def test_a_wrong_checksum_keeps_the_old_file(model, fatal):
    folder = model(sha1="0" * 40)
    (folder / "net.caffemodel").write_bytes(b"older")
    assert f"has the sha1 {hashlib.sha1(WEIGHTS).hexdigest()}" in fatal(main, folder)
    assert (folder / "net.caffemodel").read_bytes() == b"older"
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha1": None}, "has no sha1"),
        ({"caffemodel": "", "caffemodel_url": None}, "has no caffemodel and no caffemodel_url"),
        (
            {"caffemodel": "../net.caffemodel"},
            "caffemodel must be the name of a file in this folder",
        ),
        *[
            ({"caffemodel": name}, "caffemodel must be the name of a file in this folder")
            for name in ("..", ".", "/tmp/net.caffemodel", "sub/net.caffemodel", "readme.md")
        ],
        *[
            (
                {"caffemodel_url": address},
                f"must be an http:// or https:// address, not {address}",
            )
            for address in (
                "file:///etc/passwd",
                "FILE:///etc/passwd",
                "ftp://x/y",
                "net.caffemodel",
                "http:/x",
                "data:,x",
            )
        ],
        (
            {"caffemodel_url": "http://127.0.0.1:9/net.caffemodel"},
            "net.caffemodel: cannot be downloaded",
        ),
    ],
)
def test_refused(model, fatal, changes, message):
    folder = model(**changes)
    assert message in fatal(main, folder)
    assert [path.name for path in folder.iterdir()] == ["readme.md"]


def test_no_front_matter(tmp_path, fatal, capsys):
    assert "readme.md" in fatal(main, tmp_path)
    (tmp_path / "readme.md").write_text("# Net\n---\n")
    assert "has no front matter" in fatal(main, tmp_path)
    assert "expected DIRNAME" in fatal(main, "a", "b")
    assert main(["--help"]) == 0
    assert "usage: caffe download_model_binary" in capsys.readouterr().out


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_protocol_is_refused(model, server, fatal, address):
    folder = model(caffemodel_url=f"{server}/to/{address}")
    line = fatal(main, folder)
    assert address in line
    assert "net.caffemodel" not in {path.name for path in folder.iterdir()}
    assert [path.name for path in folder.iterdir()] == ["readme.md"]


def test_a_redirect_is_followed(model, server):
    assert main([str(model(caffemodel_url=f"{server}/to/{server}/net.caffemodel"))]) == 0


def test_a_full_disk(model, fatal, monkeypatch):
    def full(url, path):
        raise OSError(28, "No space left on device", path)

    folder = model()
    monkeypatch.setattr(download_model_binary, "fetch", full)
    assert "net.caffemodel: cannot be written (No space left on device)" in fatal(main, folder)
