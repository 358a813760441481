"""Features of image files from a small net, checked against a forward pass written out by hand."""

import os
import shutil
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
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 4 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 2 kernel_size: 5 stride: 4
                       weight_filler {{ type: "gaussian" std: 0.01 }} }} }}
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


def test_max5_is_the_maximum_of_each_channel_of_conv5():
    """Two images, two channels, 1 x 3 positions."""
    data = np.float32([[[[1, 5, 2]], [[-4, -3, -9]]], [[[0, 0, 7]], [[8, 1, 1]]]])
    assert features.rows_of(data, "max5").tolist() == [[5, -3], [7, 8]]
    assert features.rows_of(data, "conv5").tolist() == [[1, 5, 2, -4, -3, -9], [0, 0, 7, 8, 1, 1]]


def test_without_conv5_there_is_no_max5(script, monkeypatch, folder):
    with pytest.raises(UserError, match="has no blob conv5: it has data, conv, fc"):
        run(script, monkeypatch, folder, "--images", str(folder / "images"), blobs="max5")


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
def test_wrong_arguments_are_one_sentence(script, monkeypatch, folder, arguments, sentence):
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
    with pytest.raises(UserError, match="holds the image id a twice"):
        features.load(tmp_path / "g.npz")
    with pytest.raises(UserError, match="image b are not finite"):
        features.save(
            tmp_path / "h.npz", features.Features(["a", "b"], np.float32([[1], [np.nan]]), "x", "")
        )


def test_a_folder_with_cycles_and_other_files(script, tmp_path):
    """Links to folders are followed, cycles are not; reading a FIFO with an image's name is one
    sentence.
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


@pytest.fixture
def chain(folder):
    """The work, data and VOC folders of a net with the blobs that the experiments need."""
    net = folder / "work" / "CNN" / "Small"
    net.mkdir(parents=True)
    text = (
        DEPLOY.replace('"conv"', '"conv5"')
        .replace(
            'layer { name: "fc"',
            'layer { name: "pool5" type: "Pooling" bottom: "conv5" top: "pool5"\n'
            "  pooling_param { pool: MAX kernel_size: 1 } }\n"
            'layer { name: "fc"',
        )
        .replace(
            'name: "fc" type: "InnerProduct" bottom: "conv5"',
            'name: "fc" type: "InnerProduct" bottom: "pool5"',
        )
        .replace('"fc"', '"fc6"')
        .replace(
            'layer { name: "prob" type: "Sigmoid" bottom: "fc6"',
            'layer { name: "fc7" type: "Power" bottom: "fc6" top: "fc7" }\n'
            'layer { name: "prob" type: "Sigmoid" bottom: "fc7"',
        )
    )
    (net / "deploy.prototxt").write_text(text)
    for seed, name in enumerate(artefacts.NETS):
        caffe.set_random_seed(seed)
        made = caffe.Net(str(net / "deploy.prototxt"), caffe.TEST)
        made.save(str(net / f"{name}.caffemodel"))
    voc = folder / "data" / "VOC2007" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    for images_folder in (voc, folder / "data" / "Wikipedia" / "images" / "art"):
        shutil.copytree(folder / "images" / "a", images_folder)
    return folder


def run_all(script, monkeypatch, chain, *arguments):
    options = ["--data", chain / "data", "--work", chain / "work", "--net", "Small", *arguments]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
    assert script.main() == 0
    return {path.name: path for path in (chain / "work/experiments/features").glob("*")}


def test_without_files_all_features_of_the_experiments_are_computed(
    script, monkeypatch, chain, capsys
):
    made = run_all(script, monkeypatch, chain)
    assert sorted(made) == sorted(
        [f"voc2007_{layer}_{net}.npz" for layer in artefacts.LAYERS for net in artefacts.NETS]
        + ["wikipedia_prob.npz"]
    )
    net = chain / "work" / "CNN" / "Small"
    for layer in artefacts.LAYERS:
        trained, untrained = (
            features.load(made[f"voc2007_{layer}_{n}.npz"]) for n in artefacts.NETS
        )
        assert trained.ids == untrained.ids == ["1", "3", "5"]
        assert trained.blob == layer
        assert trained.weights_sha256 == artefacts.sha256(net / "trained.caffemodel")
        assert untrained.weights_sha256 == artefacts.sha256(net / "untrained.caffemodel")
        assert not np.array_equal(trained.array, untrained.array)
    pool5, max5 = (features.load(made[f"voc2007_{b}_trained.npz"]) for b in ("pool5", "max5"))
    np.testing.assert_array_equal(max5.array, pool5.array.reshape(3, 2, 4).max(axis=2))
    assert features.load(made["wikipedia_prob.npz"]).ids == ["art/1", "art/3", "art/5"]
    capsys.readouterr()

    before = {name: path.stat().st_mtime_ns for name, path in made.items()}
    made["voc2007_fc6_untrained.npz"].unlink()
    run_all(script, monkeypatch, chain)
    said = capsys.readouterr().out
    assert said.count("exist: --force computes them again") == 2
    assert said.count("-> ") == 1
    changed = {name for name, path in made.items() if path.stat().st_mtime_ns != before[name]}
    assert changed == {"voc2007_fc6_untrained.npz"}
    run_all(script, monkeypatch, chain, "--force")
    assert capsys.readouterr().out.count("-> ") == 9


def test_a_data_set_that_does_not_exist_is_left_out(script, monkeypatch, chain, capsys):
    shutil.rmtree(chain / "data" / "VOC2007")
    assert set(run_all(script, monkeypatch, chain)) == {"wikipedia_prob.npz"}
    said = capsys.readouterr().out
    missing = f"{chain}/data/VOCdevkit/VOC2007/JPEGImages"
    assert said.count(f"left out: {missing} does not exist: data/README.md has the layout") == 2


@pytest.mark.parametrize("arguments", [["--weights", "w"], ["--out", "a.npz"], ["--blobs", "fc7"]])
def test_a_part_of_the_files_is_not_enough(script, monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["x", *arguments])
    with pytest.raises(UserError, match="go together: give them all, or none of them for all"):
        script.main()
