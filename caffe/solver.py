"""Solver: trains a net as a solver.prototxt says (Caffe: solver.cpp, sgd_solver.cpp)."""

import os
import time

import torch

from caffe import log, lr_policy, mode, prototxt, snapshot
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.pycaffe import Net
from caffe.update_rule import RULES

SolverParameter = caffe_pb2.SolverParameter

# What may come in from outside between two iterations (a signal).
NONE, STOP, SNAPSHOT = "none", "stop", "snapshot"

# Outputs whose variance over the images of a batch is below this are taken for collapsed.  A healthy TextTopicNet shows
# 2.7e-5 to 2.2e-2 a topic, a collapsed one 1e-9 (PyTorch port's analysis of 10,000 images).
COLLAPSED = 1e-7

CHUNK = 1 << 16  # elements: weights, diff and history of a chunk stay in a core's cache during an update


class _SolverNet(Net):
    """A Net made from a NetParameter instead of a file."""

    def __init__(self, param, name):
        super(Net, self).__init__(param, name)


class Solver:
    """A solver, its training net and its test nets.

    Parameters
    ----------
    solver : str or SolverParameter
        The solver's prototxt.
    type : str, optional
        The update rule; default: the prototxt's `type`.

    Attributes
    ----------
    net : Net
    test_nets : list of Net
    iter : int
        Number of updates made.
    param : SolverParameter
    request : callable
        Asked after every iteration; returns NONE, STOP or SNAPSHOT (the command line's signal handlers answer here).
    """

    rule_type = None

    def __init__(self, solver):
        self.file = "solver"
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
        log.info("solver.cpp:45", "Initializing solver from parameters: \n" + prototxt.to_text(param).rstrip("\n"))
        if param.random_seed >= 0:
            mode.set_random_seed(param.random_seed)
        self.net = self._train_net()
        self.test_nets = self._make_test_nets()
        self.rule = RULES[param.type](param)
        self.history = [
            torch.zeros(blob.shape, device=self.net.device) for _ in range(self.rule.histories) for blob in self.net.learnable
        ]
        log.info("solver.cpp:57", "Solver scaffolding done.")

    # ------------------------------------------------------------------------------------------------------ building
    def _check(self):
        p = self.param
        if p.type not in RULES:
            raise CaffeError(f"{self.file}: unknown solver type '{p.type}'; known are {', '.join(RULES)}")
        try:
            lr_policy.check(p)
        except CaffeError as error:
            raise CaffeError(f"{self.file}: {error}") from error
        if p.regularization_type not in ("L1", "L2"):
            raise CaffeError(f"{self.file}: unknown regularization_type '{p.regularization_type}'; known are L1, L2")
        if p.iter_size < 1 or p.average_loss < 1:
            raise CaffeError(f"{self.file}: iter_size and average_loss must be at least 1")
        if p.snapshot and not p.snapshot_prefix:
            raise CaffeError(f"{self.file}: snapshot is given but snapshot_prefix is not")
        if not p.snapshot_prefix:
            p.snapshot_prefix = os.path.splitext(self.file)[0]
        folder = os.path.dirname(p.snapshot_prefix) or "."
        if (p.snapshot or p.snapshot_after_train) and not os.access(folder, os.W_OK):
            raise CaffeError(
                f"{self.file}: cannot write snapshots to {folder}/ (snapshot_prefix): make it with mkdir -p {folder}"
            )

    def _sources(self):
        """(field, where the net comes from, read) for every way a solver can name a net."""
        p = self.param
        found = {}
        if p.HasField("train_net_param"):
            found["train_net_param"] = ("specified in train_net_param.", lambda: p.train_net_param, self.file)
        if p.HasField("train_net"):
            found["train_net"] = (
                f"from train_net file: {p.train_net}",
                lambda: prototxt.read_net(p.train_net),
                p.train_net,
            )
        if p.HasField("net_param"):
            found["net_param"] = ("specified in net_param.", lambda: p.net_param, self.file)
        if p.HasField("net"):
            found["net"] = (f"from net file: {p.net}", lambda: prototxt.read_net(p.net), p.net)
        return found

    def _train_net(self):
        found = self._sources()
        if len(found) != 1:
            named = ", ".join(found) or "none"
            raise CaffeError(
                f"{self.file}: exactly one of net, net_param, train_net, train_net_param names the net; here: {named}"
            )
        where, read, name = next(iter(found.values()))
        log.info("solver.cpp:102", f"Creating training net {where}")
        param = caffe_pb2.NetParameter()
        param.CopyFrom(read())
        state = caffe_pb2.NetState(phase=caffe_pb2.TRAIN)
        state.MergeFrom(param.state)
        state.MergeFrom(self.param.train_state)
        param.state.CopyFrom(state)
        net = _SolverNet(param, name)
        self._load_weights(net)
        return net

    def _make_test_nets(self):
        p = self.param
        sources = [("test_net_param", n, self.file) for n in p.test_net_param]
        sources += [(f"test_net file: {f}", None, f) for f in p.test_net]
        shared = self._sources()
        for field in ("net_param", "net"):
            if field in shared:
                where, read, name = shared[field]
                for _ in range(len(p.test_iter) - len(sources)):
                    text = "net_param" if field == "net_param" else f"net file: {p.net}"
                    sources.append((text, read(), name))
        if len(sources) != len(p.test_iter):
            raise CaffeError(f"{self.file}: {len(sources)} test net(s) but {len(p.test_iter)} test_iter; give one each")
        if sources and p.test_interval < 1:
            raise CaffeError(f"{self.file}: has test nets, so test_interval must be at least 1")
        if p.test_state and len(p.test_state) != len(sources):
            raise CaffeError(f"{self.file}: {len(sources)} test net(s) but {len(p.test_state)} test_state; give one each or none")
        nets = []
        for i, (where, given, name) in enumerate(sources):
            log.info("solver.cpp:190", f"Creating test net (#{i}) specified by {where}")
            param = caffe_pb2.NetParameter()
            param.CopyFrom(given if given is not None else prototxt.read_net(name))
            state = caffe_pb2.NetState(phase=caffe_pb2.TEST)
            state.MergeFrom(param.state)
            if p.test_state:
                state.MergeFrom(p.test_state[i])
            param.state.CopyFrom(state)
            net = _SolverNet(param, name)
            self._load_weights(net)
            net.share_trained_layers(self.net)
            nets.append(net)
        return nets

    def _load_weights(self, net):
        for entry in self.param.weights:
            for path in entry.split(","):
                log.info("solver.cpp:72", f"Finetuning from {path.strip()}")
                net.copy_trained_layers(path.strip())

    # ------------------------------------------------------------------------------------------------------ training
    def add_callback(self, on_start, on_gradients_ready=None):
        """Call `on_start()` before each iteration and `on_gradients_ready()` before each update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def solve(self, resume_file=None):
        """Train until max_iter, then snapshot and test as the prototxt says; `resume_file` is restored first."""
        log.info("solver.cpp:289", f"Solving {self.net.name}")
        log.info("solver.cpp:290", f"Learning Rate Policy: {self.param.lr_policy}")
        self.stopped_early = False
        if resume_file is not None:
            log.info("solver.cpp:296", f"Restoring previous solver status from {resume_file}")
            self.restore(resume_file)
        p = self.param
        self.step(p.max_iter - self.iter)
        if p.snapshot_after_train and (not p.snapshot or self.iter % p.snapshot != 0):
            self.snapshot()
        if self.stopped_early:
            log.info("solver.cpp:316", "Optimization stopped early.")
            return
        if p.display and self.iter % p.display == 0:
            self._remember(self.net.forward_backward(backward=False))
            log.info("solver.cpp:327", f"Iteration {self.iter}, loss = {log.number(self._smoothed())}")
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        log.info("solver.cpp:332", "Optimization Done.")

    def step(self, iterations):
        """Make `iterations` updates."""
        p, stop = self.param, self.iter + iterations
        self._losses = []
        self._last = (self.iter, time.perf_counter())
        while self.iter < stop:
            self.net.clear_param_diffs()
            if p.test_interval and self.iter % p.test_interval == 0 and (self.iter > 0 or p.test_initialization):
                self.test_all()
            for on_start, _ in self._callbacks:
                on_start()
            display = bool(p.display) and self.iter % p.display == 0
            if self._updates_at_once():
                rate = self._forward_backward_update()
                if display:
                    self._display()
                self._log_rate(rate)
            else:
                self._remember(self._gradients(display and p.debug_info))
                if display:
                    self._display()
                for _, ready in self._callbacks:
                    if ready is not None:
                        ready()
                self.apply_update()
            self.iter += 1
            request = self.request()
            if (p.snapshot and self.iter % p.snapshot == 0) or request == SNAPSHOT:
                self.snapshot()
            if request == STOP:
                self.stopped_early = True
                break

    def _updates_at_once(self):
        """Whether each weight may be updated as soon as its gradient is there, and the gradient forgotten.

        That keeps the largest gradient out of memory while the layers below are computed.  Not where somebody may look at
        the diffs (pycaffe, callbacks, snapshot_diff, debug_info) or all of them are wanted first (clipping, iter_size).
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
        """Mean of the last average_loss losses; the only place where the loss is brought to the host."""
        return float(torch.stack([x.cpu() for x in self._losses]).double().mean())

    def _display(self):
        loss = self._smoothed()
        now = time.perf_counter()
        lapse, done = now - self._last[1], self.iter - self._last[0]
        per_second = done / lapse if lapse > 0 else 0
        speed = f"{log.number(per_second)} iter/s, {log.number(round(lapse, 3))}s/{self.param.display} iters"
        log.info("solver.cpp:239", f"Iteration {self.iter} ({speed}), loss = {log.number(loss)}")
        self._last = (self.iter, now)
        self._log_outputs("Train", "solver.cpp:258", self.net, [self.net.blob_list[i].tensor() for i in self.net.output_ids])
        if not loss == loss:
            raise CaffeError(
                f"{self.file}: the loss is NaN at iteration {self.iter}: lower base_lr ({self.param.base_lr:g}) or set"
                " clip_gradients"
            )
        if self.iter > 0:
            self._warn_of_collapse()

    def _warn_of_collapse(self):
        for layer, variance in self.net.output_variances():
            if variance < COLLAPSED:
                log.warning(
                    "solver.cpp:260",
                    f"Outputs into layer {layer} hardly differ between the images of the batch (variance {log.number(variance)}):"
                    " the network has collapsed, or has not begun to learn; if this goes on, look at the labels, the order of"
                    " the data and base_lr",
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
        """Run every test net for its test_iter batches and log the mean of each output."""
        for i, (net, iterations) in enumerate(zip(self.test_nets, self.param.test_iter, strict=True)):
            log.info("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{i})")
            sums, loss = None, 0.0
            for _ in range(iterations):
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

    # -------------------------------------------------------------------------------------------------------- update
    def apply_update(self):
        """Turn the parameters' diffs into updates and subtract them from the weights."""
        rate = lr_policy.rate(self.param, self.iter, self.current_step)[0]
        self._log_rate(rate)
        clip = self._clip_scale()
        for i, blob in enumerate(self.net.learnable):
            self._update_one(i, blob.diff_tensor(), rate, clip)

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
                g.div_(p.iter_size)
            if decay:
                g.add_(w if p.regularization_type == "L2" else w.sign(), alpha=decay)
            self.rule.update(g, [h[span] for h in history], local_rate, self.iter)
            w.sub_(g)

    def _clip_scale(self):
        """What clip_gradients scales all diffs by; the norm is taken over all of them, before iter_size divides."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1
        norm = float(sum(blob.diff_tensor().double().square().sum() for blob in self.net.learnable)) ** 0.5
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
        """Write `<snapshot_prefix>_iter_<iter>` .caffemodel and .solverstate (with .h5 for HDF5); returns both names."""
        p = self.param
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
        """Go on from a .solverstate (or .solverstate.h5): weights, history, iteration and step.

        Raises
        ------
        CaffeError
            The state does not belong to this net, or its weights' file is missing.
        """
        path = os.fspath(path)
        state = snapshot.read_solverstate(path)
        if len(state.history) != len(self.history):
            raise CaffeError(
                f"{path}: holds {len(state.history)} history blobs, this solver ({self.param.type}) wants {len(self.history)};"
                " is it of another net or solver type?"
            )
        for i, (mine, theirs) in enumerate(zip(self.history, state.history, strict=True)):
            if tuple(mine.shape) != theirs.shape:
                raise CaffeError(f"{path}: history blob {i} has the shape {theirs.shape}, this net wants {tuple(mine.shape)}")
        if state.learned_net:
            model = state.learned_net
            if not os.path.exists(model):  # moved together with the state
                beside = os.path.join(os.path.dirname(path), os.path.basename(model))
                model = beside if os.path.exists(beside) else model
            self.net.copy_trained_layers(model)
        log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
        for mine, theirs in zip(self.history, state.history, strict=True):
            mine.copy_(torch.from_numpy(theirs.copy()))
        self.iter, self.current_step = state.iter, state.current_step

    def close(self):
        """Stop the nets' data threads."""
        for net in (self.net, *self.test_nets):
            net.close()


def _solver_class(kind):
    return type(f"{kind}Solver", (Solver,), {"rule_type": kind, "__doc__": f"A Solver with the update rule {kind}."})


_classes = {kind: _solver_class(kind) for kind in RULES}
SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver = _classes.values()


def get_solver(solver):
    """The solver that a prototxt (a path, or a SolverParameter) names in its `type`."""
    if isinstance(solver, SolverParameter):
        kind = solver.type
    else:
        kind = prototxt.read_solver(solver).type
    return _classes.get(kind, Solver)(solver)  # an unknown type is refused where it is used
