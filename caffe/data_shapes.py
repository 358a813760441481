"""The shapes of the blobs that data layers produce, without running them.

A record of the source gives them where the source is there.  Otherwise the prototxt gives what it
can: batch_size, crop_size, and the number of mean values for the channels.
"""

import contextlib
import os

import cv2
import h5py
import numpy as np

from caffe import database, encoded_image, hdf5_file, image_list, prototxt, wire
from caffe.error import CaffeError
from caffe.images import ShapeError
from caffe.layer import Shape
from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
Shapes = list[Shape | None]  # one per top; None where it is unknown
# their sources, or the user's code, decide the shapes of their tops
READERS = ("Data", "ImageData", "HDF5Data", "WindowData", "Python")


def of_tops(layer: Layer) -> tuple[Shapes, str]:
    """The shapes of the tops of a layer of one of the types in `READERS`.

    Returns
    -------
    (list of tuple or None, str)
        One shape per top, None where it is unknown; and a sentence that says what is assumed, or
        why a shape is unknown.
    """
    found, note = _FINDERS.get(layer.type, _unknown)(layer)
    return (found + [None] * len(layer.top))[: len(layer.top)], note


def first_datum(path: str) -> caffe_pb2.Datum:
    """The first record of an LMDB, without reading the keys of the others.

    Raises
    ------
    CaffeError
        It is not an LMDB, has no records, or its first record is not a Datum.
    """
    environment = database.opened(path)
    with environment.lmdb.begin() as transaction, transaction.cursor() as cursor:
        if not cursor.first():
            raise CaffeError(f"{path}: the LMDB holds no records")
        key, value = cursor.item()
    where = f"{path}: record {key.decode('utf-8', 'replace')}"
    return wire.parse(caffe_pb2.Datum(), value, f"{where} is not a Datum")


def datum_shape(datum: caffe_pb2.Datum, where: str) -> Shape:
    """Channels, height and width of a record; an encoded image is decoded.

    Raises
    ------
    CaffeError
        The image cannot be decoded.
    """
    if not datum.encoded:
        return datum.channels, datum.height, datum.width
    image = np.atleast_3d(encoded_image.decode(datum.data, cv2.IMREAD_UNCHANGED, where))
    return image.shape[2], *image.shape[:2]


def _data(layer: Layer) -> tuple[Shapes, str]:
    p, t = layer.data_param, layer.transform_param
    size: Shape | None = None
    try:
        datum = first_datum(p.source)
        size = datum_shape(datum, f"{p.source}: its first record")
        if datum.encoded and p.force_encoded_color:
            size = (3, *size[1:])
        note = ""
    except (CaffeError, ShapeError) as error:
        note = f"its LMDB cannot be read ({error})"
    return _images(p.batch_size, t, size, note)


def _image_data(layer: Layer) -> tuple[Shapes, str]:
    p, t = layer.image_data_param, layer.transform_param
    channels = 3 if p.is_color else 1
    if p.new_height and p.new_width:
        return _images(p.batch_size, t, (channels, p.new_height, p.new_width), "")
    size, note = None, ""
    if not t.crop_size:
        try:
            path = p.root_folder + image_list.read(p.source)[0][0]
            with open(path, "rb") as f:
                image = encoded_image.decode(f.read(), cv2.IMREAD_UNCHANGED, path)
            size = (channels, *image.shape[:2])
        except (CaffeError, OSError) as error:
            note = f"its first image cannot be read ({error})"
    found, more = _images(p.batch_size, t, size, note, channels)
    return found, more


def _window_data(layer: Layer) -> tuple[Shapes, str]:
    p, t = layer.window_data_param, layer.transform_param
    found, note = _images(p.batch_size, t, None, "its windows are not read", 3)
    return [found[0], (p.batch_size, 1, 1, 1)], note


def _images(
    batch: int,
    transform: caffe_pb2.TransformationParameter,
    size: Shape | None,
    note: str,
    channels: int | None = None,
) -> tuple[Shapes, str]:
    """The shapes of images and labels, from the size of a record, or as the prototxt gives them."""
    crop = transform.crop_size
    if size is None and crop:
        if channels is None and len(transform.mean_value) == 3:
            channels = 3
        if channels is None and not (transform.force_gray or transform.force_color):
            note = f"{note}; 3 channels are assumed".removeprefix("; ")
        size = (channels or 3, crop, crop)
    if size is None:
        return [None, (batch,)], f"{note}, and the prototxt gives no crop_size"
    if transform.force_gray or transform.force_color:
        size = (1 if transform.force_gray else 3, *size[1:])
    if crop:
        size = (size[0], crop, crop)
    return [(batch, *size), (batch,)], note


def _hdf5_data(layer: Layer) -> tuple[Shapes, str]:
    p = layer.hdf5_data_param
    try:
        path = prototxt.read_text(p.source).split()[0]
        with hdf5_file.reading(path) as f:
            sets = [f.get(name) for name in layer.top]
            return [
                (p.batch_size, *s.shape[1:]) if isinstance(s, h5py.Dataset) else None for s in sets
            ], ""
    except (CaffeError, IndexError) as error:
        return [], f"its first file cannot be read ({error})"


def _unknown(layer: Layer) -> tuple[Shapes, str]:
    own = layer.python_param
    return [], f"the class {own.layer} of module {own.module} decides its shapes, and is not run"


_FINDERS = {
    "Data": _data,
    "ImageData": _image_data,
    "HDF5Data": _hdf5_data,
    "WindowData": _window_data,
}


def beside(path: str, file: str) -> str:
    """`path`; or if it is missing, the file that it names from the folder of `file`, or in it."""
    folder = os.path.dirname(file)
    others = os.path.join(folder, path), os.path.join(folder, os.path.basename(path))
    with contextlib.suppress(ValueError):  # a NUL character in the name
        return next((name for name in (path, *others) if os.path.exists(name)), path)
    return path
