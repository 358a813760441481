"""caffe.Detector: windows with and without context, and the scores of R-CNN's net."""

import sys
import types

import cv2
import numpy as np
import pytest

import caffe

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.1 } } }
"""
# the form of the zoo's R-CNN for ILSVRC13, an old one: its scores, fc-rcnn, are of shape (N, C)
R_CNN = """
name: "R-CNN"
input: "data"
input_dim: 2 input_dim: 3 input_dim: 23 input_dim: 23
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2
  weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
  lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "fc7" type: "InnerProduct" bottom: "norm1" top: "fc7"
  inner_product_param { num_output: 8
  weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "drop7" type: "Dropout" bottom: "fc7" top: "fc7"
  dropout_param { dropout_ratio: 0.5 } }
layer { name: "fc-rcnn" type: "InnerProduct" bottom: "fc7" top: "fc-rcnn"
  inner_product_param { num_output: 7
  weight_filler { type: "gaussian" std: 0.1 } } }
"""
MEAN = np.array([10.0, 20.0, 30.0])  # B, G, R


@pytest.fixture
def detector(tmp_path):
    """detector(text, ...): a Detector of a net with random weights."""

    def build(text=NET, **keywords):
        caffe.set_random_seed(0)
        model, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
        (tmp_path / "net.prototxt").write_text(text)
        caffe.Net(model, caffe.TEST).save(weights)
        return caffe.Detector(model, weights, **keywords)

    return build


@pytest.fixture
def image_file(tmp_path):
    pixels = np.random.default_rng(6).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return str(tmp_path / "a.png")


def test_windows_without_context_are_resized_to_the_input(detector, image_file):
    net = detector(raw_scale=255, channel_swap=(2, 1, 0), mean=MEAN)
    windows = np.array([[2, 3, 10, 11], [0, 0, 20, 30], [5, 5, 6, 9]])
    found = net.detect_windows(iter([(image_file, windows)]))
    assert [list(entry) for entry in found] == [["window", "prediction", "filename"]] * 3
    assert all(
        entry["filename"] == image_file and entry["prediction"].shape == (5,) for entry in found
    )
    image = caffe.io.load_image(image_file)
    for (y0, x0, y1, x1), entry in zip(windows, found, strict=True):
        assert (entry["window"] == (y0, x0, y1, x1)).all()
        x = caffe.io.resize_image(image[y0:y1, x0:x1], (8, 8)).transpose(2, 0, 1)[
            ::-1
        ] * 255 - MEAN.reshape(3, 1, 1)
        expected = net.forward(data=np.stack([x, x]))["fc"][0]
        np.testing.assert_allclose(entry["prediction"], expected, rtol=1e-4)


def test_the_zoos_r_cnn(detector, image_file, tmp_path):
    net = detector(R_CNN, raw_scale=255, channel_swap=(2, 1, 0), mean=MEAN, context_pad=4)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((30, 12, 3), dtype=np.uint8))
    windows = [
        (image_file, np.array([[0, 0, 19, 29], [4, 4, 12, 20]])),
        (str(tmp_path / "b.png"), np.array([[3, 3, 9, 9]])),
    ]
    found = net.detect_windows(windows)
    assert [entry["filename"] for entry in found] == [
        image_file,
        image_file,
        str(tmp_path / "b.png"),
    ]
    assert all(entry["prediction"].shape == (7,) for entry in found)
    assert np.ptp([entry["prediction"] for entry in found], axis=0).min() > 0
    x = net.transformer.preprocess(
        "data", net.crop(caffe.io.load_image(image_file), windows[0][1][1])
    )
    np.testing.assert_allclose(
        found[1]["prediction"], net.forward(data=np.stack([x, x]))["fc-rcnn"][0], rtol=1e-4
    )


def test_scores_of_four_axes_stay_as_they_are(detector, image_file):
    shape = (
        'layer { name: "map" type: "Reshape" bottom: "fc" top: "map"'
        " reshape_param { shape { dim: 0 dim: 0 dim: 1 dim: 1 } } }"
    )
    found = detector(NET + shape).detect_windows([(image_file, [(0, 0, 5, 5)])])
    assert found[0]["prediction"].shape == (5, 1, 1)


def test_a_window_inside_the_image_with_context_by_hand(detector):
    """Input 8, context 2: the box is twice the window.

    Rows 8 to 11 count as 4 pixels (ymax included) with the centre 10.  The box therefore goes from
    6 to 14: 9 pixels become 8, of which 8 are taken.
    """
    net = detector(context_pad=2)
    image = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    found = net.crop(image, np.array([8, 8, 11, 11]))
    np.testing.assert_allclose(found, caffe.io.resize_image(image[6:14, 6:14], (8, 8)), atol=1e-6)
    assert found.shape == (8, 8, 3)
    assert found.dtype == np.float32


def test_outside_the_image_is_the_mean_by_hand(detector):
    """Input 8, context 2: the box is twice the window.

    Rows 0 to 3 count as 4 pixels with the centre 2.  The box goes from -2 to 6: 9 pixels become 8.
    The first round(2 * 8 / 9) = 2 rows are the mean; rows 0 to 5 become round(7 * 8 / 9) = 6 rows.

    Columns 7 to 9 count as 3 pixels with the centre 8.5.  The box goes from round(5.5) = 6 to
    round(11.5) = 12: 7 pixels become 8, and columns 6 to 9 become round(5 * 8 / 7) = 6.
    """
    net = detector(context_pad=2, raw_scale=100, channel_swap=(2, 1, 0), mean=MEAN)
    image = np.random.default_rng(0).random((10, 10, 3), dtype=np.float32)
    found = net.crop(image, np.array([0, 7, 3, 9]))
    mean = [0.3, 0.2, 0.1]  # R, G, B in the image's range
    np.testing.assert_allclose(found[:2], np.broadcast_to(mean, (2, 8, 3)), rtol=1e-6)
    np.testing.assert_allclose(found[:, 6:], np.broadcast_to(mean, (8, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(
        found[2:, :6], caffe.io.resize_image(image[:6, 6:10], (6, 6)), atol=1e-6
    )
    assert net.crop_dims.tolist() == [8, 8, 3]
    np.testing.assert_allclose(net.transformer.preprocess("data", found)[:, 0, 0], 0, atol=1e-5)


def test_the_whole_image_with_context_and_without_mean(detector):
    found = detector(context_pad=2).crop(
        np.ones((6, 6, 3), dtype=np.float32), np.array([0, 0, 5, 5])
    )
    # 6 pixels, centre 3: the box goes from -3 to 9, 13 pixels to 8: round(3 * 8 / 13) = 2 zeros,
    # round(7 * 8 / 13) = 4 ones
    assert found[:, :, 0].sum() == 4 * 4
    assert found[2:6, 2:6].all()


def test_no_windows(detector, image_file):
    assert (
        detector().detect_windows([])
        == []
        == detector().detect_windows([(image_file, np.zeros((0, 4)))])
    )


def test_refused(detector, image_file, monkeypatch):
    with pytest.raises(
        caffe.CaffeError, match=r"net.prototxt: context_pad 4 does not fit the net's input of 8 x 8"
    ):
        detector(context_pad=4)
    for context in (None, 1):
        with pytest.raises(
            caffe.CaffeError,
            match=r"a.png: the window \(40, 3, 50, 9\) is wholly outside the image of 20 x 30",
        ):
            detector(context_pad=context).detect_windows([(image_file, np.array([[40, 3, 50, 9]]))])
    with pytest.raises(caffe.CaffeError, match=r"no.png: No such file"):
        detector().detect_windows([("no.png", [(0, 0, 5, 5)])])
    with pytest.raises(
        caffe.CaffeError, match="needs the MATLAB package selective_search_ijcv_with_python"
    ):
        detector().detect_selective_search([image_file])


def test_selective_search_where_it_is_installed(detector, image_file, monkeypatch):
    module = types.ModuleType("selective_search_ijcv_with_python")
    module.get_windows = lambda files, cmd: [
        np.array([[0, 0, 5, 5 + i]]) for i, _ in enumerate(files)
    ]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = detector().detect_selective_search([image_file, image_file])
    assert [entry["window"].tolist() for entry in found] == [[0, 0, 5, 5], [0, 0, 5, 6]]
