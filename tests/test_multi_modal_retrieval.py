"""Retrieval from lists, texts and features to the record; its parts are tested in
test_retrieval.py.
"""

import json
import sys

import numpy as np
import pytest
import topic_models
from gensim.corpora import Dictionary

from texttopicnet import features, text
from texttopicnet.errors import UserError
from texttopicnet.topics import TopicModel

TOPICS = 3
WORDS = {
    "music": ["piano", "violin", "melody", "orchestra"],
    "sport": ["football", "stadium", "goal", "referee"],
    "war": ["cannon", "soldier", "battle", "trench"],
}


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/multi_modal_retrieval.py")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Twelve articles of three subjects, a model learnt from them, and images whose features are
    its topic vectors.
    """
    folder = tmp_path_factory.mktemp("retrieval")
    (folder / "Wikipedia" / "texts").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, articles = [], []
    for c, (name, words) in enumerate(WORDS.items(), start=1):
        for i in range(4):
            path = folder / "Wikipedia" / "texts" / f"{name}-{i}.1.xml"
            path.write_text(f"<document><text>{' '.join(rng.choice(words, 60))}</text></document>")
            articles.append(text.tokenize(text.read_article(path)))
            rows.append((f"{name}-{i}.1", f"{9 - i}{name}", c))
    (folder / "Wikipedia" / "categories.list").write_text("".join(f"{name}\n" for name in WORDS))
    (folder / "Wikipedia" / "testset_txt_img_cat.list").write_text(
        "".join(f"{t}\t{i}\t{c}\n" for t, i, c in rows)
    )
    dictionary = Dictionary(articles)
    model = TopicModel.learn(
        dictionary, [dictionary.doc2bow(a) for a in articles], TOPICS, passes=30, workers=1, seed=1
    )
    topic_models.save(model, folder)
    ids = [f"{list(WORDS)[c - 1]}/{image}" for _, image, c in rows]
    array = model.topic_vectors(articles) + np.float32(0.01)
    order = rng.permutation(len(ids))
    prob = features.Features([ids[i] for i in order], array[order], "prob", "0" * 64)
    features.save(folder / "experiments" / "features" / "wikipedia_prob.npz", prob)
    return folder


def run(script, monkeypatch, folder, *arguments):
    command = [
        "x",
        "--data",
        str(folder),
        "--work",
        str(folder),
        "--topics",
        str(TOPICS),
        "--force",
        *arguments,
    ]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    return json.loads((folder / "experiments" / "results" / "retrieval.json").read_text())


def test_right_images_are_found(script, monkeypatch, prepared, capsys):
    record = run(script, monkeypatch, prepared)
    values = record["values"]
    assert values["image_query"] == pytest.approx(1.0)
    assert values["text_query"] == pytest.approx(1.0)
    # 4 of 12 relevant: (H + 3/11 (12 - H)) / 12 with H = 3.10321
    assert values["chance"] == pytest.approx((3.1032107 + 3 / 11 * (12 - 3.1032107)) / 12, abs=1e-6)
    assert record["split"] == {"pairs": 12, "categories": {"music": 4, "sport": 4, "war": 4}}
    assert not record["paper_set"]
    assert str(prepared) not in json.dumps(record)
    assert [e["text"] for e in record["examples"]] == ["music-0.1", "sport-0.1", "war-0.1"]
    assert {i["category"] for i in record["examples"][1]["images"][:4]} == {"sport"}
    printed = capsys.readouterr().out.splitlines()
    assert "12 pairs in 3 categories" in printed[0]
    assert printed[-1].endswith("retrieval.json")


def test_wrong_features_are_worse_than_chance(script, monkeypatch, prepared, tmp_path):
    found = features.load(prepared / "experiments" / "features" / "wikipedia_prob.npz")
    path = tmp_path / "wrong.npz"
    features.save(
        path, features.Features(found.ids, (1.1 - found.array).astype(np.float32), "prob", "0" * 64)
    )
    values = run(script, monkeypatch, prepared, "--features", str(path))["values"]
    assert max(values["image_query"], values["text_query"]) < values["chance"]


def test_collapsed_net_is_warned_of(script, monkeypatch, prepared, tmp_path, capsys):
    found = features.load(prepared / "experiments" / "features" / "wikipedia_prob.npz")
    same = np.full_like(found.array, 0.3)
    features.save(tmp_path / "same.npz", features.Features(found.ids, same, "prob", "0" * 64))
    run(script, monkeypatch, prepared, "--features", str(tmp_path / "same.npz"))
    assert "collapsed" in capsys.readouterr().err


def test_features_of_other_width_are_refused(script, monkeypatch, prepared):
    with pytest.raises(UserError, match="3 numbers per image, not 5"):
        run(script, monkeypatch, prepared, "--topics", "5")


def test_image_without_features_is_named(script, monkeypatch, prepared, tmp_path):
    found = features.load(prepared / "experiments" / "features" / "wikipedia_prob.npz")
    keep = [i for i, image in enumerate(found.ids) if image != "sport/8sport"]
    less = features.Features([found.ids[i] for i in keep], found.array[keep], "prob", "0" * 64)
    features.save(tmp_path / "less.npz", less)
    with pytest.raises(UserError, match="1 of 12 images has no features: sport/8sport"):
        run(script, monkeypatch, prepared, "--features", str(tmp_path / "less.npz"))
