"""Only regular files are opened: everything else is one sentence, at once."""

import os
import socket

import pytest

import caffe
from caffe.regular_file import check_regular, open_regular


def test_a_file_and_a_link_to_it_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        check_regular(tmp_path / name)
        with open_regular(tmp_path / name) as f:
            assert f.read() == b"abc"
    with open_regular(tmp_path / "file", "r", encoding="utf-8") as f:
        assert f.read() == "abc"


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "odd: No such file or directory"),
        (os.mkdir, "odd: is a folder, not a regular file"),
        (os.mkfifo, "odd: is a named pipe, not a regular file"),
        (lambda path: os.symlink("/dev/zero", path), "odd: is a device, not a regular file"),
        (lambda path: os.symlink(path, path), "odd: Too many levels of symbolic links"),
        (make_socket, "odd: is a socket or a device, not a regular file"),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)  # the name of a socket may have 108 bytes only
    make("odd")
    for path in ("odd", tmp_path / "odd"):
        with pytest.raises(caffe.CaffeError) as caught:
            open_regular(path)
        assert str(caught.value).endswith(message)


def test_an_impossible_name_is_one_sentence():
    with pytest.raises(caffe.CaffeError, match=r"^a\\x00b: is not a file name"):
        open_regular("a\0b")
