"""The update of all parameters of a net at once, on the device (see update_rule.py).

Each operation takes the list of all parameters, so a few kernels do what would otherwise take one
kernel per parameter and step.  Nothing waits for the GPU: the clipping scale stays on the device,
and so does the learning rate, or it is a constant of the CUDA graph.

Numbers differ from those of update_rule.py by rounding: a product and a sum may be rounded once
where Caffe rounds twice.  The CPU keeps update_rule.py, which works on pieces that fit into its
cache and gives Caffe's numbers to the last bit.
"""

# ruff: noqa: ARG002  a constant rate does not depend on the iteration

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch

from caffe.proto.caffe_pb2 import SolverParameter
from caffe.update_rule import Updater

# A learning rate that stays the same for so many iterations can be a constant of a CUDA graph,
# which is captured again when the rate changes.
RARELY = 200

Tensors = list[torch.Tensor]


def of(updater: Updater, keeps_diffs: bool = False) -> AllAtOnce:
    """The fastest way to update all parameters of `updater` at once.

    Parameters
    ----------
    updater : Updater
    keeps_diffs : bool
        The gradients become what was subtracted, as in Caffe.
    """
    p = updater.param
    rarely = p.lr_policy in ("fixed", "multistep") or (
        p.lr_policy == "step" and p.stepsize >= RARELY
    )
    # without momentum, PyTorch keeps no v, and the rate would be lost
    fusible = updater.rule.type == "SGD" and p.momentum and p.regularization_type == "L2"
    return (FusedSGD if fusible and rarely and not keeps_diffs else AllAtOnce)(updater, keeps_diffs)


class AllAtOnce:
    """Any of the six rules, with the learning rate as numbers on the device.

    Parameters
    ----------
    updater : Updater
    keeps_diffs : bool
        As for `of`.

    Attributes
    ----------
    norm : torch.Tensor
        Of the gradients, before clip_gradients scales them (0-d float64, on the device); it stays 0
        without clip_gradients.
    """

    def __init__(self, updater: Updater, keeps_diffs: bool = False) -> None:
        self.updater, self.keeps_diffs = updater, keeps_diffs
        parameters = updater.parameters
        self.groups: dict[tuple[float, float], list[int]] = {}  # parameters with equal multipliers
        for i, parameter in enumerate(parameters):
            self.groups.setdefault((parameter.lr_mult, parameter.decay_mult), []).append(i)
        self._group_of = {i: group for group, members in self.groups.items() for i in members}
        device = parameters[0].blob.tensor().device if parameters else torch.device("cpu")
        self.norm = torch.zeros((), dtype=torch.float64, device=device)
        self._factors = {group: torch.zeros((), device=device) for group in self.groups}
        self._known: dict[tuple[float, float], float] = {}  # what the factors hold

    def set_rate(self, rate: float, iteration: int) -> tuple[float, ...]:
        """Set the learning rate, before lr_mult, of the next `run`.

        Returns
        -------
        tuple of float
            What becomes a constant of a captured graph.
        """
        for group, factor in self._factors.items():
            value = self.updater.rule.factor(rate * group[0], iteration)
            if self._known.get(group) != value:
                factor.fill_(value)
                self._known[group] = value
        return ()

    @torch.no_grad()
    def run(self, gradients: Sequence[torch.Tensor], done: Collection[int] = ()) -> None:
        """Update all parameters.

        Parameters
        ----------
        gradients : sequence of torch.Tensor
            One per parameter of the updater, contiguous, on the device; they are overwritten.
        done : collection of int
            Positions of the parameters that `run_one` has updated already.
        """
        p = self.updater.param
        gradients = [gradient.view(-1) for gradient in gradients]
        if not gradients:
            return
        if p.clip_gradients >= 0:
            self._clip(gradients)
        if p.iter_size != 1:
            torch._foreach_mul_(gradients, float(np.float32(1) / np.float32(p.iter_size)))
        for group, members in self.groups.items():
            left = [i for i in members if i not in done]
            if left:
                self._update(group, left, [gradients[i] for i in left])

    @torch.no_grad()
    def run_one(self, i: int, gradient: torch.Tensor) -> None:
        """Update one parameter, without clip_gradients and iter_size, which need all gradients.

        Parameters
        ----------
        i : int
            Its position.
        gradient : torch.Tensor
            As for `run`.
        """
        self._update(self._group_of[i], [i], [gradient.view(-1)])

    def _update(self, group: tuple[float, float], members: list[int], gradients: Tensors) -> None:
        weights, histories = self._state(members)
        decay = self.updater.param.weight_decay * group[1]
        if decay:
            l2 = self.updater.param.regularization_type == "L2"
            penalties = weights if l2 else torch._foreach_sign(weights)
            torch._foreach_add_(gradients, penalties, alpha=decay)
        rule = RULES[self.updater.rule.type]
        updates = rule(self.updater.param, gradients, histories, self._factors[group])
        torch._foreach_sub_(weights, updates)
        if self.keeps_diffs and updates is not gradients:
            torch._foreach_copy_(gradients, updates)

    def _state(self, members: list[int]) -> tuple[Tensors, list[Tensors]]:
        """Weights, and the rule's history tensors, of some parameters, all flat."""
        updater = self.updater
        count = len(updater.parameters)
        weights = [updater.parameters[i].blob.tensor().view(-1) for i in members]
        histories = [
            [updater.history[k * count + i].view(-1) for i in members]
            for k in range(updater.rule.histories)
        ]
        return weights, histories

    def _clip(self, gradients: Tensors) -> None:
        norms = torch.stack(torch._foreach_norm(gradients)).double()
        self.norm.copy_(norms.square().sum().sqrt())
        scale = (self.updater.param.clip_gradients / self.norm).clamp(max=1)
        torch._foreach_mul_(gradients, scale.float())

    def log_clipping(self) -> None:
        """Log that the last `run` has clipped, if it has; this waits for the GPU."""
        limit = self.updater.param.clip_gradients
        if limit >= 0 and (norm := float(self.norm)) > limit:
            self.updater.log_clipping(norm)


