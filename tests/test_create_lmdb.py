"""Images and labels packed into LMDBs: what the records hold, their order, and what is
refused.
"""

import io
import os
import shutil
import struct
import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2
from texttopicnet import artefacts, images, json_files
from texttopicnet.errors import UserError

SCRIPT = artefacts.ROOT / "CNN/create_lmdb.py"
SIDE = 32  # of the stored images in most tests
TOPICS = 3


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("CNN/create_lmdb.py")


def jpeg(seed, height=SIDE, width=SIDE):
    """A JPEG of quality 80: the stored bytes differ from bytes encoded again."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(
        ".jpg", cv2.GaussianBlur(pixels, (0, 0), 3), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )[1].tobytes()


def pil_bytes(mode, colour, kind, side=SIDE, **arguments):
    file = io.BytesIO()
    Image.new(mode, (side, side), colour).save(file, kind, **arguments)
    return file.getvalue()


@pytest.fixture
def files(tmp_path):
    """files({image: bytes}): puts them into the collection; image i has the label [i / 100, 0.5,
    0].
    """

    def write(contents):
        for name, data in contents.items():
            path = tmp_path / "data" / "ImageCLEF_Wikipedia" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        labels = {name: [i / 100, 0.5, 0.0] for i, name in enumerate(contents)}
        json_files.write(tmp_path / "work" / artefacts.training_labels(TOPICS), labels)
        return labels

    return write


@pytest.fixture
def run(script, monkeypatch, tmp_path):
    """run(...): the folder the LMDBs are in."""

    def run(*arguments, topics=TOPICS, size=SIDE):
        command = [
            "x",
            "--data",
            str(tmp_path / "data"),
            "--work",
            str(tmp_path / "work"),
            "--workers",
            "1",
        ]
        monkeypatch.setattr(
            sys, "argv", [*command, "--topics", str(topics), "--size", str(size), *arguments]
        )
        assert script.main() == 0
        return tmp_path / "work" / "CNN" / "CaffeNet"

    return run


def records(path):
    """{key: Datum} in the LMDB's order."""
    found = {}
    with (
        lmdb.open(str(path), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        for key, value in transaction.cursor():
            found[key.decode()] = caffe_pb2.Datum.FromString(value)
    return found


def pairs(folder, split="train"):
    return records(folder / f"{split}_images_lmdb"), records(folder / f"{split}_labels_lmdb")


def image_of(key):
    return key.split("_", 1)[1]


def twelve():
    return {f"images/{i % 3}/{i}.jpg": jpeg(i) for i in range(12)}


def test_equal_keys_in_one_shuffled_order(files, run, capsys):
    labels = files(twelve())
    folder = run()
    packed, targets = pairs(folder)
    assert list(packed) == list(targets)
    assert [key.split("_")[0] for key in packed] == [f"{i:08d}" for i in range(12)]
    order = [image_of(key) for key in packed]
    assert sorted(order) == sorted(labels)
    assert order not in (sorted(labels), list(labels))
    for key, datum in targets.items():
        np.testing.assert_array_equal(datum.float_data, np.float32(labels[image_of(key)]))
    assert sorted(p.name for p in folder.iterdir()) == ["train_images_lmdb", "train_labels_lmdb"]
    assert [p.name for p in (folder / "train_images_lmdb").iterdir()] == ["data.mdb"]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"packing 12 + 0 images at 32 x 32, seed 0, into {folder}",
        f"12 images and labels: {folder / 'train_images_lmdb'}, {folder / 'train_labels_lmdb'}",
    ]


def test_the_seed_alone_makes_the_order(files, run, tmp_path):
    labels = files(twelve())
    first = list(pairs(run())[0])
    path = tmp_path / "work" / artefacts.training_labels(TOPICS)
    json_files.write(path, dict(reversed(labels.items())))  # the same labels in another order
    assert list(pairs(run("--force", "--workers", "2"))[0]) == first
    assert list(pairs(run("--force", "--seed", "1"))[0]) != first


def test_a_colour_jpeg_of_that_size_is_stored_byte_for_byte(files, run):
    contents = {"images/a.jpg": jpeg(1), "images/named.png": jpeg(2)}
    files(contents)
    for key, datum in pairs(run())[0].items():
        assert datum.data == contents[image_of(key)]
        assert datum.encoded
        assert (datum.channels, datum.height, datum.width, datum.label) == (
            3,
            SIDE,
            SIDE,
            0,
        )


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1, height=40),
        jpeg(1, width=20),
        pil_bytes("RGB", (10, 20, 30), "PNG"),
        pil_bytes("L", 90, "JPEG"),
        pil_bytes("CMYK", (255, 0, 0, 0), "JPEG"),
    ],
    ids=["high", "narrow", "PNG", "grey", "CMYK"],
)
def test_other_images_are_warped_and_encoded_in_colour(files, run, data):
    files({"images/a.jpg": data})
    ((datum,), _) = (list(part.values()) for part in pairs(run()))
    assert datum.data != data
    assert datum.data == images.encoded(images.resized(images.decode(data, "a"), SIDE))
    assert datum.data.startswith(b"\xff\xd8")
    assert (datum.channels, datum.height, datum.width) == (
        3,
        SIDE,
        SIDE,
    )
    own = cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert own.shape == (SIDE, SIDE, 3)  # by default, Caffe reads three channels


