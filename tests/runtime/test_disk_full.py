"""Full disks: every command ends with a sentence that names the file, and leaves no half file.

A limit on the size of files (RLIMIT_FSIZE) makes writes fail like a full disk, though with another
error number.
"""

import os
import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest

LIMIT = 40_000
NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 300 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 100 } }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
"""
# One process runs all commands, as importing takes seconds: each line of its input is a command
PROGRAM = """
import importlib, json, resource, sys
for line in sys.stdin:
    limit, module, *arguments = json.loads(line)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    status = importlib.import_module(module).main(arguments)
    print(f"status {status}", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A net, its weights, a list of images, an LMDB of large images, a log."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "net.prototxt").write_text(NET)
    for name, more in (("solver", ""), ("solver_h5", "snapshot_format: HDF5")):
        (folder / f"{name}.prototxt").write_text(
            f'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
            f' snapshot_prefix: "{name}" {more}'
        )
    image = np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), image)
    (folder / "output.prototxt").write_text(
        'layer { name: "x" type: "DummyData" top: "x" top: "t"'
        " dummy_data_param { shape { dim: 200 dim: 100 } } }"
        'layer { name: "out" type: "HDF5Output" bottom: "x" bottom: "t"'
        ' hdf5_output_param { file_name: "rows.h5" } }'
    )
    row = "I1123 15:06:43.027683 32129 solver.cpp:1] "
    (folder / "x.log").write_text(
        f"{row}Solving\n{row}Iteration 0, loss = 1\n{row}    Train net output #0: loss = 1\n"
    )
    (folder / "list.txt").write_text("0.png 0\n1.png 1\n2.png 2\n")
    return folder


def run(folder, *commands):
    """The fatal line of each command, and its status."""
    import json

    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="".join(json.dumps(command) + "\n" for command in commands),
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"GLOG_minloglevel": "3"},
    )
    assert process.returncode == 0, process.stderr
    rows = [row for row in process.stderr.splitlines() if row]
    assert "Traceback" not in process.stderr
    return rows


def test_every_command(folder):
    free = resource.RLIM_INFINITY
    net = ["net.prototxt", "y"]
    commands = [
        (LIMIT, "caffe.cli", "train", "-solver", "solver.prototxt"),
        (LIMIT, "caffe.cli", "train", "-solver", "solver_h5.prototxt"),
        (LIMIT, "caffe.tools.convert_imageset", "./", "list.txt", "db"),
        (free, "caffe.tools.convert_imageset", "./", "list.txt", "whole"),
        (LIMIT, "caffe.tools.compute_image_mean", "whole", "mean.binaryproto"),
        (free, "caffe.cli", "train", "-solver", "solver.prototxt"),
        (
            10_000,
            "caffe.tools.extract_features",
            "solver_iter_1.caffemodel",
            *net,
            "features",
            "200",
            "lmdb",
        ),
        (LIMIT, "caffe.tools.upgrade_net_proto_binary", "solver_iter_1.caffemodel", "upgraded"),
        (20, "caffe.tools.upgrade_net_proto_text", "net.prototxt", "upgraded"),
        (20, "caffe.tools.upgrade_solver_proto_text", "solver.prototxt", "upgraded"),
        (20, "caffe.tools.parse_log", "x.log", "."),
        (LIMIT, "caffe.cli", "time", "-model", "output.prototxt", "-iterations", "1"),
    ]
    rows = run(folder, *commands)
    found = []
    for row in rows:
        if row.startswith("F"):
            found.append([row])
        elif row.startswith("status"):
            if row == "status 0":
                found.append([])
            found[-1].append(row)
    named = [
        "solver_iter_1.caffemodel",
        "solver_h5_iter_1.caffemodel.h5",
        "db",
        None,
        "mean.binaryproto",
        None,
        "features",
    ]
    named += ["upgraded"] * 3 + ["x.log.train", "rows.h5"]
    assert len(found) == len(commands), rows
    for command, name, result in zip(commands, named, found, strict=True):
        if name is None:
            assert result == ["status 0"], command
        else:
            line, status = result
            assert status == "status 1", (command, line)
            assert "cannot be written" in line or "cannot write" in line, (command, line)
            assert f"{name}: " in line or f"{name} (" in line, (command, line)
    left = {path.name for path in folder.iterdir()}
    assert not [name for name in left if ".tmp" in name]
    assert not left & {
        "db",
        "mean.binaryproto",
        "features",
        "upgraded",
        "solver_h5_iter_1.caffemodel.h5",
    }
