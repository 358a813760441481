"""PReLU: max(x, 0) + slope * min(x, 0) with a learnt slope for each channel (axis 1), or one for all.

Honours channel_shared and filler (default: constant 0.25).  The gradient at 0 is the slope.
"""

import torch.nn.functional as F

from caffe.layer import Layer, register
from caffe.proto import caffe_pb2


@register("PReLU")
class PReLU(Layer):
    def setup(self, shapes):
        p = self.param.prelu_param
        if len(shapes[0]) < 2:
            self.fail(f"wants a bottom of at least 2 axes, not {shapes[0]}")
        quarter = caffe_pb2.FillerParameter(type="constant", value=0.25)
        self.add_blob(() if p.channel_shared else (shapes[0][1],), p.filler if p.HasField("filler") else quarter)

    def reshape(self, shapes):
        slopes = self.blobs[0].shape
        if len(shapes[0]) < 2 or (slopes and slopes[0] != shapes[0][1]):
            self.fail(f"was made for {self.blobs[0].count} channels, the bottom is now {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        return F.prelu(x, self.params[0].reshape(-1))
