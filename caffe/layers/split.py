"""Split: the bottom again under several names; Caffe puts it in wherever a blob has more than one
reader.
"""

from caffe.layer import Layer, register


@register("Split")
class Split(Layer):
    num_top = (1, None)
    shares_data = True

    def reshape(self, shapes):
        return [shapes[0]] * len(self.param.top)

    def forward(self, x):
        return [x.view_as(x) for _ in self.param.top]
