"""Fast R-CNN from a VOC set to its AP: RoIs, the data layer, the scripts, on bright squares."""

import ast
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe import prototxt
from texttopicnet import artefacts, boxes, voc_objects
from texttopicnet.errors import UserError
from texttopicnet.voc_objects import Objects

ROOT = artefacts.ROOT
LAYER = ROOT / "CNN" / "fast_rcnn_voc2007" / "roi_data_layer.py"
CLASSES = ("blue", "green")
OBJECT = (
    "<object><name>{0}</name><difficult>0</difficult><bndbox><xmin>{1}</xmin><ymin>{2}</ymin>"
    "<xmax>{3}</xmax><ymax>{4}</ymax></bndbox></object>"
)


@pytest.fixture(scope="module")
def trainer(load_script):
    return load_script("CNN/train_fast_rcnn.py")


@pytest.fixture(scope="module")
def detector(load_script):
    return load_script("experiments/voc_2007_detection.py")


@pytest.fixture(scope="module")
def layer_module():
    spec = importlib.util.spec_from_file_location("roi_data_layer", LAYER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A VOC set of 12 dark images, each with a blue or a green square."""
    folder = tmp_path_factory.mktemp("squares")
    year = folder / "VOCdevkit" / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    rng, labels = np.random.default_rng(0), {}
    for i in range(12):
        image = np.full((60, 80, 3), 20, np.uint8)
        x, y = rng.integers(0, [50, 30])
        image[y : y + 30, x : x + 30, i % 2] = 250
        cv2.imwrite(str(year / "JPEGImages" / f"{i:06}.jpg"), image)
        labels[f"{i:06}"] = i % 2
        text = OBJECT.format(CLASSES[i % 2], x + 1, y + 1, x + 30, y + 30)
        (year / "Annotations" / f"{i:06}.xml").write_text(f"<annotation>{text}</annotation>")
    ids = list(labels)
    splits = {"train": ids[:4], "val": ids[4:8], "trainval": ids[:8], "test": ids[8:]}
    for split, members in splits.items():
        main = year / "ImageSets" / "Main"
        (main / f"{split}.txt").write_text("".join(f"{i}\n" for i in members))
        for number, name in enumerate(CLASSES):
            rows = [f"{i} {1 if labels[i] == number else -1:2d}\n" for i in members]
            (main / f"{name}_{split}.txt").write_text("".join(rows))
    return folder


# ------------------------------------------------------------------------------------ the RoIs
OBJECTS = Objects(
    ["dog", "cat", "plane"],
    np.array([[0, 0, 9, 9], [20, 20, 29, 29], [40, 40, 49, 49]], float),
    np.array([False, True, False]),
)


def test_rois_by_hand(trainer):
    """The dog itself, half of it, and a box with too little of it; the cat is difficult, and there
    is no class plane.
    """
    proposals = np.array([[0, 0, 9, 4], [8, 8, 17, 17], [20, 20, 29, 29], [40, 40, 49, 49]], float)
    found = trainer.rois_of(OBJECTS, proposals, {"cat": 1, "dog": 2}, 0.1)
    assert found["boxes"].tolist() == [[0, 0, 9, 9], [0, 0, 9, 4]]
    assert found["overlap"].tolist() == [1, 0.5]
    assert found["label"].tolist() == [2, 2]
    # the centre is a quarter of the object, half of the box, further down; its height doubles
    np.testing.assert_allclose(found["targets"], [[0] * 4, [0, 5, 0, np.log(2) / 0.2]])


def test_background_from_overlap_0(trainer):
    proposals = np.array([[50, 50, 59, 59]], float)
    number = {"dog": 1}
    assert len(trainer.rois_of(OBJECTS, proposals, number, 0.1)["boxes"]) == 1
    assert len(trainer.rois_of(OBJECTS, proposals, number, 0.0)["boxes"]) == 2
    empty = Objects([], np.zeros((0, 4)), np.zeros(0, bool))
    assert len(trainer.rois_of(empty, proposals, number, 0.1)["boxes"]) == 0
    found = trainer.rois_of(empty, proposals, number, 0.0)
    assert (found["overlap"].tolist(), found["label"].tolist()) == ([0], [0])


# ------------------------------------------------------------------------------------ the layer
SETTINGS = {
    "rois": "rois.npz",
    "images": 2,
    "rois_per_batch": 16,
    "background": 0.1,
    "scale": 30,
    "longest": 50,
}
NET = """
layer {{ name: "data" type: "Python" top: "data" top: "rois" top: "labels" top: "bbox_targets"
  top: "bbox_inside_weights" top: "bbox_outside_weights"
  python_param {{ module: "roi_data_layer" layer: "RoIDataLayer" param_str: "{}" }} }}
"""


@pytest.fixture
def data_net(squares, trainer, tmp_path, monkeypatch):
    """data_net(changes): the data layer over the squares, in its own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "roi_data_layer", raising=False)
    (tmp_path / LAYER.name).write_text(LAYER.read_text())

    class Args:
        voc, proposals, seed = squares, None, 3

    trainer.write_rois(Args, tmp_path / "rois.npz", 0.1)

    def build(**changes):
        (tmp_path / "net.prototxt").write_text(NET.format(SETTINGS | changes))
        return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)

    return build


