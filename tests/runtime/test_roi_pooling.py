"""ROIPooling against a loop over cells that follows the fork's rules, and finite differences."""

import math

import emulated_gpu
import numpy as np
import pytest
from numpy.testing import assert_array_equal

F = np.float32


def half_away(x):
    """C's round()."""
    return int(math.copysign(math.floor(abs(float(x)) + 0.5), x))


def loop(maps, rois, pooled, scale, diff=None):
    """The fork's forward and, for `diff`, its backward; everything in float32, cell by cell."""
    _, channels, height, width = maps.shape
    top = np.zeros((len(rois), channels, *pooled), F)
    cell = np.full(top.shape, -1)
    grad = np.zeros_like(maps)
    for r, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (half_away(F(c) * F(scale)) for c in corners)
        size_h = F(max(y2 - y1 + 1, 1)) / F(pooled[0])
        size_w = F(max(x2 - x1 + 1, 1)) / F(pooled[1])
        for c, ph, pw in np.ndindex(channels, *pooled):
            top_row = min(max(math.floor(F(ph) * size_h) + y1, 0), height)
            end_row = min(max(math.ceil(F(ph + 1) * size_h) + y1, 0), height)
            left = min(max(math.floor(F(pw) * size_w) + x1, 0), width)
            right = min(max(math.ceil(F(pw + 1) * size_w) + x1, 0), width)
            if end_row > top_row and right > left:
                best = -np.finfo(F).max
                for h in range(top_row, end_row):
                    for w in range(left, right):
                        if maps[int(image), c, h, w] > best:
                            best, cell[r, c, ph, pw] = maps[int(image), c, h, w], h * width + w
                top[r, c, ph, pw] = best
        if diff is None:
            continue
        for c, h, w in np.ndindex(channels, height, width):
            if not (x1 <= w <= x2 and y1 <= h <= y2):
                continue
            bins = []
            for at, size, bins_of in ((h - y1, size_h, pooled[0]), (w - x1, size_w, pooled[1])):
                first = min(max(math.floor(F(at) / size), 0), bins_of)
                bins.append(range(first, min(max(math.ceil(F(at + 1) / size), 0), bins_of)))
            for ph in bins[0]:
                for pw in bins[1]:
                    if cell[r, c, ph, pw] == h * width + w:
                        grad[int(image), c, h, w] += diff[r, c, ph, pw]
    return top, grad


def roi_layer(one_layer, maps, rois, pooled, scale):
    text = (
        'type: "ROIPooling" roi_pooling_param {'
        f" pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: {scale} }}"
    )
    return one_layer(text, maps=maps, rois=rois)


def drawn_rois(rng, count, images, limit):
    corners = rng.uniform(-0.2 * limit, 1.2 * limit, (count, 4))
    low, high = (
        np.minimum(corners[:, :2], corners[:, 2:]),
        np.maximum(corners[:, :2], corners[:, 2:]),
    )
    return np.hstack([rng.integers(0, images, (count, 1)), low, high]).astype(F)


@pytest.mark.parametrize("pooled", [(1, 1), (2, 3), (6, 6), (7, 7)])
@pytest.mark.parametrize("scale", [1.0, 0.0625, 0.3])
def test_it_is_the_forks_loop(one_layer, pooled, scale):
    """Whole numbers, many of them equal: forward and backward are equal to the bit."""
    rng = np.random.default_rng(pooled[1] * 100 + int(10 * scale))
    maps = rng.integers(-4, 5, (3, 2, 11, 13)).astype(F)
    rois = drawn_rois(rng, 24, 3, 13 / scale)
    rois[:4, 3:] = rois[:4, 1:3] - 3 / scale  # end before they start
    layer = roi_layer(one_layer, maps, rois, pooled, scale)
    diff = rng.integers(-8, 9, (24, 2, *pooled)).astype(F)
    top, grad = loop(maps, rois, pooled, scale, diff)
    assert_array_equal(layer.forward(), top)
    found, of_rois = layer.backward(diff)
    assert_array_equal(found, grad)
    assert not of_rois.any()
    assert (top == 0).any()
    assert grad.any()


