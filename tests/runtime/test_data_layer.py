"""The Data layer: batches as BVLC Caffe makes them from the recorded LMDBs, and what it refuses."""

import cv2
import lmdb
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2

CASES = [
    "d_gray",
    "d_jpg",
    "d_jpg_force_gray",
    "d_jpg_mean3_crop",
    "d_png_mean3_crop_scale",
    "d_raw",
    "d_raw_crop41",
    "d_raw_mean1",
    "d_raw_mean3_crop_scale",
    "d_raw_meanfile",
    "d_raw_meanfile_crop",
    "d_raw_wraparound",
]


@pytest.mark.parametrize("case", CASES)
def test_as_recorded(golden, monkeypatch, case):
    monkeypatch.chdir(golden / "data")
    arrays = np.load("blobs.npz")
    net = caffe.Net(f"{case}.prototxt", caffe.TEST)
    for wanted, labels in zip(arrays[f"{case}.data"], arrays[f"{case}.label"], strict=True):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, wanted)
        np.testing.assert_array_equal(net.blobs["label"].data, labels)
    net.close()


@pytest.mark.parametrize("case", ["d_encoded_orig_forcecolor_bs1", "d_encoded_orig_native_bs1"])
def test_images_of_different_sizes_one_by_one(golden, monkeypatch, case):
    monkeypatch.chdir(golden / "data")
    arrays = np.load("blobs.npz")
    net = caffe.Net(f"{case}.prototxt", caffe.TEST)
    for i in range(8):
        net.forward()
        wanted = arrays[f"{case}.data.{i}"].astype(np.float32)
        np.testing.assert_array_equal(net.blobs["data"].data.reshape(wanted.shape), wanted)
    net.close()


