"""Sets with one class per image: SVMs against scikit-learn, the folds, fine-tuning, the records."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import caffe
from texttopicnet import artefacts, features, image_folder
from texttopicnet.errors import UserError
from texttopicnet.image_sets import Fold, ImageSet


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/image_classification.py")


def test_one_fold_is_the_protocol_in_scikit_learns_calls(script):
    """C by the accuracy on a fifth of the training images, then all of them; argmax of the
    decision values of one SVM per class.
    """
    draw = np.random.default_rng(0)
    labels = draw.permutation(np.repeat(np.arange(3), 30))
    array = draw.normal(size=(90, 12)).astype(np.float32)
    array[np.arange(90), labels] += 1.2
    fold = Fold("01", np.arange(60), np.arange(60, 90))

    def accuracy(train, test, penalty):
        scaler = StandardScaler().fit(array[train].astype(np.float64))
        svm = LinearSVC(C=penalty, dual=True, tol=1e-8, max_iter=100_000, random_state=0)
        svm.fit(scaler.transform(array[train].astype(np.float64)), labels[train])
        found = svm.predict(scaler.transform(array[test].astype(np.float64)))
        return float((found == labels[test]).mean())

    svm_folds = script.svm_folds
    train, val = svm_folds.split(labels, fold.train, 3, seed=0)
    assert (len(train), len(val)) == (48, 12)
    assert sorted([*train, *val]) == [*range(60)]
    on_val = [accuracy(train, val, penalty) for penalty in svm_folds.GRID]
    best = svm_folds.GRID[on_val.index(max(on_val))]
    found = svm_folds.svm_fold(array, labels, fold, 3, seed=0)
    assert found == (accuracy(fold.train, fold.test, best), best)
    assert 1 / 3 < found[0] < 1


def test_the_mean_of_the_folds(script):
    assert script.summary([0.5, 0.7]) == {"mean": pytest.approx(0.6), "std": pytest.approx(0.1)} | {
        "folds": [0.5, 0.7]
    }


def test_a_run_that_was_stopped_resumes_with_the_next_fold(script, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    labels = np.tile([0, 1], 20)
    found = features.Features(
        [f"{i}" for i in range(40)], draw.normal(size=(40, 3)).astype(np.float32), "fc7", "0" * 64
    )
    folds = [
        Fold("a", np.arange(20), np.arange(20, 40)),
        Fold("b", np.arange(20, 40), np.arange(20)),
    ]
    path, fitted = tmp_path / "set_fc7_trained.npz", []
    whole = script.svm_folds.svm_fold

    def stopped(array, labels, fold, *more):
        fitted.append(fold.name)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return whole(array, labels, fold, *more)

    monkeypatch.setattr(script.svm_folds, "svm_fold", stopped)
    with pytest.raises(KeyboardInterrupt):
        script.svm_folds.score(found, labels, folds, 2, 0, path)
    scored = script.svm_folds.score(found, labels, folds, 2, 0, path)
    assert fitted == ["a", "b", "b"]
    assert [tuple(row) for row in scored] == [whole(found.array, labels, f, 2, 0) for f in folds]
    assert list(tmp_path.iterdir()) == []
    path.with_suffix(".folds.json").write_text("damaged")
    assert script.svm_folds.read_kept(path.with_suffix(".folds.json")) == {}


def test_a_class_with_one_training_image_is_named(script):
    paths = [Path(name) for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")]
    folds = [Fold("01", np.arange(4), np.arange(0)), Fold("02", np.arange(3), np.array([3]))]
    labels = np.array([0, 0, 1, 1])
    image_set = ImageSet("ab", ["a", "b"], paths, labels, folds, [], False)
    script.svm_folds.check(image_set, folds[:1])
    with pytest.raises(
        UserError, match=r"b/3\.jpg is the only training image of class 'b' in split"
    ):
        script.svm_folds.check(image_set, folds)


@pytest.fixture
def work(tmp_path):
    """A folder of red and blue images, and a net of the sample's shape with random weights."""
    draw = np.random.default_rng(0)
    for channel, name in ((0, "blue"), (2, "red")):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(10):
            image = draw.integers(0, 90, (80, 90, 3), dtype=np.uint8)
            image[..., channel] += np.uint8(150)
            cv2.imwrite(str(tmp_path / "colours" / name / f"{i}.jpg"), image)
    net = tmp_path / "CNN" / "CaffeNetSample"
    net.mkdir(parents=True)
    caffe.set_random_seed(0)
    text = (artefacts.ROOT / "CNN/CaffeNetSample/deploy.prototxt").read_text()
    for kind in ("_product_param {", "tion_param {"):
        text = text.replace(kind, f'{kind} weight_filler {{ type: "xavier" }}')
    (tmp_path / "filled.prototxt").write_text(text)
    made = caffe.Net(str(tmp_path / "filled.prototxt"), caffe.TEST)
    made.save(str(net / "trained.caffemodel"))
    return tmp_path


