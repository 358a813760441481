"""The baselines of retrieval: on features whose right answer is known, and on the set's own."""

import json
import sys

import numpy as np
import pytest
import scipy.io
from tqdm import tqdm

from texttopicnet import artefacts, retrieval
from texttopicnet.errors import UserError

CLASSES = 3


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/retrieval_baselines.py")


def pairs(rng, count, noise):
    """Images of 12 and texts of 5 numbers, both linear in the class and a shared number."""
    labels = np.arange(count) % CLASSES
    common = np.eye(CLASSES)[labels]
    image_map, text_map = (np.random.default_rng(s).normal(size=(CLASSES, d)) for s, d in MAPS)
    images = common @ image_map + noise * rng.normal(size=(count, 12))
    texts = common @ text_map + noise * rng.normal(size=(count, 5))
    return (images, texts), labels


MAPS = ((1, 12), (2, 5))


def write_set(folder, noise=0.05, counts=(60, 30)):
    folder.mkdir(parents=True)
    (folder / "categories.list").write_text("".join(f"c{i}\n" for i in range(CLASSES)))
    rng, arrays = np.random.default_rng(0), {}
    for split, name, count in zip(
        ("tr", "te"), (retrieval.TRAIN_LIST, retrieval.TEST_LIST), counts, strict=True
    ):
        (images, texts), labels = pairs(rng, count, noise)
        rows = [f"{split}t{i}\t{split}i{i}\t{c + 1}\n" for i, c in enumerate(labels)]
        (folder / name).write_text("".join(rows))
        arrays |= {f"I_{split}": images, f"T_{split}": texts}
    scipy.io.savemat(folder / "raw_features.mat", arrays)
    return arrays


def run(script, monkeypatch, tmp_path):
    arguments = ["--data", str(tmp_path), "--work", str(tmp_path / "w"), "--force"]
    monkeypatch.setattr(sys, "argv", ["x", *arguments])
    script.main()
    return json.loads((tmp_path / "w" / artefacts.BASELINES_RECORD).read_text())


def test_clear_classes_are_found_by_all_methods(script, monkeypatch, tmp_path):
    write_set(tmp_path / "Wikipedia")
    record = run(script, monkeypatch, tmp_path)
    methods = record["values"]["methods"]
    assert list(methods) == ["CCA", "PLS", "SM", "SCM"]
    for method in ("CCA", "SM", "SCM"):
        assert methods[method]["average"] == pytest.approx(1, abs=1e-6), method
    assert methods["PLS"]["average"] > 0.9
    assert record["values"]["chance"] < 0.45
    assert record["split"] == {"training_pairs": 60, "pairs": 30}
    assert record["dims"] == {"image": 12, "text": 5}
    assert not record["paper_set"]


def test_noise_gives_chance(script, monkeypatch, tmp_path):
    write_set(tmp_path / "Wikipedia", noise=1000)
    values = run(script, monkeypatch, tmp_path)["values"]
    for row in values["methods"].values():
        assert row["average"] == pytest.approx(values["chance"], abs=0.06)


def test_cca_finds_what_the_sides_share(script):
    """One number is common to both sides; the projections onto it correlate, and the loud numbers
    of each side alone do not disturb it.
    """
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(200, 1))
    images, texts = (
        np.hstack([20 * rng.normal(size=(200, 2)), shared + 0.01 * rng.normal(size=(200, 1))])
        for _ in range(2)
    )
    (train, test) = script.project("CCA", 1, (images, texts), (images[:50], texts[:50]))
    assert abs(np.corrcoef(train[0][:, 0], train[1][:, 0])[0, 1]) > 0.999
    assert abs(np.corrcoef(test[0][:, 0], shared[:50, 0])[0, 1]) > 0.999


def test_semantic_matching_gives_probabilities(script):
    train, labels = pairs(np.random.default_rng(4), 60, 0.05)
    images, texts = script.semantic(train, labels, train, 10.0)
    for found in (images, texts):
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found.argmax(axis=1) == labels).all()


