"""Learning rate policies: the rate of iteration i, counted from 0 (Caffe: sgd_solver.cpp, GetLearningRate)."""

import math

import numpy as np

from caffe.error import CaffeError

POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")


def check(param):
    """Refuse an unknown policy, or one whose parameters are missing, before any work is done (SolverParameter)."""
    if param.lr_policy not in POLICIES:
        raise CaffeError(f"solver: unknown lr_policy '{param.lr_policy}'; known are {', '.join(POLICIES)}")
    if not param.HasField("base_lr"):
        raise CaffeError("solver: base_lr is missing")
    if param.lr_policy in ("step", "sigmoid") and param.stepsize < 1:
        raise CaffeError(f"solver: lr_policy '{param.lr_policy}' wants stepsize of at least 1")
    if param.lr_policy in ("step", "exp", "inv", "multistep", "sigmoid") and not param.HasField("gamma"):
        raise CaffeError(f"solver: lr_policy '{param.lr_policy}' wants gamma")
    if param.lr_policy == "sigmoid" and param.gamma < 0:
        raise CaffeError("solver: lr_policy 'sigmoid' wants gamma of at least 0")


def rate(param, iteration, current_step=0):
    """The learning rate and the step it belongs to.

    Parameters
    ----------
    param : SolverParameter
    iteration : int
    current_step : int
        Steps taken so far; kept by the solver for step and multistep, and saved in the solver state.

    Returns
    -------
    (float, int)
    """
    single = np.float32  # Caffe computes in float, and close to max_iter that shows
    base, gamma, policy = param.base_lr, param.gamma, param.lr_policy
    if policy == "fixed":
        factor = 1
    elif policy == "step":
        current_step = iteration // param.stepsize
        factor = gamma**current_step
    elif policy == "exp":
        factor = gamma**iteration
    elif policy == "inv":
        factor = float(single(1) + single(gamma) * single(iteration)) ** -param.power
    elif policy == "multistep":
        if current_step < len(param.stepvalue) and iteration >= param.stepvalue[current_step]:
            current_step += 1
        factor = gamma**current_step
    elif policy == "poly":
        left = single(1) - single(iteration) / single(param.max_iter)
        factor = max(0.0, float(left)) ** param.power
    else:
        factor = 1 / (1 + math.exp(-gamma * (iteration - param.stepsize)))
    return float(single(base * factor)), current_step
