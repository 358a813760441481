"""caffe draw: a picture of a net; .svg and .dot need no other program."""

import os
import sys
from collections.abc import Sequence

from caffe import command_line, draw, draw_svg, log, prototxt
from caffe.command_line import Fatal
from caffe.inspect_files import shapes_of
from caffe.inspect_text import shape_text
from caffe.proto import caffe_pb2
from caffe.tools.inspect_file import parsed_shapes
from caffe.whole_file import renamed_when_whole

HERE = "draw.cpp:1"
USAGE = """draw: Draw a net.
usage: caffe draw NET PICTURE [-rankdir TB|LR|BT|RL] [-phase TRAIN|TEST|ALL] [-display_lrm]
       [-shapes] [-shape BLOB:64,3,227,227[;...]]

NET is a net's prototxt, also in the old forms V0 and V1.  The suffix of PICTURE chooses the format:
.svg and .dot need no other program; .png, .pdf and others are made by Graphviz's `dot`.

-rankdir      direction of the flow; TB is top to bottom.
-phase        draw only the layers of this phase; by default all.
-display_lrm  show the learning rate multipliers.
-shapes       (.svg) write the shapes of the blobs at the edges, instead of the numbers of outputs.
-shape        the shape of an input, for -shapes.
"""
FLAGS = {
    "rankdir": {"choices": draw.RANKDIRS, "default": "TB"},
    "phase": {"choices": ("TRAIN", "TEST", "ALL"), "default": "ALL"},
    "display_lrm": {"action": "store_true"},
    "shapes": {"action": "store_true"},
    "shape": {"default": ""},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the sub-command; returns the exit status."""
    return command_line.run(draw_net, HERE, arguments, USAGE)


def draw_net(arguments: Sequence[str]) -> None:
    """Read the command line and the net, and save the picture."""
    args = command_line.flags(arguments, FLAGS, HERE, "NET PICTURE")
    log.set_flags({"minloglevel": max(1, int(log.setting("minloglevel")))})  # what nets say of INFO
    path, picture = args.rest
    net = prototxt.read_net(path)
    phase = None if args.phase == "ALL" else caffe_pb2.Phase.Value(args.phase)
    if args.shapes or args.shape:
        if os.path.splitext(picture)[1].lower() != ".svg":
            raise Fatal(HERE, "-shapes is for a picture in .svg")
        phase = caffe_pb2.TEST if phase is None else phase
        found = shapes_of(net, path, phase, parsed_shapes(args.shape))
        labels = {blob: shape_text(shape) for blob, shape in found.items()}
        text = draw_svg.svg(net, args.rankdir, phase, args.display_lrm, labels)
        with renamed_when_whole(picture) as temporary, open(temporary, "w", encoding="utf-8") as f:
            f.write(text)
    else:
        draw.draw_net_to_file(net, picture, args.rankdir, phase, args.display_lrm)
    print(f"{picture}: drawn from {path}")


if __name__ == "__main__":
    sys.exit(main())
