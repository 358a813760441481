"""Clip: x cut to [min, max].

Honours min and max, both required.  The gradient passes where x lies in the interval, ends
included.
"""

from caffe.layer import VALUES, Layer, register


@register("Clip")
class Clip(Layer):
    reads_own_bottom = VALUES

    def setup(self, shapes):
        p = self.param.clip_param
        for field in ("min", "max"):
            if not p.HasField(field):
                self.fail(f"clip_param.{field} is missing")

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        p = self.param.clip_param
        return x.clamp(p.min, p.max)