def test_the_default_size_is_256(files, script, monkeypatch, tmp_path):
    contents = {"images/a.jpg": jpeg(1, 256, 256), "images/b.jpg": jpeg(2, 255, 256)}
    files(contents)
    command = [
        "x",
        "--data",
        str(tmp_path / "data"),
        "--work",
        str(tmp_path / "work"),
        "--topics",
        "3",
        "--net",
        "Other",
    ]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    packed, _ = pairs(tmp_path / "work" / "CNN" / "Other")
    by_image = {image_of(key): datum for key, datum in packed.items()}
    assert by_image["images/a.jpg"].data == contents["images/a.jpg"]
    assert images.decode(by_image["images/b.jpg"].data, "b").shape == (256, 256, 3)


def test_labels_are_floats_of_40_by_1_by_1(files, run, tmp_path):
    files({"images/a.jpg": jpeg(1)})
    vector = [0.025 * (i % 2) for i in range(40)]
    json_files.write(tmp_path / "work" / artefacts.training_labels(40), {"images/a.jpg": vector})
    (datum,) = pairs(run(topics=40))[1].values()
    assert (datum.channels, datum.height, datum.width) == (40, 1, 1)
    assert list(datum.float_data) == np.float32(vector).tolist()
    assert datum.data == b""
    assert not datum.encoded


def test_val_fraction_is_held_out(files, run, capsys):
    labels = files(twelve())
    folder = run("--val-fraction", "0.25")
    (train, train_labels), (val, val_labels) = pairs(folder), pairs(folder, "val")
    assert list(train) == list(train_labels)
    assert list(val) == list(val_labels)
    assert (len(train), len(val)) == (9, 3)
    assert sorted(image_of(key) for key in [*train, *val]) == sorted(labels)
    assert [*train, *val] == list(pairs(run("--force"))[0])  # the end of the same order
    assert capsys.readouterr().out.splitlines()[1].startswith("9 + 3 images and labels: ")


@pytest.mark.parametrize(
    ("share", "sentence"),
    [
        ("1", r"--val-fraction 1: must be a share, 0 or more and below 1"),
        ("-0.1", r"--val-fraction -0.1: must be a share, 0 or more and below 1"),
        ("0.04", "0.04 of 12 images leaves none for train or for val"),
        ("0.99", "0.99 of 12 images leaves none for train or for val"),
    ],
)
def test_shares_that_leave_nothing_are_refused(files, run, tmp_path, share, sentence):
    files(twelve())
    with pytest.raises(UserError, match=sentence):
        run("--val-fraction", share)
    assert not (tmp_path / "work" / "CNN").exists()


def test_bad_images_are_counted_and_the_first_is_named(files, run, script, capsys):
    contents = twelve()
    bad = np.array(sorted(contents))[script.shuffled(12, 0)][4::3].tolist()
    contents |= dict.fromkeys(bad, b"\xff\xd8 no picture")
    labels = files(contents)
    folder = run()
    packed, targets = pairs(folder)
    assert list(packed) == list(targets)
    assert len(packed) == 9
    assert {image_of(key) for key in packed} == set(labels) - set(bad)
    for key, datum in targets.items():  # no label has slipped to a neighbour
        np.testing.assert_array_equal(datum.float_data, np.float32(labels[image_of(key)]))
        assert packed[key].data == contents[image_of(key)]
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("left out: 3 bad images; the first: ")
    assert f"{bad[0]} is not an image" in printed[1]
    assert printed[2].startswith("9 images and labels")


