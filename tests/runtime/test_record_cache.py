"""Records decoded once and kept in memory, or on a device: the batches are those of the reader."""

import re
import sys

import data_sources
import numpy as np
import pytest
import torch
from data_sources import (
    COUNT,
    NAMES,
    TRANSFORM,
    assert_same,
    batches,
    data,
    encoded,
    image,
    sources,
    write,
)

import caffe
from caffe import allocation, cli, launch, record_cache
from caffe.device_records import DeviceRecords
from caffe.proto import caffe_pb2

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    data_sources.fill(folder)
    return folder


def net_of(net_from, text, place, phase=caffe.TRAIN):
    """A net whose records are read (None), in memory ('ram') or on a device, which is the CPU."""
    caffe.set_random_seed(11)
    net = net_from(text, phase)
    layers = [node.layer for node in net.nodes]
    if place is not None:
        record_cache.keep(layers, None if place == "ram" else CPU)
        kept = "decoded" if place == "ram" else "device_records"
        assert all(getattr(layer, kept) is not None for layer in layers)
    return net


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("place", ["ram", "device"])
@pytest.mark.parametrize("source", NAMES)
def test_the_batches_are_those_of_the_reader(net_from, folder, source, place, phase):
    text = sources(folder)[source]
    plain, cached = (net_of(net_from, text, kind, phase) for kind in (None, place))
    wanted = batches(plain)
    assert_same(batches(cached), wanted)
    for a, b in zip(plain.nodes, cached.nodes, strict=True):
        assert a.layer.position() == b.layer.position()
    plain.close(), cached.close()
    assert_same(batches(cached, 2), batches(plain, 2))  # and after the reader was stopped
    plain.close(), cached.close()


@pytest.mark.parametrize("source", ["crops and mirrors of JPEGs", "a skip"])
@pytest.mark.parametrize("place", ["ram", "device"])
def test_several_solvers_take_turns(net_from, folder, source, place):
    """The eleven records are no multiple of three, so each solver's share moves on every round."""
    text = sources(folder)[source]
    caffe.set_solver_count(3), caffe.set_solver_rank(1)
    try:
        plain, cached = (net_of(net_from, text, kind) for kind in (None, place))
        wanted = batches(plain)
        assert_same(batches(cached), wanted)
        plain.close(), cached.close()
    finally:
        caffe.set_solver_count(1), caffe.set_solver_rank(0)


@pytest.mark.parametrize("kinds", [(None, "ram"), ("ram", "device"), ("device", None)])
@pytest.mark.parametrize("source", ["crops and mirrors of JPEGs", "shuffled files", "two layers"])
def test_each_kind_continues_where_another_one_was(net_from, folder, source, kinds):
    """After five batches, in the middle of a round, and again to a place before."""
    text = sources(folder)[source]
    first, second = (net_of(net_from, text, kind) for kind in kinds)
    batches(first, 5)
    places = [node.layer.position() for node in first.nodes]
    wanted = batches(first, 5)
    for _ in range(2):
        for node, place in zip(second.nodes, places, strict=True):
            node.layer.move_to(place)
        assert_same(batches(second, 5), wanted)
    first.close(), second.close()


@pytest.mark.parametrize("place", ["ram", "device"])
def test_a_net_that_has_read_already_goes_on(net_from, folder, place):
    text = sources(folder)["shuffled files"]
    plain, cached = net_of(net_from, text, None), net_of(net_from, text, None)
    batches(plain, 3), batches(cached, 3)
    record_cache.keep([cached.nodes[0].layer], None if place == "ram" else CPU)
    assert_same(batches(cached), batches(plain))
    plain.close(), cached.close()


def test_layers_that_read_alike_share_their_records(net_from, folder):
    nets = [
        net_from(data(folder, "jpeg", transform), phase)
        for transform, phase in [
            (TRANSFORM, caffe.TRAIN),
            ("crop_size: 7", caffe.TEST),
            ("force_gray: true", caffe.TEST),
        ]
    ]
    record_cache.cache(nets, "ram")
    first, same, grey = (net.nodes[0].layer.decoded for net in nets)
    assert first is same
    assert first.pixels.shape == (COUNT, 10, 12, 3)
    assert first.labels.tolist() == [i + 3 for i in range(COUNT)]
    assert grey.pixels.shape == (COUNT, 10, 12, 1)


# ------------------------------------------------------------------------------ the table


