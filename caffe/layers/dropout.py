"""Dropout: in TRAIN each element is kept with probability 1 - dropout_ratio and scaled by 1 / (1 - dropout_ratio).

Identity in TEST.  Honours dropout_ratio in [0, 1).  The mask comes from PyTorch's random stream.
"""

import torch.nn.functional as F

from caffe.layer import Layer, register


@register("Dropout")
class Dropout(Layer):
    def setup(self, shapes):
        self.ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            self.fail(f"dropout_ratio must lie in [0, 1), it is {self.ratio:g}")

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return F.dropout(x, self.ratio) if self.train and self.ratio > 0 else x