def test_a_batch(data_net):
    """Images of 60 x 80 become 30 x 40; a quarter of the RoIs at most are on the square."""
    net = data_net()
    foreground = 0
    for _ in range(4):
        net.forward()
        blobs = {name: blob.data.copy() for name, blob in net.blobs.items()}
        assert blobs["data"].shape == (2, 3, 30, 40)
        rois, labels = blobs["rois"], blobs["labels"]
        assert set(rois[:, 0]) == {0, 1}
        assert len(rois) <= 16
        for number in (0, 1):
            assert (labels[rois[:, 0] == number] > 0).sum() <= 2
        for roi, label in zip(rois, labels, strict=True):
            if label:  # the class is the brighter channel within the box
                x1, y1, x2, y2 = roi[1:].round().astype(int)
                inside = blobs["data"][int(roi[0]), :, y1 : y2 + 1, x1 : x2 + 1].mean((1, 2))
                assert inside[:2].argmax() == label - 1
                foreground += 1
        weights = blobs["bbox_inside_weights"].reshape(len(rois), 3, 4)
        assert (weights.sum((1, 2)) == 4 * (labels > 0)).all()
        assert (weights[np.arange(len(rois)), labels.astype(int)].sum(1) == 4 * (labels > 0)).all()
        assert not blobs["bbox_targets"][weights.reshape(len(rois), -1) == 0].any()
    assert foreground > 8


def test_targets_lead_to_the_square(data_net, squares):
    """Each foreground box, moved by its targets, is a square of 30 pixels, mirrored or not."""
    net, sides = data_net(), []
    for _ in range(6):
        net.forward()
        labels = net.blobs["labels"].data.astype(int)
        rows = np.flatnonzero(labels)
        targets = net.blobs["bbox_targets"].data.reshape(len(labels), 3, 4)[rows, labels[rows]]
        start = net.blobs["rois"].data[rows, 1:] * 2  # the scale is a half
        found = boxes.decode(start, targets)[:, 0]
        sides += boxes.sides(found)[0].tolist()
    np.testing.assert_allclose(sides, 30, atol=1.5)


def test_the_same_seed_gives_the_same_batches(data_net):
    first, second = data_net(), data_net()
    for _ in range(3):
        first.forward()
        second.forward()
        for name in first.blobs:
            np.testing.assert_array_equal(first.blobs[name].data, second.blobs[name].data)


def test_wrong_settings_and_files_are_one_sentence(data_net, tmp_path):
    with pytest.raises(caffe.CaffeError, match="param_str must have"):
        data_net(seed=1)
    (tmp_path / "rois.npz").write_text("no zip")
    with pytest.raises(caffe.CaffeError, match=r"rois.npz cannot be read as a file of RoIs"):
        data_net()


def test_scaling(layer_module):
    image = np.zeros((100, 200, 3), np.uint8)
    small, factor = layer_module.scaled(image, 50, 400)
    assert (small.shape, factor) == ((3, 50, 100), 0.5)
    small, factor = layer_module.scaled(image, 300, 400)  # the longer side decides
    assert (small.shape, factor) == ((3, 200, 400), 2)
    np.testing.assert_allclose(small[:, 0, 0], [-104.00699, -116.66877, -122.67892])


# ------------------------------------------------------------------------------------ the nets
def test_the_prototxts_are_what_their_script_writes(load_script):
    script = load_script("CNN/write_fast_rcnn_prototxts.py")
    for described in script.DETECTORS:
        for file, text in script.texts(described).items():
            assert (ROOT / "CNN" / described.folder / file).read_text() == text


