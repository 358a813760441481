"""AbsVal: |x|.  The gradient at 0 is 0."""

from caffe.layer import Layer, register


@register("AbsVal")
class AbsVal(Layer):
    in_place = False

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return x.abs()
