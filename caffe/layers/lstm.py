"""LSTM: long short-term memory, unrolled over time; bottoms and tops as recurrent.py says.

Honours num_output, weight_filler, bias_filler, expose_hidden (the states h and c); `debug_info`
changes nothing. Weights: (4 D, I) of the input and its bias (4 D), (4 D, I_static) with x_static,
(4 D, D) of the hidden state; the four parts are input gate, forget gate, output gate, candidate,
where torch's LSTM has the candidate third.
"""

from caffe.layer import register
from caffe.layer_parts.recurrent import RecurrentLayer
from caffe.layers.lstm_unit import unit


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
