"""Fine-tuning of a trained net: pack labelled images, train, score images.

A part of voc_2007_fine_tuning.py and image_classification.py.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from texttopicnet import artefacts, atomic_files, child_process, files, images
from texttopicnet.errors import UserError

CROPS = (1, 10)
TOGETHER = 8  # images per pass through the net; ten crops of each
THREADS = 4  # that decode images


@dataclass(frozen=True)
class Training:
    """A fine-tuning: what is trained, where, and from which weights.

    Attributes
    ----------
    net : str
        Folder of CNN/ with the net and its solvers.
    folder : Path
        WORK/CNN/<name>, where it is trained.
    start : Path
        The .caffemodel that it begins with.
    name : str
        Of the fine-tuned weights and their log.
    classes : int
    """

    net: str
    folder: Path
    start: Path
    name: str
    classes: int

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.caffemodel"

    def run(self, solver: str, seed: int, note: str, force: bool, gpu: bool) -> None:
        """Train, or resume a training that was stopped; UserError if it fails."""
        command = [sys.executable, str(artefacts.ROOT / "CNN" / "train_cnn.py")]
        command += ["--work", str(self.folder.parents[1]), "--into", self.folder.name]
        command += ["--net", self.net, "--solver", solver, "--weights", str(self.start)]
        command += ["--name", self.name, "--classes", str(self.classes), "--seed", str(seed)]
        command += ["--note", note, *(["--force"] if force else []), *(["--gpu"] if gpu else [])]
        if child_process.run(command).exit_status:
            raise UserError(
                f"{self.weights} was not trained: the lines above say why; the same command resumes"
            )


def net_folder(task: str, net: str) -> Path:
    """CNN/finetune_<task>..., the folder of a fine-tuned net; UserError if the project has none."""
    folder = artefacts.ROOT / "CNN" / artefacts.fine_tuned_net(task, net)
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: add a row to FINE_TUNED in CNN/nets.py, run"
            " CNN/write_prototxts.py and put a solver.prototxt there"
        )
    return folder


def check(net: Path, solver: str, weights: Iterable[Path]) -> None:
    """Raise UserError, before anything is made, if a net has no such solver, or weights cannot be
    read.
    """
    from caffe.error import CaffeError
    from caffe.weights_file import read_layers

    if not (net / solver).is_file():
        raise UserError(f"{net / solver} does not exist: --solver names a file of this folder")
    for path in weights:
        try:
            list(read_layers(path))
        except CaffeError as error:
            raise UserError(f"{error}: give other --weights, or train the net again") from error


def crop_of(net: Path) -> int:
    """Side in pixels of the input of deploy.prototxt in a net's folder."""
    from caffe import prototxt
    from caffe.error import CaffeError

    try:
        layers = prototxt.read_net(net / "deploy.prototxt").layer
    except CaffeError as error:
        raise UserError(str(error)) from error
    return layers[0].input_param.shape[0].dim[-1]


def is_packed(path: Path, count: int) -> bool:
    """Whether an LMDB exists.

    Raises
    ------
    UserError
        It holds another number of images than `count`.
    """
    import lmdb

    if not path.exists():
        return False
    try:
        with lmdb.open(str(path), readonly=True, lock=False) as database:
            found = database.stat()["entries"]
    except lmdb.Error as error:
        raise UserError(f"{path} is not an LMDB ({error}): --force packs it again") from error
    if found != count:
        raise UserError(
            f"{path} holds {found} images, and the set now has {count} to train on: --force packs"
            " them and trains again"
        )
    return True


def pack(
    outputs: Sequence[Path],
    paths: Sequence[Path],
    labels: np.ndarray,
    side: int,
    seed: int,
) -> None:
    """Write the LMDBs of a fine-tuning, in the seed's order.

    Parameters
    ----------
    outputs : sequence of Path
        The images' LMDB, and that of the labels if an image has several.
    paths : sequence of Path
        Of the images.
    labels : ndarray, shape (n_images,) or (n_images, n_classes)
        Class numbers, kept with the images; or a number per class, kept in the second LMDB.
    side : int
        The images are stored as JPEGs of side x side pixels.
    seed : int

    Raises
    ------
    UserError
        An image cannot be read, or the disk is full.
    """
    from caffe.database import Writer
    from caffe.proto.caffe_pb2 import Datum

    order = np.random.default_rng(seed).permutation(len(paths))
    stored = in_threads(lambda i: images.stored(files.read(paths[i]), paths[i], side), order)
    with atomic_files.written_whole(*outputs) as temporary, contextlib.ExitStack() as stack:
        folders = [temporary] if len(outputs) == 1 else temporary
        writers = [stack.enter_context(Writer(folder)) for folder in folders]
        for number, (i, data) in enumerate(
            zip(order, tqdm(stored, total=len(order), desc="packing", unit="image"), strict=True)
        ):
            key = f"{number:08d}_{paths[i].name}"
            image = Datum(channels=3, height=side, width=side, data=data, encoded=True)
            if len(writers) == 1:
                image.label = int(labels[i])
            writers[0].put(key, image.SerializeToString())
            if len(writers) == 2:
                row = labels[i].astype(np.float32).tolist()
                label = Datum(channels=len(row), height=1, width=1, float_data=row)
                writers[1].put(key, label.SerializeToString())


