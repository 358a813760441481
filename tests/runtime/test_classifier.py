"""caffe.Classifier: what goes into the net, and the mean over ten crops."""

import numpy as np
import pytest

import caffe

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MEAN = np.array([1.0, 2.0, 3.0])


@pytest.fixture
def files(tmp_path):
    caffe.set_random_seed(0)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")


@pytest.fixture
def images():
    return list(np.random.default_rng(5).random((3, 9, 8, 3), dtype=np.float32))


def scores(files, crop):
    """The net's answer to one crop (6, 6, 3) in R, G, B."""
    x = crop.transpose(2, 0, 1)[::-1] * 255 - MEAN.reshape(3, 1, 1)
    return caffe.Net(*files, caffe.TEST).forward(data=np.repeat(x[np.newaxis], 4, 0))["prob"][0]


def classifier(files, **keywords):
    return caffe.Classifier(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0), **keywords)


def test_the_middle_crop(files, images):
    found = classifier(files, image_dims=(9, 10)).predict(images, oversample=False)
    assert found.shape == (3, 5)
    for image, row in zip(images, found, strict=True):
        crop = caffe.io.resize_image(image, (9, 10))[1:7, 2:8]  # (9 - 6) / 2 is cut to 1
        np.testing.assert_allclose(row, scores(files, crop), rtol=1e-4)


def test_the_mean_over_ten_crops(files, images):
    found = classifier(files, image_dims=[7, 8]).predict(np.stack(images))
    crops = caffe.io.oversample([caffe.io.resize_image(images[1], (7, 8))], (6, 6))
    np.testing.assert_allclose(
        found[1], np.mean([scores(files, crop) for crop in crops], axis=0), rtol=1e-4
    )
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_by_default_images_are_resized_to_the_nets_input(files, images):
    made = classifier(files)
    assert made.image_dims.tolist() == made.crop_dims.tolist() == [6, 6]
    expected = scores(files, caffe.io.resize_image(images[0], (6, 6)))
    np.testing.assert_allclose(made.predict(iter(images), oversample=False)[0], expected, rtol=1e-4)


def test_a_net_without_input_is_refused(tmp_path):
    text = NET.replace('"Input"', '"DummyData"').replace("input_param", "dummy_data_param")
    (tmp_path / "train.prototxt").write_text(text)
    caffe.Net(str(tmp_path / "train.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    for kind in (caffe.Classifier, caffe.Detector):
        with pytest.raises(
            caffe.CaffeError,
            match=r"train.prototxt: the net has no input .*; give a deploy prototxt",
        ):
            kind(str(tmp_path / "train.prototxt"), str(tmp_path / "w.caffemodel"))


def test_refused(files, images):
    with pytest.raises(caffe.CaffeError, match="predict was given no images"):
        classifier(files).predict([])
    with pytest.raises(
        caffe.CaffeError, match="crops of 6 x 6 are larger than the images of 5 x 8"
    ):
        classifier(files, image_dims=(5, 8)).predict(images)
    with pytest.raises(caffe.CaffeError, match=r"expected \(H, W, K\)"):
        classifier(files).predict([images[0][:, :, 0]])