def test_rows_are_drawn_ahead_and_taken_one_by_one(net_from, folder):
    net = net_of(net_from, data(folder, "raw"), "device")
    layer = net.nodes[0].layer
    records = layer.device_records
    records.draw_ahead(3)
    assert records.table.dtype == torch.int32
    assert records.table[:3, :, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 0]]
    assert (records.drawn, records.left) == (3, 3)
    assert layer.position().cursor == 0
    pixels, labels = records.batch(torch.tensor(1))
    np.testing.assert_array_equal(pixels[2], image(6).transpose(2, 0, 1))
    assert labels.tolist() == [7, 8, 9, 10]
    rows = len(records.table)
    assert records.batch(torch.tensor(rows + 1))[1].tolist() == [7, 8, 9, 10]
    records.advance()
    assert (layer.position().cursor, records.left) == (4, 2)
    with pytest.raises(ValueError, match="2 batches are drawn and not taken yet"):
        records.draw_ahead(3)
    before = records.table.data_ptr()
    net.forward(), net.forward()
    assert net.blobs["label_raw"].data.tolist() == [11, 12, 13, 3]
    records.draw_ahead(2)
    assert records.table.data_ptr() == before
    assert records.table[0, :, 0].tolist() == [1, 2, 3, 4]
    net.close()  # what is drawn and not taken is drawn again
    assert records.left == 0
    net.forward()
    assert net.blobs["label_raw"].data.tolist() == [4, 5, 6, 7]


def test_a_crop_and_a_mirror_by_hand(net_from, folder):
    net = net_of(net_from, data(folder, "raw", "crop_size: 4 mirror: true mean_value: 2"), "device")
    records = net.nodes[0].layer.device_records
    records.draw_ahead(1)
    records.table[0] = torch.tensor([[7, 2, 3, 0], [7, 2, 3, 1], [0, 6, 8, 0], [10, 0, 0, 1]])
    found = records.batch(torch.tensor(0))[0].numpy()
    wanted = [
        image(7)[2:6, 3:7],
        image(7)[2:6, 3:7][:, ::-1],
        image(0)[6:10, 8:12],
        image(10)[:4, :4][:, ::-1],
    ]
    np.testing.assert_array_equal(found, np.stack(wanted).transpose(0, 3, 1, 2) - np.float32(2))


def test_a_record_beyond_2_to_the_31_bytes(net_from, tmp_path):
    """12,000 records of 196,608 bytes, 2.36 GB; the file that stands for them is mostly a hole."""
    write(
        tmp_path / "raw", [caffe_pb2.Datum(channels=3, height=256, width=256, data=bytes(196608))]
    )
    net = net_from(data(tmp_path, "raw", "crop_size: 4", batch=2))
    last = 11_999
    assert last * 196_608 > 2**31
    pixels = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(last + 1, 256, 256, 3))
    pixels[last, 250:254, 252:256] = np.arange(48).reshape(4, 4, 3)
    records = DeviceRecords(net.nodes[0].layer, torch.from_numpy(pixels), torch.arange(last + 1.0))
    records.draw_ahead(1)
    records.table[0] = torch.tensor([[last, 250, 252, 0], [last, 250, 252, 1]])
    found, labels = records.batch(torch.tensor(0))
    wanted = np.arange(48).reshape(4, 4, 3).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, np.stack([wanted, wanted[:, :, ::-1]]))
    assert labels.tolist() == [last, last]


# ------------------------------------------------------------------------------ what is refused


def test_records_of_several_sizes_fit_into_memory_only(net_from, folder):
    text = data(folder, "sizes", batch=1)
    plain, cached = net_of(net_from, text, None), net_of(net_from, text, "ram")
    wanted = batches(plain)
    assert wanted[3][0].shape == (1, 3, 13, 12)
    assert_same(batches(cached), wanted)
    plain.close(), cached.close()
    with pytest.raises(caffe.CaffeError) as caught:
        net_of(net_from, text, "device")
    assert str(caught.value) == (
        "layer 'sizes' (Data): -cache gpu needs records of one shape and type, and"
        f" {folder}/sizes: record 00000001 has (11, 12, 3) (height, width, channels) of uint8, the"
        " first (10, 12, 3) of uint8; use -cache ram"
    )


def test_bytes_and_floats_in_one_source(net_from, tmp_path):
    """Records of 1, 0.5 and 3: the batches on a device need one type, those of a reader do not."""
    datums = [
        caffe_pb2.Datum(channels=1, height=1, width=1, data=b"\1"),
        caffe_pb2.Datum(channels=1, height=1, width=1, float_data=[0.5]),
        caffe_pb2.Datum(channels=1, height=1, width=1, data=b"\3"),
    ]
    write(tmp_path / "mixed", datums)
    text = data(tmp_path, "mixed", "scale: 2")
    for place in (None, "ram"):
        net = net_of(net_from, text, place)
        net.forward()
        assert net.blobs["mixed"].data.ravel().tolist() == [2, 1, 6, 2]
        net.close()
    with pytest.raises(caffe.CaffeError, match=r"00000001 has .* of float32, .* of uint8"):
        net_of(net_from, text, "device")


