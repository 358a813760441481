"""BNLL (binomial normal log likelihood): log(1 + exp(x)).  torch calls it softplus, and cuts it to
x from 20 on.
"""

import torch.nn.functional as F

from caffe.layer import VALUES, Layer, register


@register("BNLL")
class BNLL(Layer):
    reads_own_bottom = VALUES

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return F.softplus(x, threshold=50)
