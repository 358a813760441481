"""Compute the activations of chosen blobs of a net for a folder or a list of images.

Reads:   a deploy prototxt, a .caffemodel, images
Writes:  one .npz a blob: ids, features (N, D) float32, blob, weights_sha256
Paper:   the features behind every experiment (centre crop of the image resized to 256x256, one
view) Usage:   python experiments/extract_features.py --net F --weights F --blobs fc7,fc6 --images
DIR --out 'f_{blob}.npz'
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from texttopicnet import artefacts, command_line, features, files, images
from texttopicnet.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png")


def image_files(folder=None, listing=None):
    """Images to look at.

    Parameters
    ----------
    folder : Path, optional
        Searched recursively for JPEG and PNG files; an image's id is its path below the folder
        without the ending.
    listing : Path, optional
        Text file with a path a line, relative ones from where the command runs; the id is the line
        without the ending.

    Returns
    -------
    dict
        {id: Path}, sorted by id for a folder, in the file's order for a list.

    Raises
    ------
    UserError
        No image, or two of one id.
    """
    if listing is not None:
        text = files.read(artefacts.existing(listing, "one image path per line")).decode(
            "utf-8", "surrogateescape"
        )
        rows = text.splitlines()
        found = [(row.strip(), Path(row.strip())) for row in rows if row.strip()]
    else:
        folder = artefacts.existing(folder, "the data set's README")
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
        raise UserError(f"{listing or folder} holds no image")
    return by_id


def batches(paths, size, batch, workers=4):
    """Decode images in threads, a batch ahead of the net.

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

    def read(path):
        return images.network_input(images.read_image(path), size)

    with ThreadPoolExecutor(workers) as pool:
        ahead = []
        for start in range(0, len(paths), batch):
            ahead.append([pool.submit(read, path) for path in paths[start : start + batch]])
            if len(ahead) == 2:
                yield np.stack([f.result() for f in ahead.pop(0)])
        for rest in ahead:
            yield np.stack([f.result() for f in rest])


def extract(net, paths, blobs, batch):
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
    source = net.blobs[net.inputs[0]]
    size = source.data.shape[-1]
    found, done = {}, 0
    with tqdm(total=len(paths), unit="image") as bar:
        for x in batches(paths, size, batch):
            if source.data.shape[0] != len(
                x
            ):  # the first batch, and the last where it is a shorter one
                source.reshape(*x.shape)
                net.reshape()
            source.data[...] = x
            net.forward()
            for blob in blobs:
                rows = net.blobs[blob].data.reshape(len(x), -1)
                if blob not in found:
                    found[blob] = np.empty((len(paths), rows.shape[1]), dtype=np.float32)
                found[blob][done : done + len(x)] = rows
            done += len(x)
            bar.update(len(x))
    return found


def load_net(prototxt, weights, blobs, gpu):
    """caffe.Net in phase TEST; UserError for files that do not fit each other and for blobs that it
    lacks.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe.weights_file import read_layers

    if gpu:
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    try:
        net = caffe.Net(str(prototxt), caffe.TEST, weights=str(weights))
    except caffe.CaffeError as error:
        raise UserError(f"{prototxt} with {weights}: {error}") from error
    if len(net.inputs) != 1 or len(net.blobs[net.inputs[0]].shape) != 4:
        raise UserError(
            f"{prototxt} needs one input blob (N, 3, size, size): give the deploy prototxt"
        )
    for blob in blobs:
        if blob not in net.blobs:
            raise UserError(f"{prototxt} has no blob {blob}: it has {', '.join(net.blobs)}")
    lacking = net.params.keys() - {name for name, _ in read_layers(weights)}
    if lacking:  # Caffe would go on with whatever the fillers drew
        raise UserError(
            f"{weights} holds no weights for {', '.join(sorted(lacking))} of {prototxt}"
        )
    return net


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--net", type=Path, default=artefacts.ROOT / "CNN" / "CaffeNet" / "deploy.prototxt"
    )
    parser.add_argument("--weights", type=Path, required=True, help=".caffemodel")
    parser.add_argument(
        "--blobs", default="fc7", help="names with commas between, e.g. fc7,fc6,pool5,prob"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--images", type=Path, help="folder, searched recursively; id: path below it without ending"
    )
    source.add_argument(
        "--list", type=Path, help="file with an image path a line; id: the line without ending"
    )
    parser.add_argument(
        "--out",
        required=True,
        help=".npz file; with several blobs {blob} in it stands for the name",
    )
    parser.add_argument("--batch", type=command_line.whole("--batch"), default=50)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()

    blobs = args.blobs.split(",")
    outputs = {blob: Path(args.out.replace("{blob}", blob)) for blob in blobs}
    if len(set(outputs.values())) != len(blobs):
        raise UserError(f"--out {args.out} gives {len(blobs)} blobs one file: put {{blob}} into it")
    for path in outputs.values():
        if path.suffix != ".npz":
            raise UserError(f"--out {path} must end in .npz")
        artefacts.refuse_existing(path, args.force)
    artefacts.existing(args.net, "the file of the net (CNN/CaffeNet/deploy.prototxt)")
    artefacts.existing(args.weights, "caffe train --solver solver.prototxt")
    by_id = image_files(args.images, args.list)
    print(
        f"features: {', '.join(blobs)} of {args.net} with {args.weights} for {len(by_id)} images, batch {args.batch}"
    )

    net = load_net(args.net, args.weights, blobs, args.gpu)
    digest = artefacts.sha256(args.weights)
    for blob, array in extract(net, list(by_id.values()), blobs, args.batch).items():
        features.save(outputs[blob], features.Features(list(by_id), array, blob, digest))
        print(f"{blob}: {array.shape[0]} images x {array.shape[1]} -> {outputs[blob]}")


if __name__ == "__main__":
    command_line.run(main)
