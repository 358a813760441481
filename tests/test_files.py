"""Names from data stay inside the collection, only regular files are read, and walks end."""

import os
import pickle
import socket

import pytest

from texttopicnet import files
from texttopicnet.errors import UserError
from texttopicnet.files import Unusable


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("images/1.jpg", ""),
        ("./images/1.jpg", ""),
        ("images/a..b/..c.jpg", ""),
        ("images/ä 日.jpg", ""),
        ("images/a\\b.jpg", ""),
        ("~/1.jpg", ""),
        ("/etc/passwd", files.OUTSIDE),
        ("//host/share", files.OUTSIDE),
        ("../1.jpg", files.OUTSIDE),
        ("images/../../1.jpg", files.OUTSIDE),
        ("images/..", files.OUTSIDE),
        ("images\\..\\..\\1.jpg", files.OUTSIDE),
        ("images/..\\1.jpg", files.OUTSIDE),
        ("\\\\host\\share", files.OUTSIDE),
        ("C:\\1.jpg", files.OUTSIDE),
        ("c:/1.jpg", files.OUTSIDE),
        ("images/1.jpg\0.png", "its name holds a NUL character"),
        ("images/\udcff.jpg", "its name is not UTF-8"),
        ("", "it is not a name"),
        (None, "it is not a name"),
        (["images/1.jpg"], "it is not a name"),
    ],
)
def test_which_names_stay_inside(tmp_path, name, why):
    assert files.name_error(name) == why
    if why:
        with pytest.raises(Unusable, match="cannot be read"):
            files.read_member(tmp_path, name)


@pytest.fixture
def collection(tmp_path):
    """A collection with images/1.jpg; beside it a secret, and a disk with photos/2.jpg and
    photos/set/3.jpg.
    """
    for name in ("data/images/1.jpg", "secret", "disk/photos/2.jpg", "disk/photos/set/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path / "data"


def test_whole_folders_may_be_links(collection):
    (collection / "photos").symlink_to(collection.parent / "disk/photos")
    (collection / "images/more").symlink_to("../../disk/photos/set")
    assert files.read_member(collection, "photos/2.jpg") == b"disk/photos/2.jpg"
    assert files.read_member(collection, "images/more/3.jpg") == b"disk/photos/set/3.jpg"
    link = collection.parent / "link"
    link.symlink_to(collection)
    assert files.read_member(link, "images/1.jpg") == b"data/images/1.jpg"


def test_a_linked_file_must_lie_in_the_collection_or_in_its_linked_folder(collection):
    (collection / "photos").symlink_to(collection.parent / "disk/photos")
    (collection / "images/same.jpg").symlink_to("1.jpg")
    (collection.parent / "disk/photos/same.jpg").symlink_to("set/3.jpg")
    assert files.read_member(collection, "images/same.jpg") == b"data/images/1.jpg"
    assert files.read_member(collection, "photos/same.jpg") == b"disk/photos/set/3.jpg"
    for place in ("images/secret.jpg", "photos/secret.jpg"):
        (collection / place).symlink_to(collection.parent / "secret")
        with pytest.raises(
            Unusable,
            match=r"secret.jpg: cannot be read .it is a link to a file outside the collection",
        ):
            files.read_member(collection, place)


def test_only_regular_files_are_read(collection):
    os.mkfifo(collection / "fifo")
    (collection / "loop").symlink_to("loop")
    (collection / "zero").symlink_to("/dev/zero")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(collection / "socket"))
    reasons = {
        "fifo": files.NOT_REGULAR,
        "socket": files.NOT_REGULAR,
        "images": "Is a directory",
        "loop": files.LOOP,
        "zero": files.LINK_OUTSIDE,
        "none": "No such file or directory",
        "images/1.jpg/x": "No such file or directory",
        "x" * 300: "File name too long",
    }
    found = {}
    for name in reasons:
        with pytest.raises(UserError) as caught:  # opening a FIFO would block
            files.read_member(collection, name)
        found[name] = caught.value.reason
    assert found == reasons
    listener.close()
    for path in ("/dev/zero", "/dev/null"):
        with pytest.raises(Unusable, match=r"cannot be read .not a regular file."):
            files.read(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Unusable, match=r"cannot be read .larger than 256 MiB."):
        files.read(tmp_path / "sparse")
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read(tmp_path / "a", 5) == b"12345"
    with pytest.raises(Unusable):
        files.read(tmp_path / "a", 4)


