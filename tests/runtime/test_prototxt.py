"""Prototxt files: byte order marks, line ends, bytes that are not UTF-8, binary files."""

import os
from pathlib import Path

import pytest

import caffe
from caffe import prototxt

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "caffe"


@pytest.fixture
def read(tmp_path):
    """read(bytes): the NetParameter of a file with these bytes."""

    def read(data):
        (tmp_path / "net.prototxt").write_bytes(data)
        return prototxt.read_net(tmp_path / "net.prototxt")

    return read


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'# caf\xe9\nname: "a" # \xff\xfe "\nforce_backward: true # \x00', "a"),
        (b'\xef\xbb\xbfname: "a"\nforce_backward: true', "a"),  # a byte order mark
        (b'name: "a"\r\nforce_backward: true\r\n', "a"),
        (b'# a comment\rname: "a"\rforce_backward: true', "a"),
        (b"name: 'a # no comment' # \xe9 'no string\nforce_backward: true", "a # no comment"),
        (b"name: \"it's \\\"\" '#' force_backward: true", "it's \"#"),
        ("name: 'é' force_backward: true".encode(), "é"),
        (b'name: "\\303\\251" force_backward: true', "é"),  # as Caffe writes UTF-8
    ],
)
def test_text_is_read_without_a_warning(read, capsys, data, name):
    net = read(data)
    assert net.name == name
    assert net.force_backward
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'\nname: "caf\xe9"', "café"),
        (b'\nname: "caf\\351"', "café"),  # as Caffe writes Latin-1
        (b"\nname: '\xc3\xa9 \xe9 \\n \"'", 'é é \n "'),  # UTF-8 stays
    ],
)
def test_strings_that_are_not_utf_8_are_latin_1_with_a_warning(read, capsys, data, name):
    assert read(data).name == name
    assert "net.prototxt:2: " in (log := capsys.readouterr().err)
    assert "read as Latin-1" in log


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'name: "a"\n\xe9: 1', "net.prototxt:2: byte 0xe9 is not text"),
        ('name: "a"'.encode("utf-16"), "net.prototxt: is text in UTF-16; save it as UTF-8"),
        (b'name: "a\xe9', "net.prototxt:1: byte 0xe9 is not text"),
        (b'\n\nname: "\\x"', "net.prototxt:3: "),
    ],
)
def test_what_is_not_text_is_one_sentence(read, data, message):
    with pytest.raises(caffe.CaffeError) as caught:
        read(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", [prototxt.read_net, prototxt.read_solver, prototxt.read_text])
def test_only_regular_files_are_read(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "is a FIFO"),
        (tmp_path, "is a folder"),
        ("/dev/zero", "is a device"),
    ):
        with pytest.raises(caffe.CaffeError, match=message):
            reader(path)


def test_solvers_and_the_shared_case_are_read_in_the_same_way(tmp_path):
    (tmp_path / "s.prototxt").write_bytes(
        b'\xef\xbb\xbfnet: "a.prototxt" # \xe9\r\nbase_lr: 0.5\r\n'
    )
    solver = prototxt.read_solver(tmp_path / "s.prototxt")
    assert (solver.net, solver.base_lr) == ("a.prototxt", 0.5)
    if not (CASES / "nonutf8_comment.prototxt").is_file():
        pytest.skip(f"the small inputs are not here ({CASES})")
    assert caffe.Net(str(CASES / "nonutf8_comment.prototxt"), caffe.TEST).blobs
