"""Write the prototxts of Fast R-CNN on CaffeNet, and on the sample's smaller CaffeNet.

Reads:   CNN/<net>/train_val.prototxt, whose layers up to fc7 are kept with their names and fillers
Writes:  CNN/<fast_rcnn net>/train_val.prototxt and test.prototxt
Paper:   the detection column of the table of VOC2007 fine-tuning
Usage:   python CNN/write_fast_rcnn_prototxts.py [--check]

As in Girshick's Fast R-CNN (ICCV 2015): convolutions and poolings are padded by half their kernel,
pool5 becomes ROIPooling, fc8 becomes two layers (class and box), and conv1 is not trained.  The
files are committed; BVLC Caffe has no ROIPooling, but Fast R-CNN's fork reads them.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

from dataclasses import dataclass
from pathlib import Path

from caffe import log, prototxt
from caffe.net_parameter import filter_net
from caffe.proto import caffe_pb2
from texttopicnet import atomic_files, command_line
from texttopicnet.errors import UserError

HERE = Path(__file__).resolve().parent
LEARNING = """
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }"""
OUTPUTS = """
layer {{ name: "cls_score" type: "InnerProduct" bottom: "fc7" top: "cls_score" {learning}
  inner_product_param {{ num_output: {classes}
    weight_filler {{ type: "gaussian" std: 0.01 }} bias_filler {{ type: "constant" value: 0 }} }} }}
layer {{ name: "bbox_pred" type: "InnerProduct" bottom: "fc7" top: "bbox_pred" {learning}
  inner_product_param {{ num_output: {numbers}
    weight_filler {{ type: "gaussian" std: 0.001 }}
    bias_filler {{ type: "constant" value: 0 }} }} }}
"""
POOLING = """
layer {{ name: "roi_pool5" type: "ROIPooling" bottom: "conv5" bottom: "rois" top: "pool5"
  roi_pooling_param {{ pooled_h: {pooled} pooled_w: {pooled} spatial_scale: {scale} }} }}
"""
DATA = """
layer {{ name: "data" type: "Python" top: "data" top: "rois" top: "labels" top: "bbox_targets"
  top: "bbox_inside_weights" top: "bbox_outside_weights"
  python_param {{ module: "roi_data_layer" layer: "RoIDataLayer"
    param_str: "{settings}" }} }}
"""
LOSSES = """
layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels"
  top: "loss_cls" loss_weight: 1 }
layer { name: "loss_bbox" type: "SmoothL1Loss" bottom: "bbox_pred" bottom: "bbox_targets"
  bottom: "bbox_inside_weights" bottom: "bbox_outside_weights" top: "loss_bbox" loss_weight: 1 }
"""
INPUTS = """
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }} }} }}
layer {{ name: "rois" type: "Input" top: "rois" input_param {{ shape {{ dim: 1 dim: 5 }} }} }}
"""
PROBABILITIES = 'layer { name: "cls_prob" type: "Softmax" bottom: "cls_score" top: "cls_prob" }'


@dataclass(frozen=True)
class Detector:
    """A Fast R-CNN.

    Attributes
    ----------
    folder, net : str
        Its folder in CNN/, and that of the net it is made of.
    classes : int
        With the background.
    pooled : int
        Bins along each side: what pool5 of the net has.
    stride : int
        Pixels per cell of conv5.
    side, longest : int
        An image's shorter side is scaled to `side`, unless its longer one becomes more than
        `longest`.
    images, batch : int
        Images of a batch, and their RoIs together.
    background : float
        Least overlap of a background RoI with an object: 0.1 in the paper.  With 0 a short training
        sees easy background, too.
    fine_tunes_all : bool
        Whether conv1 learns, too, and nothing is dropped: for a short training of a small net.
    """

    folder: str
    net: str
    classes: int
    pooled: int
    stride: int
    side: int
    longest: int
    images: int
    batch: int
    background: float
    fine_tunes_all: bool


DETECTORS = (
    Detector("fast_rcnn_voc2007", "CaffeNet", 21, 6, 16, 600, 1000, 2, 128, 0.1, False),
    Detector("fast_rcnn_sample", "CaffeNetSample", 6, 3, 8, 224, 320, 4, 128, 0.0, True),
)


def layers_of(net: str) -> dict[str, caffe_pb2.LayerParameter]:
    """{name: layer} of a net in TRAIN, without stages."""
    param = prototxt.read_net(HERE / net / "train_val.prototxt")
    param.state.phase = caffe_pb2.TRAIN
    found = {}
    for layer in filter_net(param, net).layer:
        layer.ClearField("include")
        found[layer.name] = layer
    return found


def part(text: str) -> list[caffe_pb2.LayerParameter]:
    """The layers of prototxt text."""
    return list(prototxt.parse(text, caffe_pb2.NetParameter()).layer)


def body(detector: Detector) -> list[caffe_pb2.LayerParameter]:
    """From conv1 to the two outputs."""
    layers = layers_of(detector.net)
    names = list(layers)
    front = [layers[n] for n in names[names.index("conv1") : names.index("relu5") + 1]]
    for layer in front:
        if layer.type == "Convolution":
            del layer.convolution_param.pad[:]
            layer.convolution_param.pad.append(layer.convolution_param.kernel_size[0] // 2)
        elif layer.type == "Pooling":
            layer.pooling_param.pad = layer.pooling_param.kernel_size // 2
    if not detector.fine_tunes_all:
        for rate in front[0].param:  # conv1 keeps what it has learnt
            rate.lr_mult = rate.decay_mult = 0
    pooling = POOLING.format(pooled=detector.pooled, scale=1 / detector.stride)
    back = [layers[n] for n in names[names.index("fc6") : names.index("drop7") + 1]]
    back = [x for x in back if not (detector.fine_tunes_all and x.type == "Dropout")]
    outputs = OUTPUTS.format(
        classes=detector.classes, numbers=4 * detector.classes, learning=LEARNING
    )
    return [*front, *part(pooling), *back, *part(outputs)]


def texts(detector: Detector) -> dict[str, str]:
    """{file name: content} of a detector."""
    settings = {
        "rois": "rois.npz",
        "images": detector.images,
        "rois_per_batch": detector.batch,
        "background": detector.background,
        "scale": detector.side,
        "longest": detector.longest,
    }
    data = DATA.format(settings=settings)
    middle = body(detector)
    versions = {
        "train_val.prototxt": [*part(data), *middle, *part(LOSSES)],
        "test.prototxt": [*part(INPUTS.format(side=detector.side)), *middle, *part(PROBABILITIES)],
    }
    head = (
        f"# Fast R-CNN on {detector.net}: {detector.classes - 1} classes and the background.\n"
        "# Made by CNN/write_fast_rcnn_prototxts.py; ROIPooling and SmoothL1Loss are not in BVLC"
        " Caffe 1.0.\n"
    )
    return {
        file: head + prototxt.to_text(caffe_pb2.NetParameter(name="FastRCNN", layer=layers))
        for file, layers in versions.items()
    }


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a file is not what it must be"
    )
    args = parser.parse_args()
    # no lines about the layers that filter_net leaves out
    log.set_flags({"minloglevel": log.LEVELS["W"]})
    for detector in DETECTORS:
        for file, text in texts(detector).items():
            path = HERE / detector.folder / file
            if args.check:
                if not path.is_file() or path.read_text(encoding="utf-8") != text:
                    raise UserError(f"{path} differs: run python CNN/write_fast_rcnn_prototxts.py")
                continue
            path.parent.mkdir(exist_ok=True)
            with atomic_files.written_whole(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(path)
    return 0


if __name__ == "__main__":
    command_line.run(main)
