"""The six update rules: from a gradient to the value that is subtracted from the weights (Caffe: *_solver.cpp).

Each rule works in place on flat tensors of equal length: `g` comes in as the gradient (clipped, divided by iter_size,
with weight decay) and goes out as the update; `h` are the history tensors of this parameter.
"""

import math

from caffe.error import CaffeError


class SGD:
    """h = momentum h + rate g; update h."""

    type = "SGD"
    histories = 1
    takes_momentum = True

    def __init__(self, param):
        self.param = param
        if not self.takes_momentum and param.momentum != 0:
            raise CaffeError(f"solver: {self.type} takes no momentum, the prototxt gives {param.momentum:g}")

    def update(self, g, h, rate, iteration):
        h[0].mul_(self.param.momentum).add_(g, alpha=rate)
        g.copy_(h[0])


class Nesterov(SGD):
    """h as for SGD; update (1 + momentum) h - momentum h_before."""

    type = "Nesterov"

    def update(self, g, h, rate, iteration):
        momentum = self.param.momentum
        before = h[0].clone()
        h[0].mul_(momentum).add_(g, alpha=rate)
        g.copy_(h[0]).mul_(1 + momentum).sub_(before, alpha=momentum)


class AdaGrad(SGD):
    """h = h + g^2; update rate g / (sqrt(h) + delta)."""

    type = "AdaGrad"
    takes_momentum = False

    def update(self, g, h, rate, iteration):
        h[0].addcmul_(g, g)
        g.div_(h[0].sqrt().add_(self.param.delta)).mul_(rate)


class RMSProp(SGD):
    """h = rms_decay h + (1 - rms_decay) g^2; update rate g / (sqrt(h) + delta)."""

    type = "RMSProp"
    takes_momentum = False

    def __init__(self, param):
        super().__init__(param)
        if not 0 <= param.rms_decay < 1:
            raise CaffeError(f"solver: rms_decay must lie in [0, 1), it is {param.rms_decay:g}")

    def update(self, g, h, rate, iteration):
        decay = self.param.rms_decay
        h[0].mul_(decay).addcmul_(g, g, value=1 - decay)
        g.div_(h[0].sqrt().add_(self.param.delta)).mul_(rate)


class AdaDelta(SGD):
    """h = momentum h + (1 - momentum) g^2, v = g sqrt((u + delta) / (h + delta)), u likewise of v; update rate v."""

    type = "AdaDelta"
    histories = 2

    def update(self, g, h, rate, iteration):
        momentum, delta = self.param.momentum, self.param.delta
        h[0].mul_(momentum).addcmul_(g, g, value=1 - momentum)
        g.mul_(h[1].add(delta).div_(h[0].add(delta)).sqrt_())
        h[1].mul_(momentum).addcmul_(g, g, value=1 - momentum)
        g.mul_(rate)


class Adam(SGD):
    """m, v the running means of g and g^2; update rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + delta), t = iter + 1."""

    type = "Adam"
    histories = 2

    def update(self, g, h, rate, iteration):
        b1, b2 = self.param.momentum, self.param.momentum2
        t = iteration + 1
        h[0].mul_(b1).add_(g, alpha=1 - b1)
        h[1].mul_(b2).addcmul_(g, g, value=1 - b2)
        rate = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
        g.copy_(h[0]).div_(h[1].sqrt().add_(self.param.delta)).mul_(rate)


RULES = {rule.type: rule for rule in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)}
