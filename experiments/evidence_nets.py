"""The nets of evidence.py: a net of CNN/ with other LMDBs, and as a recipe changes it."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffe import log, prototxt
from caffe.net_parameter import filter_net
from caffe.proto import caffe_pb2
from texttopicnet.errors import UserError

RECIPES = ("paper", "normalised")
WEIGHTED = ("Convolution", "InnerProduct")
# of BatchNorm's means, for the phase TEST: about the last 20 batches; Caffe's 0.999 would give the
# means of weights of long ago, while they move fast
FRACTION = 0.95
EPSILON = 1e-5  # BatchNorm's eps, Caffe's default


@dataclass(frozen=True)
class Changes:
    """What a trial changes in a recipe; None leaves the value of the net or the solver.

    Attributes
    ----------
    rate : float, optional
        base_lr.
    dropout : float, optional
        dropout_ratio of all Dropout layers; 0 takes them out, since Caffe has no such ratio.
    mirror : bool, optional
        Whether training images are mirrored at random.
    """

    rate: float | None = None
    dropout: float | None = None
    mirror: bool | None = None

    def __str__(self) -> str:
        """As in a title, such as 'rate 0.1, without dropout'; empty without changes."""
        said = [] if self.rate is None else [f"rate {self.rate:g}"]
        if self.dropout is not None:
            said.append(f"dropout {self.dropout:g}" if self.dropout else "without dropout")
        if self.mirror is not None:
            said.append("mirrored" if self.mirror else "not mirrored")
        return ", ".join(said)

    def apply(self, net: caffe_pb2.NetParameter, solver: caffe_pb2.SolverParameter) -> None:
        """Change a net for training, as `net_of` makes it, and its solver."""
        if self.rate is not None:
            solver.base_lr = self.rate
        layers = [layer for layer in net.layer if self.dropout != 0 or layer.type != "Dropout"]
        layers = [caffe_pb2.LayerParameter.FromString(each.SerializeToString()) for each in layers]
        for layer in layers:
            if layer.type == "Dropout" and self.dropout is not None:
                layer.dropout_param.dropout_ratio = self.dropout
            is_trained_on = layer.include and layer.include[0].phase == caffe_pb2.TRAIN
            if layer.transform_param.crop_size and is_trained_on and self.mirror is not None:
                layer.transform_param.mirror = self.mirror
        del net.layer[:]
        net.layer.extend(layers)


UNCHANGED = Changes()


def net_of(
    source: Path, solver: caffe_pb2.SolverParameter, sources: dict
) -> caffe_pb2.NetParameter:
    """The net of a run: the solver's net, with the LMDBs of `sources`.

    Parameters
    ----------
    source : Path
        The net's prototxt.
    solver : SolverParameter
        Its train_state chooses the net's stages.
    sources : dict
        {split: (LMDB of the images, LMDB of the labels)}, as the prototxt is to name them; with
        'val' the net gets data layers for the phase TEST, without crops and mirrors at random.
    """
    net = prototxt.read_net(source)
    net.state.CopyFrom(solver.train_state)
    net.state.phase = caffe_pb2.TRAIN
    log.set_flags({"minloglevel": log.LEVELS["W"]})  # no lines about layers that are left out
    found = filter_net(net, str(source))
    layers = list(found.layer)
    del found.layer[:]
    found.ClearField("state")
    number = 0
    for layer in layers:
        del layer.include[:]
        if layer.type != "Data":
            found.layer.add().CopyFrom(layer)
            continue
        for split, phase in (("train", caffe_pb2.TRAIN), ("val", caffe_pb2.TEST)):
            if split in sources:
                data = found.layer.add()
                data.CopyFrom(layer)
                data.include.add().phase = phase
                data.data_param.source = sources[split][number]
                if split == "val":
                    data.transform_param.ClearField("mirror")
        number += 1
    if number != 2:
        raise UserError(f"{source} has {number} Data layers: evidence.py needs images and labels")
    return found


def normalised(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A net that starts to learn at once: the recipe `normalised`.

    Every layer with weights but the last is followed by BatchNorm and Scale (Ioffe and Szegedy,
    Batch normalization, ICML 2015), so that neither the signal nor its gradient fades on the way
    through eight layers of small weights.  The last layer's bias starts at the logit of 1 / n, the
    mean of n topics (as Lin et al., Focal loss for dense object detection, ICCV 2017, start their
    classifier), so that the first steps need not push all outputs down.

    Parameters
    ----------
    net : NetParameter
        A net for training, or a deploy net without fillers.

    Returns
    -------
    NetParameter
        Another one.
    """
    found = caffe_pb2.NetParameter()
    found.CopyFrom(net)
    del found.layer[:]
    last = [layer.name for layer in net.layer if layer.type in WEIGHTED][-1]
    for layer in net.layer:
        added = found.layer.add()
        added.CopyFrom(layer)
        if layer.type not in WEIGHTED:
            continue
        if layer.name == last:
            inner = added.inner_product_param
            if inner.HasField("bias_filler"):
                inner.bias_filler.Clear()
                inner.bias_filler.type = "constant"
                inner.bias_filler.value = -math.log(max(inner.num_output - 1, 1))
            continue
        blob = {"bottom": [layer.top[0]], "top": [layer.top[0]]}
        norm = found.layer.add(name=f"bn_{layer.name}", type="BatchNorm", **blob)
        norm.batch_norm_param.moving_average_fraction = FRACTION
        scale = found.layer.add(name=f"scale_{layer.name}", type="Scale", **blob)
        scale.scale_param.bias_term = True
    return found


def deploy(source: Path, recipe: str) -> str:
    """The deploy prototxt that belongs to a recipe."""
    net = prototxt.read_net(source)
    return prototxt.to_text(normalised(net) if recipe == "normalised" else net)


def fold(net_file: Path, weights: Path, plain: Path, output: Path) -> None:
    """Put BatchNorm and Scale into the weights and biases of the layers before them.

    Parameters
    ----------
    net_file, weights : Path
        A deploy prototxt of the recipe `normalised`, and its weights.
    plain : Path
        The deploy prototxt without these layers.
    output : Path
        The .caffemodel for `plain`, which then computes the same, up to rounding.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")
    import caffe

    source = caffe.Net(str(net_file), caffe.TEST, weights=str(weights))
    target = caffe.Net(str(plain), caffe.TEST)
    for name, folded in target.params.items():
        weight, bias = numbers(source, name)
        if f"bn_{name}" in source.params:
            mean, variance, batches = numbers(source, f"bn_{name}")
            scale, shift = numbers(source, f"scale_{name}")
            count = batches[0] or 1
            gain = scale / np.sqrt(variance / count + EPSILON)
            weight = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
            bias = (bias - mean / count) * gain + shift
        folded[0].data[...], folded[1].data[...] = weight, bias
    target.save(str(output))


def numbers(net: object, name: str) -> list[np.ndarray]:
    """A layer's blobs in double precision."""
    return [np.array(blob.data, np.float64) for blob in net.params[name]]
