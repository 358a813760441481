"""OpenCV's number of threads belongs to the user's program, except while images are being read."""

import cv2
import pytest

import caffe
from caffe import opencv_threads

OWN = 3  # a number that neither OpenCV nor the runtime chooses


@pytest.fixture(autouse=True)
def number_of_the_program(no_nets_of_other_tests):
    before = cv2.getNumThreads()
    cv2.setNumThreads(OWN)
    yield
    cv2.setNumThreads(before)


def test_off_until_the_last_user_is_done():
    with opencv_threads.off():
        assert cv2.getNumThreads() == 1
        with opencv_threads.off():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == OWN


def test_restored_after_an_error():
    with pytest.raises(KeyError), opencv_threads.off():
        raise KeyError
    assert cv2.getNumThreads() == OWN


def test_a_number_set_in_the_meantime_stays():
    with opencv_threads.off():
        cv2.setNumThreads(2)
    assert cv2.getNumThreads() == 2


def test_a_data_layer_turns_them_off_from_its_first_batch_until_it_is_closed(net_from, image_list):
    net = net_from(
        'layer { name: "layer" type: "ImageData" top: "x" top: "t"'
        f' image_data_param {{ source: "{image_list}" batch_size: 1 }} }}'
    )
    assert cv2.getNumThreads() == OWN
    net.forward()
    assert cv2.getNumThreads() == 1
    net.close()
    assert cv2.getNumThreads() == OWN


def test_a_reader_that_fails_restores_them(net_from, image_list):
    net = net_from(
        'layer { name: "layer" type: "ImageData" top: "x" top: "t"'
        f' image_data_param {{ source: "{image_list}" batch_size: 1 }} }}'
    )
    (image_list.parent / "grey.png").unlink()
    with pytest.raises(caffe.CaffeError, match=r"grey.png"):
        net.forward()
    assert cv2.getNumThreads() == OWN


@pytest.fixture
def image_list(tmp_path):
    """A list of one image, grey.png beside it."""
    import numpy as np

    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 4, 3), 128, dtype=np.uint8))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/grey.png 0\n")
    return tmp_path / "list.txt"
