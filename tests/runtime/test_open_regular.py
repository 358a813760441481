"""Only regular files are opened: everything else is one sentence, at once."""

import os
import socket
import subprocess
import sys

import pytest

import caffe
from caffe import regular_file


def test_a_file_and_a_link_to_it_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        regular_file.check(tmp_path / name)
        with regular_file.open_regular(tmp_path / name) as f:
            assert f.read() == b"abc"


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "odd: No such file or directory"),
        (os.mkdir, "odd: is a folder; a file is needed here"),
        (os.mkfifo, "odd: is a FIFO; a file is needed here"),
        (lambda path: os.symlink("/dev/zero", path), "odd: is a device; a file is needed here"),
        (lambda path: os.symlink(path, path), "odd: Too many levels of symbolic links"),
        (make_socket, "odd: is a socket; a file is needed here"),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)  # the name of a socket may have 108 bytes only
    make("odd")
    for path in ("odd", tmp_path / "odd"):
        for act in (regular_file.check, regular_file.open_regular):
            for pipes in (False, True):
                with pytest.raises(caffe.CaffeError) as caught:
                    act(path, pipes)
                assert str(caught.value).endswith(message)


def test_an_impossible_name_is_one_sentence():
    for name, message in (
        ("a\0b", r"a\x00b: embedded null byte"),
        ("a\nb", r"a\nb: No such file or directory"),
    ):
        with pytest.raises(caffe.CaffeError) as caught:
            regular_file.open_regular(name)
        assert str(caught.value) == message


def test_the_shells_pipes_hold_prototxts():
    """caffe train -solver <(sed ...) and a net on standard input."""
    code = "import sys; from caffe import prototxt; print(prototxt.read_net(sys.argv[1]).name)"
    done = subprocess.run(
        [sys.executable, "-c", code, "/dev/stdin"],
        input="name: 'piped'",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "piped\n"
