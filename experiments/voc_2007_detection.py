"""Detect the objects of VOC2007's test images with Fast R-CNN, and score them as the devkit does.

Reads:   VOC (VOCdevkit/ with Annotations/), --proposals, WORK/CNN/<net>/{test.prototxt,
         trained.caffemodel}; without these weights CNN/train_fast_rcnn.py is run first
Writes:  WORK/experiments/results/voc2007_detection.json, and for the devkit
         results/voc2007_detection/VOC2007/Main/comp3_det_test_<class>.txt
Paper:   the detection column of the table of VOC2007 fine-tuning
Usage:   python experiments/voc_2007_detection.py [--voc DIR] [--work DIR] [--net fast_rcnn_voc2007]
                 [--proposals FILE] [--train-proposals FILE] [--weights FILE] [--first N]
                 [--seed 0] [--gpu] [--note TEXT] [--force]

A run that was stopped goes on with the images that are missing in <net>/detections.jsonl.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import ast
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from texttopicnet import (
    artefacts,
    atomic_files,
    boxes,
    child_process,
    command_line,
    images,
    results,
    voc,
    voc_objects,
)
from texttopicnet.errors import UserError

SUPPRESSED = 0.3  # intersection over union, as in Fast R-CNN
LEAST_SCORE = 0.01  # detections below are dropped; they come last in every ranking
MOST_DETECTIONS = 100  # of one class in one image, before suppression
KEPT = "detections.jsonl"
MADE_BY = "python CNN/train_fast_rcnn.py"


def load(folder: Path, gpu: bool):
    """The detector, its data layer's module, and that layer's settings."""
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe import mode
    from caffe.error import CaffeError

    try:
        if gpu:
            mode.require_gpu("--gpu")
    except CaffeError as error:
        raise UserError(str(error)) from error
    (caffe.set_mode_gpu if gpu else caffe.set_mode_cpu)()
    weights = artefacts.existing(folder / "trained.caffemodel", MADE_BY)
    sys.path.insert(0, str(folder))
    try:
        import roi_data_layer

        param = caffe.prototxt.read_net(folder / "train_val.prototxt")
        settings = ast.literal_eval(param.layer[0].python_param.param_str)
        net = caffe.Net(str(folder / "test.prototxt"), caffe.TEST, weights=str(weights))
    except CaffeError as error:
        raise UserError(str(error)) from error
    finally:
        sys.path.remove(str(folder))
    return net, roi_data_layer.scaled, (settings["scale"], settings["longest"])


def detect(net, image: np.ndarray, proposals: np.ndarray, scaled, size: tuple[int, int]):
    """Scores and boxes of every proposal and class.

    Parameters
    ----------
    net : caffe.Net
        test.prototxt.
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    proposals : ndarray of shape (n, 4)
    scaled : callable
        roi_data_layer.scaled.
    size : tuple of int
        Its scale and longest.

    Returns
    -------
    scores : ndarray of float32, shape (n, classes)
    found : ndarray of float64, shape (n, classes, 4)
        Within the image.
    """
    data, factor = scaled(image, *size)
    net.blobs["data"].reshape(1, *data.shape)
    net.blobs["rois"].reshape(len(proposals), 5)
    net.blobs["data"].data[...] = data
    net.blobs["rois"].data[:, 0] = 0
    net.blobs["rois"].data[:, 1:] = proposals * factor
    out = net.forward()
    found = boxes.decode(proposals, out["bbox_pred"])
    return out["cls_prob"].copy(), boxes.clip(found, *image.shape[:2])


def best(scores: np.ndarray, found: np.ndarray, names: list[str]) -> dict[str, list[list[float]]]:
    """{class: rows of score, x1, y1, x2, y2} that are left after suppression, best first."""
    kept = {}
    for number, name in enumerate(names, start=1):
        order = np.argsort(-scores[:, number], kind="stable")[:MOST_DETECTIONS]
        order = order[scores[order, number] >= LEAST_SCORE]
        chosen = order[boxes.suppress(found[order, number], scores[order, number], SUPPRESSED)]
        rows = np.column_stack([scores[chosen, number], found[chosen, number]])
        kept[name] = [[float(f"{value:.7g}") for value in row] for row in rows]
    return kept


class Kept:
    """Detections of the images that have been done, in a file that grows line by line.

    The first line says what they were made from; a file made from something else is not used, and a
    last line that was cut off is dropped.
    """

    def __init__(self, path: Path, made_from: dict, force: bool) -> None:
        self.path, self.found = path, {}
        if path.exists() and not force:
            self._read(made_from)
        with atomic_files.written_whole(path) as temporary:
            rows = [made_from, *({"image": i, "found": f} for i, f in self.found.items())]
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.file = path.open("a", encoding="utf-8")

    def _read(self, made_from: dict) -> None:
        rows = self.path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        try:
            first, *others = map(json.loads, rows)
            if first == made_from:
                self.found = {row["image"]: row["found"] for row in others}
        except (ValueError, KeyError, TypeError):
            self.found = {}

    def add(self, image: str, found: dict) -> None:
        """Keep the detections of an image."""
        self.found[image] = found
        self.file.write(json.dumps({"image": image, "found": found}) + "\n")
        self.file.flush()


def of_class(found: dict, ids: list[str], name: str) -> Iterable[voc_objects.Detection]:
    """The detections of a class, in the order of the images."""
    for image in ids:
        for score, *box in found[image][name]:
            yield voc_objects.Detection(image, score, np.array(box))


def score(found: dict, ids: list[str], year: Path, names: list[str]) -> dict:
    """{'classes': {class: APs and objects}, 'mean': APs}; UserError without any object."""
    truth = {image: voc_objects.read_objects(year, image) for image in ids}
    scores = {}
    for name in names:
        aps = voc_objects.average_precision(of_class(found, ids, name), truth, name)
        if aps is not None:
            scores[name] = aps
    if not scores:
        raise UserError(f"{year / 'Annotations'}: the test images have no object of any class")
    mean = {
        kind: float(np.mean([row[kind] for row in scores.values()]))
        for kind in ("voc_11_point", "area")
    }
    return {"classes": scores, "mean": mean}


def write_result_files(folder: Path, found: dict, ids: list[str], names: list[str]) -> None:
    """The devkit's comp3_det_test_<class>.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with atomic_files.written_whole(folder / f"comp3_det_test_{name}.txt") as temporary:
            temporary.write_text(voc_objects.result_rows(of_class(found, ids, name)))


