"""Fine-tuning on VOC2007: labels with difficult objects, the LMDBs, ten crops, the record."""

import json
import sys

import cv2
import lmdb
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from texttopicnet import artefacts, images
from texttopicnet.errors import UserError

N = 24


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/voc_2007_fine_tuning.py")


@pytest.fixture(scope="module")
def parts(load_script):
    return load_script("experiments/fine_tuning.py")


@pytest.fixture
def voc(tmp_path):
    """24 images of two classes: those of `red` are red.  One of train and one of test is
    difficult.
    """
    year = tmp_path / "VOCdevkit" / "VOC2007"
    main = year / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (year / "JPEGImages").mkdir()
    draw = np.random.default_rng(0)
    red = np.where(np.arange(N) % 2, 1, -1)
    labels = {"noise": draw.permutation(np.repeat([1, -1], N // 2)), "red": red}
    labels["noise"][[0, 1, 6, 7, 12, 13]] = [1, -1] * 3  # both in every split
    splits = {"train": range(6), "val": range(6, 12), "trainval": range(12), "test": range(12, N)}
    for i in range(N):
        image = draw.integers(0, 90, (80, 90, 3), dtype=np.uint8)
        image[..., 2] += np.uint8(150 * (red[i] > 0))
        cv2.imwrite(str(year / "JPEGImages" / f"{i:06d}.jpg"), image)
    labels["red"][[3, 15]] = 0
    for split, rows in splits.items():
        (main / f"{split}.txt").write_text("".join(f"{i:06d}\n" for i in rows))
        for name, y in labels.items():
            text = "".join(f"{i:06d} {y[i]:2d}\n" for i in rows)
            (main / f"{name}_{split}.txt").write_text(text)
    return tmp_path, labels


def test_difficult_objects_become_the_label_that_is_ignored(script):
    found = script.ignoring(np.int8([[1, -1, 0], [-1, 0, 1]]))
    assert found.tolist() == [[1, 0, -1], [0, -1, 1]]


def test_the_ten_crops_are_caffes(parts, tmp_path):
    """The corners and the middle of the square, each with its mirror image; the first row of the
    eleven is the middle crop of texttopicnet.images.
    """
    image = np.random.default_rng(0).integers(0, 256, (76, 76, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    found = parts.inputs(tmp_path / "a.png", 67)
    assert (found.shape, found.dtype) == ((11, 3, 67, 67), np.float32)
    np.testing.assert_array_equal(found[0], images.network_input(image, 67))
    mean = np.array(images.MEAN_BGR, np.float32)
    corner = (image[:67, :67].astype(np.float32) - mean).transpose(2, 0, 1)
    np.testing.assert_array_equal(found[1], corner)
    last = (image[9:, 9:].astype(np.float32) - mean).transpose(2, 0, 1)
    assert any(np.array_equal(last, crop) for crop in found[1:])
    mirrored = [any(np.array_equal(a[:, :, ::-1], b) for b in found[1:]) for a in found[1:]]
    assert all(mirrored)


DEPLOY = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 10 dim: 3 dim: 67 dim: 67 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Sigmoid" bottom: "fc" top: "prob" }
"""


def test_scores_are_the_middle_crops_and_the_mean_of_ten(parts, tmp_path):
    """A net of channel means, written out by hand; 11 images, more than one batch."""
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "w.caffemodel"))
    w = net.params["fc"][0].data.astype(np.float64)
    draw, paths = np.random.default_rng(1), []
    for i in range(11):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[i]), draw.integers(0, 256, (70, 90, 3), dtype=np.uint8))
    found = parts.scores(tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel", paths)
    for i, path in enumerate(paths):
        means = parts.inputs(path, 67).astype(np.float64).mean(axis=(2, 3))
        expected = 1 / (1 + np.exp(-means @ w.T))
        np.testing.assert_allclose(found[1][i], expected[0], rtol=1e-3)
        np.testing.assert_allclose(found[10][i], expected[1:].mean(axis=0), rtol=1e-3)


def test_an_lmdb_pair_has_equal_keys_and_a_number_per_class(parts, tmp_path):
    paths = []
    for i in range(5):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[i]), np.full((9, 9, 3), 10 * i, np.uint8))
    labels = np.int8([[1, 0, -1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [-1, 1, 0]])
    outputs = [tmp_path / "out" / name for name in ("images", "labels")]
    parts.pack(outputs, paths, labels, 12, seed=3)
    records = []
    for output in outputs:
        with (
            lmdb.open(str(output), readonly=True, lock=False) as database,
            database.begin() as rows,
        ):
            records.append([(k, caffe_pb2.Datum.FromString(bytes(v))) for k, v in rows.cursor()])
    assert [key for key, _ in records[0]] == [key for key, _ in records[1]]
    order = [int(key.decode().split("_")[1][0]) for key, _ in records[0]]
    assert sorted(order) == [0, 1, 2, 3, 4] != order
    for i, (_, image), (_, label) in zip(order, *records, strict=True):
        assert list(label.float_data) == labels[i].tolist()
        decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (12, 12, 3)
        assert abs(int(decoded[5, 5, 0]) - 10 * i) <= 2


def test_from_weights_to_record(script, monkeypatch, voc, capfd):
    """The sample's nets, a few iterations; the image of a class that can be seen is found."""
    folder, labels = voc
    net = folder / "CNN" / "CaffeNetSample"
    net.mkdir(parents=True)
    caffe.set_random_seed(0)
    text = (artefacts.ROOT / "CNN/CaffeNetSample/deploy.prototxt").read_text()
    filled = text.replace("_product_param {", '_product_param { weight_filler { type: "xavier" }')
    filled = filled.replace("tion_param {", 'tion_param { weight_filler { type: "xavier" }')
    (folder / "filled.prototxt").write_text(filled)
    caffe.Net(str(folder / "filled.prototxt"), caffe.TEST).save(str(net / "trained.caffemodel"))

    def run(*arguments):
        options = ["--voc", folder, "--work", folder, "--net", "CaffeNetSample", *arguments]
        monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
        assert script.main() == 0

    run("--name", "trained", "--note", "a note")
    record = json.loads(
        (folder / "experiments/results/voc2007_fine_tuning_trained.json").read_text()
    )
    for crops in ("crops_1", "crops_10"):
        values = record["values"][crops]
        assert values["classes"]["red"]["area"] > 0.9
        assert values["classes"]["red"]["chance"] == pytest.approx(5 / 11)  # one is difficult
    assert record["split"] == {"trainval": 12, "test": 12}
    assert (record["note"], record["net"]) == ("a note", "finetune_voc2007_sample")
    main = folder / "experiments/results/voc2007_fine_tuning_trained/VOC2007/Main"
    rows = (main / "comp1_cls_test_red.txt").read_text().splitlines()
    assert [row.split()[0] for row in rows] == [f"{i:06d}" for i in range(12, N)]
    with (
        lmdb.open(
            str(folder / "CNN/finetune_voc2007_sample/train_labels_lmdb"), readonly=True, lock=False
        ) as database,
        database.begin() as transaction,
    ):
        found = {
            k.decode()[9:15]: list(caffe_pb2.Datum.FromString(bytes(v)).float_data)
            for k, v in transaction.cursor()
        }
    assert len(found) == 12
    assert found["000003"] == [float(labels["noise"][3] > 0), -1.0]
    assert found["000001"] == [0.0, 1.0]
    capfd.readouterr()
    run("--name", "trained")
    assert "voc2007_fine_tuning_trained.json exists already" in capfd.readouterr().out


def test_an_lmdb_of_another_number_of_images_is_refused(parts, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    parts.pack([tmp_path / "lmdb"], [tmp_path / "a.png"], np.array([0]), 9, 0)
    assert parts.is_packed(tmp_path / "lmdb", 1)
    assert not parts.is_packed(tmp_path / "none", 1)
    with pytest.raises(UserError, match="lmdb holds 1 images, and the set now has 2 to train on"):
        parts.is_packed(tmp_path / "lmdb", 2)
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is not an LMDB"):
        parts.is_packed(tmp_path / "lmdb", 1)


def test_what_is_missing_is_one_sentence(script, monkeypatch, voc):
    folder, _ = voc

    def run(*arguments):
        options = ["--voc", folder, "--work", folder / "w", *arguments]
        monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
        script.main()

    with pytest.raises(UserError, match="--weights needs a --name"):
        run("--weights", "w.caffemodel")
    with pytest.raises(UserError, match=r"finetune_voc2007_none does not exist: add a row"):
        run("--net", "None")
    with pytest.raises(UserError, match=r"trained.caffemodel does not exist: make it with"):
        run("--net", "CaffeNetSample")
    small_net(folder / "net", "fc8").save(str(folder / "whole"))
    sample = ["--net", "CaffeNetSample", "--name", "x", "--weights", folder / "whole"]
    with pytest.raises(
        UserError, match=r"finetune_voc2007_sample/no.prototxt does not exist: --so"
    ):
        run(*sample, "--solver", "no.prototxt")
    (folder / "damaged").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"damaged: is truncated or not a Caffe file: give other"):
        run(*sample[:-1], folder / "damaged")
    assert not (folder / "w" / "CNN" / "finetune_voc2007_sample").exists()  # nothing was packed
    (folder / "VOCdevkit/VOC2007/JPEGImages/000003.jpg").unlink()
    with pytest.raises(UserError, match=r"JPEGImages: 1 image is missing of 12 in .*000003.jpg"):
        run(*sample)


# ------------------------------------------------------------------- weights fine-tuned elsewhere
def small_net(folder, last, outputs=2):
    text = (
        'layer { name: "data" type: "Input" top: "data"'
        " input_param { shape { dim: 1 dim: 3 dim: 14 dim: 14 } } }"
        ' layer { name: "fc7" type: "InnerProduct" bottom: "data" top: "fc7"'
        ' inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }'
        f' layer {{ name: "{last}" type: "InnerProduct" bottom: "fc7" top: "{last}"'
        f' inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}'
        f' layer {{ name: "prob" type: "Sigmoid" bottom: "{last}" top: "prob" }}'
    )
    folder.mkdir()
    (folder / "deploy.prototxt").write_text(text)
    return caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)


@pytest.fixture
def elsewhere(voc, script, monkeypatch, tmp_path):
    """run(*arguments): score weights whose last layer has another name; they know red from grey."""
    theirs = small_net(tmp_path / "theirs", "fc8_pascal")
    theirs.params["fc7"][0].data[...] = 0
    theirs.params["fc7"][0].data[0].reshape(3, 14, 14)[2] = 1e-4  # the red channel
    theirs.params["fc8_pascal"][0].data[...] = [[0, 0, 0], [1, 0, 0]]  # noise, red
    weights = tmp_path / "theirs.caffemodel"
    theirs.save(str(weights))
    small_net(tmp_path / "finetune_small", "fc8_voc2007")
    monkeypatch.setattr(script, "net_folder", lambda *_: tmp_path / "finetune_small")

    def run(*arguments):
        command = ["x", "--voc", voc[0], "--work", tmp_path / "w", *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        assert script.main() == 0
        name = artefacts.voc_fine_tuning_record("authors")
        return json.loads((tmp_path / "w" / name).read_text())

    return run, weights, theirs


def test_weights_fine_tuned_elsewhere_are_scored(elsewhere, tmp_path):
    run, weights, theirs = elsewhere
    record = run("--name", "authors", "--fine-tuned", weights)
    for crops in ("crops_1", "crops_10"):
        classes = record["values"][crops]["classes"]
        assert classes["red"]["area"] == 1
        assert classes["noise"]["area"] == pytest.approx(0.5, abs=0.2)
    assert record["note"] == "theirs.caffemodel, fine-tuned elsewhere"
    folder = tmp_path / "w" / "CNN" / "finetune_small"
    assert sorted(path.name for path in folder.iterdir()) == [
        "authors.caffemodel",
        "deploy.prototxt",
    ]
    ours = caffe.Net(
        str(folder / "deploy.prototxt"), caffe.TEST, weights=str(folder / "authors.caffemodel")
    )
    np.testing.assert_array_equal(
        ours.params["fc8_voc2007"][0].data, theirs.params["fc8_pascal"][0].data
    )


def test_fine_tuned_weights_that_do_not_fit(elsewhere, tmp_path):
    run, weights, _ = elsewhere
    other = tmp_path / "other.caffemodel"
    small_net(tmp_path / "other", "fc8_pascal", outputs=4).save(str(other))
    with pytest.raises(UserError, match="has no weights that fit layer fc8_voc2007"):
        run("--name", "authors", "--fine-tuned", other)
    with pytest.raises(UserError, match="--fine-tuned needs a --name"):
        run("--fine-tuned", weights)
    with pytest.raises(UserError, match="give one"):
        run("--name", "authors", "--fine-tuned", weights, "--weights", weights)
    assert not (tmp_path / "w").exists()
