"""Write train_val.prototxt and deploy.prototxt of CaffeNet and of the sample's smaller CaffeNet.

Reads:   nothing; this file says what the two nets share and where they differ
Writes:  CNN/<net>/train_val.prototxt and deploy.prototxt
Paper:   section 4.2 (the net)
Usage:   python CNN/write_prototxts.py [--check]

The files are committed: BVLC Caffe reads them as they are.  After a change here, run this script.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

from dataclasses import dataclass
from pathlib import Path

from caffe import NetSpec, prototxt
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from texttopicnet import atomic_files, command_line
from texttopicnet.errors import UserError
from texttopicnet.images import MEAN_BGR

HERE = Path(__file__).resolve().parent
NAME, BATCH, TOPICS = "TextTopicNet", 64, 40
LEARNING = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]  # weights, biases
NARROW = {"type": "gaussian", "std": 0.01}
MEAN_COMMENT = "    # mean of ImageNet in B, G, R\n"

LMDBS = """\
# Images and topic vectors come from two LMDBs with equal keys in equal order (CNN/create_lmdb.py):
# two Data layers with the same batch_size walk through them in step."""
PYTHON = """\
# Stage "python": the original's data layer (layers.py in this folder) reads the images and
# ../../LDA/training_labels40.json straight from the files, without LMDBs."""
SIGMOID = """\
# Caffe's default normalisation here: the sum over all topics, divided by the batch size only."""
EUCLIDEAN = """\
# Stage "euclidean": half the squared distance, averaged over the batch: 0.5 for an output of 0, as
# the targets have length 1."""


@dataclass(frozen=True)
class Net:
    """A net of CaffeNet's layers: its folder, and where it differs from the other net.

    Attributes
    ----------
    folder : str
        Below CNN/.
    train_head, deploy_head : str
        Comments at the top of the two files.
    crop : int
        Side of the input in pixels.
    conv1 : dict
        Its num_output, kernel_size and stride.
    outputs : dict
        {layer: num_output} of the other layers, up to fc7.
    conv_weights, fc_weights : dict
        Fillers of conv2 to conv5, and of fc6 and fc7.
    bias : float
        Of conv2, conv4, conv5, fc6 and fc7.
    python_data : bool
        Whether the stage "python" exists.
    """

    folder: str
    train_head: str
    deploy_head: str
    crop: int
    conv1: dict
    outputs: dict
    conv_weights: dict
    fc_weights: dict
    bias: float
    python_data: bool


STAGES = """\
# Stages choose variants.  A solver names them in train_state:
#   (none)       SigmoidCrossEntropyLoss for numbers in [0, 1] (lda, tfidf): solver.prototxt
#   "euclidean"  EuclideanLoss for signed vectors of length 1 (lsi, word2vec, doc2vec, fasttext):
#                solver_euclidean.prototxt"""
WIDTH = """\
# A signed embedding (generate_train_labels.py and create_lmdb.py --embedding NAME) is fc8 itself,
# without a sigmoid: extract_features.py --blobs fc8 with deploy.prototxt.  For another width than
# 40: --topics N for those scripts, and num_output of fc8 here and in deploy.prototxt."""

