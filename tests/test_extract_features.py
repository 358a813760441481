"""Features from image files through a small net of the runtime's, checked against a forward written
out by hand.
"""

import os
import sys

import cv2
import numpy as np
import pytest

import caffe
from texttopicnet import artefacts, features, images
from texttopicnet.errors import UserError

SIDE = 9
DEPLOY = f"""
name: "Small"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 4 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 2 kernel_size: 5 stride: 4 weight_filler {{ type: "gaussian" std: 0.01 }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
layer {{ name: "prob" type: "Sigmoid" bottom: "fc" top: "prob" }}
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/extract_features.py")


@pytest.fixture
def folder(tmp_path):
    """deploy.prototxt, weights.caffemodel and seven images of several sizes and kinds below
    images/.
    """
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    caffe.set_random_seed(0)
    caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST).save(
        str(tmp_path / "weights.caffemodel")
    )
    rng = np.random.default_rng(0)
    for i in range(7):
        path = (
            tmp_path
            / "images"
            / ("a" if i % 2 else "b.c")
            / f"{i}.{'png' if i == 3 else 'JPG' if i == 4 else 'jpg'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (40 + i, 60) if i == 5 else (40 + i, 60, 3)
        cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path


def run(script, monkeypatch, folder, *arguments, blobs="prob,conv", out="f_{blob}.npz"):
    files = [
        "--net",
        str(folder / "deploy.prototxt"),
        "--weights",
        str(folder / "weights.caffemodel"),
    ]
    monkeypatch.setattr(
        sys, "argv", ["x", *files, "--blobs", blobs, "--out", str(folder / out), *arguments]
    )
    script.main()
    return [features.load(folder / out.replace("{blob}", blob)) for blob in blobs.split(",")]


def test_features_are_the_nets(script, monkeypatch, folder, capsys):
    prob, conv = run(
        script, monkeypatch, folder, "--images", str(folder / "images"), "--batch", "3"
    )
    assert prob.ids == conv.ids == ["a/1", "a/3", "a/5", "b.c/0", "b.c/2", "b.c/4", "b.c/6"]
    assert (prob.array.shape, conv.array.shape) == ((7, 3), (7, 2 * 2 * 2))
    assert (prob.blob, conv.blob) == ("prob", "conv")
    assert prob.weights_sha256 == artefacts.sha256(folder / "weights.caffemodel")

    net = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "weights.caffemodel"), caffe.TEST)
    (w, b), (v, c) = (
        [p.data.astype(np.float64) for p in net.params[name]] for name in ("conv", "fc")
    )
    for i, name in enumerate(
        ["a/1.jpg", "a/3.png", "a/5.jpg", "b.c/0.jpg", "b.c/2.jpg", "b.c/4.JPG", "b.c/6.jpg"]
    ):
        x = images.network_input(images.read_image(folder / "images" / name), SIDE).astype(
            np.float64
        )
        windows = [x[:, y : y + 5, z : z + 5] for y in (0, 4) for z in (0, 4)]
        flat = np.array(
            [[max(0, (w[k] * window).sum() + b[k]) for window in windows] for k in range(2)]
        ).reshape(-1)
        np.testing.assert_allclose(conv.array[i], flat, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            prob.array[i], 1 / (1 + np.exp(-(v @ flat + c))), rtol=1e-4, atol=1e-5
        )
    printed = capsys.readouterr().out.splitlines()
    assert "7 images, batch 3" in printed[0]
    assert printed[-1].endswith("f_conv.npz")


@pytest.mark.parametrize("batch", ["1", "7", "50"])
def test_batches_do_not_change_features(script, monkeypatch, folder, batch):
    (first,) = run(
        script, monkeypatch, folder, "--images", str(folder / "images"), blobs="fc", out="a.npz"
    )
    (second,) = run(
        script,
        monkeypatch,
        folder,
        "--images",
        str(folder / "images"),
        "--batch",
        batch,
        blobs="fc",
        out="b.npz",
    )
    assert first.ids == second.ids
    np.testing.assert_allclose(first.array, second.array, rtol=1e-5, atol=1e-6)


def test_list_keeps_its_order_and_ids(script, monkeypatch, folder):
    rows = [str(folder / "images" / "b.c" / "2.jpg"), str(folder / "images" / "a" / "3.png")]
    (folder / "some.list").write_text("\n".join(rows) + "\n")
    (found,) = run(
        script, monkeypatch, folder, "--list", str(folder / "some.list"), blobs="fc", out="a.npz"
    )
    assert found.ids == [row[: -len(".jpg")] for row in rows]
    (whole,) = run(
        script, monkeypatch, folder, "--images", str(folder / "images"), blobs="fc", out="b.npz"
    )
    np.testing.assert_allclose(
        found.array,
        whole.array[[whole.ids.index("b.c/2"), whole.ids.index("a/3")]],
        rtol=1e-5,
        atol=1e-6,
    )


def test_bad_image_is_named_and_nothing_written(script, monkeypatch, folder):
    (folder / "images" / "a" / "1.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(UserError, match=r"a/1\.jpg"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"))
    assert not list(folder.glob("*.npz"))


def test_one_id_for_two_images_is_refused(script, monkeypatch, folder):
    cv2.imwrite(str(folder / "images" / "a" / "1.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UserError, match="share the id a/1"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"))


def test_weights_of_another_net_are_refused(script, monkeypatch, folder):
    (folder / "deploy.prototxt").write_text(DEPLOY.replace("num_output: 3", "num_output: 5"))
    with pytest.raises(UserError, match=r"deploy.prototxt with .*weights.caffemodel: .*fc"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"))


def test_a_layer_without_weights_is_refused(script, monkeypatch, folder):
    (folder / "deploy.prototxt").write_text(DEPLOY.replace('name: "fc"', 'name: "fc8_other"'))
    with pytest.raises(UserError, match="holds no weights for fc8_other"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"blobs": "fc9", "out": "a.npz"}, "has no blob fc9: it has data, conv, fc"),
        ({"blobs": "fc,prob", "out": "a.npz"}, "put {blob} into it"),
        ({"blobs": "fc", "out": "a.txt"}, "must end in .npz"),
    ],
)
def test_wrong_arguments_are_answered(script, monkeypatch, folder, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        run(script, monkeypatch, folder, "--images", str(folder / "images"), **arguments)


def test_existing_features_are_kept(script, monkeypatch, folder):
    run(script, monkeypatch, folder, "--images", str(folder / "images"))
    with pytest.raises(UserError, match="--force"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"))
    run(script, monkeypatch, folder, "--images", str(folder / "images"), "--force")


def test_folder_without_images(script, monkeypatch, folder):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no image"):
        run(script, monkeypatch, folder, "--images", str(folder / "empty"))


def test_broken_features_files_are_named(tmp_path):
    (tmp_path / "f.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"f.npz is not a features file"):
        features.load(tmp_path / "f.npz")
    np.savez(
        tmp_path / "g.npz",
        ids=np.array(["a", "a"]),
        features=np.zeros((2, 1), "f4"),
        blob="x",
        weights_sha256="",
    )
    with pytest.raises(UserError, match="image id a is in it twice"):
        features.load(tmp_path / "g.npz")
    with pytest.raises(UserError, match="image b are not finite"):
        features.save(
            tmp_path / "h.npz", features.Features(["a", "b"], np.float32([[1], [np.nan]]), "x", "")
        )


def test_a_folder_with_cycles_and_other_files(script, tmp_path):
    """Links to folders are followed, cycles are not; a FIFO named as an image is one sentence when
    it is read.
    """
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").write_bytes(b"a")
    (tmp_path / "set/up").symlink_to("..")
    os.mkfifo(tmp_path / "fifo.jpg")
    found = script.image_files(tmp_path)
    assert list(found) == ["fifo", "set/a"]
    with pytest.raises(UserError, match=r"fifo.jpg: cannot be read .not a regular file."):
        next(script.batches(list(found.values()), 227, 2))


def test_a_list_that_is_not_utf8(script, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"a\xff.jpg\nb.jpg\n")
    assert list(script.image_files(listing=tmp_path / "list.txt")) == ["a\udcff", "b"]
