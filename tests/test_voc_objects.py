"""Annotations, proposals, and the devkit's AP of detections, by hand."""

import numpy as np
import pytest
import scipy.io

from texttopicnet import voc_objects
from texttopicnet.errors import UserError
from texttopicnet.voc_objects import Detection, Objects

XML = """<annotation><object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20</ymax></bndbox></object>
<object><name>dog</name><part><bndbox><xmin>7</xmin></bndbox></part>
<bndbox><xmin>5.5</xmin><ymin>1</ymin><xmax>6</xmax><ymax>2</ymax></bndbox></object></annotation>"""


@pytest.fixture
def year(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "000001.xml").write_text(XML)
    return tmp_path


def test_an_annotation_is_read_from_pixel_0(year):
    found = voc_objects.read_objects(year, "000001")
    assert found.names == ["cat", "dog"]
    assert found.boxes.tolist() == [[0, 1, 9, 19], [4.5, 0, 5, 1]]
    assert found.difficult.tolist() == [True, False]


@pytest.mark.parametrize(
    ("old", "new"),
    [("<xmax>10", "<xmax>ten"), ("</annotation>", ""), ("<bndbox><xmin>1<", "<box><xmin>1<")],
)
def test_a_broken_annotation_is_one_sentence(year, old, new):
    path = year / "Annotations" / "000001.xml"
    path.write_text(XML.replace(old, new))
    with pytest.raises(UserError, match=r"000001.xml is not an annotation with the boxes"):
        voc_objects.read_objects(year, "000001")
    for wrong in ("0", "nan", "1e999"):
        path.write_text(XML.replace("<xmax>10", f"<xmax>{wrong}"))
        with pytest.raises(UserError, match="a box that ends before it starts"):
            voc_objects.read_objects(year, "000001")
    path.unlink()
    with pytest.raises(UserError, match=r"000001.xml does not exist: data/VOC2007/README"):
        voc_objects.read_objects(year, "000001")


def cells(arrays):
    found = np.empty((1, len(arrays)), dtype=object)
    for i, array in enumerate(arrays):
        found[0, i] = array
    return found


def test_selective_search_files(tmp_path):
    """Rows y1 x1 y2 x2 from 1, as in Fast R-CNN's files, in the split's order or by `images`."""
    boxes = cells([np.array([[2.0, 1, 20, 10]]), np.array([[1.0, 1, 2, 3], [5, 6, 7, 8]])])
    scipy.io.savemat(tmp_path / "a.mat", {"boxes": boxes})
    first, second = voc_objects.read_proposals(tmp_path / "a.mat", ["x", "y"])
    assert first.tolist() == [[0, 1, 9, 19]]
    assert second.tolist() == [[0, 0, 2, 1], [5, 4, 7, 6]]
    scipy.io.savemat(tmp_path / "b.mat", {"boxes": boxes, "images": cells(["y", "x"])})
    assert voc_objects.read_proposals(tmp_path / "b.mat", ["x"])[0].shape == (2, 4)


