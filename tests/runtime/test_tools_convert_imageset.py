"""convert_imageset: records as BVLC Caffe writes them, and what is refused."""

import shutil

import cv2
import numpy as np
import pytest
from lmdb_records import records

from caffe.tools.convert_imageset import main


@pytest.fixture
def images(tmp_path):
    """A folder with a.png (2 x 3, blue grows to the right), sub/b c.png (4 x 4, red) and a list."""
    ramp = np.zeros((2, 3, 3), dtype=np.uint8)
    ramp[:, :, 0] = [10, 20, 30]
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), ramp)
    cv2.imwrite(str(tmp_path / "sub" / "b c.png"), np.full((4, 4, 3), (0, 0, 200), dtype=np.uint8))
    (tmp_path / "list.txt").write_text("a.png 7\nsub/b c.png -1 \n\n")
    return tmp_path


def convert(folder, *flags):
    assert main([*flags, f"{folder}/", f"{folder}/list.txt", f"{folder}/db"]) == 0
    return records(folder / "db")


RESIZED = ["-resize_height=48", "-resize_width=52"]
RECORDED = {
    "raw": RESIZED,
    "gray": [*RESIZED, "--gray"],
    "jpg": [*RESIZED, "-encoded", "-encode_type=jpg"],
    "png": [*RESIZED, "--encoded", "--encode_type", "png"],
    "encoded_orig": ["-encoded"],
}


@pytest.mark.parametrize("name", RECORDED)
def test_as_recorded(golden, monkeypatch, tmp_path, name):
    monkeypatch.chdir(golden / "data")
    assert main([*RECORDED[name], "images/", "list.txt", str(tmp_path / "db")]) == 0
    # a copy, because a net of another test may still have the recording open
    shutil.copytree(f"{name}_lmdb", tmp_path / "recorded")
    found, wanted = records(tmp_path / "db"), records(tmp_path / "recorded")
    assert [key for key, _ in found] == [key for key, _ in wanted]
    for (key, datum), (_, other) in zip(found, wanted, strict=True):
        if name == "jpg":  # another libjpeg may round in another way
            pixels = [
                cv2.imdecode(np.frombuffer(d.data, np.uint8), cv2.IMREAD_COLOR).astype(int)
                for d in (datum, other)
            ]
            assert np.abs(pixels[0] - pixels[1]).max() <= 3, key
        elif name == "png":  # another zlib may pack in another way
            pixels = [
                cv2.imdecode(np.frombuffer(d.data, np.uint8), cv2.IMREAD_COLOR)
                for d in (datum, other)
            ]
            np.testing.assert_array_equal(*pixels)
        if name in ("jpg", "png"):
            datum.data = other.data = b""
        assert datum == other, key


def test_records_by_hand(images, capsys):
    (first, a), (second, b) = convert(images)
    assert (first, second) == ("00000000_a.png", "00000001_sub/b c.png")
    assert (a.label, b.label) == (
        7,
        -1,
    )
    assert (a.channels, a.height, a.width, a.encoded) == (3, 2, 3, False)
    assert list(a.data) == [10, 20, 30] * 2 + [0] * 12
    assert set(b.data[:32]) == {0}
    assert set(b.data[32:]) == {200}
    log = capsys.readouterr().err
    assert "convert_imageset.cpp:89] A total of 2 images." in log
    assert "convert_imageset.cpp:153] Processed 2 files." in log
    assert not list(images.glob("*.tmp*"))
    assert not (images / "db" / "lock.mdb").exists()


def test_resized_in_the_opencv_way(images):
    (_, a), _ = convert(images, "-resize_width=6", "-resize_height=2")
    assert list(a.data[:6]) == [10, 13, 18, 23, 28, 30]  # 10, 12.5, 17.5, ... rounded


def test_grey(images):
    (_, a), (_, b) = convert(images, "-gray")
    assert (a.channels, len(a.data)) == (1, 6)
    assert set(b.data) <= {
        59,
        60,
    }


def test_encoded_keeps_the_bytes_of_the_file_if_it_can(images):
    assert convert(images, "-encoded")[0][1].data == (images / "a.png").read_bytes()
    (images / "db").rename(images / "old")
    data = convert(images, "-encode_type=bmp")[0][1].data
    assert data[:2] == b"BM"


def test_shuffled_by_the_seed(images):
    (images / "list.txt").write_text("".join(f"a.png {i}\n" for i in range(20)))
    labels = [datum.label for _, datum in convert(images, "-shuffle", "-random_seed=3")]
    (images / "db").rename(images / "old")
    again = [datum.label for _, datum in convert(images, "--shuffle=true", "--random_seed", "3")]
    assert labels == again != sorted(labels)
    assert sorted(labels) == list(range(20))


def test_an_image_that_cannot_be_read_is_named_and_left_out(images, capsys):
    (images / "list.txt").write_text("a.png 0\nnone.png 1\nlist.txt 2\na.png 3\n")
    assert [key for key, _ in convert(images)] == ["00000000_a.png", "00000003_a.png"]
    log = capsys.readouterr().err
    assert f"Could not open or find file {images}/none.png" in log
    assert f"find file {images}/list.txt" in log
    assert "2 of 4 images were left out" in log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-check_size"], "sub/b c.png is (3, 4, 4)"),
        (["-resize_width=6"], "give -resize_width and -resize_height together"),
        (["-backend", "leveldb"], "only lmdb"),
        (["-encode_type=colour"], "cannot encode an image as 'colour'"),
        (["-shuffle=often"], "-shuffle is true or false"),
        (["-resize_width", "wide"], "resize_width"),
        (["-colour"], "-colour"),
    ],
)
def test_refused_and_nothing_written(images, fatal, flags, message):
    assert message in fatal(main, *flags, f"{images}/", images / "list.txt", images / "db")
    assert {path.name for path in images.iterdir()} == {"a.png", "sub", "list.txt"}


def test_wrong_arguments_are_named(images, fatal, capsys):
    lines = images / "list.txt"
    assert "expected ROOTFOLDER/ LISTFILE DB_NAME" in fatal(main, f"{images}/", lines)
    assert "no.txt" in fatal(main, f"{images}/", images / "no.txt", images / "db")
    assert "does the folder exist" in fatal(main, f"{images}/", lines, images / "no" / "db")
    assert f"none of its 2 images can be read with {images} before" in fatal(
        main, images, lines, images / "db"
    )
    assert "already exists" in fatal(main, f"{images}/", lines, images / "sub")
    lines.write_text("\n")
    assert "lists no images" in fatal(main, f"{images}/", lines, images / "db")
    assert main(["-help"]) == 0
    assert "usage: caffe convert_imageset" in capsys.readouterr().out