CAFFENET = Net(
    folder="CaffeNet",
    train_head=f"""\
# TextTopicNet: CaffeNet (8 layers, pooling before normalisation, groups of 2) that predicts 40
# topics.
{STAGES}
#   "python"     the original's Python data layer: solver_python.prototxt
{WIDTH}""",
    deploy_head="""\
# TextTopicNet for use.  In: pixels (BGR, mean subtracted, 227 x 227).  Out: prob, the probability
# of each of 40 topics, independent of the others (a sigmoid).
# A net that has learnt a signed embedding (stage "euclidean") predicts it in fc8, not in prob.""",
    crop=227,
    conv1={"num_output": 96, "kernel_size": 11, "stride": 4},
    outputs={"conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256, "fc6": 4096, "fc7": 4096},
    conv_weights=NARROW,
    fc_weights={"type": "gaussian", "std": 0.005},
    bias=1,
    python_data=True,
)
SAMPLE = Net(
    folder="CaffeNetSample",
    train_head=f"""\
# The sample's net: CaffeNet's layers with fewer and smaller filters for 67 x 67 pixels; xavier
# fillers, so that it learns within minutes.
{STAGES}""",
    deploy_head="""\
# The sample's net for use.  In: pixels (BGR, mean subtracted, 67 x 67).  Out: prob, the probability
# of each of 40 topics, independent of the others (a sigmoid).""",
    crop=67,
    conv1={"num_output": 32, "kernel_size": 7, "stride": 2},
    outputs={"conv2": 64, "conv3": 96, "conv4": 96, "conv5": 64, "fc6": 256, "fc7": 256},
    conv_weights={"type": "xavier"},
    fc_weights={"type": "xavier"},
    bias=0,
    python_data=False,
)


def body(n: NetSpec, net: Net, learns: bool) -> None:
    """Add conv1 to fc8, which read `n.data`; where the net learns, with fillers and rates."""

    def learning(weights: dict, bias: float) -> dict:
        filler = {"type": "constant", "value": bias}
        return (
            {"param": LEARNING, "weight_filler": weights, "bias_filler": filler} if learns else {}
        )

    def convolution(bottom: Top, name: str, pad: int, group: int, bias: float) -> Top:
        sizes = {"num_output": net.outputs[name], "kernel_size": 3 if pad == 1 else 5, "pad": pad}
        groups = {"group": group} if group > 1 else {}
        return L.Convolution(bottom, **sizes, **groups, **learning(net.conv_weights, bias))

    def pool_and_norm(bottom: Top) -> tuple[Top, Top]:
        pool = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        return pool, L.LRN(pool, local_size=5, alpha=0.0001, beta=0.75)

    n.conv1 = L.Convolution(n.data, **net.conv1, **learning(NARROW, 0))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1, n.norm1 = pool_and_norm(n.relu1)
    n.conv2 = convolution(n.norm1, "conv2", 2, 2, net.bias)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2, n.norm2 = pool_and_norm(n.relu2)
    n.conv3 = convolution(n.norm2, "conv3", 1, 1, 0)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.conv4 = convolution(n.relu3, "conv4", 1, 2, net.bias)
    n.relu4 = L.ReLU(n.conv4, in_place=True)
    n.conv5 = convolution(n.relu4, "conv5", 1, 2, net.bias)
    n.relu5 = L.ReLU(n.conv5, in_place=True)
    n.pool5 = bottom = L.Pooling(n.relu5, pool=P.Pooling.MAX, kernel_size=3, stride=2)
    for number in (6, 7):
        fields = {"num_output": net.outputs[f"fc{number}"]}
        bottom = L.InnerProduct(bottom, **fields, **learning(net.fc_weights, net.bias))
        n[f"fc{number}"] = bottom
        n[f"relu{number}"] = relu = L.ReLU(bottom, in_place=True)
        n[f"drop{number}"] = bottom = L.Dropout(relu, in_place=True, dropout_ratio=0.5)
    n.fc8 = L.InnerProduct(bottom, num_output=TOPICS, **learning(NARROW, 0))


def in_training(**stage: str) -> list[dict]:
    """The include rule of a layer for training, with `stage` or `not_stage`."""
    return [{"phase": caffe_pb2.TRAIN, **stage}]


def train_val(net: Net) -> str:
    """The text of train_val.prototxt: all stages in one file."""
    n = NetSpec()
    from_lmdb = in_training(not_stage="python") if net.python_data else in_training()
    pixels = {"mirror": True, "crop_size": net.crop, "mean_value": MEAN_BGR}
    lmdb = {"batch_size": BATCH, "backend": P.Data.LMDB, "include": from_lmdb}
    n.data = L.Data(source="train_images_lmdb", transform_param=pixels, **lmdb)
    n.label = L.Data(source="train_labels_lmdb", **lmdb)
    body(n, net, learns=True)
    by_default = in_training(not_stage="euclidean")
    n.loss = L.SigmoidCrossEntropyLoss(n.fc8, n.label, include=by_default)
    data, label, *rest, loss = n.to_proto().layer
    euclidean = caffe_pb2.LayerParameter()
    euclidean.CopyFrom(loss)
    euclidean.type = "EuclideanLoss"
    euclidean.include[0].ClearField("not_stage")
    euclidean.include[0].stage.append("euclidean")
    parts = [(LMDBS, [data, label]), ("", rest), (SIGMOID, [loss]), (EUCLIDEAN, [euclidean])]
    if net.python_data:
        parts.insert(1, (PYTHON, python_data().layer))
    return text(net.train_head, parts)


def python_data() -> caffe_pb2.NetParameter:
    """The original's data layer, with its parameters as the Python literal that it parses."""
    params = {"num_topics": TOPICS, "batch_size": BATCH}
    params |= {"img_dir": "../../data/ImageCLEF_Wikipedia/", "mean": MEAN_BGR}
    n = NetSpec()
    n.data, n.label = L.Python(
        ntop=2,
        include=in_training(stage="python"),
        python_param={
            "module": "layers",
            "layer": "MultiLabelDataLayerWikiCLEF",
            "param_str": str(params),
        },
    )
    return n.to_proto()


def deploy(net: Net) -> str:
    """The text of deploy.prototxt."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [10, 3, net.crop, net.crop]})
    body(n, net, learns=False)
    n.prob = L.Sigmoid(n.fc8)
    return text(net.deploy_head, [("", n.to_proto().layer)])


def text(head: str, parts: list[tuple[str, list]]) -> str:
    """A prototxt: the head, the net's name, then (comment, layers) in order."""
    rows = [head, f'name: "{NAME}"\n']
    for comment, layers in parts:
        written = prototxt.to_text(caffe_pb2.NetParameter(layer=layers)).replace("\\'", "'")
        written = written.replace("    mean_value", f"{MEAN_COMMENT}    mean_value", 1)
        rows.append(f"{comment}\n{written}" if comment else written)
    return rows[0] + "\n" + "".join(rows[1:])


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file differs"
    )
    args = parser.parse_args()
    for net in (CAFFENET, SAMPLE):
        for name, written in (("train_val", train_val(net)), ("deploy", deploy(net))):
            path = HERE / net.folder / f"{name}.prototxt"
            if not args.check:
                with atomic_files.written_whole(path) as temporary:
                    temporary.write_text(written, encoding="utf-8")
            elif not path.is_file() or path.read_text(encoding="utf-8") != written:
                raise UserError(
                    f"{path} is out of date: write it with python CNN/write_prototxts.py"
                )
            print(path)
    return 0


if __name__ == "__main__":
    command_line.run(main)