class FusedSGD(AllAtOnce):
    """SGD with L2 decay in one kernel per group, with the learning rate as a constant.

    PyTorch's SGD computes v = momentum v + (1 - dampening) g and w = w - lr v.  With 1 - dampening
    as Caffe's learning rate, and lr 1, v is Caffe's history and the rule is Caffe's.
    """

    rate = 0.0

    def set_rate(self, rate: float, iteration: int) -> tuple[float, ...]:
        self.rate = rate
        return (rate,)

    def _update(self, group: tuple[float, float], members: list[int], gradients: Tensors) -> None:
        weights, (history,) = self._state(members)
        p, (lr_mult, decay_mult) = self.updater.param, group
        torch._fused_sgd_(
            weights,
            gradients,
            history,
            weight_decay=p.weight_decay * decay_mult,
            momentum=p.momentum,
            lr=1.0,
            dampening=1 - self.rate * lr_mult,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


# ------------------------------------------------------------------------------------- the rules
# Each returns what is subtracted from the weights.  `g` are the gradients, which it may overwrite;
# `h` the lists of history tensors; `factor` the learning rate (0-d, on the device).


def _sgd(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    torch._foreach_mul_(g, factor)
    torch._foreach_mul_(h[0], p.momentum)
    torch._foreach_add_(h[0], g)
    return h[0]


def _nesterov(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    updates = torch._foreach_mul(h[0], -p.momentum)
    _sgd(p, g, h, factor)
    torch._foreach_add_(updates, h[0], alpha=1 + p.momentum)
    return updates


def _adagrad(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    torch._foreach_addcmul_(h[0], g, g)
    return _divided(p, g, h[0], factor)


def _rmsprop(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    _average(h[0], p.rms_decay, g, g)
    return _divided(p, g, h[0], factor)


def _adadelta(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    _average(h[0], p.momentum, g, g)
    ratios = torch._foreach_add(h[1], p.delta)
    torch._foreach_div_(ratios, torch._foreach_add(h[0], p.delta))
    torch._foreach_sqrt_(ratios)
    torch._foreach_mul_(g, ratios)
    _average(h[1], p.momentum, g, g)
    torch._foreach_mul_(g, factor)
    return g


def _adam(p: SolverParameter, g: Tensors, h: list[Tensors], factor: torch.Tensor) -> Tensors:
    torch._foreach_mul_(h[0], p.momentum)
    torch._foreach_add_(h[0], g, alpha=1 - p.momentum)
    _average(h[1], p.momentum2, g, g)
    torch._foreach_copy_(g, h[0])
    return _divided(p, g, h[1], factor)


def _average(mean: Tensors, keep: float, a: Tensors, b: Tensors) -> None:
    """mean = keep mean + (1 - keep) a b."""
    torch._foreach_mul_(mean, keep)
    torch._foreach_addcmul_(mean, a, b, value=1 - keep)


def _divided(p: SolverParameter, g: Tensors, squares: Tensors, factor: torch.Tensor) -> Tensors:
    """g = factor g / (sqrt(squares) + delta)."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, p.delta)
    torch._foreach_div_(g, roots)
    torch._foreach_mul_(g, factor)
    return g


Rule = Callable[[SolverParameter, Tensors, list[Tensors], torch.Tensor], Tensors]
RULES: dict[str, Rule] = {
    "SGD": _sgd,
    "Nesterov": _nesterov,
    "AdaGrad": _adagrad,
    "RMSProp": _rmsprop,
    "AdaDelta": _adadelta,
    "Adam": _adam,
}
