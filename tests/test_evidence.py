"""experiments/evidence.py: shuffled labels, trainings in turn, scores, the record and the plot."""

import json
import math
import sys

import numpy as np
import pytest

import caffe
from caffe import prototxt
from caffe.database import LMDB, Writer
from caffe.proto import caffe_pb2
from texttopicnet import artefacts, results
from texttopicnet.errors import UserError

SOLVER = """net: "train_val.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 display: 1
max_iter: 9 snapshot: 7 snapshot_prefix: "elsewhere/x" solver_mode: CPU random_seed: 5
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/evidence.py")


@pytest.fixture(scope="module")
def runs(script):
    return sys.modules["evidence_runs"]


@pytest.fixture(scope="module")
def nets(script):
    return sys.modules["evidence_nets"]


@pytest.fixture(scope="module")
def curves(script):
    return sys.modules["evidence_curves"]


def write_labels(path, vectors):
    with Writer(path) as database:
        for i, vector in enumerate(vectors):
            datum = caffe_pb2.Datum(channels=len(vector), height=1, width=1, float_data=vector)
            database.put(f"{i:08d}_image", datum)


def read_labels(path):
    found = LMDB(str(path))
    return found.keys, [list(found.datum(i).float_data) for i in range(len(found))]


def test_shuffled_labels_are_the_same_vectors_at_other_images(runs, tmp_path):
    vectors = [[float(i), 1.0] for i in range(50)]
    write_labels(tmp_path / "train_labels_lmdb", vectors)
    made = runs.shuffle_labels(tmp_path, "train", 3)
    assert made.name == "train_labels_shuffled3_lmdb"
    keys, found = read_labels(made)
    assert keys == read_labels(tmp_path / "train_labels_lmdb")[0]
    assert sorted(found) == vectors
    assert sum(a == b for a, b in zip(found, vectors, strict=True)) < 10  # one is to be expected
    assert found == [vectors[i] for i in np.random.default_rng(3).permutation(50)]
    before = made.stat().st_mtime_ns
    assert runs.shuffle_labels(tmp_path, "train", 3).stat().st_mtime_ns == before
    assert read_labels(runs.shuffle_labels(tmp_path, "train", 4))[1] != found


def test_the_net_of_a_run(nets):
    """Stages are resolved; held-out images are not mirrored; the loss is in both phases."""
    path = artefacts.ROOT / "CNN" / "CaffeNet" / "train_val.prototxt"
    sources = {"train": ("../i", "../l"), "val": ("../vi", "../vl")}
    net = nets.net_of(path, caffe_pb2.SolverParameter(), sources)
    data = [layer for layer in net.layer if layer.type == "Data"]
    assert [layer.data_param.source for layer in data] == ["../i", "../vi", "../l", "../vl"]
    assert [layer.include[0].phase for layer in data] == [0, 1, 0, 1]
    assert [layer.transform_param.mirror for layer in data] == [True, False, False, False]
    assert {layer.transform_param.crop_size for layer in data[:2]} == {227}
    losses = [layer for layer in net.layer if "Loss" in layer.type]
    assert [(layer.type, len(layer.include)) for layer in losses] == [
        ("SigmoidCrossEntropyLoss", 0)
    ]
    assert not [layer for layer in net.layer if layer.type == "Python"]
    alone = nets.net_of(path, caffe_pb2.SolverParameter(), {"train": ("../i", "../l")})
    assert len(alone.layer) == len(net.layer) - 2


def test_the_normalised_recipe(nets):
    """Normalisation comes between a layer's weights and its ReLU; -3.66 is the logit of 1/40."""
    folder = artefacts.ROOT / "CNN" / "CaffeNet"
    net = nets.normalised(prototxt.read_net(folder / "train_val.prototxt"))
    names = [layer.name for layer in net.layer]
    for name in ("conv1", "conv5", "fc6", "fc7"):
        at = names.index(name)
        kinds = ["BatchNorm", "Scale", "ReLU"]
        assert [layer.type for layer in net.layer[at + 1 : at + 4]] == kinds
        for layer in net.layer[at + 1 : at + 4]:
            assert list(layer.bottom) == list(layer.top) == [name]
    fc8 = net.layer[names.index("fc8")]
    assert 1 / (1 + math.exp(-fc8.inner_product_param.bias_filler.value)) == pytest.approx(1 / 40)
    assert "bn_fc8" not in names
    deploy = nets.deploy(folder / "deploy.prototxt", "normalised")
    assert deploy.count('"BatchNorm"') == 7
    assert "filler" not in deploy
    assert '"BatchNorm"' not in nets.deploy(folder / "deploy.prototxt", "paper")


