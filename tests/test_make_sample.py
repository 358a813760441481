"""The sample's data sets: the boxes of its objects, its training pairs; the same bytes twice."""

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from texttopicnet import retrieval, voc_objects

# of the images, lists and texts of this small sample before boxes and training pairs were added,
# with the versions of requirements.txt
BEFORE = "77c5d5d35cbcad1d008e5da602146ac873e1b7c1d8267c6c235b98d532d46fe5"
ADDED = ("Annotations", "trainset_txt_img_cat.list", "raw_features.mat")


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("data/sample/make_sample.py")


def make(script, folder):
    arguments = ["--out", str(folder), "--articles", "4", "--pairs", "2", "--voc-images", "24"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["x", *arguments])
        assert script.main() == 0
    return folder


@pytest.fixture(scope="module")
def sample(script, tmp_path_factory):
    return make(script, tmp_path_factory.mktemp("sample") / "s")


def digest(folder, names):
    rows = [f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in names]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def test_what_was_there_before_has_the_same_bytes(sample):
    train = set(retrieval.read_pairs(sample / "Wikipedia", retrieval.TRAIN_LIST)[0])
    old = [
        name
        for name in files(sample)
        if not any(part in name for part in ADDED) and Path(name).stem not in train
    ]
    assert digest(sample, old) == BEFORE


def test_the_same_seed_gives_the_same_bytes(script, sample, tmp_path):
    again = make(script, tmp_path / "again")
    assert files(again) == files(sample)
    assert digest(again, files(again)) == digest(sample, files(sample))


def test_every_box_is_around_its_object(sample):
    """Within the image; and the pixels of a box differ from those of the same rows at the edges of
    the image more than the noise does.
    """
    year = sample / "VOCdevkit" / "VOC2007"
    count = 0
    for image in voc_objects.images(year, "trainval") + voc_objects.images(year, "test"):
        pixels = cv2.imread(str(year / "JPEGImages" / f"{image}.jpg")).astype(float)
        found = voc_objects.read_objects(year, image)
        height, width = pixels.shape[:2]
        for x1, y1, x2, y2 in found.boxes.astype(int):
            assert 0 <= x1 < x2 < width
            assert 0 <= y1 < y2 < height
            inside = pixels[y1 : y2 + 1, x1 : x2 + 1]
            assert inside.std(axis=(0, 1)).max() > 8
            count += 1
    assert count > 30


def test_annotations_agree_with_the_lists(sample):
    """A label of 1 has objects, 0 only difficult ones, -1 none."""
    year = sample / "VOCdevkit" / "VOC2007"
    for name in ("boat", "flower", "house", "moon", "tree"):
        for row in (year / "ImageSets" / "Main" / f"{name}_test.txt").read_text().splitlines():
            image, label = row.split()
            found = voc_objects.read_objects(year, image)
            difficult = found.difficult[np.array([n == name for n in found.names], bool)]
            assert {"1": len(difficult) > 0 and not difficult.any(), "-1": not len(difficult)}.get(
                label, len(difficult) > 0 and difficult.all()
            )


def test_features_fit_the_lists(sample, load_script):
    baselines = load_script("experiments/retrieval_baselines.py")
    folder = sample / "Wikipedia"
    for split, name in (("tr", retrieval.TRAIN_LIST), ("te", retrieval.TEST_LIST)):
        texts, _, categories, _ = retrieval.read_pairs(folder, name)
        images, words = baselines.load_features(folder, split, len(texts))
        assert (images.shape, words.shape) == ((20, 128), (20, 10))
        np.testing.assert_allclose(images.sum(axis=1), 1)
        np.testing.assert_allclose(words.sum(axis=1), 1)
        assert (words.argmax(axis=1) == categories).mean() > 0.8
        for text in texts:
            retrieval.text_file(folder, text)
