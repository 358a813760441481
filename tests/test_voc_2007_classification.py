"""The VOC SVM script from features file to record, on features that a person can judge."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from texttopicnet import artefacts, features
from texttopicnet.errors import UserError

SHA = "0" * 64


@pytest.fixture(scope="module")
def script():
    """The script, not put into sys.modules: joblib's processes get its functions by value."""
    spec = importlib.util.spec_from_file_location(
        "script", artefacts.ROOT / "experiments/voc_2007_classification.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def voc(tmp_path):
    """60 images, two classes: `easy` can be read from dimension 0, `noise` from nothing; two
    difficult images.
    """
    rng = np.random.default_rng(0)
    ids = [f"{i:06d}" for i in range(60)]
    labels = {"easy": np.tile([1, -1, -1], 20), "noise": rng.permutation(np.repeat([1, -1], 30))}
    labels["easy"][[25, 50]] = 0  # one in val, one in test
    array = rng.normal(size=(60, 8)).astype(np.float32)
    array[:, 0] = 5 * (labels["easy"] > 0) + rng.normal(size=60) * 0.1
    main = tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    splits = {
        "train": range(20),
        "val": range(20, 40),
        "trainval": range(40),
        "test": range(40, 60),
    }
    for split, rows in splits.items():
        (main / f"{split}.txt").write_text("".join(f"{ids[i]}\n" for i in rows))
        for name, y in labels.items():
            (main / f"{name}_{split}.txt").write_text(
                "".join(f"{ids[i]} {y[i]:2d}\n" for i in rows)
            )
    order = rng.permutation(60)  # the features file need not be in the splits' order
    found = features.Features([ids[i] for i in order], array[order], "fc7", SHA)
    features.save(tmp_path / "experiments" / "features" / "voc2007_fc7_trained.npz", found)
    return tmp_path, array, labels


def run(script, monkeypatch, folder, *arguments):
    command = [
        "x",
        "fc7",
        "--voc",
        str(folder),
        "--work",
        str(folder),
        "--workers",
        "1",
        *arguments,
    ]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    found = (folder / "experiments" / "results").glob("*.json")
    return {f.name: json.loads(f.read_text()) for f in found}


def test_record(script, monkeypatch, voc, capsys):
    folder, _, _ = voc
    record = run(script, monkeypatch, folder)["voc2007_svm_fc7_trained.json"]
    easy, noise = record["values"]["classes"]["easy"], record["values"]["classes"]["noise"]
    assert easy["area"] == pytest.approx(1.0)
    assert easy["voc_11_point"] == pytest.approx(1.0)
    assert noise["area"] < 0.9
    assert record["values"]["mean"]["area"] == pytest.approx((easy["area"] + noise["area"]) / 2)
    # of 20 test images the difficult one is left out; images 42, 45, 48, 51, 54 and 57 show the
    # class
    assert record["split"]["easy"]["test"] == {"images": 19, "positives": 6}
    assert easy["chance"] == pytest.approx(6 / 19)
    assert record["split"]["easy"]["trainval"]["images"] == 39
    assert record["split"]["noise"]["test"]["images"] == 20
    assert (record["layer"], record["name"], record["difficult"]) == ("fc7", "trained", "leave-out")
    assert record["weights_sha256"] == SHA
    assert not record["paper_set"]
    assert str(folder) not in json.dumps(record)
    printed = capsys.readouterr().out.splitlines()
    assert "fc7 (8 numbers per image), 2 classes" in printed[0]
    assert printed[-1].endswith("voc2007_svm_fc7_trained.json")


def test_difficult_positive_changes_the_splits_and_the_name(script, monkeypatch, voc):
    folder, _, _ = voc
    record = run(script, monkeypatch, folder, "--difficult", "positive")[
        "voc2007_svm_fc7_trained_difficult-positive.json"
    ]
    assert record["split"]["easy"]["test"] == {"images": 20, "positives": 7}
    assert record["split"]["easy"]["trainval"]["positives"] == 14 + 1
    assert (
        record["values"]["classes"]["easy"]["area"] < 1.0
    )  # the difficult one looks like a negative


def test_penalty_is_chosen_on_val_and_both_steps_fitted_again_on_trainval(script, monkeypatch, voc):
    """The protocol written out a second time, in scikit-learn's calls."""
    folder, array, labels = voc
    row = run(script, monkeypatch, folder)["voc2007_svm_fc7_trained.json"]["values"]["classes"]
    y = labels["noise"]
    train, val, trainval, test = np.arange(20), np.arange(20, 40), np.arange(40), np.arange(40, 60)

    def scores(rows, on, penalty):
        scaler = StandardScaler().fit(array[rows])
        svm = LinearSVC(C=penalty, dual=True, tol=1e-10, max_iter=100_000, random_state=0)
        return svm.fit(scaler.transform(array[rows]), y[rows]).decision_function(
            scaler.transform(array[on])
        )

    grid = [0.5**n for n in (13, 14, 15, 16, 17, 18)]
    areas = [average_precision_score(y[val] > 0, scores(train, val, penalty)) for penalty in grid]
    best = grid[areas.index(max(areas))]
    expected = scores(trainval, test, best)
    row = row["noise"]
    assert row["C"] == best
    assert row["val_area"] == pytest.approx(max(areas))
    assert row["area"] == pytest.approx(average_precision_score(y[test] > 0, expected))
    assert row["converged"]
    found = devkit_results(folder, "noise")
    assert list(found) == [f"{i:06d}" for i in test]
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-6, rtol=0)