def test_the_detector_of_voc2007():
    """The layers and sizes of Fast R-CNN's CaffeNet."""
    net = prototxt.read_net(ROOT / "CNN" / "fast_rcnn_voc2007" / "train_val.prototxt")
    layers = {layer.name: layer for layer in net.layer}
    assert [p.lr_mult for p in layers["conv1"].param] == [0, 0]
    assert [p.lr_mult for p in layers["conv2"].param] == [1, 2]
    pads = {"conv1": 5, "conv2": 2, "conv3": 1, "conv4": 1, "conv5": 1}
    assert {n: list(layers[n].convolution_param.pad) for n in pads} == {
        n: [pad] for n, pad in pads.items()
    }
    pooling = layers["roi_pool5"].roi_pooling_param
    assert (pooling.pooled_h, pooling.pooled_w, pooling.spatial_scale) == (6, 6, 0.0625)
    assert layers["cls_score"].inner_product_param.num_output == 21
    assert layers["bbox_pred"].inner_product_param.num_output == 84
    settings = ast.literal_eval(layers["data"].python_param.param_str)
    assert settings | {"rois": 0} == {
        "rois": 0,
        "images": 2,
        "rois_per_batch": 128,
        "background": 0.1,
        "scale": 600,
        "longest": 1000,
    }


# ------------------------------------------------------------------------------------ end to end
def write_proposals(squares, path):
    """Per image of the set: the square moved by up to 4 pixels, six times, and 12 boxes of dark
    pixels and of parts of the square.
    """
    rng, year = np.random.default_rng(1), squares / "VOCdevkit" / "VOC2007"
    ids = [f"{i:06}" for i in range(12)]
    found, image = [], []
    for i, name in enumerate(ids):
        square = voc_objects.read_objects(year, name).boxes[0]
        near = square + rng.integers(-4, 5, (6, 4))
        corner = rng.uniform(0, [60, 40], (12, 2))
        far = np.hstack([corner, corner + rng.uniform(8, 19, (12, 2))])
        found.append(boxes.clip(np.concatenate([near, far]), 60, 80))
        image += [i] * 18
    np.savez(path, ids=ids, boxes=np.concatenate(found), image=image)


def shrink(folder, iterations):
    """Write a small detector for the squares into `folder`, as a net of CNN/."""
    script_net = ROOT / "CNN" / "fast_rcnn_sample"
    for name in ("train_val.prototxt", "test.prototxt", "solver.prototxt"):
        text = (script_net / name).read_text()
        text = text.replace("num_output: 6\n", "num_output: 3\n")
        text = text.replace("num_output: 24\n", "num_output: 12\n")
        text = (
            text.replace("224", "60")
            .replace("320", "80")
            .replace("\\'images\\': 4", "\\'images\\': 2")
        )
        text = text.replace("max_iter: 200", f"max_iter: {iterations}").replace("160", "100000")
        (folder / name).write_text(text)