def test_proposals_of_an_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, ids=["x", "y"], boxes=[[0, 1, 2, 3], [4, 5, 6, 7]], image=[1, 1])
    y, x = voc_objects.read_proposals(path, ["y", "x"])
    assert y.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert x.shape == (0, 4)
    with pytest.raises(UserError, match=r"a.npz lacks proposals of 1 of 2 images; the first is z"):
        voc_objects.read_proposals(path, ["x", "z"])
    np.savez(path, ids=["x"], boxes=[[0, 1, 2, 3]], image=[1])
    with pytest.raises(UserError, match=r"a.npz is not a file of proposals"):
        voc_objects.read_proposals(path, ["x"])
    np.savez(path, ids=[["x"]], boxes=[[0, 1, 2, 3]], image=[0])
    with pytest.raises(UserError, match=r"a.npz is not a file of proposals \(ids \(1, 1\) and"):
        voc_objects.read_proposals(path, ["x"])
    np.savez(path, ids=["x"], boxes=[[0, 1, 2, 3]], image=[0.0])
    with pytest.raises(UserError, match=r"proposals \(image holds float64, not whole numbers\)"):
        voc_objects.read_proposals(path, ["x"])
    np.savez(path, ids=["x", "x"], boxes=[[0, 1, 2, 3]], image=[0])
    with pytest.raises(UserError, match=r"a.npz names an image twice: data/VOC2007/README"):
        voc_objects.read_proposals(path, ["x"])
    np.savez(path, ids=["x"], boxes=[[0, 1, 2, np.nan]], image=[0])
    with pytest.raises(UserError, match=r"a.npz: a proposal is not finite: data/VOC2007/README"):
        voc_objects.read_proposals(path, ["x"])
    np.savez(path, ids=["x"], boxes=[[0, 3, 2, 2]], image=[0])
    with pytest.raises(UserError, match=r"a.npz: a proposal ends before it starts: data/VOC2007"):
        voc_objects.read_proposals(path, ["x"])
    (tmp_path / "b.mat").write_bytes(b"no MATLAB file, but long enough for its header" * 4)
    with pytest.raises(UserError, match=r"b.mat is not a file of proposals"):
        voc_objects.read_proposals(tmp_path / "b.mat", ["x"])


A, B, FAR = [0, 0, 9, 9], [20, 0, 29, 9], [60, 60, 69, 69]


def truth(difficult=False):
    """Image 1 with cats at A and B, image 2 with a cat at A and a dog at B."""
    return {
        "1": Objects(["cat", "cat"], np.array([A, B], float), np.array([difficult, False])),
        "2": Objects(["cat", "dog"], np.array([A, B], float), np.zeros(2, bool)),
        "3": Objects([], np.zeros((0, 4)), np.zeros(0, bool)),
    }


def detections(*rows):
    return [Detection(image, score, np.array(box, float)) for image, score, box in rows]


def test_ap_by_hand():
    """Ranks: right, wrong (a dog), right, twice the same, in an image without objects, too small
    an overlap (0.4).  Two of three cats: precisions 1 and 2/3.
    """
    found = detections(
        ("1", 0.9, A),
        ("2", 0.8, B),
        ("1", 0.7, B),
        ("1", 0.6, A),
        ("3", 0.5, A),
        ("2", 0.4, [0, 0, 9, 3]),
    )
    ap = voc_objects.average_precision(found, truth(), "cat")
    # recalls 0 to 0.3 with precision 1, 0.4 to 0.6 with 2/3, none above
    assert ap["voc_11_point"] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert ap["area"] == pytest.approx((1 + 2 / 3) / 3)
    assert ap["objects"] == 3


def test_difficult_objects_do_not_count():
    """The detection of the difficult cat is neither right nor wrong, even a second time."""
    found = detections(("1", 0.9, A), ("1", 0.8, A), ("1", 0.7, B), ("2", 0.6, A))
    ap = voc_objects.average_precision(found, truth(difficult=True), "cat")
    assert ap == {"voc_11_point": 1.0, "area": 1.0, "objects": 2}


def test_the_order_of_the_rows_does_not_matter_but_the_scores_do():
    found = detections(("2", 0.6, A), ("1", 0.9, FAR), ("1", 0.7, B))
    forward = voc_objects.average_precision(found, truth(), "cat")
    assert voc_objects.average_precision(found[::-1], truth(), "cat") == forward
    # precisions 1/2 and 2/3 at recalls 1/3 and 2/3; the envelope is 2/3 for both
    assert forward["area"] == pytest.approx(2 / 3 * 2 / 3)


def test_no_detection_and_no_object():
    assert voc_objects.average_precision([], truth(), "dog")["area"] == 0
    assert voc_objects.average_precision([], truth(), "horse") is None


def test_overlap_of_exactly_one_half_counts():
    found = detections(("2", 1.0, [0, 0, 9, 4]))
    assert voc_objects.average_precision(found, truth(), "cat")["area"] == pytest.approx(1 / 3)


def test_the_devkits_rows_count_from_1():
    found = detections(("000001", 0.5, A))
    assert voc_objects.result_rows(found) == "000001 0.500000 1.0 1.0 10.0 10.0\n"