def test_folding_changes_no_output(nets, tmp_path):
    """A convolution with BatchNorm and Scale, and the plain one that it becomes."""
    head = """layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 group: 1
            weight_filler { type: "gaussian" std: 0.3 }
            bias_filler { type: "constant" value: 2 } } }
    layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
    layer { name: "fc8" type: "InnerProduct" bottom: "conv1" top: "fc8"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""
    plain, normalised = tmp_path / "plain.prototxt", tmp_path / "normalised.prototxt"
    plain.write_text(head)
    normalised.write_text(nets.deploy(plain, "normalised"))
    net = caffe.Net(str(normalised), caffe.TEST)
    draw = np.random.default_rng(0)
    for name, low in (("bn_conv1", 0.5), ("scale_conv1", -1)):
        for blob in net.params[name]:
            blob.data[...] = draw.uniform(low, 2, blob.data.shape)
    net.params["bn_conv1"][2].data[...] = 3  # the sums of three batches
    net.save(str(tmp_path / "a.caffemodel"))
    nets.fold(normalised, tmp_path / "a.caffemodel", plain, tmp_path / "b.caffemodel")
    folded = caffe.Net(str(plain), caffe.TEST, weights=str(tmp_path / "b.caffemodel"))
    assert set(folded.params) == {"conv1", "fc8"}
    pixels = draw.normal(size=(2, 3, 8, 8)).astype(np.float32)
    for each in (net, folded):
        each.blobs["data"].data[...] = pixels
        each.forward()
    before, after = (each.blobs["fc8"].data.copy() for each in (net, folded))
    assert np.abs(before).max() > 0.1
    assert np.allclose(before, after, atol=1e-5)


def test_changes_of_a_recipe(nets):
    """Each changes what it names, and nothing else; held-out images are never mirrored."""
    path = artefacts.ROOT / "CNN" / "CaffeNet" / "train_val.prototxt"
    sources = {"train": ("i", "l"), "val": ("vi", "vl")}

    def changed(**values):
        solver = caffe_pb2.SolverParameter(base_lr=0.5)
        net = nets.net_of(path, solver, sources)
        nets.Changes(**values).apply(net, solver)
        ratios = [x.dropout_param.dropout_ratio for x in net.layer if x.type == "Dropout"]
        mirror = [x.transform_param.mirror for x in net.layer if x.type == "Data"]
        return len(net.layer), ratios, mirror, solver.base_lr

    many = changed()[0]
    assert changed() == (many, [0.5, 0.5], [True, False, False, False], 0.5)
    assert changed(dropout=0.25) == (many, [0.25, 0.25], [True, False, False, False], 0.5)
    assert changed(dropout=0) == (many - 2, [], [True, False, False, False], 0.5)
    assert changed(mirror=False) == (many, [0.5, 0.5], [False] * 4, 0.5)
    assert changed(rate=0.25) == (many, [0.5, 0.5], [True, False, False, False], 0.25)
    assert str(nets.Changes()) == ""
    assert str(nets.Changes(0.1, 0, False)) == "rate 0.1, without dropout, not mirrored"
    assert str(nets.Changes(dropout=0.2, mirror=True)) == "dropout 0.2, mirrored"


def test_the_loss_of_the_topics_means(runs, tmp_path):
    """Means 1/2 and 1/4; the held-out image has the first topic alone: -ln(1/2) - ln(3/4)."""
    write_labels(tmp_path / "train_labels_lmdb", [[1.0, 0.0], [0.0, 0.5]])
    assert runs.loss_of_means(tmp_path) is None
    write_labels(tmp_path / "val_labels_lmdb", [[1.0, 0.0]])
    assert runs.loss_of_means(tmp_path) == pytest.approx(math.log(2) + math.log(4 / 3))


def test_held_out_losses(runs, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("""net
I1231 23:59:50.000000    7 solver.cpp:347] Iteration 0, Testing net (#0)
I1231 23:59:50.000000    7 solver.cpp:414]     Test net output #0: loss = 8.5 (* 1 = 8.5 loss)
I1231 23:59:55.000000    7 solver.cpp:239] Iteration 0 (0 iter/s, 1s/20 iters), loss = 9
I1231 23:59:55.000000    7 solver.cpp:258]     Train net output #0: loss = 9 (* 1 = 9 loss)
I1231 23:59:58.000000    7 solver.cpp:347] Iteration 20, Testing net (#0)
I1231 23:59:59.000000    7 solver.cpp:414]     Test net output #0: loss = 4 (* 1 = 4 loss)
""")
    assert runs.held_out_losses(log) == {0: 8.5, 20: 4.0}
    assert runs.held_out_losses(tmp_path / "none.log") == {}


def row(labels, seed, iteration, fc7, retrieval=None):
    found = {"labels": labels, "seed": seed, "iteration": iteration, "svm": {"fc7": fc7}}
    return found | ({"retrieval": {"average": retrieval}} if retrieval else {})


def test_summary_and_table(curves):
    rows = [row("topics", 0, 0, 0.25, 0.125), row("shuffled", 0, 0, 0.25, 0.125)]
    assert curves.summary(rows) == {"iteration": 0, "untrained": {"fc7": 0.25, "retrieval": 0.125}}
    rows += [row("topics", 0, 10, 0.5), row("topics", 1, 0, 0.75), row("shuffled", 1, 0, 0.75)]
    rows += [row("topics", 1, 10, 1.0), row("shuffled", 0, 10, 0.25), row("topics", 0, 20, 1.0)]
    assert curves.summary(rows)["iteration"] == 0  # shuffled labels with seed 1 are at 0
    rows += [row("shuffled", 1, 10, 0.5)]
    values = curves.summary(rows)
    assert values["iteration"] == 10
    assert values["topics"] == {"fc7": 0.75}
    assert values["shuffled"] == {"fc7": 0.375}
    assert values["untrained"]["fc7"] == 0.5
    assert curves.table(rows).splitlines()[2:] == [
        "| untrained | 0 | 2 | 50.0 | 12.5 |",
        "| shuffled | 10 | 2 | 37.5 | not run |",
        "| topics | 10 | 2 | 75.0 | not run |",
        "| topics | 20 | 1 | 100.0 | not run |",
    ]


def test_the_untrained_net_counts_once_per_seed(curves):
    rows = [row("shuffled", 0, 0, 0.25)]
    rows += [row("topics", seed, 0, value) for seed, value in ((0, 0.25), (1, 0.5), (2, 0.75))]
    rows += [row("shuffled", 0, 10, 0.125)]
    assert curves.summary(rows)["untrained"] == {"fc7": 0.5}
    assert curves.table(rows).splitlines()[2:] == [
        "| untrained | 0 | 3 | 50.0 |",
        "| shuffled | 10 | 1 | 12.5 |",
    ]


def test_trials_stand_beside_the_seeds_of_the_recipe(curves):
    def record(recipe, *rows):
        return {"recipe": recipe, "rows": [r | {"held_out_loss": 4.125} for r in rows]}

    rows = (row("topics", seed, n, 0.25 + seed / 4) for n in (5, 9) for seed in (0, 1))
    tuned = {"fine_tuned": {"crops_10": 0.5}}  # the trials have none
    reference = record("r", *(r | tuned for r in rows), row("shuffled", 0, 5, 0.125))
    longer = record("r, rate 0.1", row("topics", 0, 5, 0.0), row("topics", 0, 9, 0.625))
    short = record("r, dropout 0.2", row("topics", 0, 0, 0.125), row("topics", 0, 5, 0.5))
    assert curves.trials([longer, short], reference, 0).splitlines() == [
        "| iteration | change of the recipe | held-out loss | fc7 |",
        "| ---: | --- | ---: | ---: |",
        "| 5 | none, seed 0 | 4.12 | 25.0 |",
        "| 5 | none, seed 1 | 4.12 | 50.0 |",
        "| 5 | dropout 0.2 | 4.12 | 50.0 |",
        "| 9 | none, seed 0 | 4.12 | 25.0 |",
        "| 9 | none, seed 1 | 4.12 | 50.0 |",
        "| 9 | rate 0.1 | 4.12 | 62.5 |",
    ]


def test_the_readme_has_the_trials(curves):
    folder = artefacts.ROOT / "experiments"
    found = folder / "results" / "evidence"
    reference = results.load(found / "evidence_small_normalised.json")
    records = [results.load(path) for path in sorted((found / "trials").glob("evidence_*.json"))]
    assert curves.trials(records, reference, 0) in (folder / "README.md").read_text()


def test_the_readme_has_the_tables_of_the_records(curves):
    folder = artefacts.ROOT / "experiments"
    records = sorted((folder / "results" / "evidence").glob("evidence_*.json"))
    assert records
    readme = (folder / "README.md").read_text()
    for path in records:
        assert curves.block(results.load(path)) in readme, path.name


@pytest.fixture(scope="module")
def made(tmp_path_factory, load_script):
    """The sample's data sets, small, with labels, LMDBs and topics: (data, work)."""
    folder = tmp_path_factory.mktemp("evidence")
    data, work = folder / "data", folder / "work"
    for path, *options in (
        ("data/sample/make_sample.py", "--out", data, "--articles", 30, "--pairs", 20,
         "--voc-images", 60),
        ("LDA/generate_train_dict.py", "--data", data, "--work", work, "--workers", 1),
        ("LDA/learn_LDA_model.py", "--data", data, "--work", work, "--workers", 1,
         "--no-below", 2, "--no-above", 1),
        ("LDA/generate_train_labels.py", "--data", data, "--work", work),
        ("CNN/create_lmdb.py", "--data", data, "--work", work, "--net", "CaffeNetSample",
         "--size", 76, "--val-fraction", 0.3, "--workers", 1),
    ):  # fmt: skip
        in_process(load_script, path, *options)
    return data, work