def test_random_crops_and_mirrors_are_crops_and_mirrors(golden, monkeypatch):
    monkeypatch.chdir(golden / "data")
    caffe.set_random_seed(3)
    net = caffe.Net("d_raw_train_randcrop_mirror.prototxt", caffe.TRAIN)
    whole = caffe.Net("d_raw.prototxt", caffe.TEST)
    net.forward(), whole.forward()
    layer = net.param.layer[0].transform_param
    mean = np.array(layer.mean_value or [0], dtype=np.float32).reshape(-1, 1, 1)
    seen = set()
    for crop, image in zip(net.blobs["data"].data, whole.blobs["data"].data, strict=True):
        size = crop.shape[1]
        places = [
            (top, left, mirror)
            for top in range(image.shape[1] - size + 1)
            for left in range(image.shape[2] - size + 1)
            for mirror in (1, -1)
            if np.allclose(
                (image[:, top : top + size, left : left + size] - mean)[:, :, ::mirror]
                * layer.scale,
                crop,
            )
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 1
    net.close(), whole.close()


def write_lmdb(path, datums):
    environment = lmdb.open(str(path), map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(
                f"{i:08d}".encode(),
                datum if isinstance(datum, bytes) else datum.SerializeToString(),
            )
    environment.close()


def data_net(tmp_path, extra="", transform="", batch=2):
    path = tmp_path / "net.prototxt"
    path.write_text(
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform}'
        " }"
        f' data_param {{ source: "{tmp_path}/db" batch_size: {batch} {extra or "backend: LMDB"}'
        " } }"
    )
    return str(path)


def test_float_data_and_wrap_round_by_hand(tmp_path):
    datums = [
        caffe_pb2.Datum(channels=2, height=1, width=1, float_data=[i, i + 0.5], label=i)
        for i in range(3)
    ]
    write_lmdb(tmp_path / "db", datums)
    net = caffe.Net(data_net(tmp_path), caffe.TEST)
    rows = []
    for _ in range(3):
        net.forward()
        rows += net.blobs["data"].data[:, :, 0, 0].tolist()
    assert net.blobs["data"].data.shape == (2, 2, 1, 1)
    assert rows == [[0, 0.5], [1, 1.5], [2, 2.5], [0, 0.5], [1, 1.5], [2, 2.5]]
    net.close()


@pytest.mark.parametrize(
    ("extra", "transform", "message"),
    [
        ("", "crop_size: 9", r"crop_size 9 is larger than .*db: record 00000000 \(4 x 4\)"),
        ("", "mean_value: 1 mean_value: 2", "2 mean_value for 3 channels"),
        ("", 'mean_value: 1 mean_file: "m"', "mean_file or mean_value, not both"),
        ("", 'mean_file: "/no/such/mean"', "/no/such/mean"),
        ("backend: LEVELDB", "", "LEVELDB"),
    ],
)
def test_refused(tmp_path, extra, transform, message):
    datum = caffe_pb2.Datum(channels=3, height=4, width=4, data=bytes(48))
    write_lmdb(tmp_path / "db", [datum])
    with pytest.raises(caffe.CaffeError, match=message) as caught:
        caffe.Net(data_net(tmp_path, extra, transform), caffe.TEST)
    assert "\n" not in str(caught.value)


def test_several_solvers_share_the_records(tmp_path):
    """In TRAIN solver 1 of 3 reads every third record, on through the end of the LMDB."""
    datums = [caffe_pb2.Datum(channels=1, height=1, width=1, data=b"a", label=i) for i in range(7)]
    write_lmdb(tmp_path / "db", datums)
    caffe.set_solver_count(3), caffe.set_solver_rank(1)
    try:
        net = caffe.Net(data_net(tmp_path), caffe.TRAIN)
        labels = []
        for _ in range(3):
            net.forward()
            labels += net.blobs["label"].data.tolist()
        net.close()
    finally:
        caffe.set_solver_count(1), caffe.set_solver_rank(0)
    assert labels == [1, 4, 0, 3, 6, 2]


def test_rand_skip_beyond_the_end_starts_at_the_first(tmp_path):
    datums = [caffe_pb2.Datum(channels=1, height=1, width=1, data=b"a", label=i) for i in range(2)]
    write_lmdb(tmp_path / "db", datums)
    seen = set()
    for seed in range(12):
        caffe.set_random_seed(seed)
        net = caffe.Net(data_net(tmp_path, "backend: LMDB rand_skip: 1000"), caffe.TEST)
        net.forward()
        seen.add(tuple(net.blobs["label"].data.tolist()))
        net.close()
    assert seen == {(0, 1)}


def test_a_source_that_is_not_an_lmdb(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"layer 'd'.*no such LMDB folder"):
        caffe.Net(data_net(tmp_path), caffe.TEST)
    (tmp_path / "db").mkdir()
    with pytest.raises(caffe.CaffeError, match="is not an LMDB"):
        caffe.Net(data_net(tmp_path), caffe.TEST)
    (tmp_path / "db" / "data.mdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(caffe.CaffeError, match="not a readable LMDB"):
        caffe.Net(data_net(tmp_path), caffe.TEST)


def test_a_broken_record_is_named(tmp_path):
    good = caffe_pb2.Datum(channels=1, height=1, width=1, data=b"a")
    write_lmdb(tmp_path / "db", [good, b"\xff\xff\xff no datum"])
    net = caffe.Net(data_net(tmp_path), caffe.TEST)
    with pytest.raises(caffe.CaffeError, match="record 00000001 is not a Datum"):
        net.forward()
    net.close()


def test_an_undecodable_image_is_an_error(tmp_path):
    write_lmdb(tmp_path / "db", [caffe_pb2.Datum(data=b"no image", encoded=True)])
    with pytest.raises(caffe.CaffeError, match="not hold an image that OpenCV can decode"):
        caffe.Net(data_net(tmp_path), caffe.TEST)


def png(*shape, dtype=np.uint8):
    return cv2.imencode(".png", np.zeros(shape, dtype=dtype))[1].tobytes()


BAD = {
    "not an image": (
        caffe_pb2.Datum(data=b"no image", encoded=True),
        "does not hold an image that OpenCV can decode",
    ),
    "half a header": (
        caffe_pb2.Datum(data=png(4, 4, 3)[:20], encoded=True),
        "does not hold an image that OpenCV can decode",
    ),
    "16 bits": (
        caffe_pb2.Datum(data=png(4, 4, 3, dtype=np.uint16), encoded=True),
        "is an image of uint16",
    ),
    "too few": (
        caffe_pb2.Datum(channels=3, height=4, width=4, data=bytes(7)),
        r"declares the shape \(3, 4, 4\) .* but holds 7 numbers",
    ),
    "negative": (
        caffe_pb2.Datum(channels=-2, height=-2, width=1, data=bytes(4)),
        r"declares the shape \(-2, -2, 1\) .* but holds 4 numbers",
    ),
    "another size": (
        caffe_pb2.Datum(channels=3, height=5, width=4, data=bytes(60)),
        "differ in size",
    ),
    "too small": (
        caffe_pb2.Datum(channels=3, height=2, width=4, data=bytes(24)),
        r"crop_size 3 is larger than .* \(2 x 4\)",
    ),
    "grey": (
        caffe_pb2.Datum(channels=1, height=4, width=4, data=bytes(16)),
        "3 mean_value for 1 channels",
    ),
    "not a Datum": (b"\xff\xff\xff", "is not a Datum"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_record_is_named_by_database_and_key(tmp_path, bad):
    """The third of four; the others are fine."""
    good = caffe_pb2.Datum(channels=3, height=4, width=4, data=bytes(48))
    datum, message = BAD[bad]
    write_lmdb(tmp_path / "db", [good, good, datum, good])
    transform = {
        "too small": "crop_size: 3",
        "grey": "mean_value: 1 mean_value: 2 mean_value: 3",
    }.get(bad, "")
    net = caffe.Net(data_net(tmp_path, transform=transform, batch=4), caffe.TEST)
    with pytest.raises(caffe.CaffeError, match=message) as caught:
        net.forward()
    assert f"{tmp_path}/db: record 00000002" in str(caught.value)
    assert "\n" not in str(caught.value)
    net.close()
