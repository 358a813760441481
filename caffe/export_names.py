"""A net's parameters under PyTorch's names, in PyTorch's layout: a plain state_dict.

| layer type | keys after the layer's name | from the blobs |
|---|---|---|
| Convolution, Deconvolution | weight, bias | 0, 1 as they are |
| InnerProduct | weight (outputs, inputs), bias | 0 (transposed if the layer is), 1 |
| BatchNorm | running_mean, running_var | 0 and 1, divided by 2 (0 if that is 0) |
| Scale, Embed | weight, bias | 0, 1; a Scale with two bottoms has a bias only |
| PReLU, Parameter | weight | 0 |
| Bias | bias | 0 |
| LSTM | weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 | 0, the last, 1, zeros |
| RNN | the same, weight_ho, bias_o | 0, 2, 1, zeros, 3, 4 |
| both with x_static | also weight_static | 2; what follows is one later |
| others | blob_0, blob_1, ... | as they are |

An LSTM's rows are in the order of torch.nn.LSTM (input, forget, candidate, output); Caffe has the
candidate last.
"""

from __future__ import annotations

import torch

from caffe.layer import Layer
from caffe.net import NetCore

Tensors = dict[str, torch.Tensor]


def state_dict(net: NetCore) -> Tensors:
    """The parameters of a net, as torch.save takes them.

    Returns
    -------
    dict
        {"<layer>.<key>": tensor of float32}, in the net's order.  Layers that share a parameter
        have the same tensor.  A second layer of the same name is called <layer>_2.
    """
    found: Tensors = {}
    tensors: dict[int, torch.Tensor] = {}  # one per memory, so that what is shared stays shared
    for node, name in zip(net.nodes, layer_names(net), strict=True):
        for key, value in of_layer(node.layer).items():
            own = tensors.setdefault(value.data_ptr(), value.detach().cpu().clone())
            found[f"{name}.{key}"] = own if own.shape == value.shape else value.detach().clone()
    return found


def layer_names(net: NetCore) -> list[str]:
    """The names of the layers, each once."""
    seen: dict[str, int] = {}
    names = []
    for node in net.nodes:
        seen[node.name] = seen.get(node.name, 0) + 1
        names.append(node.name if seen[node.name] == 1 else f"{node.name}_{seen[node.name]}")
    return names


def of_layer(layer: Layer) -> Tensors:
    """{key: tensor} of one layer; see the table above."""
    blobs = [blob.tensor() for blob in layer.blobs]
    if layer.type == "BatchNorm":
        mean, variance, weight = blobs
        factor = torch.where(weight == 0, torch.zeros_like(weight), 1 / weight)
        return {"running_mean": mean * factor, "running_var": variance * factor}
    if layer.type == "InnerProduct" and layer.param.inner_product_param.transpose:
        blobs[0] = blobs[0].t().contiguous()
    if layer.type == "Scale" and len(layer.param.bottom) > 1:
        return dict(zip(("bias",), blobs, strict=False))
    if layer.type in _RECURRENT:
        return _RECURRENT[layer.type](blobs)
    names = {"Bias": ("bias",), "Parameter": ("weight",), "PReLU": ("weight",)}
    weighted = ("Convolution", "Deconvolution", "InnerProduct", "Scale", "Embed")
    found = names.get(layer.type, ("weight", "bias") if layer.type in weighted else ())
    return {found[i] if i < len(found) else f"blob_{i}": blob for i, blob in enumerate(blobs)}


def _lstm(blobs: list[torch.Tensor]) -> Tensors:
    def in_torchs_order(rows: torch.Tensor):
        i, f, o, g = rows.chunk(4)
        return torch.cat([i, f, g, o])

    weight, bias, *static, hidden = map(in_torchs_order, blobs)
    found = {"weight_ih_l0": weight, "weight_hh_l0": hidden, "bias_ih_l0": bias}
    found["bias_hh_l0"] = torch.zeros_like(bias)
    return found | ({"weight_static": static[0]} if static else {})


def _rnn(blobs: list[torch.Tensor]) -> Tensors:
    weight, bias, *static, hidden, output, output_bias = blobs
    found = {"weight_ih_l0": weight, "weight_hh_l0": hidden, "bias_ih_l0": bias}
    found |= {"bias_hh_l0": torch.zeros_like(bias), "weight_ho": output, "bias_o": output_bias}
    return found | ({"weight_static": static[0]} if static else {})


_RECURRENT = {"LSTM": _lstm, "RNN": _rnn}
