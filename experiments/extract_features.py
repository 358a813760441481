"""Compute the activations of chosen blobs of a net for a folder or a list of images.

Reads:   a deploy prototxt, a .caffemodel, images
Writes:  one .npz per blob: ids, features (N, D) float32, blob, weights_sha256
Paper:   the features behind every experiment (centre crop of the image resized to 256x256)
Usage:   python experiments/extract_features.py --net F --weights F --blobs fc7,fc6 --images DIR
                                                --out 'f_{blob}.npz'
         python experiments/extract_features.py [--data DIR] [--voc DIR] [--work DIR]
                                                [--net CaffeNet] [--name NAME] [--gpu] [--force]
         torchrun --nproc_per_node N experiments/extract_features.py ...

Without --weights, --images, --list and --out it computes all features that the experiments need:
max5, pool5, fc6 and fc7 of the VOC2007 images with the trained and the untrained net, prob of the
retrieval set's images.  max5 is the maximum of each channel of conv5 over all positions.  A data
set that does not exist is left out; files that exist are kept.
The processes of --processes, or of torchrun on one machine or several, share the images.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from feature_net import activations, load_net
from tqdm import tqdm

from texttopicnet import artefacts, command_line, cores, features, files, images, shares, voc
from texttopicnet.errors import UserError

if TYPE_CHECKING:
    import caffe

READERS = 4  # threads that decode images
ENDINGS = (".jpg", ".jpeg", ".png")


def image_files(folder: Path | None = None, listing: Path | None = None) -> dict[str, Path]:
    """The images whose features are computed.

    Parameters
    ----------
    folder : Path, optional
        Searched recursively for JPEG and PNG files; an image's id is its path below the folder
        without the ending.
    listing : Path, optional
        Text file with one path per line, relative to where the command runs; the id is the line
        without the ending.

    Returns
    -------
    dict
        {id: Path}, sorted by id for a folder, in the file's order for a list.

    Raises
    ------
    UserError
        No images, or two with the same id.
    """
    if listing is not None:
        if not listing.exists():
            raise UserError(f"{listing} does not exist: --list takes a file of image paths")
        text = files.read(listing).decode("utf-8", "surrogateescape")
        rows = text.splitlines()
        found = [(row.strip(), Path(row.strip())) for row in rows if row.strip()]
    else:
        folder = artefacts.downloaded(folder, "data/README.md")
        paths = map(Path, files.walk(folder))
        found = sorted(
            (p.relative_to(folder).as_posix(), p) for p in paths if p.suffix.lower() in ENDINGS
        )
    by_id = {}
    for name, path in found:
        image = name.removesuffix(path.suffix) if path.suffix.lower() in ENDINGS else name
        if image in by_id:
            raise UserError(f"{by_id[image]} and {path} share the id {image}: ids must be unique")
        by_id[image] = path
    if not by_id:
        raise UserError(f"{listing or folder} holds no images")
    return by_id


def batches(paths: list[Path], size: int, batch: int) -> Iterator[np.ndarray]:
    """Decode images in threads, one batch ahead of the net.

    Parameters
    ----------
    paths : list of Path
    size : int
        Side of the net's input.
    batch : int

    Yields
    ------
    ndarray of float32, shape (<= batch, 3, size, size)
        BGR, mean subtracted; texttopicnet.images says how.

    Raises
    ------
    UserError
        An image cannot be read: the sentence names it.
    """

    def read(path: Path) -> np.ndarray:
        return images.network_input(images.read_image(path), size)

    cv2.setNumThreads(0)  # each of these threads decodes an image
    with ThreadPoolExecutor(min(READERS, cores.usable())) as pool:
        ahead = []
        for start in range(0, len(paths), batch):
            ahead.append([pool.submit(read, path) for path in paths[start : start + batch]])
            if len(ahead) == 2:
                yield np.stack([f.result() for f in ahead.pop(0)])
        for rest in ahead:
            yield np.stack([f.result() for f in rest])


def extract(
    net: "caffe.Net", paths: list[Path], blobs: list[str], batch: int, silent: bool = False
) -> dict[str, np.ndarray]:
    """Run all images through the net.

    Parameters
    ----------
    net : caffe.Net
        In phase TEST, with one input blob of shape (any, 3, size, size).
    paths : list of Path
    blobs : list of str
    batch : int

    Returns
    -------
    dict
        {blob: ndarray of float32, shape (n_images, n_dims)}, each activation flattened in C order.
    """
    size = net.blobs[net.inputs[0]].shape[-1]
    found, done = {}, 0
    with tqdm(total=len(paths), unit="image", disable=silent) as bar:
        for x in batches(paths, size, batch):
            for blob, rows in activations(net, x, blobs).items():
                if blob not in found:
                    found[blob] = np.empty((len(paths), rows.shape[1]), dtype=np.float32)
                found[blob][done : done + len(x)] = rows
            done += len(x)
            bar.update(len(x))
    return found


_net_of_worker = functools.lru_cache(maxsize=1)(load_net)


def extract_share(
    net: tuple[Any, ...], batch: int, paths: list[Path], silent: bool
) -> dict[str, np.ndarray]:
    """`extract` in one of several processes; `net` are the arguments of `load_net`."""
    loaded = _net_of_worker(*net) if silent else load_net(*net)
    return extract(loaded, paths, net[2], batch, silent)


def compute(
    net_file: Path,
    weights: Path,
    by_id: dict[str, Path],
    outputs: dict[str, Path],
    args: argparse.Namespace,
) -> None:
    """Compute the features of some images and write one file per blob.

    Parameters
    ----------
    net_file, weights : Path
    by_id : dict
        {id: Path} of the images.
    outputs : dict
        {blob: Path}.
    args : argparse.Namespace
        batch, gpu, processes.
    """
    artefacts.existing(net_file, "the net's own prototxt, such as CNN/CaffeNet/deploy.prototxt")
    artefacts.existing(weights, "scripts/05_train_cnn.sh or caffe train")
    print(
        f"features: {', '.join(outputs)} of {net_file} with {weights} for {len(by_id)} images,"
        f" batch {args.batch}"
    )
    net, paths = (net_file, weights, tuple(outputs), args.gpu), list(by_id.values())
    found = shares.together(extract_share, paths, args.batch, args.processes, net, args.batch)
    if found is None:  # another process writes the files
        return
    digest = artefacts.sha256(weights)
    for blob, array in found.items():
        features.save(outputs[blob], features.Features(list(by_id), array, blob, digest))
        print(f"{blob}: {array.shape[0]} images x {array.shape[1]} -> {outputs[blob]}")


def named_outputs(out: str, blobs: list[str], force: bool) -> dict[str, Path]:
    """{blob: Path} of --out; UserError where two share a file or one exists."""
    outputs = {blob: Path(out.replace("{blob}", blob)) for blob in blobs}
    if len(set(outputs.values())) != len(blobs):
        raise UserError(f"--out {out} gives {len(blobs)} blobs one file: put {{blob}} into it")
    for path in outputs.values():
        if path.suffix != ".npz":
            raise UserError(f"--out {path} must end in .npz")
        artefacts.refuse_existing(path, force)
    return outputs


def sets(args: argparse.Namespace) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """(images, name of the net, {blob: file}) of every set that the experiments need."""
    voc_images = voc.holder(args.voc or args.data) / "VOCdevkit" / "VOC2007" / "JPEGImages"
    for net in [args.name] if args.name else artefacts.NETS:
        names = {layer: artefacts.voc_features(layer, net) for layer in artefacts.LAYERS}
        yield voc_images, net, names
    if args.name in (None, "trained"):
        yield args.data / "Wikipedia" / "images", "trained", {"prob": artefacts.RETRIEVAL_FEATURES}


def compute_all(args: argparse.Namespace) -> None:
    """Compute every set whose images exist and whose files do not."""
    folder = args.work / "CNN" / args.net
    for image_folder, net, names in sets(args):
        outputs = {blob: args.work / name for blob, name in names.items()}
        missing = {b: path for b, path in outputs.items() if args.force or not path.exists()}
        if not image_folder.is_dir():
            print(f"left out: {image_folder} does not exist: data/README.md has the layout")
        elif not missing:
            print(f"{', '.join(map(str, outputs.values()))} exist: --force computes them again")
        else:
            weights = folder / f"{net}.caffemodel"
            by_id = image_files(image_folder)
            compute(folder / "deploy.prototxt", weights, by_id, missing, args)


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--work")
    command_line.add_options(
        parser, "--voc", default=None, help="folder that holds VOCdevkit/ (default: --data)"
    )
    command_line.add_options(
        parser, "--net", help="folder of CNN/, or a deploy prototxt (default: CaffeNet)"
    )
    parser.add_argument(
        "--name", choices=artefacts.NETS, help="with all features: only this net's (default: both)"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help=".caffemodel")
    parser.add_argument(
        "--blobs", metavar="NAMES", help="separated by commas, such as fc7,fc6 (default: fc7)"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="searched recursively; an image's id is its path below DIR without the ending",
    )
    source.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="one image path per line; an image's id is the line without the ending",
    )
    parser.add_argument("--out", metavar="FILE", help=".npz file; {blob} is the blob's name")
    parser.add_argument(
        "--batch",
        type=command_line.whole("--batch"),
        default=50,
        metavar="N",
        help="images per pass through the net (default: 50)",
    )
    command_line.add_options(parser, "--gpu", "--processes", "--force")
    args = parser.parse_args()

    given = [args.weights, args.images or args.list, args.out]
    if not any(given) and not args.blobs:
        compute_all(args)
        return 0
    if not all(given):
        raise UserError(
            "--weights, --out and one of --images and --list go together: give them all, or none"
            " of them for all features that the experiments need"
        )
    blobs = (args.blobs or "fc7").split(",")
    outputs = named_outputs(args.out, blobs, args.force)
    named = artefacts.ROOT / "CNN" / args.net / "deploy.prototxt"
    net_file = named if named.is_file() else Path(args.net)
    by_id = image_files(args.images, args.list)
    compute(net_file, args.weights, by_id, outputs, args)
    return 0


if __name__ == "__main__":
    with shares.first_speaks():
        command_line.run(main)
