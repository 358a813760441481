"""caffe.coord_map: how the coordinates of two tops relate, and the Crop layers that align them.

This is pycaffe's coord_map module.  A coordinate map is a tuple (axis, scale, shift): position x in
a layer's input is position ``scale * x + shift`` in its output.  `axis` is the last axis without
coordinates (1 for N x C x H x W), or None if the layer treats all axes alike.  `scale` and `shift`
are numbers, or arrays with one entry per spatial axis.
"""

from collections import deque

import numpy as np

from caffe.error import CaffeError
from caffe.net_spec import Function, Top, layer_function

PASS_THROUGH_LAYERS = [
    "AbsVal",
    "BatchNorm",
    "Bias",
    "BNLL",
    "Dropout",
    "Eltwise",
    "ELU",
    "Log",
    "LRN",
    "Exp",
    "MVN",
    "Power",
    "ReLU",
    "PReLU",
    "Scale",
    "Sigmoid",
    "Split",
    "TanH",
    "Threshold",
]
Map = tuple[int | None, float | np.ndarray, float | np.ndarray]
ONE_SIDED = {f"{field}_{side}" for field in ("kernel", "stride", "pad") for side in "hw"}
IDENTITY = (None, 1, 0)


class UndefinedMapException(CaffeError):
    """The layer has no coordinate map, for example an InnerProduct."""


class AxisMismatchException(CaffeError):
    """The two maps to be composed concern different axes."""


class CropError(CaffeError, AssertionError):
    """No Crop layer can do this.  BVLC's module raises AssertionError."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """The window of a Convolution, Deconvolution, Im2col or Pooling.

    Parameters
    ----------
    fn : caffe.net_spec.Function

    Returns
    -------
    (axis, stride, kernel size, pad) : (int, ndarray, ndarray, ndarray)
        One entry per spatial axis, or a single one for all.  The kernel size includes the dilation.

    Raises
    ------
    UndefinedMapException
        The layer has no kernel_size (global pooling).
    CropError
        The window is given by fields such as kernel_h.
    """
    own = "pooling_param" if fn.type_name == "Pooling" else "convolution_param"
    params = fn.params.get(own, fn.params)
    if ONE_SIDED & params.keys():
        found = ", ".join(sorted(ONE_SIDED & params.keys()))
        raise CropError(
            f"cropping does not support the fields {found} of a {fn.type_name}: give kernel_size,"
            " stride and pad"
        )
    if "kernel_size" not in params:
        raise UndefinedMapException(f"a {fn.type_name} without kernel_size has no coordinate map")
    kernel, dilation, stride, pad = (
        np.array(params.get(field, default), ndmin=1)
        for field, default in (("kernel_size", 1), ("dilation", 1), ("stride", 1), ("pad", 0))
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """The first cropped axis (default 2) and the offsets (default 0) of a Crop: (int, ndarray)."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The coordinate map (axis, scale, shift) of one layer.

    Raises
    ------
    UndefinedMapException
        The positions of its outputs do not correspond to positions in its inputs.
    """
    kind = fn.type_name
    if kind in PASS_THROUGH_LAYERS:
        return IDENTITY
    if kind == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if kind not in ("Convolution", "Pooling", "Im2col", "Deconvolution"):
        raise UndefinedMapException(f"a {kind} layer has no coordinate map")
    axis, stride, kernel, pad = conv_params(fn)
    middle = (kernel - 1) / 2  # of the window, in the finer of the two grids
    if kind == "Deconvolution":
        return axis, stride, middle - pad
    return axis, 1 / stride, (pad - middle) / stride


def compose(base_map: Map, next_map: Map) -> Map:
    """The map `base_map` after `next_map`: x -> base(next(x)).

    Raises
    ------
    AxisMismatchException
    """
    (axis, scale, shift), (next_axis, next_scale, next_shift) = base_map, next_map
    if axis is None:
        axis = next_axis
    elif next_axis not in (None, axis):
        raise AxisMismatchException(
            f"coordinates after axis {axis} cannot be related to those after axis {next_axis}"
        )
    return axis, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: Map) -> Map:
    """The map from outputs back to inputs."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map between two tops, through the nearest top that both are computed from.

    Where several paths lead there, they are assumed to agree.

    Returns
    -------
    (axis, scale, shift)
        ``coordinate in top_to = scale * coordinate in top_from + shift``.

    Raises
    ------
    CaffeError
        They have no such top in common, or a layer on the path has no map.
    """
    maps_from = dict(_ancestors(top_from))
    for top, map_to in _ancestors(top_to):
        if top in maps_from:
            return compose(map_to, inverse(maps_from[top]))
    raise CaffeError("Could not compute map between tops; are they connected by spatial layers?")


def _ancestors(top: Top):
    """Yield (ancestor, map from it to `top`): `top` itself, then what it is computed from.

    The nearest ancestors come first.
    """
    maps, waiting = {top: IDENTITY}, deque([top])
    while waiting:
        top = waiting.popleft()
        yield top, maps[top]
        # a Crop's second bottom only gives the size
        bottoms = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
        try:
            for bottom in bottoms:
                if bottom not in maps:
                    maps[bottom] = compose(maps[top], coord_map(top.fn))
                    waiting.append(bottom)
        except UndefinedMapException:
            continue


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the part that corresponds to `top_to`.

    Returns
    -------
    Top
        Of the new layer, with axis and offsets set.

    Raises
    ------
    CropError
        The two differ in scale, or the offset is negative or not an integer.
    CaffeError
        They are not connected by layers with coordinate maps.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    if np.any(np.not_equal(scale, 1)):
        raise CropError(f"scale mismatch on crop (a = {scale})")
    if np.any(np.greater(shift, 0)):
        raise CropError(f"cannot crop negative offset (b = {shift})")
    if np.any(np.not_equal(np.round(shift), shift)):
        raise CropError(f"cannot crop noninteger offset (b = {shift})")
    offset = [int(-value) for value in np.atleast_1d(shift)]
    first = 2 if axis is None else axis + 1  # None: only pass-through layers lie between the two
    return layer_function("Crop")(top_from, top_to, crop_param={"axis": first, "offset": offset})