def in_process(load_script, path, *options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(path), *map(str, options)])
        assert not load_script(path).main()


@pytest.fixture
def evidence(script, made, runs, curves, load_script, monkeypatch):
    """evidence(*options): run the script on the sample, its scripts within this process.

    Untrained nets see few batches, and of the plots only that of four rows is drawn.
    """
    data, work = made
    draw = curves.draw
    monkeypatch.setattr(runs, "BATCHES", 3)
    monkeypatch.setattr(
        curves, "draw", lambda record, path: len(record["rows"]) == 4 and draw(record, path)
    )

    def run_script(name, *options):
        workers = ["--workers", 1] if name.startswith("voc") else []
        in_process(load_script, f"experiments/{name}", *options, *workers)

    monkeypatch.setattr(script, "run_script", run_script)

    def evidence(*options):
        common = ["--data", data, "--voc", data, "--work", work, "--net", "CaffeNetSample"]
        in_process(load_script, "experiments/evidence.py", *common, *options)
        return json.loads((work / artefacts.RESULTS / "evidence_tiny.json").read_text())

    return evidence


def test_it_trains_evaluates_and_goes_on(made, evidence, runs, capfd):
    _, work = made
    options = ["--name", "tiny", "--recipe", "normalised", "--snapshot", "2", "--at"]
    first = evidence(*options, "2")
    assert [(r["labels"], r["iteration"]) for r in first["rows"]] == [
        ("topics", 0), ("shuffled", 0), ("topics", 2), ("shuffled", 2)
    ]  # fmt: skip
    start, shuffled_start, topics, _ = first["rows"]
    folders = [work / "evidence" / "tiny" / f"{labels}_seed0" for labels in runs.LABELS]
    for iteration, same in ((0, True), (2, False)):
        paths = [folder / "weights" / f"iter_{iteration}.caffemodel" for folder in folders]
        assert runs.same_weights(*paths) == same
    assert start["svm"] == shuffled_start["svm"]
    assert set(topics["svm"]) == set(artefacts.LAYERS)
    assert 0 < topics["retrieval"]["average"] <= 1
    assert start["moved"] == dict.fromkeys(
        ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"), 0.0
    )
    assert min(topics["moved"].values()) > 0
    assert topics["held_out_loss"] < start["held_out_loss"]
    assert first["values"]["iteration"] == 2
    assert first["values"]["untrained"]["fc7"] == start["svm"]["fc7"]
    picture = work / artefacts.RESULTS / "evidence_tiny.png"
    assert picture.read_bytes().startswith(b"\x89PNG")

    capfd.readouterr()
    more = evidence(*options, "2", "4")
    printed = capfd.readouterr().out
    assert printed.count("up to iteration") == 2  # what is done is not trained again
    assert more["rows"][:4] == first["rows"]
    assert [r["iteration"] for r in more["rows"]] == [0, 0, 2, 2, 4, 4]
    folder = folders[0]
    assert "Resuming from" in (folder / "train.log").read_text()
    assert not list((folder / "scores").glob("*/experiments/features"))

    with pytest.raises(UserError, match="has reached iteration 4, and the weights of iteration 3"):
        evidence(*options, "3")
    for other in (["--rate", "0.5"], ["--dropout", "0"], ["--no-mirror"]):
        with pytest.raises(UserError, match="topics_seed0 was begun with another net, other LMDBs"):
            evidence(*options, "6", *other)


