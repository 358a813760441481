"""Learning rate policies: the rate of iteration i, counted from 0.

Caffe: sgd_solver.cpp, GetLearningRate.
"""

import numpy as np

from caffe.error import CaffeError
from caffe.proto.caffe_pb2 import SolverParameter

POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")


def check(param: SolverParameter) -> None:
    """Refuse an unknown policy, or settings that it cannot use, before any work is done.

    As in Caffe, a missing gamma is 0: the rate is base_lr at first, and 0 once the policy applies
    gamma.

    Parameters
    ----------
    param : SolverParameter

    Raises
    ------
    CaffeError
        Without the solver's file name, which the caller adds.
    """
    if param.lr_policy not in POLICIES:
        given = (
            f"unknown lr_policy '{param.lr_policy}'" if param.lr_policy else "lr_policy is missing"
        )
        raise CaffeError(f"{given}; the policies are {', '.join(POLICIES)}")
    if not param.HasField("base_lr"):
        raise CaffeError("base_lr is missing")
    if param.lr_policy in ("step", "sigmoid") and param.stepsize < 1:
        raise CaffeError(f"lr_policy '{param.lr_policy}' needs a stepsize of at least 1")
    if param.lr_policy in ("step", "exp", "inv", "multistep", "sigmoid") and not param.gamma >= 0:
        raise CaffeError(
            f"lr_policy '{param.lr_policy}' needs a gamma of at least 0, not {param.gamma:g}"
        )


def rate(param: SolverParameter, iteration: int, current_step: int = 0) -> tuple[float, int]:
    """The learning rate and the step it belongs to.

    Parameters
    ----------
    param : SolverParameter
    iteration : int
    current_step : int
        Steps taken so far; kept by the solver for step and multistep, and saved in the solver
        state.

    Returns
    -------
    (float, int)
    """
    # Each operation in Caffe's precision: pow(float, int) is a double, pow(float, float) and
    # exp(float) are floats.
    single = np.float32
    base, gamma, policy = single(param.base_lr), single(param.gamma), param.lr_policy
    power, stepsize = param.power, param.stepsize
    if policy == "fixed":
        return float(base), current_step
    if policy in ("step", "exp", "multistep"):
        if policy == "step":
            current_step = iteration // stepsize
        elif (
            policy == "multistep"
            and current_step < len(param.stepvalue)
            and iteration >= param.stepvalue[current_step]
        ):
            current_step += 1
        factor = float(gamma) ** (iteration if policy == "exp" else current_step)
        return float(single(float(base) * factor)), current_step
    if policy == "inv":
        factor = _float_power(single(1) + gamma * single(iteration), -power)
    elif policy == "poly":
        left = single(1) - single(iteration) / single(param.max_iter)
        factor = _float_power(max(single(0), left), power)
    else:
        factor = single(1) / (single(1) + np.exp(-gamma * (single(iteration) - single(stepsize))))
    return float(base * factor), current_step


def _float_power(base: float, exponent: float) -> np.float32:
    """C's powf: the double power, rounded to float32."""
    return np.float32(float(base) ** exponent)
