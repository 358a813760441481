"""STL-10, SUN397 and folders per class, in small files of exactly the official formats."""

import cv2
import numpy as np
import pytest

from texttopicnet import image_folder, image_sets, stl10, sun397
from texttopicnet.errors import UserError

SIDE = 96


def stl_bytes(pixels):
    """uint8 (n, 96, 96, 3), RGB, as STL-10 stores it: channel by channel, column by column."""
    return b"".join(
        pixels[i, :, column, channel].tobytes()
        for i in range(len(pixels))
        for channel in range(3)
        for column in range(SIDE)
    )


@pytest.fixture
def stl(tmp_path):
    """20 training images and 10 for test, one of each class, two folds of ten."""
    folder = tmp_path / "set" / "stl10_binary"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    pixels = {}
    for part, count in (("train", 20), ("test", 10)):
        pixels[part] = draw.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
        (folder / f"{part}_X.bin").write_bytes(stl_bytes(pixels[part]))
        labels = np.tile(np.arange(1, 11), count // 10).astype(np.uint8)
        (folder / f"{part}_y.bin").write_bytes(labels.tobytes())
    names = "airplane bird car cat deer dog horse monkey ship truck"
    (folder / "class_names.txt").write_text(names.replace(" ", "\n") + "\n")
    folds = (range(10), range(10, 20))
    rows = "".join(" ".join(f"{i}" for i in fold) + " \n" for fold in folds)  # as the official file
    (folder / "fold_indices.txt").write_text(rows)
    return folder, pixels, tmp_path / "unpacked"


def test_stl10_images_stand_upright_in_their_colours(stl):
    folder, pixels, unpacked = stl
    found = stl10.read(folder.parent, unpacked)
    for i, image in enumerate(np.concatenate([pixels["train"], pixels["test"]])):
        read = cv2.imread(str(found.paths[i]))
        np.testing.assert_array_equal(read[:, :, ::-1], image)
    assert found.paths[0] == unpacked / "train" / "00000.png"
    assert found.paths[20] == unpacked / "test" / "00000.png"


def test_stl10_labels_and_folds(stl):
    folder, _, unpacked = stl
    found = stl10.read(folder, unpacked)  # stl10_binary itself
    assert (found.name, found.paper_set) == ("stl10", False)
    assert found.classes[:2] == ["airplane", "bird"]
    assert found.labels.tolist() == [*range(10)] * 3
    assert [fold.name for fold in found.folds] == ["01", "02"]
    assert found.folds[1].train.tolist() == [*range(10, 20)]
    for fold in found.folds:
        assert fold.test.tolist() == [*range(20, 30)]


def test_stl10_is_unpacked_once_and_again_if_the_file_changes(stl):
    folder, pixels, unpacked = stl
    first = stl10.read(folder, unpacked).paths[0]
    before = first.stat().st_mtime_ns
    stl10.read(folder, unpacked)
    assert first.stat().st_mtime_ns == before
    (folder / "train_X.bin").write_bytes(stl_bytes(255 - pixels["train"]))
    stl10.read(folder, unpacked)
    np.testing.assert_array_equal(cv2.imread(str(first))[:, :, ::-1], 255 - pixels["train"][0])


def spoil(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("train_X.bin", lambda b: b[:-1], r"train_X.bin has 552,959 bytes.*truncated"),
        ("test_X.bin", lambda b: b"", r"test_X.bin has 0 bytes.*truncated"),
        ("train_y.bin", lambda b: b[:-2], r"train_y.bin has 18 labels for 20 images in train_X"),
        ("test_y.bin", lambda b: b"\x0b" + b[1:], r"test_y.bin: label 0 is 11, not 1 to 10"),
        ("test_y.bin", lambda b: b"\x00" + b[1:], r"test_y.bin: label 0 is 0, not 1 to 10"),
        ("fold_indices.txt", lambda b: b"3 20\n", r"line 1: row 20 is not one of the 20 training"),
        ("fold_indices.txt", lambda b: b"3 x\n", r"line 1 is not a list of row numbers"),
        ("fold_indices.txt", lambda b: b"3 3\n", r"line 1 names an image twice"),
        ("fold_indices.txt", lambda b: b"\n", r"fold_indices.txt has no folds"),
        ("fold_indices.txt", lambda b: b[:-7], r"has 2 folds of 8 to 10 images.*truncated"),
        ("fold_indices.txt", lambda b: b"0 1 2\n", r"split 01: train has no image of class 'cat'"),
        ("class_names.txt", lambda b: b"one two", r"class_names.txt has 2 names, not 10"),
    ],
)
def test_bad_stl10_files_are_one_sentence(stl, name, change, sentence):
    folder, _, unpacked = stl
    spoil(folder / name, change)
    with pytest.raises(UserError, match=sentence):
        stl10.read(folder, unpacked)