def adopt(source: Path, deploy: Path, target: Path, classes: int) -> None:
    """Copy weights that were fine-tuned elsewhere, with the names of a net's layers.

    The last layer of the file becomes the last one of the net, whatever its name: fine-tuned nets
    call it as they like.

    Raises
    ------
    UserError
        The file lacks a layer of the net, or a layer has another shape, or the net has another
        number of outputs than there are classes.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe.weights_file import read_layers

    caffe.set_mode_cpu()
    try:
        found = [(name, blobs) for name, blobs in read_layers(source) if blobs]
        net = caffe.Net(str(deploy), caffe.TEST)
    except caffe.CaffeError as error:
        raise UserError(str(error)) from error
    *_, last = net.params
    layers = dict(found) | ({last: found[-1][1]} if found else {})
    for name, blobs in net.params.items():
        given = layers.get(name, {})
        for i, blob in enumerate(blobs):
            if i not in given or given[i].data.size != blob.data.size:
                raise UserError(f"{source} has no weights that fit layer {name} of {deploy}")
            blob.data[...] = given[i].data.reshape(blob.data.shape)
    outputs = net.params[last][0].data.shape[0]
    if outputs != classes:
        raise UserError(f"{source} scores {outputs} classes, and the set has {classes}")
    with atomic_files.written_whole(target) as temporary:
        net.save(str(temporary))


def in_threads(function: object, items: Iterable) -> Iterator:
    """``function(item)`` in order, some items ahead of what is needed."""
    with ThreadPoolExecutor(THREADS) as pool:
        ahead = []
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 4 * THREADS:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


def inputs(path: Path, crop: int) -> np.ndarray:
    """The middle crop of an image, and Caffe's ten: float32 (11, 3, crop, crop), mean subtracted.

    The ten are the corners, the middle, and the mirror image of each (caffe.io.oversample).
    """
    from caffe import io

    image = images.read_image(path)
    square = images.resized(image, images.stored_side(crop))
    ten = io.oversample([square.astype(np.float32)], (crop, crop))
    ten = (ten - np.array(images.MEAN_BGR, np.float32)).transpose(0, 3, 1, 2)
    return np.concatenate([images.network_input(image, crop)[None], ten]).astype(np.float32)


def scores(
    deploy: Path, weights: Path, paths: Sequence[Path], gpu: bool = False
) -> dict[int, np.ndarray]:
    """Probabilities of the classes, from 1 and from 10 crops.

    Returns
    -------
    dict
        {1 or 10: ndarray of float64, shape (n_images, n_classes)}; of ten crops the mean.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")  # the net's own text is not a result
    import caffe
    from caffe import mode

    try:
        if gpu:
            mode.require_gpu("--gpu")
    except caffe.CaffeError as error:
        raise UserError(str(error)) from error
    (caffe.set_mode_gpu if gpu else caffe.set_mode_cpu)()
    try:
        net = caffe.Net(str(deploy), caffe.TEST, weights=str(weights))
    except caffe.CaffeError as error:
        raise UserError(f"{deploy} with {weights}: {error}") from error
    source, found = net.blobs[net.inputs[0]], {crops: [] for crops in CROPS}
    crop = source.data.shape[-1]
    crops_of = in_threads(lambda path: inputs(path, crop), paths)
    with tqdm(total=len(paths), desc="testing", unit="image") as bar:
        for start in range(0, len(paths), TOGETHER):
            count = min(TOGETHER, len(paths) - start)
            batch = np.concatenate([next(crops_of) for _ in range(count)])
            source.reshape(*batch.shape)
            net.reshape()
            source.data[...] = batch
            prob = net.forward()[net.outputs[0]].reshape(count, 11, -1).astype(np.float64)
            found[1].append(prob[:, 0])
            found[10].append(prob[:, 1:].mean(axis=1))
            bar.update(count)
    return {crops: np.concatenate(rows) for crops, rows in found.items()}
