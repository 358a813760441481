"""Damaged files of the evaluation sets: each is read, or refused in one sentence that names it.

MATLAB files are left out: scipy's reader itself ends the process on some damaged ones.
"""

import numpy as np
import pytest
from mutations import COUNT, mutants

from texttopicnet import features, retrieval, stl10, sun397, voc, voc_objects
from texttopicnet.errors import UserError

XML = (
    "<annotation><object><name>dog</name><difficult>0</difficult><bndbox><xmin>1</xmin>"
    "<ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
)
DRAWN = np.random.default_rng(0).random((6, 4))


def npz(folder, **arrays):
    np.savez(folder / "file.npz", **arrays)
    return folder / "file.npz"


def written(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def features_file(folder, load_script):
    found = features.Features(list("abcdef"), DRAWN.astype(np.float32), "prob", "0" * 64)
    features.save(folder / "file.npz", found)
    return folder / "file.npz", lambda path: features.load(path, "prob")


def ready_vectors(folder, load_script):
    ids, category = np.array(list("abcdef")), np.arange(6) % 2
    path = npz(folder, text=DRAWN, image=DRAWN, category=category, text_ids=ids, image_ids=ids)
    return path, load_script("experiments/multi_modal_retrieval.py").evaluate_ready


def proposals(folder, load_script):
    boxes = np.concatenate([DRAWN[:, :2], DRAWN[:, :2] + 1], axis=1)
    path = npz(folder, ids=["a", "b"], boxes=boxes, image=[0, 0, 0, 1, 1, 1])
    return path, lambda path: voc_objects.read_proposals(path, ["a", "b"])


def annotation(folder, load_script):
    path = written(folder, "Annotations/a.xml", XML)
    return path, lambda _: voc_objects.read_objects(folder, "a")


def stl10_labels(folder, load_script):
    path = written(folder, "train_y.bin", bytes(i % 10 + 1 for i in range(20)))
    return path, lambda path: stl10.labels(path, 20)


def stl10_folds(folder, load_script):
    path = written(folder, "fold_indices.txt", "0 1 2 3\n4 5 6 7\n")
    return path, lambda path: stl10.folds(path, 8)


def sun397_list(folder, load_script):
    written(folder, "ClassName.txt", "/a/abbey\n/b/bar\n")
    for kind, image in (("Training", "x"), ("Testing", "y")):
        rows = [f"/{name}/{image}.jpg" for name in ("a/abbey", "b/bar")]
        path = written(folder, f"{kind}_01.txt", "\n".join(rows))
        for row in rows:
            written(folder, row[1:], b"an image")
    return path, lambda _: sun397.read(folder)


def voc_list(folder, load_script):
    path = written(folder, f"{voc.MAIN}/cat_test.txt", "000001  1\n000002 -1\n000003  0\n")
    return path, lambda _: voc.read_split(folder, "cat", "test")


def pairs(folder, load_script):
    written(folder, "categories.list", "art\nsport\n")
    path = written(folder, retrieval.TEST_LIST, "t1\ti1\t1\nt2\ti2\t2\n")
    return path, lambda _: retrieval.read_pairs(folder)


@pytest.mark.parametrize(
    "kind",
    [
        features_file,
        ready_vectors,
        proposals,
        annotation,
        stl10_labels,
        stl10_folds,
        sun397_list,
        voc_list,
        pairs,
    ],
)
def test_a_damaged_file_is_one_sentence(kind, tmp_path, load_script):
    path, read = kind(tmp_path, load_script)
    whole, refused = path.read_bytes(), 0
    read(path)
    for data in mutants(whole, COUNT // 6):
        path.write_bytes(data)
        try:
            read(path)
        except UserError as error:
            said, refused = str(error), refused + 1
            assert said.isprintable(), said
            assert str(tmp_path) in said
            assert ": " in said
    assert refused > 5
