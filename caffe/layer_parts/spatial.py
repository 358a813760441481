"""Kernel, stride, pad and dilation of Convolution, Deconvolution and Im2col.

Caffe: base_conv_layer.cpp.
"""

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2


def windows(
    layer: Layer, param: caffe_pb2.ConvolutionParameter, num_axes: int
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, pad and dilation, each with one value per spatial axis.

    Parameters
    ----------
    layer : Layer
        For errors.
    param : ConvolutionParameter
    num_axes : int
        Number of spatial axes.
    """
    defaults = {"kernel_size": None, "stride": 1, "pad": 0, "dilation": 1}
    kernel, stride, pad, dilation = (
        _per_axis(layer, param, field, num_axes, default) for field, default in defaults.items()
    )
    return kernel, stride, pad, dilation


def _per_axis(
    layer: Layer,
    param: caffe_pb2.ConvolutionParameter,
    field: str,
    num_axes: int,
    default: int | None,
) -> list[int]:
    """Read a spatial setting.

    It is given once for all axes, once per axis, or (2-d only) as `<field>_h` and `<field>_w`.
    With the default None, it must not be missing.
    """
    short = field.removesuffix("_size")
    values = list(getattr(param, field))
    has_hw = short != "dilation" and (param.HasField(f"{short}_h") or param.HasField(f"{short}_w"))
    if has_hw:
        if num_axes != 2:
            layer.fail(f"{short}_h and {short}_w are for 2 spatial axes, the bottom has {num_axes}")
        if values:
            layer.fail(f"give {field} or {short}_h and {short}_w, not both")
        values = [getattr(param, f"{short}_h"), getattr(param, f"{short}_w")]
    elif not values:
        if default is None and num_axes:
            layer.fail(f"{field} is missing")
        values = [default]
    if len(values) == 1:
        values = values * num_axes  # none for a bottom without spatial axes
    if len(values) != num_axes:
        layer.fail(f"{field} is given {len(values)} times for {num_axes} spatial axes")
    if field in ("kernel_size", "stride", "dilation") and min(values, default=1) < 1:
        layer.fail(f"{field} must be at least 1, it is {values}")
    return values


def conv_sizes(layer: Layer, spatial: Shape) -> list[int]:
    """Numbers of windows along each spatial axis, for the layer's kernel, stride, pad and dilation.

    Each is floor((in + 2 pad - dilation (kernel - 1) - 1) / stride) + 1; below 1 is an error.

    Returns
    -------
    list of int
    """
    sizes = [
        (size + 2 * p - (d * (k - 1) + 1)) // s + 1
        for size, k, s, p, d in zip(
            spatial, layer.kernel, layer.stride, layer.pad, layer.dilation, strict=True
        )
    ]
    if min(sizes, default=1) < 1:
        layer.fail(
            f"kernel {layer.kernel} is larger than the padded bottom of spatial size"
            f" {tuple(spatial)}"
        )
    return sizes
