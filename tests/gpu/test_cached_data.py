"""Data layers on a GPU: cached or not, their batches are those of the CPU, bit for bit."""

import re

import data_sources
import numpy as np
import pytest
import torch
from data_sources import COUNT, NAMES, TRANSFORM, assert_same, batches, data, image, sources
from tested_device import real

import caffe
from caffe import cli, mode, record_cache
from caffe.device_records import DeviceRecords
from caffe.proto import caffe_pb2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    data_sources.fill(folder)
    return folder


@pytest.fixture
def net_of(tmp_path):
    """net_of(text, place): a net on the CPU (place "cpu"), or on the GPU with the records read
    (None), in memory ("ram") or on the GPU ("gpu").
    """
    nets = []

    def build(text, place, phase=caffe.TRAIN):
        (tmp_path / "net.prototxt").write_text(text)
        caffe.set_mode_cpu()
        if place != "cpu" and torch.cuda.is_available():
            caffe.set_mode_gpu()
        caffe.set_random_seed(11)
        nets.append(caffe.Net(str(tmp_path / "net.prototxt"), phase))
        caffe.set_mode_cpu()
        if place in ("ram", "gpu"):
            layers = [node.layer for node in nets[-1].nodes]
            record_cache.keep(layers, nets[-1].device if place == "gpu" else None)
        return nets[-1]

    yield build
    for net in nets:
        net.close()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST], ids=["TRAIN", "TEST"])
@pytest.mark.parametrize("place", [None, "ram", "gpu"])
@pytest.mark.parametrize("source", NAMES)
def test_the_batches_are_those_of_the_cpu(net_of, folder, source, place, phase):
    text = sources(folder)[source]
    wanted, found = net_of(text, "cpu", phase), net_of(text, place, phase)
    assert_same(batches(found), batches(wanted))
    for a, b in zip(wanted.nodes, found.nodes, strict=True):
        assert a.layer.position() == b.layer.position()


@pytest.mark.parametrize("place", [None, "ram", "gpu"])
def test_batches_that_are_kept_are_not_overwritten(net_of, folder, place):
    text = sources(folder)["two layers"]
    layers = [[n.layer for n in net_of(text, kind).nodes] for kind in ("cpu", place)]
    wanted, kept = ([[la.forward()[0] for la in row] for _ in range(12)] for row in layers)
    for mine, theirs in zip(kept, wanted, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert torch.equal(a.cpu(), b)


@real
@pytest.mark.parametrize("place", [None, "ram", "gpu"])
def test_a_forward_does_not_wait_for_the_gpu(net_of, folder, place):
    layer = net_of(sources(folder)["crops and mirrors of JPEGs"], place).nodes[0].layer
    layer.forward()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(6):
            layer.forward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@real
@pytest.mark.parametrize("source", ["crops and mirrors of JPEGs", "a mean image", "two layers"])
def test_a_captured_batch_is_the_eager_one(net_of, folder, source):
    """Replayed over two tables of five rows."""
    text = sources(folder)[source]
    wanted = batches(net_of(text, "cpu"), 10)
    net = net_of(text, "gpu")
    all_records = [node.layer.device_records for node in net.nodes]
    step = torch.zeros((), dtype=torch.int64, device=net.device)
    for records in all_records:
        records.draw_ahead(5)
        records.batch(step)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tops = [top for records in all_records for top in records.batch(step)]
    found = []
    for i in range(10):
        for records in all_records:
            if not records.left:
                records.draw_ahead(5)
        step.fill_(i % 5)  # both tables are in the first five rows
        graph.replay()
        found.append([top.cpu().contiguous().numpy() for top in tops])
        for records in all_records:
            records.advance()
    assert_same(found, wanted)


@real
def test_a_record_beyond_2_to_the_31_bytes(net_of, tmp_path):
    """12,000 records of 196,608 bytes, 2.36 GB."""
    datum = caffe_pb2.Datum(channels=3, height=256, width=256, data=bytes(256 * 256 * 3))
    data_sources.write(tmp_path / "raw", [datum])
    net = net_of(data(tmp_path, "raw", "crop_size: 4", batch=2), None)
    last = 11_999
    pixels = torch.zeros((last + 1, 256, 256, 3), dtype=torch.uint8, device=net.device)
    part = torch.arange(48, dtype=torch.uint8).reshape(4, 4, 3)
    pixels[last, 250:254, 252:256] = part.to(net.device)
    labels = torch.arange(last + 1.0, device=net.device)
    records = DeviceRecords(net.nodes[0].layer, pixels, labels)
    records.draw_ahead(1)
    records.table[0] = torch.tensor([[last, 250, 252, 0], [last, 250, 252, 1]])
    found, labels = records.batch(torch.zeros((), dtype=torch.int64, device=net.device))
    wanted = part.permute(2, 0, 1).float()
    assert torch.equal(found.cpu(), torch.stack([wanted, wanted.flip(2)]))
    assert labels.tolist() == [last, last]


@real
def test_what_does_not_fit_is_refused(net_of, folder, monkeypatch):
    net = net_of(data(folder, "raw"), None)
    free, total = COUNT * 360 - 1, torch.cuda.mem_get_info()[1]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, total))
    with pytest.raises(caffe.CaffeError, match=r"'raw' take .* free on cuda:0; use -cache ram"):
        record_cache.cache([net], "gpu")


SOLVER = """
net: "%(folder)s/train.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 7
display: 1 snapshot_after_train: false random_seed: 4 solver_mode: GPU test_iter: 3 test_interval: 3
"""
LEARN = """
layer { name: "ip" type: "InnerProduct" bottom: "jpeg" top: "y"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "vectors" top: "loss" }
layer { name: "silence" type: "Silence" bottom: "label_jpeg" bottom: "label_vectors" }
"""


@real
def test_trainings_show_the_same_losses(tmp_path, folder, capfd, monkeypatch):
    """The sums of a GPU may differ in their last bits."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    vectors = data(folder, "vectors")
    (tmp_path / "train.prototxt").write_text(data(folder, "jpeg", TRANSFORM) + vectors + LEARN)
    (tmp_path / "solver").write_text(SOLVER % {"folder": tmp_path})
    losses = []
    for place in ("none", "ram", "gpu"):
        capfd.readouterr()
        assert cli.main(["train", "-solver", str(tmp_path / "solver"), "-cache", place]) == 0
        found = re.findall(r"[^(]loss = (\S+)", capfd.readouterr().err)
        losses.append([float(loss) for loss in found])
    assert len(losses[0]) >= 14
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-4)
    caffe.set_mode_cpu()
    assert mode.device().type == "cpu"


def test_the_record_of_each_label(net_of, folder):
    net = net_of(data(folder, "raw"), "gpu")
    net.forward()
    assert net.blobs["label_raw"].data.tolist() == [3, 4, 5, 6]
    np.testing.assert_array_equal(net.blobs["raw"].data[2], image(2).transpose(2, 0, 1))
