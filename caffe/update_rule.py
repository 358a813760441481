"""The six update rules: from a gradient to the value that is subtracted from the weights (Caffe:
*_solver.cpp).

Each rule works in place on flat tensors of equal length: `g` comes in as the gradient (clipped,
divided by iter_size, with weight decay) and goes out as the update; `h` are the history tensors of
this parameter.

Every step is rounded to float32 in the order of Caffe's CPU code, so the same gradient gives the
same weights to the last bit.  What remains between two builds of Caffe, and between Caffe and this
runtime, comes from the gradients: AdaGrad and Adam divide by sqrt(h) + delta, so an element whose
gradient nearly cancels (below delta, 1e-8 by default) turns a rounding error e of its gradient into
a step of up to base_lr / delta * e.
"""

import math

import numpy as np
import torch

from caffe.error import CaffeError


def axpby(alpha, x, beta, y):
    """y = alpha x + beta y in the two steps of Caffe's caffe_cpu_axpby: y is scaled and rounded
    first.
    """
    y.mul_(beta).add_(x, alpha=alpha)


def root(x):
    """The correctly rounded square root, as C's sqrtf; on the CPU torch.sqrt is off by one unit in
    the last place.
    """
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else x.sqrt()


class SGD:
    """h = momentum h + rate g; update h."""

    type = "SGD"
    histories = 1
    takes_momentum = True

    def __init__(self, param):
        self.param = param
        if not self.takes_momentum and param.momentum != 0:
            raise CaffeError(
                f"{self.type} takes no momentum, the prototxt gives {param.momentum:g}"
            )

    def update(self, g, h, rate, iteration):
        axpby(rate, g, self.param.momentum, h[0])
        g.copy_(h[0])


class Nesterov(SGD):
    """h as for SGD; update (1 + momentum) h - momentum h_before."""

    type = "Nesterov"

    def update(self, g, h, rate, iteration):
        momentum = self.param.momentum
        before = h[0].clone()
        axpby(rate, g, momentum, h[0])
        axpby(1 + momentum, h[0], -momentum, before)
        g.copy_(before)


class AdaGrad(SGD):
    """h = h + g^2; update rate g / (sqrt(h) + delta)."""

    type = "AdaGrad"
    takes_momentum = False

    def update(self, g, h, rate, iteration):
        h[0].add_(g * g)
        g.div_(root(h[0]).add_(self.param.delta)).mul_(rate)


class RMSProp(SGD):
    """h = rms_decay h + (1 - rms_decay) g^2; update rate g / (sqrt(h) + delta)."""

    type = "RMSProp"
    takes_momentum = False

    def __init__(self, param):
        super().__init__(param)
        if not 0 <= param.rms_decay < 1:
            raise CaffeError(f"rms_decay must lie in [0, 1), it is {param.rms_decay:g}")

    def update(self, g, h, rate, iteration):
        decay = self.param.rms_decay
        axpby(1 - decay, g * g, decay, h[0])
        g.div_(root(h[0]).add_(self.param.delta)).mul_(rate)


class AdaDelta(SGD):
    """h = momentum h + (1 - momentum) g^2, v = g sqrt((u + delta) / (h + delta)), u likewise of v;
    update rate v.
    """

    type = "AdaDelta"
    histories = 2

    def update(self, g, h, rate, iteration):
        momentum, delta = self.param.momentum, self.param.delta
        axpby(1 - momentum, g * g, momentum, h[0])
        g.mul_(root(h[1].add(delta).div_(h[0].add(delta))))
        axpby(1 - momentum, g * g, momentum, h[1])
        g.mul_(rate)


class Adam(SGD):
    """m, v the running means of g and g^2; update rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) +
    delta), t = iter + 1.
    """

    type = "Adam"
    histories = 2

    def update(self, g, h, rate, iteration):
        b1, b2 = self.param.momentum, self.param.momentum2
        t = iteration + 1
        axpby(1 - b1, g, b1, h[0])
        axpby(1 - b2, g * g, b2, h[1])
        correction = np.float32(
            math.sqrt(1 - b2**t) / (1 - b1**t)
        )  # Caffe's powers are double, its correction a float
        g.copy_(h[0]).div_(root(h[1]).add_(self.param.delta)).mul_(
            float(np.float32(rate) * correction)
        )


RULES = {rule.type: rule for rule in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)}
