"""Input: tops that the user fills (net.blobs['data'].data[...] = ...).

Honours input_param.shape: one for all tops, one per top, or none (then the tops are empty until
they are reshaped).
"""

from caffe.layer import Layer, Shapes, Tensors, register


@register("Input")
class Input(Layer):
    num_bottom = (0, 0)
    num_top = (1, None)
    fed_by_user = True

    def reshape(self, shapes: Shapes) -> Shapes:
        given = [tuple(s.dim) for s in self.param.input_param.shape]
        tops = len(self.param.top)
        if len(given) not in (0, 1, tops):
            self.fail(f"has {tops} tops and {len(given)} shapes; give none, one, or one per top")
        if not given:
            return [()] * tops
        return given * tops if len(given) == 1 else given

    def forward(self) -> Tensors:
        return ()
