"""LSTM: long short-term memory, unrolled over time.

layer_parts/recurrent.py describes bottoms and tops.  Honours num_output, weight_filler,
bias_filler, expose_hidden (the states h and c); `debug_info` changes nothing.  Weights: (4 D, I) of
the input and its bias (4 D), (4 D, I_static) with x_static, (4 D, D) of the hidden state.  The four
parts are input gate, forget gate, output gate, candidate; torch's LSTM has the candidate third.
"""

import torch

from caffe.layer import Tensors, register
from caffe.layer_parts.recurrent import RecurrentLayer
from caffe.layers.lstm_unit import unit
from caffe.proto import caffe_pb2


@register("LSTM")
class LSTM(RecurrentLayer):
    states = 2
    gates = 4

    def add_own_blobs(self, p: caffe_pb2.RecurrentParameter) -> None:
        self.add_blob((4 * self.size, self.size), p.weight_filler)

    def step(
        self,
        transformed: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        own: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        h, c = states
        h, c = unit(c, self.traced(transformed + (cont * h) @ own[0].t()), cont)
        return h, [h, c]
