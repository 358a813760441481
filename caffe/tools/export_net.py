"""caffe export: a trained net as ONNX, or its weights as a state_dict of PyTorch's."""

import math
import os
import sys
from collections.abc import Sequence

import torch

from caffe import command_line, export_names, log, mode, prototxt
from caffe.command_line import Fatal
from caffe.export_onnx import Exported, export_onnx
from caffe.inspect_text import count_text
from caffe.pycaffe import TEST, Net
from caffe.tools.inspect_file import parsed_shapes
from caffe.whole_file import renamed_when_whole

HERE = "export.cpp:1"
SUFFIXES = {"onnx": ".onnx", "pytorch": ".pt"}
USAGE = """export: Write a trained net in a form that other programs read.
usage: caffe export NET WEIGHTS [OUTPUT] [-format onnx|pytorch] [-shape BLOB:1,3,227,227[;...]]
       [-level N] [-stage A,B] [-opset N] [-force]

NET is a deploy prototxt, and WEIGHTS its .caffemodel.  OUTPUT is by default the weights' file with
the suffix .onnx or .pt.

-format onnx     the net with its weights (pip install '.[export]').  If onnxruntime is installed,
                 its outputs are compared with the runtime's before the file is written.
-format pytorch  the weights alone: torch.load(OUTPUT, weights_only=True) is a dict of tensors with
                 the names layer.weight, layer.bias, ...
-shape           the shape of an input, if it is not that of the prototxt.
-opset           ONNX's version of the operators.
-force           replace OUTPUT if it exists.
"""
FLAGS = {
    "format": {"choices": ("onnx", "pytorch"), "default": "onnx"},
    "shape": {"default": ""},
    "level": {"type": int, "default": 0},
    "stage": {"default": ""},
    "opset": {"type": int, "default": 0},
    "force": {"action": "store_true"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command; returns the exit status."""
    return command_line.run(export, HERE, arguments, USAGE)


def export(arguments: Sequence[str]) -> None:
    """Read the command line and the net, and write it."""
    args = command_line.flags(arguments, FLAGS, HERE, "NET WEIGHTS [OUTPUT]")
    log.set_flags({"minloglevel": max(1, int(log.setting("minloglevel")))})  # what nets say of INFO
    model, weights, *rest = args.rest
    output = rest[0] if rest else without_suffix(weights) + SUFFIXES[args.format]
    if os.path.lexists(output) and not args.force:
        raise Fatal(HERE, f"{output}: exists already; give another name, or -force to replace it")
    if not os.path.isdir(os.path.dirname(output) or "."):  # before the work
        raise Fatal(HERE, f"{output}: cannot be written; does the folder exist?")
    mode.set_mode_cpu()
    net = loaded(model, weights, args.level, args.stage.split(","), args.shape)
    try:
        if args.format == "onnx":
            print(f"exporting {net.name or model} to ONNX", flush=True)
            print(report(export_onnx(net, output, args.opset or None)))
        else:
            values = export_names.state_dict(net)
            with renamed_when_whole(output) as temporary, open(temporary, "wb") as f:
                torch.save(values, f)
            print(f"{output}: {len(values)} tensors; torch.load(..., weights_only=True) reads them")
        count = sum(math.prod(parameter.blob.shape) for parameter in net.learnable)
        print(f"parameters: {count_text(count)}")
    finally:
        net.close()


def loaded(model: str, weights: str, level: int, stages: Sequence[str], shapes: str) -> Net:
    """The net in phase TEST with its weights, and with other input shapes if some are given.

    Raises
    ------
    CaffeError
        A layer cannot be exported (before its data is opened), or something does not fit.
    """
    net = Net(prototxt.read_net(model), TEST, level=level, stages=stages, file=model)
    given = parsed_shapes(shapes)
    for blob in net.input_blobs:
        if blob.name in given:
            blob.reshape(*given.pop(blob.name))
    if given:
        raise Fatal(HERE, f"-shape: {model} has no input '{next(iter(given))}'")
    net.reshape()
    net.copy_from(weights)
    return net


def without_suffix(path: str) -> str:
    """A weights' path without .caffemodel, .caffemodel.h5 or any other suffix."""
    return os.path.splitext(path.removesuffix(".h5"))[0]


def report(exported: Exported) -> str:
    """What was written, and how far it agrees with the runtime, in a few lines."""
    rows = [f"{exported.path}: ONNX, opset {exported.opset}"]
    for word, blobs in (("inputs", exported.inputs), ("outputs", exported.outputs)):
        shapes = [f"{name} ({', '.join(map(str, shape))})" for name, shape in blobs.items()]
        rows.append(f"{word}: {'; '.join(shapes)}")
    if exported.batches:
        sizes = " and ".join(map(str, exported.batches))
        rows.append(
            f"compared with the runtime on random inputs (batch {sizes}): largest difference"
            f" {exported.difference:.2g}, largest value {exported.greatest:.3g}"
        )
    else:
        rows.append(
            "not compared with the runtime, because onnxruntime is not installed:"
            " pip install onnxruntime"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
