"""Small LMDBs and lists of images, and data layers that read them in many ways, for tests."""

import cv2
import numpy as np

import caffe
from caffe.database import Writer
from caffe.proto import caffe_pb2

COUNT, BATCHES = 11, 9  # in batches of 4: three rounds and a part
TRANSFORM = "mirror: true crop_size: 7 mean_value: 104.00699 mean_value: 116.5 mean_value: 122.7"


def image(i, height=10, width=12):
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(i, *size, end=".jpg"):
    return caffe_pb2.Datum(data=cv2.imencode(end, image(i, *size))[1].tobytes(), encoded=True)


def write(path, datums):
    with Writer(path) as writer:
        for i, datum in enumerate(datums):
            datum.label = i + 3
            writer.put(f"{i:08d}", datum)


def fill(folder):
    """Write LMDBs of JPEGs, raw bytes, images of several sizes, and vectors; a list; a mean."""
    write(folder / "jpeg", [encoded(i) for i in range(COUNT)])
    raw = [image(i).transpose(2, 0, 1) for i in range(COUNT)]
    write(
        folder / "raw",
        [caffe_pb2.Datum(channels=3, height=10, width=12, data=a.tobytes()) for a in raw],
    )
    vectors = np.random.default_rng(5).random((COUNT, 5), dtype=np.float32)
    write(
        folder / "vectors",
        [caffe_pb2.Datum(channels=5, height=1, width=1, float_data=v.tolist()) for v in vectors],
    )
    write(folder / "sizes", [encoded(i, 10 + i, 12) for i in range(COUNT)])
    for i in range(COUNT):
        cv2.imwrite(str(folder / f"{i}.png"), image(i))
    lines = [f"{folder}/{i}.png {i + 3}\n" for i in range(COUNT)]
    (folder / "list.txt").write_text("".join(lines))
    mean = np.random.default_rng(7).random((1, 3, 10, 12), dtype=np.float32)
    blob = caffe.io.array_to_blobproto(mean)
    (folder / "mean").write_bytes(blob.SerializeToString())


def data(folder, name, transform="", fields="", batch=4):
    return (
        f'layer {{ name: "{name}" type: "Data" top: "{name}" top: "label_{name}"'
        f' data_param {{ source: "{folder}/{name}" batch_size: {batch} backend: LMDB {fields} }}'
        f" transform_param {{ {transform} }} }}"
    )


def images(folder, transform, fields):
    return (
        f'layer {{ name: "images" type: "ImageData" top: "images" top: "label" image_data_param {{'
        f' source: "{folder}/list.txt" batch_size: 4 {fields} }}'
        f" transform_param {{ {transform} }} }}"
    )


def sources(folder):
    """{what is tested: the prototxt of data layers}."""
    mean = f'mirror: true crop_size: 7 mean_file: "{folder}/mean" scale: 0.00390625'
    return {
        "crops and mirrors of JPEGs": data(folder, "jpeg", TRANSFORM),
        "scaled": data(folder, "jpeg", TRANSFORM + " scale: 0.017"),
        "a mean image": data(folder, "raw", mean),
        "mirrors of whole images": data(folder, "raw", "mirror: true"),
        "crops without mirrors": data(folder, "raw", "crop_size: 5"),
        "as they are": data(folder, "raw"),
        "grey": data(folder, "jpeg", "mirror: true crop_size: 7 force_gray: true mean_value: 99"),
        "a skip": data(folder, "jpeg", TRANSFORM, "rand_skip: 9"),
        "two layers": data(folder, "jpeg", TRANSFORM) + data(folder, "vectors"),
        "shuffled files": images(folder, TRANSFORM, "shuffle: true rand_skip: 9"),
        "files": images(folder, TRANSFORM, "new_height: 9 new_width: 8"),
    }


NAMES = list(sources(""))


def batches(net, count=BATCHES):
    found = []
    for _ in range(count):
        net.forward()
        found.append([blob.data.copy() for blob in net.blobs.values()])
    return found


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
