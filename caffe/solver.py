"""Solver: trains a net as a solver.prototxt says (Caffe: solver.cpp, sgd_solver.cpp)."""

import os
import time

import numpy as np
import torch

from caffe import (
    health,
    leftovers,
    log,
    lr_policy,
    mode,
    paired_data,
    prototxt,
    resume,
    snapshot,
    solver_nets,
)
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.signals import NONE, SNAPSHOT, STOP
from caffe.update_rule import RULES

SolverParameter = caffe_pb2.SolverParameter

CHUNK = (
    1 << 16
)  # elements: weights, diff and history of a chunk stay in a core's cache during an update
# on a GPU, where reading the loss waits for the device, it is checked once in so many iterations
LOOK = 100


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
    request : callable
        Asked after every iteration and before every test batch; returns 'none', 'stop' or
        'snapshot' (caffe/signals.py).
    """

    rule_type = None

    def __init__(self, solver, file=None):
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
        self.iter = self.current_step = 0
        self.request = lambda: NONE
        self.stopped_early = False
        self._callbacks = []
        self._losses = []
        self._check()
        log.info(
            "solver.cpp:45",
            "Initializing solver from parameters: \n" + prototxt.to_text(param).rstrip("\n"),
        )
        if param.random_seed >= 0:
            mode.set_random_seed(param.random_seed)
        self.net = solver_nets.train_net(param, self.file)
        self.test_nets = solver_nets.test_nets(param, self.file, self.net)
        for net in (self.net, *self.test_nets):
            paired_data.check(net)
        self.history = [
            torch.zeros(blob.shape, device=self.net.device)
            for _ in range(self.rule.histories)
            for blob in self.net.learnable
        ]
        log.info("solver.cpp:57", "Solver scaffolding done.")

    def _check(self):
        """Refuse settings that cannot be, before any net is built."""
        p = self.param
        if p.type not in RULES:
            raise CaffeError(
                f"{self.file}: unknown solver type '{p.type}'; the types are {', '.join(RULES)}"
            )
        try:
            lr_policy.check(p)
            self.rule = RULES[p.type](p)
        except CaffeError as error:
            raise CaffeError(f"{self.file}: {error}") from error
        if p.regularization_type not in ("L1", "L2"):
            raise CaffeError(
                f"{self.file}: unknown regularization_type '{p.regularization_type}'; the types are L1, L2"
            )
        if p.iter_size < 1 or p.average_loss < 1:
            raise CaffeError(f"{self.file}: iter_size and average_loss must be at least 1")
        solver_nets.set_prefix(p, self.file)
        if p.snapshot > 0:
            solver_nets.check_folder(p, self.file)

    @property
    def lr(self) -> float:
        """The learning rate of the next update, before lr_mult."""
        return lr_policy.rate(self.param, self.iter, self.current_step)[0]

    def share_weights(self, net):
        """Let `net` (Net) use the parameters of the net that is trained, by layer name."""
        net.share_trained_layers(self.net)

    # ------------------------------------------------------------------------------------------------------ training
    def add_callback(self, on_start, on_gradients_ready=None):
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

    def solve(self, resume_file=None):
        """Train until max_iter, then snapshot and test as the prototxt says; `resume_file` is
        restored first.
        """
        p = self.param
        if p.snapshot_after_train:
            solver_nets.check_folder(p, self.file)
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
        if p.display and self.iter % p.display == 0:
            self._remember(self.net.forward_backward(backward=False))
            log.info(
                "solver.cpp:327", f"Iteration {self.iter}, loss = {log.number(self._smoothed())}"
            )
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        log.info("solver.cpp:332", "Optimization Done.")

    def step(self, iterations):
        """Make `iterations` updates.

        Raises
        ------
        CaffeError
            The loss or, at a snapshot, a weight is NaN or infinite.
        """
        p, stop = self.param, self.iter + iterations
        self._losses = []
        self._last = (self.iter, time.perf_counter())
        self.stopped_early = False
        while self.iter < stop:
            self.net.clear_param_diffs()
            if (
                p.test_interval
                and self.iter % p.test_interval == 0
                and (self.iter > 0 or p.test_initialization)
            ):
                self.test_all()
                if self.stopped_early:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            self._iterate(display=bool(p.display) and self.iter % p.display == 0)
            request = self.request()
            if (
                p.snapshot > 0 and self.iter % p.snapshot == 0 and mode.root_solver()
            ) or request == SNAPSHOT:
                self.snapshot()
            if request == STOP:
                self.stopped_early = True
                break

    def _iterate(self, display):
        """One iteration: the gradients, the log lines, the update."""
        if self._updates_at_once():
            rate = self._forward_backward_update()
            self._look_at_loss(display)
            self._log_rate(rate)
            self.iter += 1
        else:
            self._remember(self._gradients(display and self.param.debug_info))
            self._look_at_loss(display)
            for _, ready in self._callbacks:
                if ready is not None:
                    ready()
            self.apply_update()

    def _look_at_loss(self, display):
        if display:
            self._display()
        if display or self.net.device.type == "cpu" or self.iter % LOOK == 0:
            health.check_loss(self._losses[-1], self.iter, self.param, self.file)
        if display and self.iter > 0:
            health.warn_of_collapse(self.net)

    def _updates_at_once(self):
        """Whether each weight may be updated as soon as its gradient is there, and the gradient
        forgotten.

        That keeps the largest gradient out of memory while the layers below are computed.  Not
        where somebody may look at the diffs (pycaffe, callbacks, snapshot_diff, debug_info) or all
        of them are wanted first (clipping, iter_size).
        """
        p = self.param
        looked_at = self.net.keep_blobs or self._callbacks or p.snapshot_diff or p.debug_info
        return not looked_at and p.iter_size == 1 and p.clip_gradients < 0

    def _forward_backward_update(self):
        rate = lr_policy.rate(self.param, self.iter, self.current_step)[0]
        waiting = set(range(len(self.net.learnable)))

        def update(i, grad):
            waiting.discard(i)
            self._update_one(i, grad, rate, 1)

        self._remember(self.net.forward_backward(gradient_ready=update))
        for i in sorted(waiting):  # parameters that no gradient reaches still decay
            self._update_one(i, torch.zeros_like(self.net.learnable[i].tensor()), rate, 1)
        return rate

    def _gradients(self, debug):
        """iter_size passes; returns the mean loss (0-d tensor, not synchronised)."""
        losses = []
        for _ in range(self.param.iter_size):
            if debug:
                self.net.debug_info = True
                loss = self.net.run_layers(0, len(self.net.layers) - 1)
                self.net.run_layers_back(len(self.net.layers) - 1, 0)
                self.net.debug_all()
                self.net.debug_info = False
                losses.append(torch.tensor(loss))
            else:
                losses.append(self.net.forward_backward())
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def _remember(self, loss):
        self._losses.append(loss)
        del self._losses[: -self.param.average_loss]

    def _smoothed(self):
        """Mean of the last average_loss losses (float)."""
        return float(torch.stack([x.cpu() for x in self._losses]).double().mean())

    def _display(self):
        loss = self._smoothed()
        now = time.perf_counter()
        lapse, done = now - self._last[1], self.iter - self._last[0]
        per_second = done / lapse if lapse > 0 else 0
        speed = f"{log.number(per_second)} iter/s, {log.number(round(lapse, 3))}s/{self.param.display} iters"
        log.info("solver.cpp:239", f"Iteration {self.iter} ({speed}), loss = {log.number(loss)}")
        self._last = (self.iter, now)
        self._log_outputs(
            "Train",
            "solver.cpp:258",
            self.net,
            [self.net.blob_list[i].tensor() for i in self.net.output_ids],
        )

    @staticmethod
    def _log_outputs(word, position, net, values):
        index = 0
        weights = net.blob_loss_weights
        for blob_id, value in zip(net.output_ids, values, strict=True):
            name = net.blob_names[blob_id]
            for number in value.reshape(-1).tolist():
                text = f"    {word} net output #{index}: {name} = {log.number(number)}"
                if weights[name]:
                    text += f" (* {log.number(weights[name])} = {log.number(weights[name] * number)} loss)"
                log.info(position, text)
                index += 1

    def test_all(self):
        """Run every test net for its test_iter batches and log the mean of each output; a request
        to stop ends it early.
        """
        if not mode.root_solver():
            return
        for i, net in enumerate(self.test_nets):
            if not self.stopped_early:
                self._test(i, net, self.param.test_iter[i])

    def _test(self, index, net, iterations):
        log.info("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net.share_trained_layers(self.net)
        sums, loss = None, 0.0
        for _ in range(iterations):
            self._answer_requests()
            if self.stopped_early:
                log.info("solver.cpp:396", "Test interrupted.")
                return
            if self.param.debug_info:
                net.debug_info = True
                loss += net.run_layers(0, len(net.layers) - 1)
            else:
                loss += net.forward_backward(backward=False)
            outputs = [net.blob_list[b].tensor().double() for b in net.output_ids]
            sums = outputs if sums is None else [a + b for a, b in zip(sums, outputs, strict=True)]
        if self.param.test_compute_loss:
            log.info("solver.cpp:399", f"Test loss: {log.number(float(loss) / iterations)}")
        self._log_outputs("Test", "solver.cpp:414", net, [s / iterations for s in sums or []])

    def _answer_requests(self):
        """Between two test batches: snapshot at once, note a request to stop."""
        while (request := self.request()) != NONE:
            if request == SNAPSHOT:
                self.snapshot()
            elif request == STOP:
                self.stopped_early = True

    # -------------------------------------------------------------------------------------------------------- update
    def apply_update(self):
        """Turn the parameters' diffs into updates, subtract them from the weights, and count the
        iteration.
        """
        rate = lr_policy.rate(self.param, self.iter, self.current_step)[0]
        self._log_rate(rate)
        clip = self._clip_scale()
        for i, blob in enumerate(self.net.learnable):
            self._update_one(i, blob.diff_tensor(), rate, clip)
        self.iter += 1

    def _log_rate(self, rate):
        p = self.param
        step = lr_policy.rate(p, self.iter, self.current_step)[1]
        if step != self.current_step and p.lr_policy == "multistep":
            log.info("sgd_solver.cpp:50", f"MultiStep Status: Iteration {self.iter}, step = {step}")
        self.current_step = step
        if p.display and self.iter % p.display == 0:
            log.info("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {log.number(rate)}")

    @torch.no_grad()
    def _update_one(self, i, diff, rate, clip):
        """Update parameter i; `diff` goes in as its gradient and comes out as what was subtracted."""
        p, net, count = self.param, self.net, len(self.net.learnable)
        decay = p.weight_decay * net.decay_mult[i]
        local_rate = rate * net.lr_mult[i]
        weight, diff = net.learnable[i].tensor().view(-1), diff.view(-1)
        history = [self.history[k * count + i].view(-1) for k in range(self.rule.histories)]
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
            self.rule.update(g, [h[span] for h in history], local_rate, self.iter)
            w.sub_(g)

    def _clip_scale(self):
        """What clip_gradients scales all diffs by; the norm is taken over all of them, before
        iter_size divides.
        """
        limit = self.param.clip_gradients
        if limit < 0:
            return 1
        norm = (
            float(sum(blob.diff_tensor().double().square().sum() for blob in self.net.learnable))
            ** 0.5
        )
        if norm <= limit:
            return 1
        scale = limit / norm
        log.info(
            "sgd_solver.cpp:99",
            f"Gradient clipping: scaling down gradients (L2 norm {log.number(norm)} > {log.number(limit)}) by scale factor"
            f" {log.number(scale)}",
        )
        return scale

    # ----------------------------------------------------------------------------------------------------- snapshots
    def snapshot(self):
        """Write `<snapshot_prefix>_iter_<iter>` .caffemodel and .solverstate (with .h5 for HDF5).

        Returns
        -------
        (str, str)
            Both names.

        Raises
        ------
        CaffeError
            A weight is NaN or infinite (then nothing is written), or a file cannot be written.
        """
        p = self.param
        health.check_weights(self)
        leftovers.remove(f"{p.snapshot_prefix}_iter_", "*")
        hdf5 = p.snapshot_format == SolverParameter.HDF5
        end = ".h5" if hdf5 else ""
        model = f"{p.snapshot_prefix}_iter_{self.iter}.caffemodel{end}"
        state = f"{p.snapshot_prefix}_iter_{self.iter}.solverstate{end}"
        kind = "HDF5" if hdf5 else "binary proto"
        log.info("solver.cpp:464", f"Snapshotting to {kind} file {model}")
        write = self.net.write_caffemodel_h5 if hdf5 else self.net.write_caffemodel
        write(model, p.snapshot_diff)
        log.info("sgd_solver.cpp:284", f"Snapshotting solver state to {kind} file {state}")
        snapshot.write_solverstate(state, self.iter, model, self.current_step, self.history)
        return model, state

    def restore(self, path):
        """Resume from a .solverstate (or .solverstate.h5): weights, history, iteration and step.

        Raises
        ------
        CaffeError
            The state does not belong to this net, or its weights' file is missing; the solver is
            then as it was.
        """
        path = os.fspath(path)
        state = snapshot.read_solverstate(path)
        if len(state.history) != len(self.history):
            raise CaffeError(
                f"{path}: holds {len(state.history)} history blobs, this solver ({self.param.type}) needs {len(self.history)};"
                " is it of another net or solver type?"
            )
        for i, (mine, theirs) in enumerate(zip(self.history, state.history, strict=True)):
            if tuple(mine.shape) != theirs.shape:
                raise CaffeError(
                    f"{path}: history blob {i} has the shape {theirs.shape}, this net needs {tuple(mine.shape)}"
                )
        if state.learned_net:
            self.net.copy_trained_layers(resume.weights_of(path, state))
        log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
        for mine, theirs in zip(self.history, state.history, strict=True):
            mine.copy_(torch.from_numpy(theirs.copy()))
        self.iter, self.current_step = state.iter, state.current_step

    def restore_newest(self):
        """Resume from the newest snapshot of snapshot_prefix that is whole and belongs to this net.

        Those that are damaged, of another net, or beyond max_iter are left out with a warning.

        Returns
        -------
        str or None
            The state resumed from; None where there is none, and the training starts from the
            beginning.
        """
        prefix = self.param.snapshot_prefix
        for path in resume.good(prefix):
            try:
                iteration = snapshot.read_solverstate(path).iter
                if iteration > self.param.max_iter:
                    raise CaffeError(
                        f"iteration {iteration} is beyond max_iter, {self.param.max_iter}"
                    )
                self.restore(path)
            except CaffeError as error:
                resume.skipped(path, error)
                continue
            log.info("caffe.cpp:235", f"Resuming from {path}")
            return path
        log.info(
            "caffe.cpp:235",
            f"Found no snapshot of {prefix} to resume from: starting at iteration 0",
        )
        return None

    def close(self):
        """Stop the nets' data threads."""
        for net in (self.net, *self.test_nets):
            net.close()


def _solver_class(kind):
    return type(
        f"{kind}Solver",
        (Solver,),
        {"rule_type": kind, "__doc__": f"A Solver with the update rule {kind}."},
    )


_classes = {kind: _solver_class(kind) for kind in RULES}
SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver = (
    _classes.values()
)


def get_solver(solver):
    """The solver of the type that a prototxt (a path, or a SolverParameter) names."""
    kind = solver.type if isinstance(solver, SolverParameter) else prototxt.read_solver(solver).type
    return _classes.get(kind, Solver)(solver)  # an unknown type is refused where it is used