def test_tables_of_few_channels_give_the_same(one_layer, monkeypatch):
    """Three tables of two, two and one of five channels; NaN, infinities and both zeros are in the
    maps.
    """
    from caffe.layers import roi_pooling

    rng = np.random.default_rng(3)
    maps = rng.choice(F([-np.inf, -1, -0.0, 0.0, 1, np.inf]), (2, 5, 9, 7))
    maps[1, 3, 2:4, 2:4] = np.nan
    rois = drawn_rois(rng, 12, 2, 9)
    first = roi_layer(one_layer, maps, rois, (3, 2), 1).forward().copy()
    made = []
    windows = roi_pooling._windows

    def counted(keys, levels):
        made.append((keys.shape[-1], levels))
        return windows(keys, levels)

    monkeypatch.setattr(roi_pooling, "_windows", counted)
    levels = 3, 3  # bins have 4 to 7 cells at most, along both axes
    monkeypatch.setattr(roi_pooling, "MOST_KEYS", 2 * 9 * 2 * 9 * 7 + 1)
    again = roi_layer(one_layer, maps, rois, (3, 2), 1).forward()
    assert made == [(2, levels), (2, levels), (1, levels)]
    assert_array_equal(again.view(np.int32), first.view(np.int32))
    assert np.isnan(first).any()


def test_no_roi_pools_nothing(one_layer):
    maps = np.ones((1, 2, 4, 4), F)
    layer = roi_layer(one_layer, maps, [[0, 0, 0, 3, 3]], (2, 2), 1)
    layer.net.blobs["rois"].reshape(0, 5)
    assert layer.forward().shape == (0, 2, 2, 2)


def test_the_host_does_not_wait_for_the_gpu(net_from):
    import caffe

    maps = np.arange(2 * 3 * 5 * 6, dtype=F).reshape(2, 3, 5, 6) % 17
    rois = F([[0, 0, 0, 5, 4], [1, 2, 1, 4, 4], [1, 3, 3, 30, 30]])
    with emulated_gpu.present() as gpu:
        caffe.set_mode_gpu()
        try:
            net = net_from("""
layer { name: "maps" type: "Input" top: "maps" input_param { shape {
  dim: 2 dim: 3 dim: 5 dim: 6 } } }
layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "roi" type: "ROIPooling" bottom: "maps" bottom: "rois" top: "y"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 } }""")
            net.blobs["maps"].data[...] = maps
            net.blobs["rois"].data[...] = rois
            net.forward_backward(backward=False)
            gpu.waits.clear()
            net.forward_backward(backward=False)
            assert gpu.waits == []
            assert_array_equal(net.blobs["y"].data, loop(maps, rois, (2, 2), 1)[0])
        finally:
            caffe.set_mode_cpu()


def test_by_hand(one_layer):
    """4 x 4 cells in 2 x 2 bins, and 3 x 3 cells in 2 x 2 bins that share the middle."""
    maps = np.arange(16, dtype=F).reshape(1, 1, 4, 4)
    rois = [[0, 0, 0, 3, 3], [0, 0, 0, 2, 2]]
    layer = roi_layer(one_layer, maps, rois, (2, 2), 1)
    assert_array_equal(layer.forward()[:, 0], [[[5, 7], [13, 15]], [[5, 6], [9, 10]]])


@pytest.mark.parametrize(("corner", "cell"), [(0.5, 1), (1.5, 2), (2.5, 3), (2.49, 2), (-0.5, -1)])
def test_corners_are_rounded_half_away_from_zero(one_layer, corner, cell):
    """A single cell; half to even would give 0, 2, 2 at 0.5, 1.5 and 2.5."""
    maps = np.arange(1, 17, dtype=F).reshape(1, 1, 4, 4)
    roi = [[0, corner, 1, corner, 1]]
    expected = 0 if cell < 0 else maps[0, 0, 1, cell]
    assert roi_layer(one_layer, maps, roi, (1, 1), 1).forward().item() == expected


def test_the_first_of_equal_maxima_takes_the_gradient(one_layer):
    layer = roi_layer(one_layer, np.ones((1, 1, 3, 3)), [[0, 0, 0, 2, 2]], (1, 1), 1)
    layer.forward()
    grad = layer.backward([[[[5]]]])[0]
    assert grad[0, 0, 0, 0] == 5
    assert grad.sum() == 5


