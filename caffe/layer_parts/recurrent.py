"""What LSTM and RNN share: sequences, a state that is kept between calls, weights.

Caffe: recurrent_layer.cpp.

Bottoms: x (T, N, ...), T steps of N streams; cont (T, N), 0 where a stream begins a new sequence
and 1 elsewhere; then, optionally, x_static (N, ...), which every step sees; with expose_hidden the
states to start from, each (1, N, num_output).  Tops: (T, N, num_output); with expose_hidden also
the last states.

Without expose_hidden a call continues from the states in which the last one ended; only cont = 0
resets them.  Unlike in torch's recurrent layers, the gradient does not flow into earlier calls, and
sequences end where cont says, not by a list of lengths.  The gradient is taken at the states and
activations of the last forward, with the current weights and x.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors
from caffe.position import Position
from caffe.proto import caffe_pb2


class RecurrentLayer(Layer):
    """Base: subclasses set `states` and `gates`, and compute one step."""

    capturable = False  # the states of the last forward are kept in Python
    num_bottom = (2, None)
    num_top = (1, None)
    in_place = False
    states = 0  # h, or h and c
    gates = 1  # rows of the input's weights, in units of num_output

    def setup(self, shapes: Shapes) -> None:
        p = self.param.recurrent_param
        if p.num_output < 1:
            self.fail("num_output must be at least 1")
        if len(shapes[0]) < 2:
            self.fail(f"needs x of shape (T, N, ...), not {shapes[0]}")
        self.size = p.num_output
        self.exposed = self.states if p.expose_hidden else 0
        extra = len(shapes) - 2 - self.exposed
        if extra not in (0, 1) or len(self.param.top) != 1 + self.exposed:
            least = 2 + self.exposed
            self.fail(
                f"takes {least} or {least + 1} bottoms and {1 + self.exposed} top(s); there are"
                f" {len(shapes)} and {len(self.param.top)}"
            )
        self.static = bool(extra)
        rows = self.gates * self.size
        self.add_blob((rows, math.prod(shapes[0][2:])), p.weight_filler)
        self.add_blob((rows,), p.bias_filler)
        if self.static:
            self.add_blob((rows, math.prod(shapes[2][1:])), p.weight_filler)
        self.add_own_blobs(p)
        self.kept = None
        self.trace, self.replayed = [], None

    def add_own_blobs(self, p: caffe_pb2.RecurrentParameter) -> None:
        """Append the parameters that come after the input's."""
        raise NotImplementedError

    def step(
        self,
        transformed: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        own: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """One step.

        Parameters
        ----------
        transformed : Tensor of shape (N, rows)
            The input times its weights, plus the bias.
        cont : Tensor of shape (N, 1)
        states : list of Tensor of shape (N, D)
        own : list of Tensor
            The parameters of `add_own_blobs`.

        Returns
        -------
        output : Tensor of shape (N, D)
        states : list of Tensor of shape (N, D)
        """
        raise NotImplementedError

    def reshape(self, shapes: Shapes) -> Shapes:
        steps, streams = shapes[0][:2]
        if tuple(shapes[1]) != (steps, streams):
            self.fail(f"needs cont of shape ({steps}, {streams}), not {shapes[1]}")
        if self.static and shapes[2][0] != streams:
            self.fail(f"x_static is for {shapes[2][0]} streams, x for {streams}")
        for shape in shapes[len(shapes) - self.exposed :] if self.exposed else ():
            if tuple(shape) != (1, streams, self.size):
                self.fail(f"needs states of shape (1, {streams}, {self.size}), not {shape}")
        return [(steps, streams, self.size)] + [(1, streams, self.size)] * self.exposed

    def allow_force_backward(self, index: int) -> bool:
        return index != 1

    def forward(self, x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor) -> Tensors:
        states = self._states_before(x, rest)
        self.trace, self.replayed = [], None
        tops, self.kept = self._unroll(states, x, cont, *rest)
        kept = {str(i): state for i, state in enumerate(states)}
        self.remember(**kept, **{f"trace{i}": value for i, value in enumerate(self.trace)})
        self.trace = []
        return tops

    def traced(self, value: torch.Tensor) -> torch.Tensor:
        """Record an activation that Caffe keeps from forward to backward.

        In a replay, return the numbers that were recorded, with the gradient of `value`.
        """
        if self.replayed is None:
            self.trace += [value.detach()] if self.keeps else []
            return value
        kept = self.remembered.get(f"trace{self.replayed}")
        self.replayed += 1
        return (
            value if kept is None or kept.shape != value.shape else kept + (value - value.detach())
        )

    def position(self) -> Position | None:
        """The states that the next forward starts from, unless they are bottoms."""
        return None if self.exposed else Position(states=tuple(self.kept or ()))

    def move_to(self, position: Position) -> None:
        shapes = [tuple(state.shape) for state in position.states]
        if shapes and (len(shapes) != self.states or any(s[1:] != (self.size,) for s in shapes)):
            self.fail(f"has {self.states} state(s) of {self.size} numbers, not {shapes}")
        self.kept = [state.to(self.device) for state in position.states] or None

    def _states_before(self, x: torch.Tensor, rest: Tensors):
        """The states (N, D) that a forward starts from."""
        if self.exposed:
            return [state[0] for state in rest[-self.exposed :]]
        if self.kept is not None and self.kept[0].shape[0] == x.shape[1]:
            return self.kept
        return [x.new_zeros(x.shape[1], self.size) for _ in range(self.states)]

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        def replay(x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor):
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

    def _unroll(self, states: Tensors, x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor):
        """All steps, starting from `states`: the tops, and the states after the last step."""
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
