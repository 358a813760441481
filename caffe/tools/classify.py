"""caffe classify: the most likely classes of images (Caffe: examples/cpp_classification)."""

import os
import sys
from collections.abc import Sequence

import cv2
import numpy as np

from caffe import command_line, encoded_image, log, mode, prototxt, weights_file
from caffe.command_line import Fatal
from caffe.error import CaffeError
from caffe.pycaffe import TEST, Net
from caffe.regular_file import open_regular

HERE = "classify.cpp:1"
USAGE = """classify: Print the classes that a net finds most likely for images.
usage: caffe classify NET WEIGHTS IMAGE [IMAGE ...] [-mean FILE|B,G,R] [-labels FILE] [-scale 1]
       [-top 5] [-gpu ID]

NET is a deploy prototxt with one input of 1 or 3 channels and one output, one number per class.
As in BVLC's classification.cpp an image is resized to the input, its channels are B, G, R in 0 to
255, and the mean of each channel is subtracted.

-mean    a mean file (.binaryproto or .npy), or a number per channel, such as 104,117,123.
-labels  a text file with the name of a class per line; without it classes are numbers from 0.
-scale   multiplies the values after that (LeNet: 0.00390625).
-top     how many classes.
"""
FLAGS = {
    "mean": {"default": ""},
    "labels": {"default": ""},
    "scale": {"type": float, "default": 1.0},
    "top": {"type": int, "default": 5},
    "gpu": {"default": ""},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command; returns the exit status."""
    return command_line.run(classify, HERE, arguments, USAGE)


def classify(arguments: Sequence[str]) -> None:
    """Read the command line, the net and the images, and print the classes."""
    names = "NET WEIGHTS IMAGE" + " [IMAGE]" * max(1, len(arguments) - 3)
    args = command_line.flags(arguments, FLAGS, HERE, names)
    log.set_flags({"minloglevel": max(1, int(log.setting("minloglevel")))})  # what nets say of INFO
    model, weights, *images = args.rest
    if args.top < 1:
        raise Fatal(HERE, f"-top must be at least 1, it is {args.top}")
    if args.gpu:
        mode.require_gpu(f"-gpu {args.gpu}")
        mode.set_device(args.gpu)
        mode.set_mode_gpu()
    else:
        mode.set_mode_cpu()
    net = Net(model, TEST, weights=weights)
    channels = one_input(net)
    mean = mean_of_channels(args.mean, channels)
    labels = prototxt.read_text(args.labels).splitlines() if args.labels else None
    for path in images:
        scores = scores_of(net, path, mean, args.scale)
        if labels is not None and len(labels) != len(scores):
            raise Fatal(
                HERE, f"{args.labels}: has {len(labels)} lines, the net has {len(scores)} classes"
            )
        print(f"---------- Prediction for {path} ----------")
        for i in np.argsort(-scores, kind="stable")[: args.top]:
            print(f"{scores[i]:.4f} - " + (f'"{labels[i]}"' if labels else f"class {i}"))


def one_input(net: Net) -> int:
    """The number of channels of the net's one input, which gets a batch of one.

    Raises
    ------
    CaffeError
        The net does not have one input for images, and one output.
    """
    shapes = [blob.shape for blob in net.input_blobs]
    if len(shapes) != 1 or len(net.outputs) != 1 or len(shapes[0]) != 4:
        raise CaffeError(
            f"{net.file}: a deploy prototxt with one input (N, C, H, W) and one output is needed;"
            f" it has {len(shapes)} inputs {shapes} and {len(net.outputs)} outputs"
        )
    if shapes[0][1] not in (1, 3):
        raise CaffeError(f"{net.file}: its input has {shapes[0][1]} channels, images have 1 or 3")
    net.input_blobs[0].reshape(1, *shapes[0][1:])
    net.reshape()
    return shapes[0][1]


def mean_of_channels(text: str, channels: int) -> np.ndarray:
    """What -mean names, as one number per channel: (channels,) of float32.

    Raises
    ------
    CaffeError
        It is neither a readable mean file nor numbers, or has another number of channels.
    """
    if not text:
        return np.zeros(channels, np.float32)
    try:
        mean = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        mean = _read_mean(text)
    if len(mean) != channels:
        raise Fatal(HERE, f"-mean {text}: has {len(mean)} channels, the net's input {channels}")
    return mean


def _read_mean(path: str) -> np.ndarray:
    """A mean file: (channels, height, width) or (channels,)."""
    if not path.endswith(".npy"):
        values = weights_file.read_blob_file(path)
    else:
        try:
            with open_regular(path) as f:
                values = np.load(f, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise CaffeError(f"{path}: is not a readable NumPy array ({error})") from error
    values = values[0] if values.ndim == 4 else values
    if values.ndim not in (1, 3) or values.dtype.kind not in "fiu":
        raise CaffeError(
            f"{path}: a mean of numbers, of shape (channels, height, width), is needed"
        )
    return values.reshape(len(values), -1).mean(1, dtype=np.float64).astype(np.float32)


def scores_of(net: Net, path: str, mean: np.ndarray, scale: float) -> np.ndarray:
    """The net's output for an image file: (classes,) of float32.

    Raises
    ------
    CaffeError
        The file is not an image, or the net gives more than one number per class.
    """
    blob = net.input_blobs[0]
    _, channels, height, width = blob.shape
    with open_regular(path) as f:
        image = encoded_image.decode_8_bits(f.read(), cv2.IMREAD_UNCHANGED, os.fspath(path))
    if image.shape[2] == 4:
        image = image[:, :, :3]
    if image.shape[2] != channels:
        code = cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_GRAY2BGR
        image = cv2.cvtColor(image, code)
    resized = np.atleast_3d(cv2.resize(np.ascontiguousarray(image), (width, height)))
    blob.data[0] = ((resized.astype(np.float32) - mean) * np.float32(scale)).transpose(2, 0, 1)
    net.forward()
    output = net.output_blobs[0]
    if len(output.shape) < 2 or output.count != output.shape[1]:
        raise CaffeError(
            f"{net.file}: output '{output.name}' has the shape {output.shape}; one number per class"
            " is needed"
        )
    return output.data.reshape(-1).copy()


if __name__ == "__main__":
    sys.exit(main())
