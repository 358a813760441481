"""Solver: trains a net as a solver.prototxt says (Caffe: solver.cpp, sgd_solver.cpp)."""

from __future__ import annotations

import os
from collections.abc import Callable

from caffe import (
    allocation,
    cuda_graph,
    fused_update,
    health,
    iteration,
    leftovers,
    log,
    mode,
    paired_data,
    processes,
    prototxt,
    resume,
    resume_point,
    shared_training,
    snapshot,
    solver_nets,
    solver_settings,
    solver_tests,
)
from caffe.captured_iteration import CapturedIteration
from caffe.proto.caffe_pb2 import SolverParameter
from caffe.pycaffe import Net
from caffe.rollback import Rollback
from caffe.signals import NONE, SNAPSHOT, STOP
from caffe.training_log import TrainingLog
from caffe.update_rule import Updater

# Reading the loss waits for a GPU, so there it is checked only once in so many iterations.
LOSS_CHECK_INTERVAL = 100


class Solver:
    """A solver, its training net and its test nets.

    Parameters
    ----------
    solver : str or SolverParameter
        The solver's prototxt.
    file : str, optional
        Where a SolverParameter comes from, for errors and for the default of snapshot_prefix.

    Attributes
    ----------
    net : Net
    test_nets : list of Net
    iter : int
        Number of updates made.
    lr : float
        The learning rate of the next update.
    param : SolverParameter
    updater : Updater
        The update rule with its history.
    request : callable
        Asked after every iteration and before every test batch; returns 'none', 'stop' or
        'snapshot' (caffe/signals.py).
    stopped_early : bool
        A request has stopped the training.
    collapsed_outputs : float
        Warn, at each displayed iteration, where the scores that go into a loss vary less than this
        between the images of the batch (the variance, averaged over the scores).  0: never.  The
        default is far below what is usual: nets that learn topics had 2.7e-5 and more, collapsed
        ones 1e-9.
    keep : int
        How many snapshots to keep.  0: all.
    restored : Restored or None
        The resume points of the snapshot that the training has resumed from.
    others : list of bytes
        Where the other processes of this training were when they last said so: their resume points.
    rollback : Rollback or None
        Brings the training back to a snapshot when it diverges.  None: it ends then.
    recorder : Recorder or None
        Captures iterations on a GPU (captured_iteration.py).
    captured : CapturedIteration or None
        The iterations as they were captured.
    not_captured : str or None
        Why they are not; None until the first one.
    """

    collapsed_outputs: float = 1e-7
    keep: int = 0
    rollback: Rollback | None = None
    rule_type: str | None = None  # overrules the prototxt's type

    def __init__(
        self,
        solver: str | os.PathLike[str] | SolverParameter,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.file = os.fspath(file or "solver")
        if isinstance(solver, SolverParameter):
            param = SolverParameter()
            param.CopyFrom(solver)
        else:
            self.file = os.fspath(solver)
            param = prototxt.read_solver(solver)
        if self.rule_type:
            param.type = self.rule_type
        self.param = param
        self.iter, self.stopped_early = 0, False
        self.request: Callable[[], str] = lambda: NONE
        self.begun_at: resume_point.ResumePoint | None = None
        self.restored: resume_point.Restored | None = None
        self.others: list[bytes] = []
        self.exchange: shared_training.Gradients | None = None
        self.captured: CapturedIteration | None = None
        self.not_captured: str | None = None
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object] | None]] = []
        rule = solver_settings.check(param, self.file)
        log.info(
            "solver.cpp:45",
            "Initializing solver from parameters: \n" + prototxt.to_text(param).rstrip("\n"),
        )
        mode.seed_solver(param.random_seed)
        self.net: Net = solver_nets.train_net(param, self.file)
        self.test_nets = solver_nets.test_nets(param, self.file, self.net)
        for net in (self.net, *self.test_nets):
            paired_data.check(net)
        with allocation.enough_for(f"{self.file}: the history of the updates", "num_output"):
            self.updater = Updater(param, rule, self.net.learnable)
        self.recorder = cuda_graph.recorder_of(self.net.device)
        if self.recorder is not None:
            self.updater.at_once = fused_update.of(self.updater, keeps_diffs=True)
        self.training_log = TrainingLog(param)
        log.info("solver.cpp:57", "Solver scaffolding done.")

    @property
    def lr(self) -> float:
        """The learning rate of the next update, before lr_mult."""
        return self.updater.rate(self.iter)

    def share_weights(self, net: Net) -> None:
        """Let `net` use the parameters of the net that is trained, by layer name."""
        net.share_trained_layers(self.net)

    # ----------------------------------------------------------------------------------- training
    def add_callback(
        self,
        on_start: Callable[[], object],
        on_gradients_ready: Callable[[], object] | None = None,
    ) -> None:
        """Call back during training.

        Parameters
        ----------
        on_start : callable
            Called before each iteration; or an object that has both methods (pycaffe's NCCL).
        on_gradients_ready : callable, optional
            Called before each update.
        """
        if hasattr(on_start, "on_gradients_ready"):
            on_start, on_gradients_ready = on_start.on_start, on_start.on_gradients_ready
        self._callbacks.append((on_start, on_gradients_ready))

    @property
    def has_callbacks(self) -> bool:
        """Whether anybody is called back."""
        return bool(self._callbacks)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train until max_iter, then snapshot and test as the prototxt says.

        Parameters
        ----------
        resume_file : str, optional
            A .solverstate to restore first.
        """
        p = self.param
        if p.snapshot_after_train and mode.root_solver():
            solver_settings.check_folder(p, self.file)
            leftovers.remove(f"{p.snapshot_prefix}_iter_", "*")
        log.info("solver.cpp:289", f"Solving {self.net.name}")
        log.info("solver.cpp:290", f"Learning Rate Policy: {p.lr_policy}")
        if resume_file is not None:
            log.info("solver.cpp:296", f"Restoring previous solver status from {resume_file}")
            self.restore(resume_file)
        self.step(p.max_iter - self.iter)
        if p.snapshot_after_train and (not p.snapshot or self.iter % p.snapshot != 0):
            self.snapshot()
        if self.stopped_early:
            log.info("solver.cpp:311", "Optimization stopped early.")
            return
        if self.training_log.displays(self.iter):
            loss = self.net.forward_backward(backward=False)
            self.training_log.remember(processes.mean(loss))
            self.training_log.last_loss(self.iter)
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        log.info("solver.cpp:332", "Optimization Done.")

    def step(self, iterations: int) -> None:
        """Make `iterations` updates; after a rollback, go on to the same iteration.

        Raises
        ------
        CaffeError
            The loss or, at a snapshot, a weight is NaN or infinite, and there is no rollback.
        """
        stop = self.iter + iterations
        self.training_log.start(self.iter)
        self.stopped_early = False
        while self.iter < stop and not self.stopped_early:
            try:
                self._turn()
                if self.rollback and self.iter == stop:
                    health.check_weights(self)
            except health.Diverged as error:
                if self.rollback is None:
                    raise
                self.rollback.go_back(self, error)
        self.net.check_indices()

    def _turn(self) -> None:
        """One iteration, with the tests before it, and the snapshot after it, that are due."""
        p = self.param
        self.begun_at = resume_point.take(self)
        self.net.clear_param_diffs()
        tests = p.test_interval > 0 and self.iter % p.test_interval == 0
        if tests and (self.iter > 0 or p.test_initialization):
            self.test_all()
            if self.stopped_early:
                return
        for on_start, _ in self._callbacks:
            on_start()
        self._iterate()
        request = processes.agreed(self.request())
        self.stopped_early = request == STOP
        due = p.snapshot > 0 and self.iter % p.snapshot == 0
        if (due and (mode.root_solver() or processes.together())) or request == SNAPSHOT:
            self.snapshot()

    def _iterate(self) -> None:
        """One iteration: the gradients, the log lines, the update."""
        captured = iteration.captured(self)
        if captured or iteration.updates_at_once(self):
            rate = self.updater.rate(self.iter)
            if captured:
                loss = captured.run(rate, self.training_log.displays(self.iter))
            else:
                loss = iteration.update_at_once(self, rate)
            self.training_log.remember(loss)
            self._look_at_loss()
            self._take_rate_step(rate)
            self.iter += 1
        else:
            self.training_log.remember(iteration.gradients(self))
            self._look_at_loss()
            for _, ready in self._callbacks:
                if ready is not None:
                    ready()
            self.apply_update()

    def _look_at_loss(self) -> None:
        """Display the loss if it is due, and check it."""
        display = self.training_log.displays(self.iter)
        check = display or self.net.device.type == "cpu" or self.iter % LOSS_CHECK_INTERVAL == 0
        if check:
            self.net.check_indices()
        if display:
            self.training_log.iteration(self.iter, self.net)
        if check:
            health.check_loss(self.training_log.losses[-1], self.iter, self.param, self.file)
        if display and self.iter > 0 and self.collapsed_outputs:
            health.warn_of_collapse(self.net, self.collapsed_outputs)

    def apply_update(self) -> None:
        """Update the weights from the diffs, which become the updates; count the iteration."""
        rate = self.updater.rate(self.iter)
        self._take_rate_step(rate)
        self.updater.update_all(rate, self.iter)
        self.iter += 1

    def _take_rate_step(self, rate: float) -> None:
        self.updater.take_step(self.iter)
        self.training_log.rate(self.iter, rate)

    # ------------------------------------------------------------------------------------ testing
    def test_all(self) -> None:
        """Run every test net, as solver_tests.run does."""
        solver_tests.run(self)

    # ---------------------------------------------------------------------------------- snapshots
    def snapshot(self) -> tuple[str, str] | None:
        """Write weights and state, as snapshot.take does, and return the names of both files.

        Several processes call this together; the root writes, and the others return None.

        Raises
        ------
        CaffeError
            A weight is NaN or infinite (then nothing is written), or a file cannot be written.
        """
        shared_training.gather_points(self)
        return None if processes.together() and mode.solver_rank() else self.write_snapshot()

    def write_snapshot(self) -> tuple[str, str]:
        """Write a snapshot of this process, whatever the others do; returns its names."""
        health.check_weights(self)
        names = snapshot.take(self)
        if self.rollback:
            self.rollback.note(names[1])
        resume.remove_older(self.param.snapshot_prefix, self.iter, self.keep)
        return names

    def restore(self, path: str | os.PathLike[str], restart_data: bool = False) -> None:
        """Resume from a .solverstate (or .solverstate.h5), as snapshot.restore does."""
        self._forget_captured()  # its data and its losses go elsewhere
        snapshot.restore(self, path, restart_data)
        if self.rollback:
            self.rollback.note(os.fspath(path))

    def restore_newest(self, restart_data: bool = False) -> str | None:
        """Resume from the newest good snapshot, as resume.restore_newest does; return its name."""
        return resume.restore_newest(self, restart_data)

    def close(self) -> None:
        """Stop the nets' data threads, and free the captured iterations."""
        self._forget_captured()
        for net in (self.net, *self.test_nets):
            net.close()

    def _forget_captured(self):
        if self.captured is not None:
            self.captured.close()
            self.captured = None
