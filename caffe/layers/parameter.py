"""Parameter: a learnt blob as a top.  Honours parameter_param.shape; the blob starts at 0, as it
has no filler.
"""

from caffe.layer import Layer, register


@register("Parameter")
class Parameter(Layer):
    num_bottom = (0, 0)
    shares_data = shares_diff = True  # with the parameter

    def setup(self, shapes):
        self.add_blob(tuple(self.param.parameter_param.shape.dim))

    def reshape(self, shapes):
        return [self.blobs[0].shape]

    def forward(self):
        return self.params[0].view_as(self.params[0])
