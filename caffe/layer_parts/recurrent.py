"""What LSTM and RNN share: sequences in, a hidden state that is kept between calls, weights (Caffe:
recurrent_layer.cpp).

Bottoms: x (T, N, ...), T steps of N streams; cont (T, N), 0 where a stream's new sequence begins
and 1 elsewhere; then, if given, x_static (N, ...), seen at every step; with expose_hidden the
states to start from, each (1, N, num_output). Tops: (T, N, num_output); with expose_hidden the last
states, too.

Without expose_hidden a call goes on from the states in which the last one ended; only cont = 0
forgets them.  Unlike torch's recurrent layers the gradient does not flow into earlier calls, and
cont, not a list of lengths, ends a sequence. The gradient is taken at the states and activations of
the last forward, with the weights and x as they are.
"""

import math

import torch

from caffe.layer import Layer


class RecurrentLayer(Layer):
    """Base: subclasses name their number of states and make one step."""

    num_bottom = (2, None)
    num_top = (1, None)
    in_place = False
    states = 0  # h, or h and c
    gates = 1  # rows of the input's weights, in units of num_output

    def setup(self, shapes):
        p = self.param.recurrent_param
        if p.num_output < 1:
            self.fail("num_output must be at least 1")
        if len(shapes[0]) < 2:
            self.fail(f"wants x of shape (T, N, ...), not {shapes[0]}")
        self.size = p.num_output
        self.exposed = self.states if p.expose_hidden else 0
        extra = len(shapes) - 2 - self.exposed
        if extra not in (0, 1) or len(self.param.top) != 1 + self.exposed:
            least = 2 + self.exposed
            self.fail(f"takes {least} or {least + 1} bottoms and {1 + self.exposed} top(s), there are {len(shapes)} and"
                      f" {len(self.param.top)}")  # fmt: skip
        self.static = bool(extra)
        rows = self.gates * self.size
        self.add_blob((rows, math.prod(shapes[0][2:])), p.weight_filler)
        self.add_blob((rows,), p.bias_filler)
        if self.static:
            self.add_blob((rows, math.prod(shapes[2][1:])), p.weight_filler)
        self.add_own_blobs(p)
        self.kept = None
        self.trace, self.replayed = [], None

    def add_own_blobs(self, p):
        """Append the parameters that come after the input's."""
        raise NotImplementedError

    def step(self, transformed, cont, states, own):
        """One step: (output, states) from the input's part (N, rows), cont (N, 1), states (N, D)
        each, own parameters.
        """
        raise NotImplementedError

    def reshape(self, shapes):
        steps, streams = shapes[0][:2]
        if tuple(shapes[1]) != (steps, streams):
            self.fail(f"wants cont of shape ({steps}, {streams}), not {shapes[1]}")
        if self.static and shapes[2][0] != streams:
            self.fail(f"x_static is for {shapes[2][0]} streams, x for {streams}")
        for shape in shapes[len(shapes) - self.exposed :] if self.exposed else ():
            if tuple(shape) != (1, streams, self.size):
                self.fail(f"wants states of shape (1, {streams}, {self.size}), not {shape}")
        return [(steps, streams, self.size)] + [(1, streams, self.size)] * self.exposed

    def allow_force_backward(self, index):
        return index != 1

    def forward(self, x, cont, *rest):
        states = self._states_before(x, rest)
        self.trace, self.replayed = [], None
        tops, self.kept = self._unroll(states, x, cont, *rest)
        kept = {str(i): state for i, state in enumerate(states)}
        self.remember(**kept, **{f"trace{i}": value for i, value in enumerate(self.trace)})
        self.trace = []
        return tops

    def traced(self, value):
        """An activation that Caffe keeps from forward to backward: in a replay, the kept numbers
        with `value`'s gradient.
        """
        if self.replayed is None:
            self.trace += [value.detach()] if self.keeps else []
            return value
        kept = self.remembered.get(f"trace{self.replayed}")
        self.replayed += 1
        return (
            value if kept is None or kept.shape != value.shape else kept + (value - value.detach())
        )

    def _states_before(self, x, rest):
        """The states (N, D) that a forward starts from."""
        if self.exposed:
            return [state[0] for state in rest[-self.exposed :]]
        if self.kept is not None and self.kept[0].shape[0] == x.shape[1]:
            return self.kept
        return [x.new_zeros(x.shape[1], self.size) for _ in range(self.states)]

    def backward(self, bottoms, tops, diffs, needs):
        def replay(x, cont, *rest):
            if self.exposed:
                states = self._states_before(x, rest)
            else:
                states = [self.recall(str(i), (x.shape[1], self.size)) for i in range(self.states)]
            return self._unroll(states, x, cont, *rest)[0]

        self.replayed = 0
        try:
            return self.differentiate(replay, bottoms, diffs, needs)
        finally:
            self.replayed = None

    def _unroll(self, states, x, cont, *rest):
        """All steps from `states` on: the tops, and the states after the last step."""
        weight, bias, *own = self.params
        steps, streams = x.shape[:2]
        rows = (x.reshape(steps * streams, -1) @ weight.t() + bias).view(steps, streams, -1)
        if self.static:
            rows = rows + rest[0].reshape(streams, -1) @ own.pop(0).t()
        marks = cont.detach().unsqueeze(2)
        outputs = []
        for t in range(steps):
            output, states = self.step(rows[t], marks[t], states, own)
            outputs.append(output)
        tops = [torch.stack(outputs)] + [state.unsqueeze(0) for state in states[: self.exposed]]
        return tops, [state.detach() for state in states]