def test_squares_are_found(trainer, detector, squares, tmp_path, monkeypatch):
    """From the weights of the fillers: trained, detected and scored by the scripts."""
    project = tmp_path / "project"
    (project / "CNN" / "fast_rcnn_sample").mkdir(parents=True)
    (project / "CNN" / "fast_rcnn_voc2007").mkdir(parents=True)
    (project / "CNN" / "fast_rcnn_voc2007" / LAYER.name).write_text(LAYER.read_text())
    shrink(project / "CNN" / "fast_rcnn_sample", 150)
    monkeypatch.setattr(artefacts, "ROOT", project)
    monkeypatch.delitem(sys.modules, "roi_data_layer", raising=False)
    start = tmp_path / "start.caffemodel"
    caffe.set_random_seed(1)
    net = project / "CNN" / "fast_rcnn_sample" / "test.prototxt"  # it has the fillers
    caffe.Net(str(net), caffe.TEST).save(str(start))
    work, proposals = tmp_path / "w", tmp_path / "proposals.npz"
    write_proposals(squares, proposals)
    common = ["--voc", str(squares), "--work", str(work), "--net", "fast_rcnn_sample"]
    common += ["--proposals", str(proposals)]
    monkeypatch.setattr(sys, "argv", ["x", *common, "--weights", str(start)])
    assert trainer.main() == 0
    with pytest.raises(UserError, match=r"trained.caffemodel exists already"):
        trainer.main()
    monkeypatch.setattr(sys, "argv", ["x", *common])
    assert detector.main() == 0
    record = json.loads((work / artefacts.DETECTION_RECORD).read_text())
    values = record["values"]
    assert set(values["classes"]) == set(CLASSES)
    assert record["split"] == {"test": 4}
    assert not record["paper_set"]
    assert values["mean"]["voc_11_point"] > 0.5
    folder = work / artefacts.devkit_results(artefacts.DETECTION_RECORD)
    rows = (folder / "comp3_det_test_blue.txt").read_text().splitlines()
    assert all(len(row.split()) == 6 for row in rows)
    found = [
        voc_objects.Detection(i, float(s), np.array(c, float) - 1)
        for i, s, *c in map(str.split, rows)
    ]
    year = squares / "VOCdevkit" / "VOC2007"
    truth = {i: voc_objects.read_objects(year, i) for i in voc_objects.images(year, "test")}
    again = voc_objects.average_precision(found, truth, "blue")
    assert again["area"] == pytest.approx(values["classes"]["blue"]["area"], abs=1e-6)

    # an image without a proposal has no detection
    net, scaled, size = detector.load(work / "CNN" / "fast_rcnn_sample", False)
    nothing = detector.detect(net, np.zeros((60, 80, 3), np.uint8), np.zeros((0, 4)), scaled, size)
    assert detector.best(*nothing, list(CLASSES)) == {"blue": [], "green": []}

    # a run that was stopped: the last line is cut off, and its image is done again
    kept = work / "CNN" / "fast_rcnn_sample" / detector.KEPT
    whole = kept.read_text()
    kept.write_text(whole[: len(whole) * 3 // 4])
    (work / artefacts.DETECTION_RECORD).unlink()
    assert detector.main() == 0
    assert json.loads((work / artefacts.DETECTION_RECORD).read_text())["values"] == values
    assert sorted(kept.read_text().splitlines()) == sorted(whole.splitlines())


def test_detections_are_suppressed_and_sorted(detector):
    found = np.zeros((3, 2, 4))
    found[:, 1] = [[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29]]
    scores = np.array([[0.5, 0.5], [0.1, 0.9], [0.995, 0.005]])
    kept = detector.best(scores, found, ["cat"])
    assert kept == {"cat": [[0.9, 0, 0, 9, 8]]}  # overlap 0.9; a score of 0.005 is too low


def test_no_weights_is_one_sentence(trainer, squares, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--voc", str(squares), "--work", str(tmp_path)])
    with pytest.raises(UserError, match=r"CaffeNet/trained.caffemodel does not exist"):
        trainer.main()
    assert not (Path(tmp_path) / "CNN").exists()


# ------------------------------------------------------------------------------------ the GPU
def test_the_gpu_is_asked_for_before_anything_is_written(
    trainer, detector, squares, tmp_path, monkeypatch
):
    """Without one, --gpu is a sentence; the detector passes it on to the training."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    common = ["x", "--voc", str(squares), "--work", str(tmp_path), "--gpu"]
    monkeypatch.setattr(sys, "argv", common)
    with pytest.raises(UserError, match=r"^--gpu: PyTorch finds no CUDA device here"):
        trainer.main()
    assert not list(tmp_path.iterdir())

    commands = []

    def run(command):
        commands.append(command)
        return detector.child_process.Ended(1, 0)

    monkeypatch.setattr(detector.child_process, "run", run)
    assert detector.main() == 1
    assert "--gpu" in commands[0]
    monkeypatch.setattr(sys, "argv", common[:-1])
    assert detector.main() == 1
    assert "--gpu" not in commands[1]
    with pytest.raises(UserError, match=r"^--gpu: PyTorch finds no CUDA device here"):
        detector.load(tmp_path, True)


def test_the_training_on_a_gpu_is_caffes(trainer, squares, tmp_path, monkeypatch):
    commands = []

    def run(command, *_):
        commands.append(command)
        return trainer.child_process.Ended(1, 0)

    monkeypatch.setattr(trainer.mode, "require_gpu", lambda asked: None)
    monkeypatch.setattr(trainer.child_process, "run", run)
    weights = tmp_path / "start.caffemodel"
    weights.touch()
    common = ["x", "--voc", str(squares), "--work", str(tmp_path), "--weights", str(weights)]
    monkeypatch.setattr(sys, "argv", [*common, "--gpu"])
    with pytest.raises(UserError, match="stopped before its last iteration"):
        trainer.main()
    at = commands[0].index("--gpu")
    assert commands[0][at : at + 2] == ["--gpu", "0"]
