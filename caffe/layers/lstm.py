"""LSTM: long short-term memory, unrolled over time; bottoms and tops as recurrent.py says.

Honours num_output, weight_filler, bias_filler, expose_hidden (the states h and c); `debug_info`
changes nothing. Weights: (4 D, I) of the input and its bias (4 D), (4 D, I_static) with x_static,
(4 D, D) of the hidden state; the four parts are input gate, forget gate, output gate, candidate,
where torch's LSTM has the candidate third.
"""

import torch

from caffe.layer import Layer, register
from caffe.layers.recurrent import RecurrentLayer


def unit(c, gates, cont):
    """New (h, c), each (N, D), from c (N, D), the gates before their nonlinearities (N, 4 D) and
    cont (N, 1).
    """
    i, f, o, g = gates.chunk(4, 1)
    c = cont * torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@register("LSTM")
class LSTM(RecurrentLayer):
    states = 2
    gates = 4

    def add_own_blobs(self, p):
        self.add_blob((4 * self.size, self.size), p.weight_filler)

    def step(self, transformed, cont, states, own):
        h, c = states
        h, c = unit(c, self.traced(transformed + (cont * h) @ own[0].t()), cont)
        return h, [h, c]


@register("LSTMUnit")
class LSTMUnit(Layer):
    """One step by itself: c (1, N, D), gates (1, N, 4 D) and cont (1, N) give c and h, each (1, N,
    D).
    """

    num_bottom = (3, 3)
    num_top = (2, 2)
    in_place = False

    def reshape(self, shapes):
        c, gates, cont = shapes
        if (
            len(c) != 3
            or c[0] != 1
            or tuple(gates) != (1, c[1], 4 * c[2])
            or tuple(cont) != (1, c[1])
        ):
            self.fail(
                f"wants bottoms of shapes (1, N, D), (1, N, 4 D), (1, N), not {', '.join(map(str, shapes))}"
            )
        return [c, c]

    def allow_force_backward(self, index):
        return index != 2

    def forward(self, c, gates, cont):
        h, c = unit(c[0], gates[0], cont[0].detach().unsqueeze(1))
        return c.unsqueeze(0), h.unsqueeze(0)

    def backward(self, bottoms, tops, diffs, needs):
        """By hand, as tanh(c) is that of the top as it is."""
        (c_before, gates, cont), tanh_c, (dc, dh) = bottoms, torch.tanh(tops[0]), diffs
        i, f, o, g = gates.chunk(4, 2)
        i, f, o, g = (
            torch.sigmoid(i),
            torch.sigmoid(f) * cont.unsqueeze(2),
            torch.sigmoid(o),
            torch.tanh(g),
        )
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        parts = (
            dc * g * i * (1 - i),
            dc * c_before * f * (1 - f),
            dh * tanh_c * o * (1 - o),
            dc * i * (1 - g * g),
        )
        return [dc * f if needs[0] else None, torch.cat(parts, 2) if needs[1] else None, None]
