"""What a solver displays, in Caffe's log lines: losses, learning rates and its nets' outputs.

Others are told of the same at the same moments (see progress.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from caffe import log, progress

if TYPE_CHECKING:
    from caffe.net import NetCore
    from caffe.proto import caffe_pb2


class TrainingLog:
    """The displayed lines of a training, and the losses that they average.

    Parameters
    ----------
    param : SolverParameter

    Attributes
    ----------
    losses : list of torch.Tensor
        The losses of the last average_loss iterations (0-d); reading one waits for the GPU.
    watchers : progress.Watchers
        A list of what else is told of displays and tests.
    time_left : float
        A display also logs how much time is left until max_iter, if it is at least so many seconds.
        Infinite, the default: never.
    shows_wait : bool
        A display also logs which share of the time, since the one before, was waiting for data.
    shows_variance : bool
        A display also logs how much the scores that go into each loss differ between the images of
        the batch (`NetCore.output_variances`).
    """

    time_left: float = math.inf
    shows_wait: bool = False
    shows_variance: bool = False

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        self.param = param
        self.watchers = progress.Watchers()
        self._point: progress.Point | None = None  # of a display whose rate is not known yet
        self._resumed = False
        self.start(0)

    def start(self, iteration: int) -> None:
        """Begin a run of iterations: forget earlier times, and losses unless from a snapshot."""
        if not self._resumed:
            self.losses: list[torch.Tensor] = []
        self._resumed = False
        self._pace = progress.Pace(iteration)
        self.watchers.tell("begin", iteration)

    def resume(self, losses: Sequence[torch.Tensor]) -> None:
        """Let the next run of iterations average its losses with these."""
        self.losses = list(losses)[-self.param.average_loss :]
        self._resumed = True

    def displays(self, iteration: int) -> bool:
        """Whether this iteration is displayed."""
        return bool(self.param.display) and iteration % self.param.display == 0

    def remember(self, loss: torch.Tensor) -> None:
        """Add the loss of an iteration to the average."""
        self.losses.append(loss)
        del self.losses[: -self.param.average_loss]

    def smoothed_loss(self) -> float:
        """The mean of the remembered losses."""
        device = self.losses[-1].device  # those of a snapshot are on the CPU
        losses = torch.stack([loss.to(device) for loss in self.losses])
        return float(losses.cpu().double().mean())

    def iteration(self, iteration: int, net: NetCore) -> None:
        """Log the line with speed and loss, and a line per output of the training net."""
        loss, (done, lapse) = self.smoothed_loss(), self._pace.mark(iteration)
        per_second = done / lapse if lapse > 0 else 0
        speed = (
            f"{log.number(per_second)} iter/s,"
            f" {log.number(round(lapse, 3))}s/{self.param.display} iters"
        )
        log.info("solver.cpp:239", f"Iteration {iteration} ({speed}), loss = {log.number(loss)}")
        values = [blob.tensor() for blob in net.output_blobs]
        log_outputs("Train", "solver.cpp:258", net, values)
        wait = self._pace.data_wait(net, lapse)
        if wait is not None and self.shows_wait:
            log.info("solver.cpp:258", progress.data_wait(wait))
        variances = net.output_variances() if self.shows_variance else []
        for layer, variance in variances:
            log.info("solver.cpp:258", f"    Output variance into {layer}: {log.number(variance)}")
        left = self._pace.seconds_left(self.param.max_iter - iteration)
        if left is not None and left >= self.time_left:
            log.info("solver.cpp:258", progress.time_left(left))
        if self.watchers:
            images = per_second * self.param.iter_size * progress.batch_size(net)
            self._point = progress.Point(
                iteration,
                loss,
                progress.named(net, values),
                rate=0.0,
                images_per_second=images or None,
                data_wait=wait,
                variances=dict(net.output_variances()),
            )

    def last_loss(self, iteration: int) -> None:
        """Log the loss after the last iteration."""
        loss = log.number(self.smoothed_loss())
        log.info("solver.cpp:327", f"Iteration {iteration}, loss = {loss}")

    def rate(self, iteration: int, rate: float) -> None:
        """Log the learning rate if this iteration is displayed."""
        if self.displays(iteration):
            log.info("sgd_solver.cpp:112", f"Iteration {iteration}, lr = {log.number(rate)}")
            if self._point is not None and self._point.iteration == iteration:
                self.watchers.tell("train", replace(self._point, rate=rate))
                self._point = None

    def test(
        self, iteration: int, index: int, net: NetCore, values: Sequence[torch.Tensor]
    ) -> None:
        """Log a line per output of a test net, each the mean over the batches."""
        log_outputs("Test", "solver.cpp:414", net, values)
        if self.watchers:
            self.watchers.tell("test", iteration, index, progress.named(net, values))


def log_outputs(word: str, position: str, net: NetCore, values: Sequence[torch.Tensor]) -> None:
    """Log a line per number of a net's outputs.

    Parameters
    ----------
    word : {'Train', 'Test'}
    position : str
        Caffe's source position, for the log line.
    net : NetCore
    values : sequence of torch.Tensor
        One per output blob.
    """
    for index, text in enumerate(output_texts(net, values)):
        log.info(position, f"    {word} net output #{index}: {text}")


def output_texts(net: NetCore, values: Sequence[torch.Tensor]) -> Iterator[str]:
    """``name = value`` for every number of a net's outputs, with its part in the loss, if any.

    Parameters
    ----------
    net : NetCore
    values : sequence of torch.Tensor
        One per output blob.
    """
    weights = net.loss_weights
    for blob, value in zip(net.output_blobs, values, strict=True):
        weight = weights[blob]
        for number in value.reshape(-1).tolist():
            text = f"{blob.name} = {log.number(number)}"
            if weight:
                text += f" (* {log.number(weight)} = {log.number(weight * number)} loss)"
            yield text