def test_fine_tuning_starts_from_folded_weights(evidence, script, accept, monkeypatch):
    """The scores of the test before stay; the fine-tuning itself is voc_2007_fine_tuning.py's."""
    options = ["--name", "tiny", "--recipe", "normalised", "--snapshot", "2", "--at", "2"]
    evidence(*options)
    ran = []

    def run_script(name, *arguments):
        accept(f"experiments/{name}", arguments)
        ran.append(dict(zip(arguments[::2], arguments[1::2], strict=True)))
        folder = ran[-1]["--work"]
        record = folder / artefacts.voc_fine_tuning_record("trained")
        svm = json.loads((folder / artefacts.voc_record("fc7", "trained")).read_text())
        values = {f"crops_{n}": {"mean": {"area": 0.25 + n / 100}} for n in (1, 10)}
        record.write_text(json.dumps(svm | {"values": values}))

    monkeypatch.setattr(script, "run_script", run_script)
    found = evidence(*options, "--fine-tuning", "solver.prototxt", "--labels", "topics")
    assert [r["fine_tuned"] for r in found["rows"]] == [{"crops_1": 0.26, "crops_10": 0.35}] * 2
    assert found["values"]["topics"]["fine-tuned"] == 0.35
    for used in ran:
        assert used["--weights"].name == "folded.caffemodel"
        plain = caffe.Net(
            str(artefacts.ROOT / "CNN" / "CaffeNetSample" / "deploy.prototxt"),
            caffe.TEST,
            weights=str(used["--weights"]),
        )
        assert np.isfinite(plain.params["conv1"][0].data).all()
    assert evidence(*options, "--fine-tuning", "solver.prototxt")["rows"][0] == found["rows"][0]


def test_without_training_nothing_is_made(evidence):
    with pytest.raises(UserError, match="evidence/none has no weights to evaluate"):
        evidence("--name", "none", "--no-training", "--at", "2")


def test_without_lmdbs_it_says_what_makes_them(script, tmp_path, monkeypatch):
    argv = ["x", "--work", str(tmp_path), "--at", "1", "--voc", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(UserError, match=r"train_images_lmdb does not exist: make it with scripts"):
        script.main()
    monkeypatch.setattr(sys, "argv", [*argv, "--solver", "none.prototxt"])
    with pytest.raises(UserError, match=r"none\.prototxt does not exist: --net names"):
        script.main()