def test_the_official_stl10_has_ten_folds(tmp_path):
    path = tmp_path / "fold_indices.txt"
    path.write_text("0 1 4999\n" * 10)
    assert [rows.tolist() for rows in stl10.folds(path, 5000)] == [[0, 1, 4999]] * 10
    path.write_text("0 1 4999\n" * 9)
    with pytest.raises(UserError, match=r"has 9 folds of 3 to 3 images, not 10 folds of one size"):
        stl10.folds(path, 5000)


@pytest.mark.parametrize("name", ["train_X.bin", "test_y.bin", "fold_indices.txt"])
def test_a_missing_stl10_file_is_named(stl, name):
    folder, _, unpacked = stl
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name} does not exist: data/STL10/README.md says how"):
        stl10.read(folder, unpacked)


@pytest.fixture
def sun(tmp_path):
    """Three classes (one with a sub-class), two partitions of one image each for train and test."""
    folder = tmp_path / "sun"
    classes = ["/a/abbey", "/c/church/indoor", "/c/church/outdoor"]
    lists = folder / "Partitions"
    lists.mkdir(parents=True)
    (lists / "ClassName.txt").write_text("".join(f"{c}\n" for c in classes))
    for c in classes:
        (folder / "SUN397" / c[1:]).mkdir(parents=True)
        for name in "xyz":
            (folder / "SUN397" / c[1:] / f"sun_{name}.jpg").write_bytes(b"an image")
    for number, (train, test) in (("01", "xy"), ("02", "yz")):
        for kind, name in (("Training", train), ("Testing", test)):
            rows = "".join(f"{c}/sun_{name}.jpg\r\n" for c in classes)
            (lists / f"{kind}_{number}.txt").write_text(rows)
    return folder


def test_sun397_partitions(sun):
    found = sun397.read(sun)
    assert (found.name, found.paper_set) == ("sun397", False)
    assert found.classes == ["a/abbey", "c/church/indoor", "c/church/outdoor"]
    named = [path.relative_to(sun / "SUN397").as_posix() for path in found.paths]
    assert [fold.name for fold in found.folds] == ["01", "02"]
    second = found.folds[1]
    assert [named[i] for i in second.train] == [f"{c}/sun_y.jpg" for c in found.classes]
    assert [named[i] for i in second.test] == [f"{c}/sun_z.jpg" for c in found.classes]
    assert found.labels[second.test].tolist() == [0, 1, 2]
    assert len(set(named)) == 9  # an image of both partitions is one image


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("Training_01.txt", None, r"Training_01.txt does not exist: data/SUN397/README.md says"),
        ("ClassName.txt", None, r"ClassName.txt does not exist"),
        ("Testing_02.txt", "", r"Testing_02.txt is empty"),
        ("Testing_01.txt", "/z/zoo/sun_x.jpg\n", r"line 1: '/z/zoo/sun_x.jpg' is of no class of"),
        ("Testing_01.txt", "a/abbey/x.jpg\n", r"line 1: 'a/abbey/x.jpg' is not a path such as"),
        (
            "Testing_01.txt",
            "/a\0" + 99 * "b",
            r"line 1: '/a\\x00b{77}\.\.\.' is not a path such as",
        ),
        ("Testing_01.txt", "/../x.jpg\n", r"line 1: '/../x.jpg' is not a path such as"),
        ("Testing_01.txt", "/a/abbey/sun_q.jpg\n", r"1 image of 10 is missing: .*sun_q.jpg"),
        ("Testing_01.txt", "/a/abbey/sun_x.jpg\n", r"split 01: 1 image is in train and in test"),
        ("Testing_01.txt", "/a/abbey/sun_y.jpg\n", r"split 01: test has no image of class 'c/chu"),
        ("Testing_01.txt", "/a/abbey/sun_y.jpg\n" * 2, r"Testing_01.txt names an image twice"),
        ("ClassName.txt", "/a/abbey\n/a/abbey\n", r"ClassName.txt names a class twice"),
    ],
)
def test_bad_sun397_lists_are_one_sentence(sun, name, text, sentence):
    path = sun / "Partitions" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        sun397.read(sun)


