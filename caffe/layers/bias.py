"""Bias: x + b, b spread over the axes that it does not have.

One bottom: b is learnt, its shape is that of the bottom's axes axis, ..., axis + num_axes - 1
(num_axes -1: all that follow; 0: one number).  Two bottoms: b is the second, laid on from `axis`
on.  Honours axis, num_axes, filler.
"""

from caffe.layer import Layer, register


def learnt_shape(layer, param, shape):
    """The shape that `axis` and `num_axes` of a BiasParameter or ScaleParameter pick out of the
    bottom's.
    """
    axis = layer.axis(param.axis, shape)
    if param.num_axes < -1:
        layer.fail(f"num_axes must be -1 or more, it is {param.num_axes}")
    end = len(shape) if param.num_axes == -1 else axis + param.num_axes
    if end > len(shape):
        layer.fail(
            f"axis {param.axis} and num_axes {param.num_axes} reach beyond a bottom of shape {shape}"
        )
    return shape[axis:end]


def first_axis(layer, param, part, shape):
    """The axis of `shape` where `part` is laid on; a part that does not fit there is an error."""
    axis = layer.axis(param.axis, shape) if part else 0
    if tuple(shape[axis : axis + len(part)]) != tuple(part):
        layer.fail(
            f"a blob of shape {tuple(part)} does not fit a bottom of shape {shape} from axis {axis} on"
        )
    return axis


def spread(part, axis, dims):
    """View `part` so that it broadcasts against a tensor of `dims` axes from `axis` on."""
    return part.reshape(*part.shape, *(1,) * (dims - axis - part.dim()))


@register("Bias")
class Bias(Layer):
    num_bottom = (1, 2)

    def setup(self, shapes):
        p = self.param.bias_param
        if len(shapes) == 1:
            self.add_blob(learnt_shape(self, p, shapes[0]), p.filler)

    def reshape(self, shapes):
        part = shapes[1] if len(shapes) > 1 else self.blobs[0].shape
        self.along = first_axis(self, self.param.bias_param, part, shapes[0])
        return [shapes[0]]

    def forward(self, x, *given):
        bias = given[0] if given else self.params[0]
        return x + spread(bias, self.along, x.dim())
