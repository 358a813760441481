"""CNN/CaffeNet/layers.py: the original's Python data layer, in nets whose prototxt names it."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2

FOLDER = Path(__file__).resolve().parents[1] / "CNN" / "CaffeNet"
MEAN = (104.00699, 116.66877, 122.67892)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Five images of 256x256 whose green is the row, red the column and blue the number of the
    image; their labels.
    """
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "layers", raising=False)
    work = tmp_path / "CNN" / "CaffeNet"
    (tmp_path / "LDA").mkdir()
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    rows, columns = np.mgrid[:256, :256]
    labels = {}
    for i in range(5):
        pixels = np.stack([np.full((256, 256), 40 * i), rows, columns], axis=2).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), pixels)
        labels[f"{i}.png"] = [i / 10, 0.5]
    (tmp_path / "LDA" / "training_labels2.json").write_text(json.dumps(labels))
    return tmp_path


def net(tmp_path, tops="data label", **more):
    params = {"img_dir": str(tmp_path), "mean": MEAN, "batch_size": 2, "num_topics": 2} | more
    text = str(params) if "raw" not in more else more["raw"]
    path = tmp_path / "net.prototxt"
    names = " ".join(f'top: "{name}"' for name in tops.split())
    path.write_text(
        f'layer {{ name: "d" type: "Python" {names} python_param {{ module: "layers"'
        f' layer: "MultiLabelDataLayerWikiCLEF" param_str: "{text}" }} }}'
    )
    return caffe.Net(str(path), caffe.TRAIN)


def batches(net, count):
    """[(number of each image, label rows, data)]"""
    found = []
    for _ in range(count):
        net.forward()
        data = net.blobs["data"].data.copy()
        numbers = np.rint((data[:, 0, 0, 0] + MEAN[0]) / 40).astype(int).tolist()
        found.append((numbers, net.blobs["label"].data.copy(), data))
    return found


def test_in_the_files_order_the_remainder_is_dropped(corpus):
    found = batches(net(corpus, shuffle=False), 3)
    assert [numbers for numbers, _, _ in found] == [[0, 1], [2, 3], [0, 1]]
    np.testing.assert_allclose(found[1][1], [[0.2, 0.5], [0.3, 0.5]])
    assert found[0][2].shape == (2, 3, 227, 227)


def test_crops_and_mirrors(corpus):
    seen = set()
    for _, _, data in batches(net(corpus), 8):
        for pixels in data:
            green, red = pixels[1] + MEAN[1], pixels[2] + MEAN[2]
            top, left, right = round(green[0, 0]), round(red[0, 0]), round(red[0, -1])
            np.testing.assert_allclose(
                green, np.repeat(np.arange(top, top + 227)[:, None], 227, 1), atol=1e-4
            )
            assert abs(left - right) == 226
            assert 0 <= min(left, right) <= 29
            assert 0 <= top <= 29
            seen.add((top, min(left, right), left > right))
    assert len(seen) > 8
    assert {mirrored for _, _, mirrored in seen} == {True, False}


def test_an_epoch_shows_an_image_once_and_labels_go_with_images(corpus):
    found = batches(net(corpus), 12)
    for epoch in range(6):
        numbers = found[2 * epoch][0] + found[2 * epoch + 1][0]
        assert len(set(numbers)) == 4
    for numbers, labels, _ in found:
        np.testing.assert_allclose(labels[:, 0], np.array(numbers) / 10, rtol=1e-6)
    assert len({tuple(numbers) for numbers, _, _ in found}) > 3


def test_same_seed_same_batches(corpus):
    one, two, other = (batches(net(corpus, seed=seed), 3) for seed in (4, 4, 5))
    assert all((a[2] == b[2]).all() for a, b in zip(one, two, strict=True))
    assert not all((a[2] == b[2]).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"raw": "__import__('os').getcwd()"}, "not a Python dict literal"),
        (
            {"raw": "{'mean': (1, 2, 3)}"},
            "must have .'batch_size', 'img_dir', 'mean', 'num_topics'",
        ),
        ({"crop": 3}, "may have .'labels', 'seed', 'shuffle'"),
        ({"num_topics": 3}, "training_labels3.json.*generate_train_labels.py"),
        ({"batch_size": 6}, "a batch needs 6 images"),
        ({"tops": "data"}, "two tops"),
    ],
)
def test_wrong_parameters_are_refused(corpus, more, message):
    with pytest.raises(caffe.CaffeError, match=message) as caught:
        net(corpus, **more)
    assert "\n" not in str(caught.value)


def test_a_bad_image_is_named(corpus):
    (corpus / "1.png").write_bytes(b"no image")
    with pytest.raises(caffe.CaffeError, match=r"1.png is not an image"):
        net(corpus, shuffle=False).forward()


def test_the_projects_prototxt_feeds_a_batch(corpus, monkeypatch):
    """The stage "python" of train_val.prototxt, without CaffeNet's layers and with a batch as small
    as the corpus.
    """
    net = prototxt.read_net(FOLDER / "train_val.prototxt")
    kept = [layer for layer in net.layer if layer.name in ("data", "label")]
    assert [layer.type for layer in kept] == ["Data", "Data", "Python"]
    kept[2].python_param.param_str = (
        kept[2]
        .python_param.param_str.replace("'num_topics': 40", "'num_topics': 2")
        .replace("'batch_size': 64", "'batch_size': 5")
        .replace("../../data/ImageCLEF_Wikipedia/", "../..")
    )
    path = corpus / "net.prototxt"
    path.write_text(prototxt.to_text(caffe_pb2.NetParameter(layer=kept)))
    found = caffe.Net(str(path), caffe.TRAIN, stages=["python"])
    found.forward()
    assert sorted(np.rint((found.blobs["data"].data[:, 0, 0, 0] + MEAN[0]) / 40).astype(int)) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_the_originals_own_quoting_is_understood(corpus):
    """Single quotes with a backslash before them, inside double quotes."""
    params = "{'num_topics': 2, 'batch_size': 2, 'img_dir': '../../', 'mean': (104, 117, 123)}"
    path = corpus / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "Python" top: "data" top: "label" python_param {'
        ' module: "layers" layer: "MultiLabelDataLayerWikiCLEF" param_str: "'
        + params.replace("'", r"\'")
        + '" }'
        " include { phase:TRAIN } }"
    )
    found = caffe.Net(str(path), caffe.TRAIN)
    found.forward()
    assert found.blobs["label"].data.shape == (2, 2)
