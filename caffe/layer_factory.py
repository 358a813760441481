"""Making the layer that a LayerParameter describes (Caffe: layer_factory.cpp)."""

import torch

import caffe.layers  # noqa: F401  registers the layer types
from caffe.error import CaffeError
from caffe.layer import Layer, layer_class, layer_type_list
from caffe.proto import caffe_pb2

# Caffe's types that are refused by name, and why
NOT_SUPPORTED = {
    "WindowData": "the reader of window files is missing here; crop the windows and use ImageData"
    " or HDF5Data",
}


def create(param: caffe_pb2.LayerParameter, net_name: str, device: torch.device) -> Layer:
    """Make the layer that `param`, with its phase set, describes.

    Raises
    ------
    CaffeError
        The type is unknown or not supported; the message starts with `net_name`.
    """
    if param.type in NOT_SUPPORTED:
        missing = NOT_SUPPORTED[param.type]
        raise CaffeError(
            f"{net_name}: layer '{param.name}': type '{param.type}' is not supported: {missing}"
        )
    found = layer_class(param.type)
    if found is None:
        known = ", ".join(layer_type_list())
        raise CaffeError(
            f"{net_name}: layer '{param.name}' has the unknown type '{param.type}'; known types:"
            f" {known}"
        )
    return found(param, device)