def run(script, monkeypatch, work, *arguments):
    options = ["--data", "folder", work / "colours", "--work", work, "--net", "CaffeNetSample"]
    options += ["--name", "trained", "--splits", "2", *arguments]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
    assert script.main() == 0


def record(work, method):
    path = work / artefacts.classification_record("colours", method, "trained")
    return json.loads(path.read_text())


def test_svms_of_all_layers_from_one_pass(script, monkeypatch, work, capfd):
    run(script, monkeypatch, work, "--note", "a note")
    printed = capfd.readouterr().out
    assert printed.count("features: max5, pool5, fc6, fc7 of ") == 1
    for layer in artefacts.LAYERS:
        found = record(work, layer)
        assert found["values"]["accuracy"]["mean"] == 1.0
        assert len(found["values"]["accuracy"]["folds"]) == 2
        assert found["values"]["chance"] == 0.5
        assert found["split"] == {"classes": 2, "folds": 2, "train": 10, "test": 10}
        assert (found["experiment"], found["method"], found["note"], found["corpus"]) == (
            *("image_classification", layer, "a note", "colours"),
        )
        assert not found["paper_set"]
    path = work / artefacts.set_features("colours", "fc6", "trained")
    made = path.stat().st_mtime_ns
    run(script, monkeypatch, work)
    assert capfd.readouterr().out.count("exists already: --force replaces it") == 4
    (work / artefacts.classification_record("colours", "fc6", "trained")).unlink()
    run(script, monkeypatch, work, "--folds", "1")
    assert path.stat().st_mtime_ns == made
    assert record(work, "fc6")["split"]["folds"] == 1


def test_features_of_other_weights_are_computed_again(script, monkeypatch, work, capfd):
    ids = image_folder.read(work / "colours", 2, 0).ids
    for layer in artefacts.LAYERS:
        path = work / artefacts.set_features("colours", layer, "trained")
        old = features.Features(ids, np.zeros((20, 3), np.float32), layer, "0" * 64)
        features.save(path, old)
    path.write_bytes(path.read_bytes()[:100])  # damaged
    run(script, monkeypatch, work)
    printed = capfd.readouterr()
    assert "features: max5, pool5, fc6, fc7 of " in printed.out
    assert f"{path} is not a features file" in printed.err
    digest = artefacts.sha256(work / "CNN/CaffeNetSample/trained.caffemodel")
    assert features.load(path).weights_sha256 == digest


def test_a_damaged_image_is_one_sentence(script, monkeypatch, work, capfd):
    (work / "colours" / "red" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        run(script, monkeypatch, work)
    assert ended.value.code == 1
    said = [row for row in capfd.readouterr().err.splitlines() if row.startswith("error")]
    assert len(said) == 1
    assert "red/3.jpg is not an image" in said[0]


def test_fine_tuning_on_a_fold(script, monkeypatch, work):
    run(script, monkeypatch, work, "--method", "fine-tuning", "--folds", "1")
    values = record(work, "fine-tuned")["values"]
    for key in ("accuracy", "accuracy_1_crop"):
        assert values[key]["mean"] == 1.0
    folder = work / "CNN" / "finetune_classes_sample_colours_1of2_seed0"
    assert (folder / "trained.caffemodel").is_file()
    net = caffe.Net(
        str(folder / "deploy.prototxt"), caffe.TEST, weights=str(folder / "trained.caffemodel")
    )
    assert net.params["fc8_classes"][0].data.shape == (2, 256)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "cifar", "d"], "--data cifar .*: the kind must be stl10, sun397, folder"),
        (["--data", "stl10", "none"], "none does not exist: data/STL10/README.md"),
        (["--data", "folder", "none", "--weights", "w"], "--weights needs a --name"),
        ([], "--data"),
    ],
)
def test_wrong_arguments_are_one_sentence(script, monkeypatch, tmp_path, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["x", "--work", str(tmp_path), *arguments])
    with pytest.raises(UserError, match=sentence):
        script.main()


def test_without_weights_the_stage_that_makes_them_is_named(script, monkeypatch, work):
    (work / "CNN/CaffeNetSample/trained.caffemodel").unlink()
    with pytest.raises(UserError, match=r"trained.caffemodel does not exist: make it with"):
        run(script, monkeypatch, work)
