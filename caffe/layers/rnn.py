"""RNN: the plain recurrent net, unrolled over time.

layer_parts/recurrent.py describes bottoms and tops.  Honours num_output, weight_filler,
bias_filler, expose_hidden (the state h); `debug_info` changes nothing.

h = tanh(W_xh x + b_h + W_hh h), output = tanh(W_ho h + b_o): unlike torch's RNN, the output has
weights of its own.  Weights: W_xh (D, I), b_h (D), with x_static (D, I_static), then W_hh (D, D),
W_ho (D, D), b_o (D).
"""

import torch

from caffe.layer import Tensors, register
from caffe.layer_parts.recurrent import RecurrentLayer
from caffe.proto import caffe_pb2


@register("RNN")
class RNN(RecurrentLayer):
    states = 1

    def add_own_blobs(self, p: caffe_pb2.RecurrentParameter) -> None:
        self.add_blob((self.size, self.size), p.weight_filler)
        self.add_blob((self.size, self.size), p.weight_filler)
        self.add_blob((self.size,), p.bias_filler)

    def step(
        self,
        transformed: torch.Tensor,
        cont: torch.Tensor,
        states: Tensors,
        own: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        h = torch.tanh(self.traced(transformed + (cont * states[0]) @ own[0].t()))
        return torch.tanh(self.traced(h @ own[1].t() + own[2])), [h]
