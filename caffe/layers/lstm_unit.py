"""LSTMUnit: one step of an LSTM.

Bottoms: c (1, N, D), the gates before their nonlinearities (1, N, 4 D), and cont (1, N); where cont
is 0 the old c is forgotten.  Tops: c and h, each (1, N, D).  torch's LSTMCell takes the input
instead of the gates.  cont has no gradient.
"""

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


def unit(
    c: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The new (h, c), each (N, D).

    Parameters
    ----------
    c : Tensor of shape (N, D)
    gates : Tensor of shape (N, 4 D)
        Before their nonlinearities.
    cont : Tensor of shape (N, 1)
    """
    i, f, o, g = gates.chunk(4, 1)
    c = cont * torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


@register("LSTMUnit")
class LSTMUnit(Layer):
    num_bottom = (3, 3)
    num_top = (2, 2)
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        c, gates, cont = shapes
        if (
            len(c) != 3
            or c[0] != 1
            or tuple(gates) != (1, c[1], 4 * c[2])
            or tuple(cont) != (1, c[1])
        ):
            self.fail(
                "needs bottoms of shapes (1, N, D), (1, N, 4 D), (1, N), not"
                f" {', '.join(map(str, shapes))}"
            )
        return [c, c]

    def allow_force_backward(self, index: int) -> bool:
        return index != 2

    def forward(self, c: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor) -> Tensors:
        h, c = unit(c[0], gates[0], cont[0].detach().unsqueeze(1))
        return c.unsqueeze(0), h.unsqueeze(0)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        """The gradients by hand: as in Caffe, tanh(c) is taken of the top's current data."""
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