def test_a_missing_image_is_a_bad_one(files, run, tmp_path, capsys):
    files(twelve())
    (tmp_path / "data" / "ImageCLEF_Wikipedia" / "images/1/4.jpg").unlink()
    assert len(pairs(run())[0]) == 11
    assert "left out: 1 bad images" in (printed := capsys.readouterr().out)
    assert "images/1/4.jpg" in printed


def test_no_good_image_is_an_error_and_nothing_is_left(files, run, tmp_path):
    files({f"images/{i}.jpg": b"no picture" for i in range(3)})
    with pytest.raises(
        UserError, match=r"none of the images .* 3 of 3 are bad; the first: .*is not an image"
    ):
        run()
    assert list((tmp_path / "work" / "CNN" / "CaffeNet").iterdir()) == []


def test_no_good_image_held_out_is_an_error(files, run, script, tmp_path):
    contents = twelve()
    contents |= {sorted(contents)[i]: b"no picture" for i in script.shuffled(12, 0)[-3:]}
    files(contents)
    with pytest.raises(UserError, match="for train or for val can be read: 3 of 12 are bad"):
        run("--val-fraction", "0.25")
    assert list((tmp_path / "work" / "CNN" / "CaffeNet").iterdir()) == []


def test_a_failure_half_way_leaves_what_was_there(files, run, script, monkeypatch):
    files(twelve())
    folder = run()
    before = {p: p.read_bytes() for p in folder.rglob("*.mdb")}
    calls = []

    def fails_late(vector):
        calls.append(vector)
        if len(calls) == 7:
            raise OSError("disk full")
        return caffe_pb2.Datum()

    monkeypatch.setattr(script.Writer, "BATCH", 2)
    monkeypatch.setattr(script, "label_datum", fails_late)
    with pytest.raises(OSError, match="disk full"):
        run("--force")
    assert sorted(p.name for p in folder.iterdir()) == ["train_images_lmdb", "train_labels_lmdb"]
    assert {p: p.read_bytes() for p in folder.rglob("*.mdb")} == before


def test_an_lmdb_grows_when_it_is_full(files, run, script, monkeypatch):
    monkeypatch.setattr(script.Writer, "FIRST_MAP", 1 << 15)
    monkeypatch.setattr(script.Writer, "BATCH", 5)
    contents = {f"images/{i}.jpg": jpeg(i, 200, 200) for i in range(24)}
    files(contents)
    packed, targets = pairs(run(size=200))
    assert sum(map(len, contents.values())) > 2 * script.Writer.FIRST_MAP
    assert {image_of(key): datum.data for key, datum in packed.items()} == contents
    assert list(packed) == list(targets)


def test_long_names_have_keys_too(files, run):
    long = "images/" + "/".join(["x" * 200] * 3)
    files({f"{long}{i}.jpg": jpeg(i) for i in range(3)})
    packed, targets = pairs(run())
    assert list(packed) == list(targets)
    assert {len(key) for key in packed} == {511}


@pytest.mark.parametrize("left", ["train_images_lmdb", "train_labels_lmdb"])
def test_an_existing_output_is_kept_without_force(files, run, tmp_path, left):
    files(twelve())
    (tmp_path / "work" / "CNN" / "CaffeNet" / left).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{left} exists already: give --force"):
        run()
    assert len(pairs(run("--force"))[0]) == 12


def test_labels_that_are_not_topic_vectors_are_refused(files, run, tmp_path):
    files(twelve())
    path = tmp_path / "work" / artefacts.training_labels(TOPICS)
    path.rename(path.with_name("training_labels4.json"))
    with pytest.raises(
        UserError,
        match=r"not a vector of 4 lda numbers .width 3.*; run python LDA/",
    ):
        run(topics=4)
    with pytest.raises(
        UserError,
        match=r"training_labels3.json does not exist: make it with python LDA/generate_",
    ):
        run()


@pytest.fixture
def signed(files, tmp_path):
    """Twelve red, green and blue images, with lda's labels and signed ones: a unit vector per
    colour.
    """
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images_of = files(
        {f"images/{i}.jpg": pil_bytes("RGB", colours[i % 3], "JPEG") for i in range(12)}
    )
    rows = [[-0.6, 0.0, 0.8], [0.0, -1.0, 0.0], [0.48, 0.6, -0.64]]
    labels = {name: rows[i % 3] for i, name in enumerate(images_of)}
    json_files.write(tmp_path / "work" / artefacts.training_labels(TOPICS, "lsi"), labels)
    return labels


