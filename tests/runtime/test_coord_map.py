"""coord_map: coordinates after convolution, pooling, upsampling and crop; a small FCN."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import (
    PASS_THROUGH_LAYERS,
    AxisMismatchException,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)


def image():
    return L.Input(shape={"dim": [2, 1, 100, 100]})


def conv_pool_deconv(data, kernel_size=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    """A convolution, a pooling, and a Deconvolution with a kernel of twice its stride."""
    conv = L.Convolution(data, num_output=10, kernel_size=kernel_size, stride=stride, pad=pad)
    pooled = L.Pooling(conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool)
    return L.Deconvolution(
        pooled,
        convolution_param={"num_output": 10, "kernel_size": 2 * up, "stride": up, "pad": up_pad},
    )


def same(found, axis, scale, shift):
    assert found[0] == axis
    np.testing.assert_allclose(found[1], scale)
    np.testing.assert_allclose(found[2], shift)


@pytest.mark.parametrize(
    ("layer", "scale", "shift"),
    # position x in the input is position scale * x + shift in the output: windows are placed by
    # their middle
    [
        (L.Convolution(image(), kernel_size=3), 1, -1),
        (L.Convolution(image(), kernel_size=3, pad=1), 1, 0),
        (L.Convolution(image(), kernel_size=5, stride=2, pad=2), 0.5, 0),
        (L.Convolution(image(), kernel_size=3, dilation=4, pad=1), 1, -3),
        (L.Convolution(image(), convolution_param={"kernel_size": 3, "stride": 4}), 0.25, -0.25),
        (L.Convolution(image(), kernel_size=[3, 5], stride=[1, 2], pad=[0, 10]), [1, 0.5], [-1, 4]),
        (L.Pooling(image(), kernel_size=2, stride=2), 0.5, -0.25),
        (L.Pooling(image(), pooling_param={"kernel_size": 3, "stride": 2}), 0.5, -0.5),
        (L.Im2col(image(), convolution_param={"kernel_size": 3, "pad": 1, "stride": 2}), 0.5, 0),
        (L.Deconvolution(image(), kernel_size=4, stride=2), 2, 1.5),
        (
            L.Deconvolution(image(), convolution_param={"kernel_size": 4, "stride": 2, "pad": 1}),
            2,
            0.5,
        ),
        (L.Crop(image(), image(), axis=2, offset=3), 1, -3),
        (L.Crop(image(), image(), crop_param={"offset": [3, 7]}), 1, [-3, -7]),
    ],
)
def test_one_layer_by_hand(layer, scale, shift):
    same(coord_map(layer.fn), 1, scale, shift)


@pytest.mark.parametrize("type_name", PASS_THROUGH_LAYERS)
def test_layers_that_keep_coordinates(type_name):
    assert coord_map(getattr(L, type_name)(image()).fn) == (None, 1, 0)


def test_parameters_and_their_defaults():
    axis, stride, kernel, pad = conv_params(L.Convolution(image(), kernel_size=3, dilation=2).fn)
    assert (axis, stride.tolist(), kernel.tolist(), pad.tolist()) == (1, [1], [5], [0])
    axis, offset = crop_params(L.Crop(image(), image()).fn)
    assert (axis, offset.tolist()) == (2, [0])
    assert crop_params(L.Crop(image(), image(), axis=3, offset=5).fn)[0] == 3


def test_composing_and_inverting():
    """2 (3 x + 5) + 1 = 6 x + 11, back: (y - 11) / 6."""
    assert compose((1, 2, 1), (1, 3, 5)) == (1, 6, 11)
    assert compose((None, 2, 1), (1, 3, 5))[0] == compose((1, 2, 1), (None, 3, 5))[0] == 1
    assert inverse((1, 4, 2)) == (1, 0.25, -0.5)
    same(compose((1, 6, 11), inverse((1, 6, 11))), 1, 1, 0)
    with pytest.raises(
        AxisMismatchException, match="after axis 1 cannot be related to those after axis 2"
    ):
        compose((1, 1, 0), (2, 1, 0))


def test_convolution_pooling_and_upsampling():
    data = image()
    same(coord_map_from_to(conv_pool_deconv(data), data), 1, 1, 0)
    same(coord_map_from_to(conv_pool_deconv(data, pool=4, up=4), data), 1, 1, -1)


def test_pass_through_and_1x1_convolutions_change_nothing():
    data = image()
    up = conv_pool_deconv(data, pool=4, up=4)
    relu = L.ReLU(up, in_place=True)
    for top in (relu, L.Convolution(relu, num_output=10, kernel_size=1), L.Eltwise(relu, up)):
        same(coord_map_from_to(top, data), 1, 1, -1)


@pytest.mark.parametrize("pad", [1, 7])
def test_padding_a_convolution_shifts_one_way_and_padding_a_deconvolution_the_other(pad):
    data = image()
    same(coord_map_from_to(conv_pool_deconv(data, pad=pad), data), 1, 1, -pad)
    same(coord_map_from_to(conv_pool_deconv(data, up_pad=pad), data), 1, 1, pad)
    same(coord_map_from_to(conv_pool_deconv(data, pad=pad, up_pad=pad), data), 1, 1, 0)


def test_several_bottoms_and_tops_of_a_layer_are_mapped_alike():
    first, second = image(), L.Input(shape={"dim": [2, 1, 20, 20]})
    tops = L.Convolution(first, second, ntop=2, num_output=10, kernel_size=5, stride=2)
    for top, bottom in zip(tops, (first, second), strict=True):
        same(coord_map_from_to(top, bottom), 1, 2, 2)


def test_each_axis_has_a_map_of_its_own():
    data = image()
    both = coord_map_from_to(conv_pool_deconv(data, [3, 5], [1, 2], [0, 10]), data)
    high, wide = (
        coord_map_from_to(conv_pool_deconv(data, *one), data) for one in ((3, 1, 0), (5, 2, 10))
    )
    same(both, 1, [high[1][0], wide[1][0]], [high[2][0], wide[2][0]])


def test_three_spatial_axes():
    data = L.Input(shape={"dim": [2, 3, 100, 100, 100]})
    same(
        coord_map_from_to(conv_pool_deconv(data, [3, 3, 3], [1, 1, 1], [0, 1, 2]), data),
        1,
        [1, 1, 1],
        [0, -1, -2],
    )


def test_a_crop_shifts_by_its_offset_and_ignores_what_it_is_cropped_to():
    data = image()
    up = conv_pool_deconv(data)
    same(coord_map_from_to(L.Crop(up, data, axis=2, offset=6), data), 1, 1, 6)
    assert L.Crop(up, data).fn.inputs == (up, data)
    with pytest.raises(RuntimeError, match="Could not compute map between tops"):
        coord_map_from_to(L.Crop(L.Input(), data, axis=2), data)  # only the size comes from `data`


def test_crop_writes_axis_and_offset():
    n = caffe.NetSpec()
    n.data = image()
    n.up = conv_pool_deconv(n.data, pool=4, up=4)
    n.score = crop(n.up, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.type, list(layer.bottom), layer.name) == ("Crop", ["up", "data"], "score")
    assert (layer.crop_param.axis, list(layer.crop_param.offset)) == (2, [1])
    volume = L.Input(shape={"dim": [1, 1, 9, 9, 9]})
    wide = L.Convolution(volume, kernel_size=1, num_output=1, pad=[1, 2, 3])
    assert crop(wide, volume).fn.params["crop_param"] == {"axis": 2, "offset": [1, 2, 3]}
    assert crop(L.ReLU(volume), volume).fn.params["crop_param"] == {"axis": 2, "offset": [0]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": 3, "up": 2}, "scale mismatch on crop"),
        ({"up_pad": 10}, "cannot crop negative offset"),
        ({"kernel_size": 4, "pad": 5}, "cannot crop noninteger offset"),
    ],
)
def test_crops_that_cannot_be_made(settings, message):
    data = image()
    with pytest.raises(AssertionError, match=message) as caught:
        crop(conv_pool_deconv(data, **settings), data)
    assert isinstance(caught.value, caffe.CaffeError)


def test_tops_that_are_not_connected():
    data = image()
    for top in (
        L.InnerProduct(conv_pool_deconv(data), num_output=10),
        image(),
        L.Pooling(data, global_pooling=True),
    ):
        with pytest.raises(RuntimeError, match="are they connected by spatial layers"):
            coord_map_from_to(top, data)


def test_layers_without_a_map():
    for layer in (
        L.InnerProduct(image()),
        L.Concat(image()),
        L.Pooling(image(), global_pooling=True),
    ):
        with pytest.raises(UndefinedMapException, match="has no coordinate map"):
            coord_map(layer.fn)
    with pytest.raises(AssertionError, match="does not support the fields kernel_h, kernel_w"):
        coord_map(L.Convolution(image(), kernel_h=3, kernel_w=3).fn)
    with pytest.raises(AxisMismatchException):
        coord_map_from_to(
            L.Convolution(L.Convolution(image(), kernel_size=3), kernel_size=3, axis=2), L.Input()
        )


def test_the_walk_ends_on_nets_with_many_paths():
    """Thirty blocks with a way around each: 2**30 paths, one map."""
    data = image()
    top = L.Convolution(data, num_output=1, kernel_size=1, pad=2)
    for _ in range(30):
        top = L.Eltwise(top, L.Convolution(top, num_output=1, kernel_size=3, pad=1))
    same(coord_map_from_to(top, data), 1, 1, -2)


def small_fcn():
    """A small net in FCN's style: padded conv1, two poolings, scores fused at stride 2, a crop."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 20, 26]})
    n.conv1 = L.Convolution(
        n.data, kernel_size=3, num_output=4, pad=10, weight_filler={"type": "xavier"}
    )
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=4, weight_filler={"type": "xavier"})
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.score = L.Convolution(n.pool2, kernel_size=1, num_output=2, weight_filler={"type": "xavier"})
    up = {
        "num_output": 2,
        "kernel_size": 4,
        "stride": 2,
        "bias_term": False,
        "weight_filler": {"type": "bilinear"},
    }
    n.upscore2 = L.Deconvolution(n.score, convolution_param=up)
    n.score_pool1 = L.Convolution(
        n.pool1, kernel_size=1, num_output=2, weight_filler={"type": "xavier"}
    )
    n.score_pool1c = crop(n.score_pool1, n.upscore2)
    n.fuse = L.Eltwise(n.upscore2, n.score_pool1c, operation=P.Eltwise.SUM)
    n.upscore = L.Deconvolution(n.fuse, convolution_param=up)
    n.out = crop(n.upscore, n.data)
    return n.to_proto()


def test_a_small_fcn_is_written_and_runs(tmp_path):
    net = small_fcn()
    crops = {
        layer.name: (list(layer.bottom), layer.crop_param.axis, list(layer.crop_param.offset))
        for layer in net.layer[-7:]
    }
    # pool1 to upscore2: x - 2 by conv2, 0.5 x - 1.25 by pool2, doubled + 1.5 by upscore2: x - 1
    assert crops["score_pool1c"] == (["score_pool1", "upscore2"], 2, [1])
    # data to upscore: x + 9 by conv1, 0.5 x + 4.25 by pool1, - 1 to upscore2, doubled + 1.5 by
    # upscore: x + 8
    assert crops["out"] == (["upscore", "data"], 2, [8])
    (tmp_path / "net.prototxt").write_text(str(net))
    found = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert found.forward()["out"].shape == (1, 2, 20, 26)