def test_the_setting_is_chosen_without_the_test_pairs(script):
    """The choice sees the training pairs alone, and the same seed makes the same choice."""
    train, labels = pairs(np.random.default_rng(5), 60, 0.5)
    chosen = [script.choose("SM", train, labels, 0, tqdm(disable=True)) for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert chosen[0]["C"] in (0.001, 0.01, 0.1, 1.0)
    assert chosen[0]["score"] in ("KL", "correlation")


def test_features_that_do_not_fit_the_list_are_one_sentence(script, monkeypatch, tmp_path):
    arrays = write_set(tmp_path / "Wikipedia")
    mat = tmp_path / "Wikipedia" / "raw_features.mat"
    scipy.io.savemat(mat, arrays | {"T_te": arrays["T_te"][:-1]})
    with pytest.raises(UserError, match=r"T_te \(29, 5\) is not one row .* the list's 30 pairs"):
        run(script, monkeypatch, tmp_path)
    scipy.io.savemat(mat, arrays | {"I_te": arrays["I_te"] * 1j})
    with pytest.raises(UserError, match=r"I_te \(30, \d+\) is not one row of finite numbers"):
        run(script, monkeypatch, tmp_path)
    scipy.io.savemat(mat, arrays | {"I_tr": arrays["I_tr"] * 0})
    with pytest.raises(UserError, match=r"raw_features.mat: I_tr has the same numbers for all"):
        run(script, monkeypatch, tmp_path)
    mat.write_bytes(b"no MATLAB file")
    with pytest.raises(UserError, match=r"raw_features.mat does not hold the arrays I_tr and T_tr"):
        run(script, monkeypatch, tmp_path)
    mat.unlink()
    with pytest.raises(UserError, match=r"raw_features.mat does not exist: data/Wikipedia/README"):
        run(script, monkeypatch, tmp_path)


def test_too_few_pairs_of_a_category_are_named(script, monkeypatch, tmp_path):
    write_set(tmp_path / "Wikipedia", counts=(13, 9))
    with pytest.raises(UserError, match="c1 has 4 pairs, and cross-validation needs 5"):
        run(script, monkeypatch, tmp_path)


SET = artefacts.ROOT.parent / "shared" / "data" / "wikipedia_texts"


@pytest.mark.skipif(not SET.exists(), reason="needs ../shared/data/wikipedia_texts")
def test_semantic_matching_on_the_sets_features(script):
    """About .27 and .22 with 128 SIFT words, far above chance (.12): the settings that
    cross-validation chose are fixed here, which saves a minute.
    """
    folder = SET
    _, _, labels, _ = retrieval.read_pairs(folder)
    _, _, train_labels, _ = retrieval.read_pairs(folder, retrieval.TRAIN_LIST)
    train = script.load_features(folder, "tr", 2173)
    test = script.load_features(folder, "te", 693)
    sides = script.vectors("SM", {"C": 0.1}, train, train_labels, test)
    found = script.mean_ap(sides, labels, script.correlation)
    assert found["image_query"] == pytest.approx(0.2749, abs=0.002)
    assert found["text_query"] == pytest.approx(0.2184, abs=0.002)


def test_the_readme_has_the_numbers_of_the_record():
    folder = artefacts.ROOT / "experiments"
    record = json.loads((folder / "results" / "wikipedia" / "retrieval_baselines.json").read_text())
    readme = (folder / "README.md").read_text("utf-8")
    assert record["paper_set"]
    assert record["split"] == {"training_pairs": 2173, "pairs": 693}
    for method, row in record["values"]["methods"].items():
        cells = [f"{100 * row[n]:.2f}" for n in (*retrieval.DIRECTIONS, "average")]
        chosen = row["chosen"]
        words = [f"{chosen['components']} components"] if "components" in chosen else []
        words += [f"C {chosen['C']:g}"] if "C" in chosen else []
        cells.append(", ".join([*words, chosen["score"]]))
        assert f"| {method} | {' | '.join(cells)} |" in readme
    assert f"chance {100 * record['values']['chance']:.2f}; {record['seconds']:.0f} s" in readme