def test_a_cache_can_be_exchanged(net_from, folder):
    """Ten batches, the cache changed after every other one."""
    text = sources(folder)["shuffled files"]
    plain, changed = net_of(net_from, text, None), net_of(net_from, text, None)
    wanted, found = batches(plain, 10), []
    for device in (None, CPU, None, None, CPU):
        record_cache.keep([changed.nodes[0].layer], device)
        found += batches(changed, 2)
    assert_same(found, wanted)
    plain.close(), changed.close()


@pytest.mark.parametrize(("name", "bytes_"), [("raw", COUNT * 360), ("sizes", COUNT * 360 + 1)])
def test_what_does_not_fit_into_memory_is_refused(net_from, folder, monkeypatch, name, bytes_):
    """10 x 12 x 3 bytes per record; of the other source the later records are larger."""
    net = net_from(data(folder, name, batch=1))
    monkeypatch.setattr(allocation, "available", lambda device: bytes_ - 1)
    with pytest.raises(caffe.CaffeError, match=f"'{name}'.*of memory free; train without -cache"):
        record_cache.cache([net], "ram")
    monkeypatch.setattr(allocation, "available", lambda device: 2 * bytes_)
    record_cache.cache([net], "ram")
    net.forward()
    net.close()


def test_a_record_that_cannot_be_decoded_is_named(net_from, tmp_path):
    write(tmp_path / "jpeg", [encoded(0), encoded(1), caffe_pb2.Datum(data=b"no", encoded=True)])
    net = net_from(data(tmp_path, "jpeg"))
    with pytest.raises(caffe.CaffeError, match="record 00000002 does not hold an image"):
        record_cache.cache([net], "ram")


def test_nets_without_records_are_refused(net_from):
    net = net_from('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }')
    with pytest.raises(caffe.CaffeError, match=r"for Data and ImageData layers, and .* has none"):
        record_cache.cache([net], "ram")


# ------------------------------------------------------------------------------ the command

SOLVER = """
net: "%(folder)s/train.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 8
display: 2 snapshot: 4 snapshot_prefix: "%(folder)s/%(name)s" random_seed: 4 solver_mode: CPU
test_iter: 3 test_interval: 3
"""
LEARN = """
layer { name: "ip" type: "InnerProduct" bottom: "jpeg" top: "y"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "vectors" top: "loss" }
layer { name: "silence" type: "Silence" bottom: "label_jpeg" bottom: "label_vectors" }
"""


def command_of(tmp_path, folder, name, *flags):
    (tmp_path / "train.prototxt").write_text(
        data(folder, "jpeg", TRANSFORM + " scale: 0.01") + data(folder, "vectors") + LEARN
    )
    path = tmp_path / f"{name}.solver"
    path.write_text(SOLVER % {"folder": tmp_path, "name": name})
    return ["train", "-solver", str(path), *flags]


def train(*arguments):
    return cli.main(command_of(*arguments))


def test_a_training_gives_the_same_weights_and_losses(tmp_path, folder, capfd, monkeypatch):
    """With a test net, and resumed at iteration 4 without the cache."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    logs, weights = {}, {}
    for name, flags in [("plain", ()), ("ram", ("-cache", "ram"))]:
        capfd.readouterr()
        assert train(tmp_path, folder, name, *flags) == 0
        logs[name] = capfd.readouterr().err
        weights[name] = (tmp_path / f"{name}_iter_8.caffemodel").read_bytes()
    assert weights["ram"] == weights["plain"]
    numbers = [re.findall(r"(?:loss|lr) = \S+", logs[name]) for name in logs]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) > 8
    assert f"Layer 'jpeg': decoding {COUNT} records for the cache" in logs["ram"]
    assert re.search(
        rf"Layer 'jpeg': {COUNT} records in memory, 0.0 MB, decoded in \S+ s", logs["ram"]
    )
    (tmp_path / "ram_iter_8.caffemodel").unlink()
    state = tmp_path / "ram_iter_4.solverstate"
    assert train(tmp_path, folder, "ram", "-snapshot", str(state)) == 0
    assert (tmp_path / "ram_iter_8.caffemodel").read_bytes() == weights["plain"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpus_memory_needs_a_gpu(tmp_path, folder, capfd):
    assert train(tmp_path, folder, "none", "-cache", "gpu") == 1
    assert "-cache gpu needs a net on a GPU; give -gpu or solver_mode: GPU, or use -cache ram" in (
        capfd.readouterr().err
    )


def test_two_processes_give_the_same_weights(tmp_path, folder, capfd, monkeypatch):
    """Each keeps all records, and reads its own: of eleven, others in every round."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    found = []
    for name, flags in [("plain", []), ("ram", ["-cache", "ram"])]:
        command = command_of(tmp_path, folder, name, *flags)
        capfd.readouterr()
        assert launch.start_all([sys.executable, "-m", "caffe.cli", *command], 2) == 0
        assert ("records in memory" in capfd.readouterr().err) == bool(flags)
        found.append((tmp_path / f"{name}_iter_8.caffemodel").read_bytes())
    assert found[0] == found[1]