def test_text_and_its_other_name_are_one_folder(collection):
    (collection / "_text").mkdir()
    (collection / "_text/a").write_text("a")
    assert (
        files.find_article(collection, "text/a")
        == files.find_article(collection, "_text/a")
        == "_text/a"
    )
    (collection / "text").mkdir()
    (collection / "text/a").write_text("b")
    assert files.find_article(collection, "text/a") == "text/a"
    assert files.find_article(collection, "_text/a") == "_text/a"
    with pytest.raises(Unusable, match=r"text/b: cannot be read .No such file"):
        files.find_article(collection, "text/b")
    os.mkfifo(collection / "_text/c")
    with pytest.raises(
        Unusable, match=r"_text/c: cannot be read .not a regular file"
    ):  # this says more than that text/c is missing
        files.find_article(collection, "text/c")
    with pytest.raises(Unusable, match="leads out"):
        files.find_article(collection, "../secret")


def test_walks_follow_links_to_folders_but_no_cycles(tmp_path):
    for name in ("a/1", "a/b/2", "c/3", "outside/4"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).write_text("")
    (tmp_path / "top/outside").rename(tmp_path / "outside")
    (tmp_path / "top/d").symlink_to("../outside")
    (tmp_path / "top/a/b/up").symlink_to("..")  # a cycle of one
    (tmp_path / "top/c/x").symlink_to("../a")
    (tmp_path / "top/a/y").symlink_to("../c")  # and one of two folders
    (tmp_path / "top/self").symlink_to("self")
    cycles = []
    found = files.walk(
        tmp_path / "top",
        lambda reason, path: cycles.append((reason, os.path.relpath(path, tmp_path / "top"))),
    )
    assert [os.path.relpath(path, tmp_path / "top") for path in found] == [
        *("a/1", "a/b/2", "a/y/3", "c/3", "c/x/1", "c/x/b/2", "d/4", "self"),
    ]
    reason = "a link that leads back to itself"
    assert cycles == [(reason, path) for path in ("a/b/up", "a/y/x", "c/x/b/up", "c/x/y")]


def test_a_walk_goes_deeper_than_pythons_recursion(tmp_path):
    folders = [tmp_path]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    (folders[-1] / "1").write_text("")
    assert [os.path.basename(path) for path in files.walk(tmp_path)] == ["1"]
    (folders[-1] / "1").unlink()
    for folder in reversed(folders[1:]):  # pytest's own removal is recursive
        folder.rmdir()


def test_a_missing_folder_is_left_out(tmp_path):
    left_out = []
    assert list(files.walk(tmp_path / "none", lambda *why: left_out.append(why))) == []
    assert left_out == [("cannot be read: No such file or directory", str(tmp_path / "none"))]


def test_names_that_no_terminal_can_show_are_escaped(tmp_path):
    assert files.printable("a\udcff\n\x1b[31mä") == "a\\xff\\x0a\\x1b[31mä"
    path = os.fsencode(tmp_path) + b"/\xff"
    open(path, "wb").close()
    (name,) = files.walk(tmp_path)
    assert files.read(name) == b""
    assert files.printable(name).endswith("/\\xff")


def test_the_error_comes_back_whole_from_another_process():
    error = pickle.loads(pickle.dumps(Unusable("a/b", files.NOT_REGULAR)))
    assert str(error) == "a/b: cannot be read (not a regular file)"
    assert error.reason == files.NOT_REGULAR