def devkit_results(folder, name, difficult=""):
    """{id: score} of a class's file for the VOC devkit."""
    main = folder / f"experiments/results/voc2007_svm_fc7_trained{difficult}/VOC2007/Main"
    rows = (main / f"comp1_cls_test_{name}.txt").read_text().splitlines()
    return {image: float(score) for image, score in map(str.split, rows)}


def test_the_devkits_files_hold_all_test_images_and_give_the_records_ap(script, monkeypatch, voc):
    """VOCevalcls leaves difficult images out; without them, its 11-point AP is the record's."""
    folder, _, labels = voc
    record = run(script, monkeypatch, folder)["voc2007_svm_fc7_trained.json"]
    for name in ("easy", "noise"):
        found = devkit_results(folder, name)
        assert list(found) == [f"{i:06d}" for i in range(40, 60)]
        truth = labels[name][40:60]
        order = [i for i in np.argsort([-s for s in found.values()]) if truth[i] != 0]
        hits = np.cumsum(truth[order] > 0)
        recall, precision = hits / hits[-1], hits / np.arange(1, len(order) + 1)
        points = [precision[recall >= t - 1e-12].max() for t in np.linspace(0, 1, 11)]
        ap = record["values"]["classes"][name]["voc_11_point"]
        assert np.mean(points) == pytest.approx(ap, abs=1e-12)


def test_same_seed_same_numbers_with_two_workers(script, monkeypatch, voc):
    folder, _, _ = voc
    one = run(script, monkeypatch, folder)["voc2007_svm_fc7_trained.json"]
    two = run(script, monkeypatch, folder, "--force", "--workers", "2")[
        "voc2007_svm_fc7_trained.json"
    ]
    assert one["values"] == two["values"]


def test_existing_result_is_kept(script, monkeypatch, voc):
    folder, _, _ = voc
    run(script, monkeypatch, folder)
    with pytest.raises(UserError, match="--force"):
        run(script, monkeypatch, folder)


def test_missing_image_is_named(script, monkeypatch, voc):
    folder, _array, _ = voc
    path = folder / "experiments" / "features" / "voc2007_fc7_trained.npz"
    found = features.load(path)
    keep = [i for i, image in enumerate(found.ids) if image != "000007"]
    less = features.Features([found.ids[i] for i in keep], found.array[keep], "fc7", SHA)
    features.save(path, less)
    with pytest.raises(UserError, match="1 of 20 images has no features: 000007"):
        run(script, monkeypatch, folder)


def test_features_of_another_layer_are_refused(script, monkeypatch, voc):
    folder, _, _ = voc
    source = folder / "experiments" / "features" / "voc2007_fc7_trained.npz"
    features.save(source, features.Features(["a"], np.zeros((1, 2), np.float32), "pool5", SHA))
    with pytest.raises(UserError, match="holds blob pool5, not fc7"):
        run(script, monkeypatch, folder)


def test_without_features_the_command_that_makes_them_is_named(script, monkeypatch, voc):
    folder, _, _ = voc
    with pytest.raises(UserError, match=r"extract_features.py"):
        run(script, monkeypatch, folder, "--name", "untrained")


def test_without_a_layer_all_layers_of_both_nets_are_scored(script, monkeypatch, voc, capsys):
    folder, array, _ = voc
    for name in artefacts.NETS:
        for layer in artefacts.LAYERS:
            found = features.Features([f"{i:06d}" for i in range(60)], array, layer, SHA)
            features.save(folder / artefacts.voc_features(layer, name), found)

    def run_all(*arguments):
        options = ["--voc", folder, "--work", folder, "--workers", "1", *arguments]
        monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
        assert script.main() == 0
        return capsys.readouterr().out.count(" -> ")

    assert run_all("--note", "trained on x") == 8
    for name, note in zip(artefacts.NETS, ("trained on x", script.UNTRAINED_NOTE), strict=True):
        for layer in artefacts.LAYERS:
            record = json.loads((folder / artefacts.voc_record(layer, name)).read_text())
            assert (record["layer"], record["name"], record["note"]) == (layer, name, note)
    assert run_all() == 0
    (folder / artefacts.voc_record("fc6", "trained")).unlink()
    assert run_all() == 1
    assert run_all("--difficult", "positive") == 8  # they have files of their own
    assert run_all("--force") == 8
    assert run_all("--force", "--name", "untrained") == 4


def test_a_features_file_needs_its_layer(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--features", "f.npz"])
    with pytest.raises(UserError, match="--features needs a LAYER"):
        script.main()
