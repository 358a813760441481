"""Train Fast R-CNN on VOC2007 from the weights of a trained net, with `caffe train`.

Reads:   VOC (VOCdevkit/ with Annotations/), --proposals, --weights, CNN/<net>/
Writes:  WORK/CNN/<net>/{rois.npz,trained.caffemodel,trained.log}, snapshots/
Paper:   the detection column of the table of VOC2007 fine-tuning
Usage:   python CNN/train_fast_rcnn.py [--voc DIR] [--work DIR] [--net fast_rcnn_voc2007]
                                       [--weights FILE] [--proposals FILE] [--seed 0] [--gpu]
                                       [--force]

A training that was stopped (Ctrl-C, SIGTERM) resumes from its newest good snapshot.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import ast
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from caffe import mode, prototxt, resume
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from texttopicnet import (
    artefacts,
    atomic_files,
    boxes,
    child_process,
    command_line,
    voc,
    voc_objects,
)
from texttopicnet.errors import UserError

ROIS, SOLVER, LAYER = "rois.npz", "run_solver.prototxt", "roi_data_layer.py"
BACKBONES = {"fast_rcnn_voc2007": "CaffeNet", "fast_rcnn_sample": "CaffeNetSample"}


def rois_of(
    objects: voc_objects.Objects, proposals: np.ndarray, number: dict[str, int], least: float
) -> dict[str, np.ndarray]:
    """The boxes of one image that a batch may draw, and what the net must say of them.

    The image's objects are boxes too; difficult ones are left out.

    Parameters
    ----------
    objects : Objects
    proposals : ndarray of shape (n, 4)
    number : dict
        {class: its number, from 1}.
    least : float
        Boxes that overlap no object by as much are left out.

    Returns
    -------
    dict
        boxes (m, 4), overlap (m,) with the object that each overlaps most, label (m,) of this
        object, and targets (m, 4) of the regression.
    """
    known = np.array([name in number for name in objects.names], dtype=bool)
    used = np.flatnonzero(known & ~objects.difficult)
    found = np.concatenate([objects.boxes[used], proposals])
    if not len(used):  # all of them are background
        found = found if least <= 0 else found[:0]
        return {
            "boxes": found,
            "overlap": np.zeros(len(found)),
            "label": np.zeros(len(found), dtype=np.int64),
            "targets": np.zeros_like(found),
        }
    overlap = boxes.overlaps(found, objects.boxes[used])
    best = overlap.argmax(axis=1)
    rows = np.flatnonzero(overlap.max(axis=1) >= least)
    nearest = used[best[rows]]
    return {
        "boxes": found[rows],
        "overlap": overlap.max(axis=1)[rows],
        "label": np.array([number[objects.names[i]] for i in nearest], dtype=np.int64),
        "targets": boxes.encode(found[rows], objects.boxes[nearest]),
    }


def background(folder: Path) -> float:
    """The least overlap of a background box, from the data layer's param_str."""
    try:
        layers = prototxt.read_net(folder / "train_val.prototxt").layer
    except CaffeError as error:
        raise UserError(str(error)) from error
    settings = next(layer.python_param.param_str for layer in layers if layer.type == "Python")
    return ast.literal_eval(settings)["background"]


def write_rois(args: argparse.Namespace, path: Path, least: float) -> int:
    """Write the file that RoIDataLayer reads; returns the number of images.

    Images without a usable box are left out.
    """
    year = voc.year_folder(args.voc)
    names = voc.classes(args.voc)
    number = {name: i for i, name in enumerate(names, start=1)}
    ids = voc_objects.images(year, "trainval")
    paths, rows = [], []
    proposals = voc_objects.proposals(year, ids, args.proposals)
    for image, candidates in zip(tqdm(ids, unit="image"), proposals, strict=True):
        found = rois_of(voc_objects.read_objects(year, image), candidates, number, least)
        if len(found["boxes"]):
            found["image"] = np.full(len(found["boxes"]), len(paths), dtype=np.int64)
            rows.append(found)
            paths.append(str(voc_objects.image_file(year, image).absolute()))
    if not rows:
        raise UserError(
            f"{year}: no image of trainval has an object with a proposal: check --proposals"
        )
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    arrays |= {name: arrays[name].astype(np.float32) for name in ("boxes", "overlap", "targets")}
    with atomic_files.written_whole(path) as temporary:
        np.savez(
            temporary,
            paths=np.array(paths),
            num_classes=np.int64(len(names) + 1),
            seed=np.int64(args.seed),
            **arrays,
        )
    return len(paths)


