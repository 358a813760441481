"""Retrieval from lists, texts and features to the record; its parts are tested in
test_retrieval.py.
"""

import json
import re
import sys

import numpy as np
import pytest
import recorded
import topic_models
from gensim.corpora import Dictionary

from texttopicnet import features, retrieval, text
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
    assert list(record["examples"]) == ["image_query", "text_query"]
    for queries in record["examples"].values():
        places = ["best", "upper quartile", "median", "lower quartile", "worst"]
        assert [query["place"] for query in queries] == places
        for query in queries:
            assert query["ap"] == pytest.approx(1.0)
            assert {row["category"] for row in query["found"][:4]} == {query["category"]}
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


def evaluate(script, monkeypatch, path):
    monkeypatch.setattr(sys, "argv", ["x", "--topics", str(path)])
    script.main()


def test_ready_vectors_give_the_originals_aps_as_json(script, monkeypatch, capsys):
    evaluate(script, monkeypatch, recorded.retrieval())
    found = json.loads(capsys.readouterr().out)
    recording = np.load(recorded.retrieval())
    for direction in ("image_query", "text_query"):
        assert found[f"{direction}_order"] == recording[f"{direction}_order"].tolist()
        np.testing.assert_allclose(
            found[f"ap_{direction}"], recording[f"ap_{direction}"], rtol=0, atol=1e-6
        )
        assert found[f"map_{direction}"] == pytest.approx(
            float(recording[f"map_{direction}"]), abs=1e-6
        )
    means = [found["map_image_query"], found["map_text_query"]]
    assert found["map_average"] == pytest.approx(sum(means) / 2)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("text", lambda a: a[:-1], "are not vectors of the same pairs"),
        ("image", lambda a: a * np.nan, "image must hold finite numbers, and its row 0 does not"),
        ("image", lambda a: np.full(a.shape, 1e308), "image must hold finite numbers, and its row"),
        ("text", lambda a: a.astype(str), "text must hold finite numbers, not <U"),
        ("text_ids", lambda a: a.astype(object), "has an array of Python objects"),
        ("text", lambda a: a - 1, "text holds a negative number"),
        ("category", lambda a: a[:-1], "category (239,) does not have an entry for each of 240"),
        ("category", lambda a: a * np.nan, "category must hold finite numbers or names"),
        ("category", lambda a: a.astype("M8[s]"), "category must hold finite numbers or names"),
        ("text_ids", lambda a: np.repeat(a[:1], 240), "text_ids must be names, each of them once"),
    ],
)
def test_ready_vectors_that_do_not_fit_are_one_sentence(
    script, monkeypatch, tmp_path, name, change, sentence
):
    arrays = dict(np.load(recorded.retrieval()))
    np.savez(tmp_path / "v.npz", **arrays | {name: change(arrays[name])})
    with pytest.raises(UserError, match=re.escape(sentence)):
        evaluate(script, monkeypatch, tmp_path / "v.npz")


def test_ids_of_bytes_and_categories_of_names(script, monkeypatch, tmp_path, capsys):
    """As files have them that other programs wrote; the recording's means are the right values."""
    arrays = dict(np.load(recorded.retrieval()))
    arrays["text_ids"] = arrays["text_ids"].astype("S")
    arrays["category"] = np.array([f"category {number}" for number in arrays["category"]])
    np.savez(tmp_path / "v.npz", **arrays)
    evaluate(script, monkeypatch, tmp_path / "v.npz")
    found = json.loads(capsys.readouterr().out)
    assert found["text_query_order"] == arrays["text_query_order"].tolist()
    assert found["map_text_query"] == pytest.approx(float(arrays["map_text_query"]), abs=1e-6)


def test_a_file_without_the_arrays_is_one_sentence(script, monkeypatch, tmp_path):
    np.savez(tmp_path / "v.npz", text=np.ones((2, 2)))
    with pytest.raises(UserError, match=r"v.npz does not hold the arrays text, image, category"):
        evaluate(script, monkeypatch, tmp_path / "v.npz")
    (tmp_path / "v.npz").write_text("no zip")
    with pytest.raises(UserError, match=r"v.npz does not hold the arrays"):
        evaluate(script, monkeypatch, tmp_path / "v.npz")
    with pytest.raises(UserError, match=r"w.npz does not exist"):
        evaluate(script, monkeypatch, tmp_path / "w.npz")
    with pytest.raises(UserError, match=r"must be a whole number, or ready vectors in a file that"):
        evaluate(script, monkeypatch, tmp_path / "v.mat")


