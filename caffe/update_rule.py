"""The update of a net's parameters, by one of six rules (Caffe: *_solver.cpp).

Each rule turns a gradient into the value that is subtracted from the weights.  It works in place on
flat tensors of equal length: `g` comes in as the gradient (clipped, divided by iter_size, with
weight decay) and goes out as the update; `h` are the history tensors of this parameter.

Every step is rounded to float32 in the order of Caffe's CPU code, so the same gradient gives the
same weights to the last bit.  Any difference that remains, between two builds of Caffe or between
Caffe and this runtime, comes from the gradients.  AdaGrad and Adam divide by sqrt(h) + delta: where
a gradient nearly cancels (below delta, 1e-8 by default), a rounding error e of the gradient becomes
a step of up to base_lr / delta * e.
"""

# ruff: noqa: ARG002  only Adam uses the iteration that every rule is given

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import log, lr_policy
from caffe.error import CaffeError
from caffe.node import Parameter
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe.fused_update import AllAtOnce

# elements; during an update, the weights, diff and history of a chunk stay in a core's cache
CHUNK = 1 << 16


def axpby(alpha: float, x: torch.Tensor, beta: float, y: torch.Tensor) -> None:
    """y = alpha x + beta y, in place, rounded as in Caffe's caffe_cpu_axpby: y is scaled first."""
    y.mul_(beta).add_(x, alpha=alpha)


def root(x: torch.Tensor) -> torch.Tensor:
    """The correctly rounded square root, as C's sqrtf.

    On the CPU, torch.sqrt is sometimes off by one unit in the last place.
    """
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else x.sqrt()


Tensors = Sequence[torch.Tensor]


class SGD:
    """h = momentum h + rate g; the update is h."""

    type = "SGD"
    histories = 1
    takes_momentum = True

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        self.param = param
        if not self.takes_momentum and param.momentum != 0:
            raise CaffeError(
                f"{self.type} does not take momentum; the prototxt gives {param.momentum:g}"
            )

    def factor(self, rate: float, iteration: int) -> float:
        """The factor of the update in which the learning rate is; `rate` includes lr_mult."""
        return rate

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        """Turn the gradient `g` into the update, in place; `rate` includes lr_mult."""
        axpby(rate, g, self.param.momentum, h[0])
        g.copy_(h[0])


class Nesterov(SGD):
    """h as for SGD; the update is (1 + momentum) h - momentum h_before."""

    type = "Nesterov"

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        momentum = self.param.momentum
        before = h[0].clone()
        axpby(rate, g, momentum, h[0])
        axpby(1 + momentum, h[0], -momentum, before)
        g.copy_(before)


class AdaGrad(SGD):
    """h = h + g^2; the update is rate g / (sqrt(h) + delta)."""

    type = "AdaGrad"
    takes_momentum = False

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        h[0].add_(g * g)
        g.div_(root(h[0]).add_(self.param.delta)).mul_(rate)


class RMSProp(SGD):
    """h = rms_decay h + (1 - rms_decay) g^2; the update is rate g / (sqrt(h) + delta)."""

    type = "RMSProp"
    takes_momentum = False

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        super().__init__(param)
        if not 0 <= param.rms_decay < 1:
            raise CaffeError(f"rms_decay must lie in [0, 1), it is {param.rms_decay:g}")

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        decay = self.param.rms_decay
        axpby(1 - decay, g * g, decay, h[0])
        g.div_(root(h[0]).add_(self.param.delta)).mul_(rate)


class AdaDelta(SGD):
    """The update is rate v, where v = g sqrt((u + delta) / (h + delta)).

    h = momentum h + (1 - momentum) g^2 and, after v, u = momentum u + (1 - momentum) v^2.
    """

    type = "AdaDelta"
    histories = 2

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        momentum, delta = self.param.momentum, self.param.delta
        axpby(1 - momentum, g * g, momentum, h[0])
        g.mul_(root(h[1].add(delta).div_(h[0].add(delta))))
        axpby(1 - momentum, g * g, momentum, h[1])
        g.mul_(rate)


class Adam(SGD):
    """The update is rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + delta), with t = iter + 1.

    m and v are the running means of g and g^2, with b1 = momentum and b2 = momentum2.
    """

    type = "Adam"
    histories = 2

    def factor(self, rate: float, iteration: int) -> float:
        b1, b2, t = self.param.momentum, self.param.momentum2, iteration + 1
        # Caffe's powers are double, its correction a float
        correction = np.float32(math.sqrt(1 - b2**t) / (1 - b1**t))
        return float(np.float32(rate) * correction)

    def update(self, g: torch.Tensor, h: Tensors, rate: float, iteration: int) -> None:
        b1, b2 = self.param.momentum, self.param.momentum2
        axpby(1 - b1, g, b1, h[0])
        axpby(1 - b2, g * g, b2, h[1])
        g.copy_(h[0]).div_(root(h[1]).add_(self.param.delta)).mul_(self.factor(rate, iteration))