def test_labels_of_another_embedding(signed, run, capsys):
    packed, targets = pairs(run("--embedding", "lsi"))
    assert list(packed) == list(targets)
    assert len(targets) == 12
    for key, datum in targets.items():
        assert (datum.channels, datum.height, datum.width) == (3, 1, 1)
        assert list(datum.float_data) == np.float32(signed[image_of(key)]).tolist()
    assert "labels of lsi are signed: train with EuclideanLoss" in capsys.readouterr().out
    _, targets = pairs(run("--force"))  # lda's, in a file beside the signed ones
    assert min(min(datum.float_data) for datum in targets.values()) == 0
    assert "signed" not in capsys.readouterr().out


def test_labels_are_checked_as_their_embedding_requires(signed, run, tmp_path):
    folder = tmp_path / "work" / "LDA"
    (folder / "training_labels_lsi3.json").rename(folder / "training_labels_tfidf3.json")
    with pytest.raises(
        UserError,
        match=r"not a vector of 3 tfidf numbers.*; run .* --embedding tfidf",
    ):
        run("--embedding", "tfidf")
    with pytest.raises(
        UserError,
        match=r"lsi3.json does not exist: make it with .*generate_train_labels.py --embedding lsi",
    ):
        run("--embedding", "lsi")


def test_a_net_learns_signed_labels(signed, run, tmp_path):
    """From the LMDBs through train_val.prototxt's data layers and EuclideanLoss, with one layer
    between them.
    """
    folder = run("--embedding", "lsi")
    net = prototxt.read_net(artefacts.ROOT / "CNN/CaffeNet/train_val.prototxt")
    types = ("Data", "EuclideanLoss")
    kept = [layer for layer in net.layer if layer.type in types or layer.name == "fc8"]
    del net.layer[:]
    net.layer.extend(kept)
    for layer, source in zip(
        net.layer[:2], ("train_images_lmdb", "train_labels_lmdb"), strict=True
    ):
        layer.data_param.source, layer.data_param.batch_size = str(folder / source), 12
    net.layer[0].transform_param.ClearField("crop_size")
    net.layer[0].transform_param.mirror = False
    net.layer[0].transform_param.scale = 1 / 128
    net.layer[2].bottom[0] = "data"
    net.layer[2].inner_product_param.num_output = TOPICS
    net.layer[2].inner_product_param.weight_filler.std = 0
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(net))
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.0003 momentum: 0.9 lr_policy: "fixed"'
        ' solver_mode: CPU random_seed: 0 train_state { stage: "euclidean" }'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    assert solver.net.blobs["loss"].data == pytest.approx(
        0.5
    )  # outputs 0, targets of length 1: half of 1
    solver.step(60)
    assert solver.net.blobs["loss"].data < 0.01
    wanted = solver.net.blobs["label"].data.reshape(12, TOPICS)
    np.testing.assert_allclose(solver.net.blobs["fc8"].data, wanted, atol=0.2)  # some are below 0
    solver.net.close()


def test_another_collection(files, run, tmp_path):
    files(twelve())
    (tmp_path / "data" / "ImageCLEF_Wikipedia").rename(tmp_path / "data" / "wikipedia_data")
    assert len(pairs(run("--collection", "wikipedia_data"))[0]) == 12


def test_a_missing_collection_is_one_sentence_and_status_1(tmp_path):
    json_files.write(
        tmp_path / "work" / artefacts.training_labels(TOPICS), {"images/a.jpg": [0.5, 0.5, 0.0]}
    )
    command = [
        sys.executable,
        str(SCRIPT),
        "--data",
        str(tmp_path),
        "--work",
        str(tmp_path / "work"),
        "--topics",
        "3",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {tmp_path / 'ImageCLEF_Wikipedia'} does not exist: data/README.md says"
        " how to get it\n"
    )


