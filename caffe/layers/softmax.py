"""Softmax: exp(x) / sum exp(x) along `axis` (default 1).  `engine` changes nothing."""

import torch

from caffe.layer import Layer, register


@register("Softmax")
class Softmax(Layer):
    def reshape(self, shapes):
        self.along = self.axis(self.param.softmax_param.axis, shapes[0])
        return [shapes[0]]

    def forward(self, x):
        return torch.softmax(x, self.along)
