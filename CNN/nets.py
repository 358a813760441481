"""The nets of CNN/, as layers: CaffeNet, the sample's smaller one, the 6-layer CNN.

A part of write_prototxts.py, which writes their files.
"""

from dataclasses import dataclass, field

from caffe import NetSpec
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Top
from texttopicnet import artefacts

TOPICS = 40
LEARNING = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]  # weights, biases
NARROW = {"type": "gaussian", "std": 0.01}


@dataclass(frozen=True)
class Net:
    """A net of CaffeNet's layers: its folder, and where it differs from the others.

    Attributes
    ----------
    folder : str
        Below CNN/.
    train_head, deploy_head : str
        Comments at the top of the two files.
    crop : int
        Side of the input in pixels.
    conv1 : dict
        Its num_output, kernel_size and stride; empty for the 6-layer CNN, which begins with conv3.
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
    conv_weights: dict = field(default_factory=lambda: NARROW)
    fc_weights: dict = field(default_factory=lambda: {"type": "gaussian", "std": 0.005})
    bias: float = 1
    python_data: bool = False


class Layers:
    """Adds the layers of a net to a NetSpec; where the net learns, with fillers and rates."""

    def __init__(self, n: NetSpec, net: Net, learns: bool) -> None:
        self.n, self.net, self.learns = n, net, learns

    def all(self, last: str = "fc8", num_output: int = TOPICS) -> None:
        """Everything between the data and the loss; `last` is the layer after drop7."""
        bottom = self.five_convolutions() if self.net.conv1 else self.three_convolutions()
        n = self.n
        n.pool5 = bottom = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        for number in (6, 7):
            fields = {"num_output": self.net.outputs[f"fc{number}"]}
            fields |= self.learning(self.net.fc_weights, self.net.bias)
            n[f"fc{number}"] = bottom = L.InnerProduct(bottom, **fields)
            n[f"relu{number}"] = relu = L.ReLU(bottom, in_place=True)
            n[f"drop{number}"] = bottom = L.Dropout(relu, in_place=True, dropout_ratio=0.5)
        n[last] = L.InnerProduct(bottom, num_output=num_output, **self.learning(NARROW, 0))

    def five_convolutions(self) -> Top:
        """conv1 to relu5 of CaffeNet."""
        n, net = self.n, self.net
        n.conv1 = L.Convolution(n.data, **net.conv1, **self.learning(NARROW, 0))
        n.relu1 = L.ReLU(n.conv1, in_place=True)
        n.pool1, n.norm1 = self.pool_and_norm(n.relu1)
        n.conv2 = self.convolution(n.norm1, "conv2", 2, 2, net.bias)
        n.relu2 = L.ReLU(n.conv2, in_place=True)
        n.pool2, n.norm2 = self.pool_and_norm(n.relu2)
        n.conv3 = self.convolution(n.norm2, "conv3", 1, 1, 0)
        n.relu3 = L.ReLU(n.conv3, in_place=True)
        n.conv4 = self.convolution(n.relu3, "conv4", 1, 2, net.bias)
        n.relu4 = L.ReLU(n.conv4, in_place=True)
        return self.conv5(n.relu4)

    def three_convolutions(self) -> Top:
        """conv3 to relu5 of CaffeNet as the first layers: conv3 has a stride, and the pooling and
        normalisation of the two layers that are missing come after conv3 and conv4.
        """
        n, net = self.n, self.net
        n.conv3 = self.convolution(n.data, "conv3", 1, 1, 0, stride=2)
        n.relu3 = L.ReLU(n.conv3, in_place=True)
        n.pool3, n.norm3 = self.pool_and_norm(n.relu3)
        n.conv4 = self.convolution(n.norm3, "conv4", 1, 2, net.bias)
        n.relu4 = L.ReLU(n.conv4, in_place=True)
        n.pool4, n.norm4 = self.pool_and_norm(n.relu4)
        return self.conv5(n.norm4)

    def conv5(self, bottom: Top) -> Top:
        self.n.conv5 = self.convolution(bottom, "conv5", 1, 2, self.net.bias)
        self.n.relu5 = L.ReLU(self.n.conv5, in_place=True)
        return self.n.relu5

    def learning(self, weights: dict, bias: float) -> dict:
        filler = {"type": "constant", "value": bias}
        learns = {"param": LEARNING, "weight_filler": weights, "bias_filler": filler}
        return learns if self.learns else {}

    def convolution(
        self, bottom: Top, name: str, pad: int, group: int, bias: float, stride: int = 1
    ) -> Top:
        sizes = {"num_output": self.net.outputs[name], "kernel_size": 3 if pad == 1 else 5}
        sizes |= {"pad": pad} | ({"stride": stride} if stride > 1 else {})
        groups = {"group": group} if group > 1 else {}
        learning = self.learning(self.net.conv_weights, bias)
        return L.Convolution(bottom, **sizes, **groups, **learning)

    def pool_and_norm(self, bottom: Top) -> tuple[Top, Top]:
        pool = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        return pool, L.LRN(pool, local_size=5, alpha=0.0001, beta=0.75)


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
    python_data=True,
)
CAFFENET6 = Net(
    folder="CaffeNet6",
    train_head=f"""\
# TextTopicNet with 6 layers: CaffeNet without conv1 and conv2, for small images (STL-10's 96 x 96,
# cropped to 85 as 256 is to 227).  The paper has such a net; the original's code does not, so these
# are decisions of this project: conv3 has a stride of 2, and CaffeNet's first two poolings and
# normalisations come after conv3 and conv4, so that fc6 sees 256 x 5 x 5 numbers (CaffeNet's sees
# 256 x 6 x 6).  Fillers are CaffeNet's.
{STAGES}""",
    deploy_head="""\
# TextTopicNet with 6 layers, for use.  In: pixels (BGR, mean subtracted, 85 x 85).  Out: prob, the
# probability of each of 40 topics, independent of the others (a sigmoid).""",
    crop=85,
    conv1={},
    outputs={"conv3": 384, "conv4": 384, "conv5": 256, "fc6": 4096, "fc7": 4096},
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
)
NETS = (CAFFENET, CAFFENET6, SAMPLE)


@dataclass(frozen=True)
class Task:
    """What a trained net is fine-tuned for: the new layer after drop7, and its loss.

    Attributes
    ----------
    name : str
        Part of the names of the folders.
    last : str
        Name of the new layer, which no weights file of a trained net has.
    classes : int
        Its num_output; train_cnn.py --classes gives the copy in the work folder another.
    batch : int
    multi_label : bool
        Independent classes with a sigmoid each, or one class per image and a softmax.
    """

    name: str
    last: str
    classes: int
    batch: int
    multi_label: bool

    def folder_of(self, net: Net) -> str:
        """Folder of the fine-tuned net below CNN/."""
        return artefacts.fine_tuned_net(self.name, net.folder)


VOC2007 = Task("voc2007", "fc8_voc2007", 20, 16, True)
CLASSES = Task("classes", "fc8_classes", 10, 16, False)
FINE_TUNED = ((CAFFENET, VOC2007), (SAMPLE, VOC2007), *((net, CLASSES) for net in NETS))