def test_an_roi_that_ends_before_it_starts_passes_no_gradient(one_layer):
    maps = np.arange(9, dtype=F).reshape(1, 1, 3, 3)
    layer = roi_layer(one_layer, maps, [[0, 2, 2, 0, 0]], (1, 1), 1)
    assert layer.forward().item() == 8
    assert not layer.backward([[[[5]]]])[0].any()


def test_finite_differences(one_layer):
    rng = np.random.default_rng(7)
    maps = rng.permutation(2 * 2 * 6 * 5).reshape(2, 2, 6, 5).astype(F) / 8
    rois = drawn_rois(rng, 5, 2, 6)
    layer = roi_layer(one_layer, maps, rois, (2, 2), 1)
    weights = rng.integers(1, 9, layer.forward().shape).astype(F)
    grad = layer.backward(weights)[0]
    step = F(1 / 64)  # less than half the distance of two values
    data = layer.net.blobs["maps"].data
    for place in np.ndindex(maps.shape):
        change = 0.0
        for sign in (1, -1):
            data[place] = maps[place] + sign * step
            change += sign * float((layer.forward() * weights).sum())
        data[place] = maps[place]
        assert change / (2 * step) == pytest.approx(grad[place], abs=1e-3), place


def test_rois_may_change_their_number(one_layer):
    layer = roi_layer(one_layer, np.ones((1, 2, 4, 4)), [[0, 0, 0, 3, 3]], (2, 2), 1)
    layer.net.blobs["rois"].reshape(3, 5)
    layer.net.blobs["rois"].data[...] = [0, 0, 0, 3, 3]
    assert layer.forward().shape == (3, 2, 2, 2)


def test_it_learns_as_part_of_one_graph(tmp_path):
    """caffe.SGDSolver runs the net as one graph: a step moves the weights by the gradient."""
    import caffe

    (tmp_path / "net.prototxt").write_text("""
layer { name: "in" type: "DummyData" top: "maps" top: "rois" dummy_data_param {
  shape { dim: 1 dim: 1 dim: 4 dim: 4 } shape { dim: 2 dim: 5 }
  data_filler { type: "uniform" min: -1 max: 1 } data_filler { type: "constant" value: 0 } } }
layer { name: "scale" type: "Scale" bottom: "maps" top: "y" scale_param { filler { value: 2 } } }
layer { name: "roi" type: "ROIPooling" bottom: "y" bottom: "rois" top: "bins"
  roi_pooling_param { pooled_h: 1 pooled_w: 1 } }
layer { name: "loss" type: "Reduction" bottom: "bins" top: "loss" loss_weight: 1 }
""")
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1 lr_policy: "fixed" random_seed: 3'
    )
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    # both RoIs are the cell (0, 0), and d loss / d scale = 2 maps[0, 0]
    first = solver.net.blobs["maps"].data[0, 0, 0, 0]
    assert solver.net.params["scale"][0].data[0] == pytest.approx(2 - 2 * first, rel=1e-6)


@pytest.mark.parametrize("fields", ["", "pooled_h: 2", "pooled_w: 2"])
def test_refuses_no_bins(refused, fields):
    refused(
        "pooled_h and pooled_w must be given",
        f'type: "ROIPooling" roi_pooling_param {{ {fields} }}',
        maps=np.ones((1, 1, 2, 2)),
        rois=[[0, 0, 0, 1, 1]],
    )


def test_refuses_other_shapes_and_images(refused):
    text = 'type: "ROIPooling" roi_pooling_param { pooled_h: 1 pooled_w: 1 }'
    maps = np.ones((2, 1, 2, 2))
    refused(r"needs maps \(N, C, H, W\) and RoIs", text, maps=maps, rois=[[0, 0, 0, 1]])
    refused(r"needs maps", text, maps=[[1, 2]], rois=[[0, 0, 0, 1, 1]])
    refused(r"the image of an RoI, 2 is outside 0\.\.1", text, maps=maps, rois=[[2, 0, 0, 1, 1]])
