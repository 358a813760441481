"""Write train_val.prototxt and deploy.prototxt of every net in CNN/.

Reads:   nothing; nets.py says what the nets share and where they differ
Writes:  CNN/<net>/train_val.prototxt and deploy.prototxt
Paper:   section 4.2 (the nets), section 4.3 (fine-tuning)
Usage:   python CNN/write_prototxts.py [--check]

The files are committed: BVLC Caffe reads them as they are.  After a change here or in nets.py, run
this script.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

from pathlib import Path

from nets import FINE_TUNED, NETS, TOPICS, Layers, Net, Task

from caffe import NetSpec, prototxt
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from texttopicnet import atomic_files, command_line
from texttopicnet.errors import UserError
from texttopicnet.images import MEAN_BGR

HERE = Path(__file__).resolve().parent
NAME, BATCH = "TextTopicNet", 64
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
LABELS = """\
# Images and labels come from two LMDBs with equal keys in equal order.  A label has a number per
# class: 1, 0, or -1 where all objects of the class are difficult."""
IGNORED = """\
# Labels of -1 have no loss and no gradient.  The sum over the classes is divided by the batch size
# only, as for the topics."""


def in_training(**stage: str) -> list[dict]:
    """The include rule of a layer for training, with `stage` or `not_stage`."""
    return [{"phase": caffe_pb2.TRAIN, **stage}]


def lmdb(source: str, batch: int, rule: list[dict]) -> dict:
    """The fields of a Data layer."""
    return {"source": source, "batch_size": batch, "backend": P.Data.LMDB, "include": rule}


def pixels(net: Net) -> dict:
    """How the images become the net's input."""
    return {"transform_param": {"mirror": True, "crop_size": net.crop, "mean_value": MEAN_BGR}}


def train_val(net: Net) -> str:
    """The text of train_val.prototxt: all stages in one file."""
    n = NetSpec()
    from_lmdb = in_training(not_stage="python") if net.python_data else in_training()
    n.data = L.Data(**lmdb("train_images_lmdb", BATCH, from_lmdb), **pixels(net))
    n.label = L.Data(**lmdb("train_labels_lmdb", BATCH, from_lmdb))
    Layers(n, net, learns=True).all()
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
    Layers(n, net, learns=False).all()
    n.prob = L.Sigmoid(n.fc8)
    return text(net.deploy_head, [("", n.to_proto().layer)])


def fine_tuning(net: Net, task: Task) -> str:
    """The text of train_val.prototxt for fine-tuning."""
    n = NetSpec()
    if task.multi_label:
        n.data = L.Data(**lmdb("train_images_lmdb", task.batch, in_training()), **pixels(net))
        n.label = L.Data(**lmdb("train_labels_lmdb", task.batch, in_training()))
    else:
        fields = lmdb("train_lmdb", task.batch, in_training()) | pixels(net)
        n.data, n.label = L.Data(ntop=2, **fields)
    Layers(n, net, learns=True).all(task.last, task.classes)
    if task.multi_label:
        ignoring = {"include": in_training(), "loss_param": {"ignore_label": -1}}
        n.loss = L.SigmoidCrossEntropyLoss(n[task.last], n.label, **ignoring)
    else:
        n.loss = L.SoftmaxWithLoss(n[task.last], n.label, include=in_training())
    head = f"""\
# {net.folder}, fine-tuned for {task.classes} classes: {task.last} is new, and all other layers
# begin with the weights of the trained net (train_cnn.py --weights).  train_cnn.py --classes N
# replaces its num_output in the copy that it trains."""
    *rest, loss = n.to_proto().layer
    if not task.multi_label:
        return text(head, [("", [*rest, loss])])
    return text(head, [(LABELS, rest[:2]), ("", rest[2:]), (IGNORED, [loss])])


def fine_tuned(net: Net, task: Task) -> str:
    """The text of deploy.prototxt of a fine-tuned net."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [10, 3, net.crop, net.crop]})
    Layers(n, net, learns=False).all(task.last, task.classes)
    n.prob = (L.Sigmoid if task.multi_label else L.Softmax)(n[task.last])
    out = "independent of the others (a sigmoid)" if task.multi_label else "which sum to 1"
    head = f"""\
# {net.folder}, fine-tuned, for use.  In: pixels (BGR, mean subtracted, {net.crop} x {net.crop}).
# Out: prob, the probability of each class, {out}."""
    return text(head, [("", n.to_proto().layer)])


def text(head: str, parts: list[tuple[str, list]]) -> str:
    """A prototxt: the head, the net's name, then (comment, layers) in order."""
    rows = [head, f'name: "{NAME}"\n']
    for comment, layers in parts:
        written = prototxt.to_text(caffe_pb2.NetParameter(layer=layers)).replace("\\'", "'")
        written = written.replace("    mean_value", f"{MEAN_COMMENT}    mean_value", 1)
        rows.append(f"{comment}\n{written}" if comment else written)
    return rows[0] + "\n" + "".join(rows[1:])


def all_files() -> dict[str, str]:
    """{path below CNN/: text} of every file."""
    found = {}
    for net in NETS:
        found[f"{net.folder}/train_val.prototxt"] = train_val(net)
        found[f"{net.folder}/deploy.prototxt"] = deploy(net)
    for net, task in FINE_TUNED:
        found[f"{task.folder_of(net)}/train_val.prototxt"] = fine_tuning(net, task)
        found[f"{task.folder_of(net)}/deploy.prototxt"] = fine_tuned(net, task)
    return found


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file differs"
    )
    args = parser.parse_args()
    for name, written in all_files().items():
        path = HERE / name
        if not args.check:
            with atomic_files.written_whole(path) as temporary:
                temporary.write_text(written, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != written:
            raise UserError(f"{path} is out of date: write it with python CNN/write_prototxts.py")
        print(path)
    return 0


if __name__ == "__main__":
    command_line.run(main)