def test_a_missing_sun397_partition_is_named(sun):
    lists = sun / "Partitions"
    for kind in ("Training", "Testing"):
        (lists / f"{kind}_02.txt").rename(lists / f"{kind}_03.txt")
    with pytest.raises(UserError, match=r"Training_02\.txt does not exist: data/SUN397"):
        sun397.read(sun)


def images(folder, **counts):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.jpg").write_bytes(b"an image")


def test_a_folder_per_class_is_split_into_folds(tmp_path):
    images(tmp_path / "set", dog=6, cat=4)
    for name in ("notes", ".thumbnails"):
        (tmp_path / "set" / name).mkdir()
    (tmp_path / "set" / "notes" / "about.txt").write_text("not an image")
    found = image_folder.read(tmp_path / "set", 2, 0)
    assert (found.name, found.classes) == ("set", ["cat", "dog"])
    assert found.labels.tolist() == [0] * 4 + [1] * 6
    assert [fold.name for fold in found.folds] == ["1of2_seed0", "2of2_seed0"]
    for fold in found.folds:  # the same shares of the classes; every image is tested once
        assert np.bincount(found.labels[fold.test]).tolist() == [2, 3]
        assert sorted([*fold.train, *fold.test]) == [*range(10)]
    other = image_folder.read(tmp_path / "set", 2, 1)
    assert other.folds[0].test.tolist() != found.folds[0].test.tolist()


def test_a_folder_with_its_own_split(tmp_path):
    images(tmp_path / "train", dog=2, cat=1)
    images(tmp_path / "test", dog=1, cat=3)
    found = image_folder.read(tmp_path, 5, 0)
    (fold,) = found.folds
    assert found.labels[fold.train].tolist() == [0, 1, 1]
    assert found.labels[fold.test].tolist() == [0, 0, 0, 1]


def test_bad_folders_are_one_sentence(tmp_path):
    images(tmp_path / "a", dog=3, cow=0)
    with pytest.raises(UserError, match="cow is empty: add images of this class, or move"):
        image_folder.read(tmp_path / "a", 2, 0)
    (tmp_path / "a" / "cow").rmdir()
    with pytest.raises(UserError, match="a has 1 folder with images: it needs a folder per class"):
        image_folder.read(tmp_path / "a", 2, 0)
    images(tmp_path / "a", cat=1)
    with pytest.raises(UserError, match="class 'cat' has 1 image, fewer than 2 folds need"):
        image_folder.read(tmp_path / "a", 2, 0)
    images(tmp_path / "b" / "train", dog=2, cat=2)
    with pytest.raises(UserError, match="b has train but no test: give both splits"):
        image_folder.read(tmp_path / "b", 2, 0)
    images(tmp_path / "b" / "test", dog=2, cow=2)
    with pytest.raises(UserError, match="class 'cat' is only in train"):
        image_folder.read(tmp_path / "b", 2, 0)
    with pytest.raises(UserError, match="none does not exist"):
        image_folder.read(tmp_path / "none", 2, 0)


def test_two_files_that_differ_in_their_ending_alone(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match="differ only in their ending"):
        image_sets.check_files([tmp_path / "a.jpg", tmp_path / "a.png"], "list")
