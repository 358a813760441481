"""What the processes of one training exchange (Caffe: parallel.cpp): the start, the gradients, and
where each of them is in its data.

Caffe adds the gradients of all solvers and divides them by the number of solvers, so that N solvers
with a batch of B make the update of one solver with N x B records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from caffe import mode, processes, resume_point

if TYPE_CHECKING:
    from caffe.node import Parameter
    from caffe.pycaffe import Net
    from caffe.solver import Solver

# Bytes at which a bucket is full: few enough that most buckets travel while backward computes.
BUCKET = 25 << 20


def share_start(solver: Solver) -> None:
    """Let all processes start where the root is: with its weights, history and iteration.

    The root alone has read a snapshot; each of the others gets its own resume point from it.
    """
    if not processes.together():
        return
    if solver.net.device.type == "cuda":
        torch.cuda.set_device(solver.net.device)  # where NCCL works
    places = solver.restored.points if solver.restored else []
    path = solver.restored.path if solver.restored else ""
    updater = solver.updater
    start = (solver.iter, updater.current_step, updater.scale, places, path)
    # first, because this waits for a root that is still busy; NCCL's first exchange gives up early
    start = processes.of_root(start)
    processes.take_from_root([p.blob.tensor() for p in solver.net.learnable])
    processes.take_from_root(updater.history)
    solver.iter, updater.current_step, updater.scale, places, path = start
    if 0 < mode.solver_rank() < len(places):
        resume_point.restore(solver, resume_point.read(places[mode.solver_rank()], path), path)


def gather_points(solver: Solver) -> None:
    """Tell the root where every process is, for the next snapshot."""
    if processes.together():
        point = resume_point.of_snapshot(solver).to_bytes()
        solver.others = processes.gathered(point)[1:]


class _Bucket:
    """Gradients of some parameters, side by side in one tensor that travels as a whole.

    Attributes
    ----------
    missing : set of Parameter
        Those whose last gradient of this iteration is not here yet.
    """

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        device = parameters[0].blob.tensor().device
        counts = [parameter.blob.count for parameter in parameters]
        self.flat = torch.zeros(sum(counts), device=device)
        self.parts = dict(zip(parameters, self.flat.split(counts), strict=True))

    def clear(self) -> None:
        self.flat.zero_()
        self.missing = set(self.parameters)
        self.work = None


class Gradients:
    """The gradients of an iteration, summed over the processes while backward still runs.

    Buckets travel in the same order in every process, the last layers' first; a bucket waits until
    the ones before it have left.

    Parameters
    ----------
    net : Net
        The net that is trained.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        wanted = net.wanted_parameters()
        self.buckets: list[_Bucket] = []
        self._of: dict[Parameter, _Bucket] = {}
        group: list[Parameter] = []
        learnt = [parameter for parameter in reversed(net.learnable) if parameter in wanted]
        for i, parameter in enumerate(learnt):
            group.append(parameter)
            full = sum(p.blob.count for p in group) * 4 >= BUCKET
            if full or i + 1 == len(learnt):
                self._add(group)
                group = []

    def _add(self, parameters: list[Parameter]):
        bucket = _Bucket(parameters)
        self.buckets.append(bucket)
        self._of.update(dict.fromkeys(parameters, bucket))

    def compute(self, passes: int, debug: bool) -> torch.Tensor:
        """Run forward and backward; the parameters' diffs become means over the processes.

        Parameters
        ----------
        passes : int
            iter_size; as always, their gradients add up.
        debug : bool
            Log debug_info's lines.

        Returns
        -------
        torch.Tensor
            The mean loss over passes and processes (0-d, not synchronised).
        """
        for bucket in self.buckets:
            bucket.clear()
        self._left = 0  # buckets that have left
        losses = [self._pass(debug, last=i + 1 == passes) for i in range(passes)]
        self._send(len(self.buckets))
        loss = torch.stack([loss.detach().reshape(()) for loss in losses]).mean()
        for bucket in self.buckets:
            processes.wait_for(bucket.work)
            bucket.flat.mul_(1 / mode.solver_count())
            for parameter, part in bucket.parts.items():
                parameter.blob.put_diff(part.view(parameter.blob.shape))
        return processes.mean(loss)

    def _pass(self, debug: bool, last: bool):
        def take(parameter: Parameter, gradient: torch.Tensor) -> None:
            bucket = self._of[parameter]
            bucket.parts[parameter].add_(gradient.reshape(-1))
            if last:
                bucket.missing.discard(parameter)
                while self._left < len(self.buckets) and not self.buckets[self._left].missing:
                    self._send(self._left + 1)

        if not debug:
            return self.net.forward_backward(gradient_ready=take)
        loss = self.net.debug_forward_backward()
        for parameter in self._of:
            take(parameter, parameter.blob.diff_tensor())
            parameter.blob.clear_diff()
        return loss

    def _send(self, end: int):
        """Let all buckets before number `end` leave."""
        for bucket in self.buckets[self._left : end]:
            bucket.work = processes.start_sum(bucket.flat)
        self._left = max(self._left, end)


def gradients_of(solver: Solver) -> Gradients:
    """A solver's exchange of gradients, made when it is first needed."""
    if solver.exchange is None:
        solver.exchange = Gradients(solver.net)
    return solver.exchange


def average_outputs(net: Net) -> None:
    """Replace the outputs of a net that are single numbers, such as losses, by their means over the
    processes, to display them.
    """
    if not processes.together():
        return
    for blob in net.output_blobs:
        if blob.count == 1:
            blob.put(processes.mean(blob.tensor()).reshape(blob.shape))