def test_the_data_layer_gives_what_features_are_taken_from(files, run, tmp_path):
    """Training and extraction see the same pixels: the Data layer in TEST gives `network_input`."""
    turned = Image.Exif()
    turned[0x0112] = 6  # a camera's orientation, which both ignore
    gradient = Image.fromarray(
        np.mgrid[0:256, 0:256].astype(np.uint8)[[0, 1, 1]].transpose(1, 2, 0)
    )
    gradient.save(file := io.BytesIO(), "JPEG", exif=turned)
    contents = {
        "images/a.jpg": jpeg(1, 256, 256),
        "images/b.jpg": file.getvalue(),
        "images/c.jpg": jpeg(2, 256, 256),
    }
    labels = files(contents)
    folder = run(size=256)
    names = [image_of(key) for key in pairs(folder)[0]]
    mean = " ".join(f"mean_value: {value}" for value in images.MEAN_BGR)
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Data" top: "data"'
        f" transform_param {{ crop_size: {images.CROP} {mean} }} data_param {{"
        f' source: "{folder}/train_images_lmdb" batch_size: 3 backend: LMDB }} }}'
        'layer { name: "l" type: "Data" top: "label" data_param {'
        f' source: "{folder}/train_labels_lmdb" batch_size: 3 backend: LMDB }} }}'
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.forward()
    for name, data, label in zip(
        names, net.blobs["data"].data, net.blobs["label"].data, strict=True
    ):
        np.testing.assert_allclose(
            data, images.network_input(images.decode(contents[name], name)), atol=1e-4
        )
        np.testing.assert_allclose(label.ravel(), labels[name], rtol=1e-6)
    net.close()


def test_names_that_lead_out_of_the_collection_are_bad_images(files, run, tmp_path, capsys):
    labels = files({"images/1.jpg": jpeg(1)})
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(2))
    (tmp_path / "data/ImageCLEF_Wikipedia/images/link.jpg").symlink_to(secret)
    os.mkfifo(tmp_path / "data/ImageCLEF_Wikipedia/images/fifo.jpg")
    bad = [
        str(secret),
        "../../secret.jpg",
        "images\\..\\..\\..\\secret.jpg",
        "images/link.jpg",
        "images/fifo.jpg",
        "a\0b",
        "x" * 300,
    ]
    json_files.write(
        tmp_path / "work" / artefacts.training_labels(TOPICS),
        labels | {key: [0.1, 0.5, 0.0] for key in bad},
    )
    folder = run()
    assert [key[9:] for key in records(folder / "train_images_lmdb")] == ["images/1.jpg"]
    assert f"left out: {len(bad)} bad images; the first: " in capsys.readouterr().out


@pytest.mark.parametrize("size", [(20_000, 20_000), (40_000, 40_000)])
def test_an_image_whose_header_declares_too_many_pixels_is_a_bad_one(files, run, capsys, size):
    data = bytearray(jpeg(1))
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", *size)
    files({"a.jpg": jpeg(2), "b.jpg": bytes(data)})
    folder = run()
    assert len(records(folder / "train_images_lmdb")) == 1
    assert f"b.jpg: its header declares {size[0]} x {size[1]} pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        '{"a.jpg": ' + "[" * 200_000 + "]" * 200_000 + "}",
        '{"a.jpg": [' + "9" * 5000 + ", 0, 0]}",
        '{"\\udcff": [0.1, 0.5, 0]}',
    ],
)
def test_labels_that_would_break_the_reader_are_one_sentence(files, run, tmp_path, content):
    files({"a.jpg": jpeg(1)})
    (tmp_path / "work" / artefacts.training_labels(TOPICS)).write_text(content)
    with pytest.raises(
        UserError, match=r"training_labels3.json is not valid JSON .*generate_train_labels.py"
    ):
        run()


def test_a_folder_whose_name_is_not_utf8_is_one_sentence(files, run, tmp_path):
    files({"a.jpg": jpeg(1)})
    work = tmp_path / "w\udcff"
    shutil.copytree(tmp_path / "work", work)
    with pytest.raises(
        UserError,
        match=r"w\\xff/CNN/CaffeNet: LMDB needs folders whose names are UTF-8: give another --work",
    ):
        run("--work", str(work))


@pytest.mark.parametrize("arguments", [(), ("--val-fraction", "0.25")])
def test_workers_write_the_records_of_one_process(files, run, arguments):
    """Byte for byte, with images that are stored as they are and images that are encoded anew."""
    files(twelve() | {f"images/large/{i}.jpg": jpeg(i, 90) for i in range(35)})
    splits = ["train", "val"] if arguments else ["train"]
    one, two = (
        [pairs(run("--force", "--workers", workers, *arguments), split) for split in splits]
        for workers in ("1", "2")
    )
    assert [[list(each.items()) for each in split] for split in one] == [
        [list(each.items()) for each in split] for split in two
    ]
    assert sum(len(images) for images, _ in one) == 47


def test_only_the_first_of_torchruns_processes_works(files, run, monkeypatch):
    files(twelve())
    variables = {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 1}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    assert not run().exists()
    monkeypatch.setenv("RANK", "0")
    assert len(pairs(run())[0]) == 12
