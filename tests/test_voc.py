"""VOC splits: classes, rows, difficult objects, and the sentences for wrong files."""

import numpy as np
import pytest

from texttopicnet import artefacts, voc
from texttopicnet.errors import UserError

SUBSET = artefacts.ROOT.parent / "shared" / "data" / "VOC2007_subset"


@pytest.fixture
def main(tmp_path):
    """A VOC set of two classes, one of them called train; bird has a difficult image in val and in
    test.
    """
    folder = tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    rows = {
        "bird": {
            "train": "01  1\n02 -1\n",
            "val": "03 -1\n04  1\n05  0\n",
            "test": "06  1\n07 -1\n08  0\n",
        },
        "train": {
            "train": "01 -1\n02  1\n",
            "val": "03 1\n04 -1\n05 -1\n",
            "test": "06 -1\n07 -1\n08  1\n",
        },
    }
    for name, splits in rows.items():
        for split, text in (splits | {"trainval": splits["train"] + splits["val"]}).items():
            (folder / f"{name}_{split}.txt").write_text(text)
    for split, ids in (("train", "01\n02\n"), ("val", "03\n04\n05\n"), ("test", "06\n07\n08\n")):
        (folder / f"{split}.txt").write_text(ids)
    (folder / "trainval.txt").write_text("01\n02\n03\n04\n05\n")
    return folder


def test_classes_are_those_with_files_and_train_is_one(main, tmp_path):
    assert voc.classes(tmp_path) == ["bird", "train"]


def test_without_the_class_train_there_is_no_class_train(main, tmp_path):
    for f in main.glob("train_*.txt"):
        f.unlink()
    assert voc.classes(tmp_path) == ["bird"]


def test_difficult_left_out(main, tmp_path):
    ids, labels = voc.read_split(tmp_path, "bird", "val")
    assert ids == ["03", "04"]
    assert labels.tolist() == [-1, 1]


def test_difficult_positive_as_the_original_read_them(main, tmp_path):
    ids, labels = voc.read_split(tmp_path, "bird", "val", "positive")
    assert ids == ["03", "04", "05"]
    assert labels.tolist() == [-1, 1, 1]


def test_one_blank_or_two(main, tmp_path):
    assert voc.read_split(tmp_path, "train", "val")[1].tolist() == [1, -1, -1]


@pytest.mark.parametrize("difficult", voc.DIFFICULT)
def test_class_has_four_splits(main, tmp_path, difficult):
    splits = voc.read_class(tmp_path, "bird", difficult)
    sizes = {split: len(ids) for split, (ids, _) in splits.items()}
    more = int(difficult == "positive")
    assert sizes == {"train": 2, "val": 2 + more, "trainval": 4 + more, "test": 2 + more}


def test_one_table_for_all_classes(main, tmp_path):
    """A row per image and a column per class; 0 where the image does not count."""
    tables = voc.tables(tmp_path)
    assert (tables["val"].ids, tables["val"].labels.tolist()) == (
        ["03", "04", "05"],
        [[-1, 1], [1, -1], [0, -1]],
    )
    positive = voc.tables(tmp_path, "positive")
    assert positive["val"].labels.tolist() == [[-1, 1], [1, -1], [1, -1]]


def test_results_as_the_devkit_reads_them(tmp_path):
    path = voc.write_results(tmp_path, "bird", ["06", "07"], np.array([0.1 + 0.2, -2.5]))
    assert path.name == "comp1_cls_test_bird.txt"
    assert path.read_text() == "06 0.30000000000000004\n07 -2.5\n"


@pytest.mark.parametrize("row", ["06 2", "06", "06 1 1", "06 one"])
def test_malformed_row_is_named(main, tmp_path, row):
    (main / "bird_test.txt").write_text(f"05 1\n{row}\n")
    with pytest.raises(UserError, match=r"bird_test.txt, line 2"):
        voc.read_split(tmp_path, "bird", "test")


def test_repeated_row_is_named(main, tmp_path):
    (main / "bird_test.txt").write_text("06 1\n07 -1\n06 1\n")
    with pytest.raises(UserError, match="line 3: image 06 is in this list a second time"):
        voc.read_split(tmp_path, "bird", "test")


def test_overlapping_splits_are_refused(main, tmp_path):
    (main / "bird_test.txt").write_text("01 1\n07 -1\n")
    with pytest.raises(UserError, match="1 image is in trainval too: 01"):
        voc.read_class(tmp_path, "bird")


def test_trainval_must_be_train_and_val(main, tmp_path):
    (main / "bird_trainval.txt").write_text("01  1\n02 -1\n03 -1\n")
    with pytest.raises(UserError, match=r"bird_trainval.txt is not"):
        voc.read_class(tmp_path, "bird")


def test_split_without_positives_is_refused(main, tmp_path):
    (main / "bird_test.txt").write_text("07 -1\n08  0\n")
    with pytest.raises(UserError, match="both positives and negatives"):
        voc.read_class(tmp_path, "bird")
    assert voc.read_class(tmp_path, "bird", "positive")["test"][1].tolist() == [-1, 1]


def test_missing_split_file_is_named(main, tmp_path):
    (main / "bird_val.txt").unlink()
    with pytest.raises(UserError, match=r"bird_val.txt is missing"):
        voc.classes(tmp_path)


def test_missing_set_is_named(tmp_path):
    with pytest.raises(UserError, match="--voc"):
        voc.classes(tmp_path)


@pytest.mark.skipif(not SUBSET.exists(), reason="needs ../shared/data/VOC2007_subset")
def test_the_real_subset():
    assert voc.classes(SUBSET) == ["bus", "car", "cat", "person", "train"]
    left_out, counted = (voc.read_class(SUBSET, "person", d) for d in voc.DIFFICULT)
    # counted with grep: 232 rows of 1, 696 of -1 and 37 of 0 in person_test.txt
    assert (len(left_out["test"][0]), int((left_out["test"][1] > 0).sum())) == (232 + 696, 232)
    assert (len(counted["test"][0]), int((counted["test"][1] > 0).sum())) == (
        232 + 696 + 37,
        232 + 37,
    )


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..\\secret", "C:\\x"])
def test_an_id_that_leads_out_of_the_set_is_named(main, tmp_path, name):
    (main / "bird_test.txt").write_text(f"06 1\n{name} -1\n")
    with pytest.raises(
        UserError, match=r"bird_test.txt, line 2: .* is not the id of an image of the set"
    ):
        voc.read_split(tmp_path, "bird", "test")


def test_a_list_that_is_not_utf8_or_not_a_file(main, tmp_path):
    (main / "bird_test.txt").write_bytes(b"06 1\n\xff\xfe x -1\n")
    with pytest.raises(UserError, match=r"bird_test.txt, line 2"):
        voc.read_split(tmp_path, "bird", "test")


def test_the_folder_that_holds_vocdevkit_is_voc_itself_or_the_voc2007_in_it(tmp_path):
    assert voc.holder(tmp_path) == tmp_path  # neither
    (tmp_path / "VOC2007" / "VOCdevkit").mkdir(parents=True)
    assert voc.holder(tmp_path) == tmp_path / "VOC2007"
    (tmp_path / "VOCdevkit").mkdir()
    assert voc.holder(tmp_path) == tmp_path  # both: `voc` itself
    main = tmp_path / "VOC2007" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    assert voc.holder(tmp_path) == tmp_path / "VOC2007"  # the only whole set
    assert voc.year_folder(tmp_path) == main.parent.parent