RULES = {rule.type: rule for rule in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)}


class Updater:
    """Updates the parameters of the net that a solver trains.

    Parameters
    ----------
    param : SolverParameter
    rule : SGD or another class of RULES
    parameters : sequence of Parameter

    Attributes
    ----------
    history : list of torch.Tensor
        In Caffe's order: the rule's first tensor of every parameter, then the second of every
        parameter.
    current_step : int
        Steps that the learning rate has taken (lr_policy step and multistep).
    scale : float
        The learning rate is the policy's times this; rollbacks lower it (see rollback.py).
    at_once : AllAtOnce or None
        Updates all parameters at once on a GPU (see fused_update.py).
    """

    def __init__(
        self, param: caffe_pb2.SolverParameter, rule: SGD, parameters: Sequence[Parameter]
    ) -> None:
        self.param, self.rule, self.parameters = param, rule, parameters
        blobs = [parameter.blob for parameter in parameters]
        self.history = [
            torch.zeros(blob.shape, device=blob.tensor().device)
            for _ in range(rule.histories)
            for blob in blobs
        ]
        self.current_step = 0
        self.scale = 1.0
        self.at_once: AllAtOnce | None = None
        self._index = {parameter: i for i, parameter in enumerate(parameters)}

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration, before lr_mult."""
        rate = lr_policy.rate(self.param, iteration, self.current_step)[0]
        return rate if self.scale == 1 else float(np.float32(rate * self.scale))

    def take_step(self, iteration: int) -> None:
        """Count the step that the learning rate takes at this iteration, if it takes one."""
        step = lr_policy.rate(self.param, iteration, self.current_step)[1]
        if step != self.current_step and self.param.lr_policy == "multistep":
            log.info("sgd_solver.cpp:50", f"MultiStep Status: Iteration {iteration}, step = {step}")
        self.current_step = step

    def update_all(self, rate: float, iteration: int) -> None:
        """Update every parameter by its diff, which becomes what was subtracted."""
        if self.at_once is not None:
            self.at_once.set_rate(rate, iteration)
            self.at_once.run([parameter.blob.diff_tensor() for parameter in self.parameters])
            self.at_once.log_clipping()
            return
        clip = self._clip_scale()
        for parameter in self.parameters:
            self.update(parameter, parameter.blob.diff_tensor(), rate, iteration, clip)

    @torch.no_grad()
    def update(
        self,
        parameter: Parameter,
        diff: torch.Tensor,
        rate: float,
        iteration: int,
        clip: float = 1,
        first: int = 0,
    ) -> None:
        """Update one parameter, or a part of it.

        Parameters
        ----------
        parameter : Parameter
        diff : torch.Tensor
            Its gradient, or a part of that; becomes what was subtracted.
        rate : float
            Before lr_mult.
        iteration : int
        clip : float
            Factor of the gradient.
        first : int
            The element of the parameter at which the part begins.
        """
        p = self.param
        decay = p.weight_decay * parameter.decay_mult
        local_rate = rate * parameter.lr_mult
        diff = diff.view(-1)
        part = slice(first, first + diff.numel())
        weight = parameter.blob.tensor().view(-1)[part]
        i, count = self._index[parameter], len(self.parameters)
        history = [self.history[k * count + i].view(-1)[part] for k in range(self.rule.histories)]
        size = CHUNK if weight.device.type == "cpu" else max(1, weight.numel())
        for at in range(0, weight.numel(), size):
            span = slice(at, at + size)
            w, g = weight[span], diff[span]
            if clip != 1:
                g.mul_(clip)
            if p.iter_size != 1:
                g.mul_(float(np.float32(1) / np.float32(p.iter_size)))
            if decay:
                g.add_(w if p.regularization_type == "L2" else w.sign(), alpha=decay)
            self.rule.update(g, [h[span] for h in history], local_rate, iteration)
            w.sub_(g)

    def _clip_scale(self) -> float:
        """The factor by which clip_gradients scales all diffs.

        It follows from the norm over all of them, before iter_size divides.
        """
        limit = self.param.clip_gradients
        if limit < 0:
            return 1
        squares = (p.blob.diff_tensor().double().square().sum() for p in self.parameters)
        norm = float(sum(squares)) ** 0.5
        return 1 if norm <= limit else self.log_clipping(norm)

    def log_clipping(self, norm: float) -> float:
        """Log, and return, the factor by which gradients of this norm are scaled down."""
        limit = self.param.clip_gradients
        scale = limit / norm
        log.info(
            "sgd_solver.cpp:99",
            f"Gradient clipping: scaling down gradients (L2 norm {log.number(norm)} >"
            f" {log.number(limit)}) by scale factor {log.number(scale)}",
        )
        return scale