def parse() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--voc", "--work")
    parser.add_argument(
        "--net",
        default="fast_rcnn_voc2007",
        metavar="NAME",
        help="folder of WORK/CNN/ that holds the detector (default: fast_rcnn_voc2007)",
    )
    parser.add_argument(
        "--proposals",
        type=Path,
        metavar="FILE",
        help="proposals of test, .mat or .npz (default: a fixed grid of windows)",
    )
    parser.add_argument(
        "--train-proposals",
        type=Path,
        metavar="FILE",
        help="the same of trainval, for the training",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights that the training starts from (default: CNN/train_fast_rcnn.py's)",
    )
    parser.add_argument(
        "--first",
        type=command_line.whole("--first"),
        metavar="N",
        help="only the first N test images (default: all)",
    )
    command_line.add_options(parser, "--seed", help="seed of the training (default: 0)")
    command_line.add_options(parser, "--gpu", help="train and detect on a GPU")
    command_line.add_options(parser, "--note")
    command_line.add_options(parser, "--force", help="replace the record; train and detect again")
    return parser.parse_args()


def train(args: argparse.Namespace, folder: Path) -> int:
    """Train the detector, unless its weights exist or it is to be trained again; the status."""
    if (folder / "trained.caffemodel").exists() and not args.force:
        return 0
    given = {"--voc": args.voc, "--work": args.work, "--net": args.net, "--seed": args.seed}
    given |= {"--weights": args.weights, "--proposals": args.train_proposals}
    command = [sys.executable, str(artefacts.ROOT / "CNN" / "train_fast_rcnn.py")]
    for name, value in given.items():
        command += [name, str(value)] if value is not None else []
    command += ["--gpu"] if args.gpu else []
    command += ["--force"] if args.force else []
    return child_process.run(command).exit_status


def main() -> int:
    args = parse()
    start = time.perf_counter()
    output, folder = args.work / artefacts.DETECTION_RECORD, args.work.absolute() / "CNN" / args.net
    artefacts.refuse_existing(output, args.force)
    year, names = voc.year_folder(args.voc), voc.classes(args.voc)
    ids = voc_objects.images(year, "test")[: args.first]
    if status := train(args, folder):
        return status
    proposals = voc_objects.proposals(year, ids, args.proposals)
    net, scaled, size = load(folder, args.gpu)
    if net.blobs["cls_prob"].shape[1] != len(names) + 1:
        raise UserError(
            f"{folder / 'test.prototxt'} tells {net.blobs['cls_prob'].shape[1] - 1} classes apart,"
            f" and {year} has {len(names)}: give another --net or --voc"
        )
    weights = folder / "trained.caffemodel"
    proposed = sum(map(len, proposals)) / len(ids)
    print(f"detection: {len(ids)} images, {len(names)} classes, {proposed:.0f} proposals per image")
    digest = artefacts.sha256(args.proposals) if args.proposals else "sliding windows"
    made_from = {"weights": artefacts.sha256(weights), "proposals": digest, "classes": names}
    kept = Kept(folder / KEPT, made_from, args.force)
    missing = [(i, p) for i, p in zip(ids, proposals, strict=True) if i not in kept.found]
    for image, candidates in tqdm(missing, unit="image"):
        pixels = images.read_image(voc_objects.image_file(year, image))
        kept.add(image, best(*detect(net, pixels, candidates, scaled, size), names))

    values = score(kept.found, ids, year, names)
    write_result_files(
        args.work / artefacts.devkit_results(artefacts.DETECTION_RECORD), kept.found, ids, names
    )
    annotations = [year / "Annotations" / f"{image}.xml" for image in ids]
    inputs = {"weights": weights, "annotations": annotations}
    if args.proposals:
        inputs["proposals"] = args.proposals
    is_paper = len(names) == voc.PAPER_CLASSES and len(ids) == voc.PAPER_TEST
    results.save(
        output,
        results.record(
            experiment="voc2007_detection",
            corpus="VOC2007" if is_paper else f"another set of VOC's layout ({len(names)} classes)",
            values=values,
            split={"test": len(ids)},
            seed=args.seed,
            inputs=inputs,
            seconds=time.perf_counter() - start,
            note=args.note,
            paper_set=is_paper,
            net=args.net,
            proposals={"from": digest, "per_image": proposed},
        ),
    )
    for name, row in values["classes"].items():
        print(
            f"{name:>12}: AP {row['voc_11_point']:.4f} (11 points), {row['area']:.4f} (area),"
            f" {row['objects']} objects"
        )
    mean = values["mean"]
    print(f"mean AP {mean['voc_11_point']:.4f} (11 points), {mean['area']:.4f} (area) -> {output}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