def copy_net(source: Path, folder: Path) -> None:
    """Copy the prototxts and the data layer, which all Fast R-CNNs share, into the work folder."""
    layer = artefacts.ROOT / "CNN" / "fast_rcnn_voc2007" / LAYER
    for path in (*source.glob("*.prototxt"), layer):
        target = folder / path.name
        if path.resolve() != target.resolve():
            shutil.copyfile(path, target)


def write_solver(folder: Path, seed: int) -> caffe_pb2.SolverParameter:
    """Write the solver with its seed; returns it."""
    try:
        solver = prototxt.read_solver(folder / "solver.prototxt")
    except CaffeError as error:
        raise UserError(str(error)) from error
    solver.random_seed = seed
    with atomic_files.written_whole(folder / SOLVER) as temporary:
        temporary.write_text(prototxt.to_text(solver), encoding="utf-8")
    return solver


def require_gpu() -> None:
    """Check, before the proposals are read, that there is a GPU; UserError if there is none."""
    try:
        mode.require_gpu("--gpu")
    except CaffeError as error:
        raise UserError(str(error)) from error


def parse() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--voc", "--work")
    parser.add_argument(
        "--net",
        default="fast_rcnn_voc2007",
        choices=sorted(BACKBONES),
        help="folder of CNN/ that holds the detector (default: fast_rcnn_voc2007)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights to start from (default: WORK/CNN/CaffeNet/trained.caffemodel)",
    )
    parser.add_argument(
        "--proposals",
        type=Path,
        metavar="FILE",
        help="proposals of trainval, .mat or .npz (default: a fixed grid of windows)",
    )
    command_line.add_options(parser, "--seed")
    command_line.add_options(parser, "--gpu", help="train on a GPU (as solver_mode: GPU)")
    command_line.add_options(parser, "--force")
    return parser.parse_args()


def main() -> int:
    args = parse()
    source, folder = artefacts.ROOT / "CNN" / args.net, args.work.absolute() / "CNN" / args.net
    output = folder / "trained.caffemodel"
    artefacts.refuse_existing(output, args.force)
    if args.gpu:
        require_gpu()
    backbone = args.work / "CNN" / BACKBONES[args.net] / "trained.caffemodel"
    weights = artefacts.existing(args.weights or backbone, "scripts/05_train_cnn.sh").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    copy_net(source, folder)
    solver = write_solver(folder, args.seed)
    prefix = folder / solver.snapshot_prefix
    prefix.parent.mkdir(parents=True, exist_ok=True)
    if args.force:
        for path in (output, *prefix.parent.glob(f"{prefix.name}_iter_*")):
            path.unlink(missing_ok=True)
    start = ["--resume"] if resume.newest(str(prefix)) else ["--weights", weights]
    count = write_rois(args, folder / ROIS, background(folder))
    print(
        f"Fast R-CNN: {count} images of trainval, {solver.max_iter} iterations,"
        f" {'resumed' if start == ['--resume'] else f'from {weights}'}",
        flush=True,
    )
    gpu = ["--gpu", "0"] if args.gpu else []
    command = child_process.caffe_train(SOLVER, *start, *gpu)
    ended = child_process.run(command, folder, folder / "trained.log")
    final = folder / f"{solver.snapshot_prefix}_iter_{solver.max_iter}.caffemodel"
    if ended.status or not final.is_file():
        raise UserError(
            f"caffe train stopped before its last iteration, {folder / 'trained.log'} says why: the"
            " same command resumes it"
        )
    with atomic_files.written_whole(output) as temporary:
        shutil.copyfile(final, temporary)
    print(output)
    return ended.exit_status


if __name__ == "__main__":
    command_line.run(main)
