"""Threshold: 1 where x > threshold, else 0.  Honours threshold.  No gradient."""

from caffe.layer import Layer, register


@register("Threshold")
class Threshold(Layer):
    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return (x.detach() > self.param.threshold_param.threshold).to(x.dtype)

    def backward(self, bottoms, tops, diffs, needs):
        return [None]
