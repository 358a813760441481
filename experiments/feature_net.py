"""A part of extract_features.py and demo.py: a net from its files, and the blobs of a batch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from texttopicnet import features, shares
from texttopicnet.errors import UserError

if TYPE_CHECKING:
    import caffe


def load_net(prototxt: Path, weights: Path, blobs: list[str], gpu: bool) -> "caffe.Net":
    """caffe.Net in phase TEST.

    Raises
    ------
    UserError
        The files do not fit each other, or the net lacks one of the blobs.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe import mode
    from caffe.weights_file import read_layers

    try:
        if gpu:
            mode.require_gpu("--gpu")
            caffe.set_mode_gpu()
            caffe.set_device(shares.gpu())
        else:
            caffe.set_mode_cpu()
    except caffe.CaffeError as error:
        raise UserError(str(error)) from error
    try:
        net = caffe.Net(str(prototxt), caffe.TEST, weights=str(weights))
    except caffe.CaffeError as error:
        raise UserError(f"{prototxt} with {weights}: {error}") from error
    if len(net.inputs) != 1 or len(net.blobs[net.inputs[0]].shape) != 4:
        raise UserError(
            f"{prototxt} needs one input blob (N, 3, size, size): give the deploy prototxt"
        )
    for blob in blobs:
        if (blob := features.MAXIMA.get(blob, blob)) not in net.blobs:
            raise UserError(f"{prototxt} has no blob {blob}: it has {', '.join(net.blobs)}")
    lacking = net.params.keys() - {name for name, _ in read_layers(weights)}
    if lacking:  # Caffe would silently use the fillers' numbers
        raise UserError(
            f"{weights} holds no weights for {', '.join(sorted(lacking))} of {prototxt}"
        )
    return net


def activations(net: "caffe.Net", x: np.ndarray, blobs: list[str]) -> dict[str, np.ndarray]:
    """Blobs of one batch.

    Parameters
    ----------
    net : caffe.Net
        From `load_net`.
    x : ndarray of float32, shape (n_images, 3, size, size)
        See `images.network_input`.
    blobs : list of str

    Returns
    -------
    dict
        {blob: ndarray of float32, shape (n_images, n_dims)}, each activation flattened in C order.
    """
    import torch

    source = net.blobs[net.inputs[0]]
    if source.shape[0] != len(x):  # the first batch, and a shorter last one
        source.reshape(*x.shape)
        net.reshape()
    # .data, and what net.forward() returns, would be copied from a GPU and back again
    source.put(torch.from_numpy(x).to(net.device))
    net.run_layers(0, len(net.nodes) - 1)
    return {
        blob: features.rows_of(
            net.blobs[features.MAXIMA.get(blob, blob)].tensor().cpu().numpy(), blob
        )
        for blob in blobs
    }