@pytest.fixture
def with_training_list(prepared):
    """The same articles also as the training list."""
    folder = prepared / "Wikipedia"
    rows = (folder / "testset_txt_img_cat.list").read_text()
    (folder / "trainset_txt_img_cat.list").write_text(rows)
    yield prepared
    (folder / "trainset_txt_img_cat.list").unlink()


OWN = ("--lda", "own", "--no-below", "1", "--no-above", "1", "--passes", "30", "--seed", "1")


def own_record(script, monkeypatch, folder, *arguments):
    run(script, monkeypatch, folder)
    before = (folder / "experiments" / "results" / "retrieval.json").read_bytes()
    run(script, monkeypatch, folder, *OWN, *arguments)
    assert (folder / "experiments" / "results" / "retrieval.json").read_bytes() == before
    return json.loads((folder / "experiments" / "results" / "retrieval_own.json").read_text())


def test_the_nets_topics_are_translated_to_those_of_the_set(
    script, monkeypatch, with_training_list
):
    record = own_record(script, monkeypatch, with_training_list)
    assert (record["lda"], record["net_lda"]) == ("own", "corpus")
    assert record["values"]["average"] == pytest.approx(1.0)
    assert record["inputs"]["training_texts"]["path"].endswith("(12 files)")
    assert "lda_model" in record["inputs"]


def test_a_net_that_has_learnt_the_sets_topics_is_not_translated(
    script, monkeypatch, with_training_list
):
    """The features are the corpus model's topics, whose numbering is not the set's."""
    record = own_record(script, monkeypatch, with_training_list, "--net-lda", "own")
    assert record["net_lda"] == "own"
    assert "lda_model" not in record["inputs"]


def test_own_topics_need_the_training_list(script, monkeypatch, prepared):
    with pytest.raises(UserError, match=r"trainset_txt_img_cat.list does not exist: --lda own"):
        run(script, monkeypatch, prepared, "--lda", "own")


def test_translation_by_hand(load_script):
    own_topics = load_script("experiments/own_topics.py")
    source = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]])
    target = np.array([[1, 0], [0, 1], [0, 1]])
    # topic 0: text 0 with weight 1, text 1 with weight 0.5; no text has topic 2
    expected = [[1 / 1.5, 0.5 / 1.5], [0, 1], [0.5, 0.5]]
    np.testing.assert_allclose(own_topics.translation(source, target), expected)


@pytest.fixture(scope="module")
def shown(load_script):
    return load_script("experiments/retrieval_examples.py")


def test_examples_are_the_queries_at_fixed_places(shown):
    """Of nine queries sorted by AP: numbers 0, 2, 4, 6 and 8; equal APs stay in their order."""
    aps = np.array([0.5, 0.9, 0.1, 0.8, 0.7, 0.3, 0.9, 0.4, 0.2])
    direction = retrieval.Direction(np.arange(9) + 10, aps)
    assert shown.chosen(direction) == {
        "best": (11, 0.9),
        "upper quartile": (13, 0.8),
        "median": (10, 0.5),
        "lower quartile": (15, 0.3),
        "worst": (12, 0.1),
    }
    two = retrieval.Direction(np.array([0, 1]), np.array([0.25, 0.75]))
    assert shown.chosen(two) == {"best": (1, 0.75), "worst": (0, 0.25)}
    assert shown.chosen(retrieval.Direction(two.queries[:1], two.ap[:1])) == {"best": (0, 0.25)}


def test_examples_are_ranked_as_in_the_evaluation(shown):
    rng = np.random.default_rng(3)
    texts, images = rng.dirichlet(np.ones(4), (2, 12))
    text_ids = [f"t{i}" for i in rng.permutation(12)]
    image_ids = [f"i{i}" for i in rng.permutation(12)]
    categories = np.arange(12) % 3
    found = retrieval.both_directions(texts, images, text_ids, image_ids, categories)
    labels = [f"c{c}" for c in categories]
    made = shown.examples(found, texts, images, text_ids, image_ids, labels, count=5)
    scores = retrieval.divergences(texts, images)
    sides = (
        ("text_query", scores, text_ids, image_ids),
        ("image_query", scores.T, image_ids, text_ids),
    )
    for name, score, queries, candidates in sides:
        order, ranking = retrieval.rank(score, queries, candidates)
        expected = {
            queries[q]: [candidates[j] for j in row[:5]]
            for q, row in zip(order, ranking, strict=True)
        }
        assert len(made[name]) == 5
        aps = [query["ap"] for query in made[name]]
        assert aps == sorted(aps, reverse=True)
        assert aps[0] == found[name].ap.max()
        for query in made[name]:
            assert [row["id"] for row in query["found"]] == expected[query["id"]]
            assert query["category"] == labels[queries.index(query["id"])]
