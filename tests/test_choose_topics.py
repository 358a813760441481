"""The number of topics: both measures by hand, whole articles held out, stopped runs."""

import json
import sys
from collections import Counter

import cv2
import numpy as np
import pytest
from gensim.corpora import Dictionary, MmCorpus

from texttopicnet import artefacts, json_files
from texttopicnet.errors import UserError
from texttopicnet.token_rows import Row, packed
from texttopicnet.token_store import TokenStore
from texttopicnet.topics import TopicModel

THEMES = [
    "piano violin concert melody chorus",
    "castle tower knight siege moat",
    "glacier volcano island harbour reef",
]
NUM_ARTICLES = 30
ONE = ["--topics", "2", "--seeds", "0"]  # the model of the quickest run


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("LDA/choose_topics.py")


# ------------------------------------------------------------------------------------- the measures
def test_coherence_by_hand(script, model_of, monkeypatch):
    """Words that always occur together: 1; words that never do: 0, except for the smallest number
    in the logarithms.
    """
    monkeypatch.setattr(script, "TOP_WORDS", 2)
    words = ["a", "b", "c", "d", "e"]
    model = model_of([[0.6, 0.4, 0, 0, 0], [0, 0, 0.6, 0.4, 0], [0, 0, 0, 0.6, 0.4]], words)
    texts = [["a", "b"], ["c"], ["d"], ["b", "a", "unknown"], []]
    found = script.coherences(model, texts)
    assert found[0] == pytest.approx(1)
    assert abs(found[1]) < 0.1
    assert np.isnan(found[2])  # no text has an e
    assert np.array_equal(script.coherences(model, texts, workers=2), found, equal_nan=True)


# ---------------------------------------------------------------------------------------- the split
def test_articles_are_held_out_whole(script):
    ranks = np.array([4, 0, 0, 3, 1, 4, 2, 0, 1, 4])
    for seed in range(10):
        learning, held_out = script.split(ranks, 5, 0.4, seed)
        articles = set(ranks[held_out].tolist())
        assert len(articles) == len(held_out) == 2
        assert learning.tolist() == [i for i, rank in enumerate(ranks) if rank not in articles]
        assert held_out.tolist() == sorted(
            ranks.tolist().index(rank) for rank in articles
        )  # the first document of each
    assert len({tuple(script.split(ranks, 5, 0.4, seed)[1]) for seed in range(10)}) > 1
    assert script.split(ranks, 5, 0.4, 3)[1].tolist() == script.split(ranks, 5, 0.4, 3)[1].tolist()


@pytest.mark.parametrize(
    ("share", "nothing"),
    [(0.05, "measure on"), (0, "measure on"), (0.95, "learn from"), (7, "learn from")],
)
def test_a_share_that_leaves_nothing_is_refused(script, share, nothing):
    with pytest.raises(
        UserError, match=f"--held-out {share:g} of 5 articles leaves nothing to {nothing}"
    ):
        script.split(np.arange(5), 5, share, 0)


# --------------------------------------------------------------------------------------- the script
@pytest.fixture
def work(tmp_path):
    """What learn_LDA_model.py leaves: articles of three themes, some with two images, each with a
    unique word.
    """
    rng = np.random.default_rng(0)
    tokens = {
        f"text/{i:02}": [
            *rng.choice(THEMES[i % 3].split(), 40).tolist(),
            "own" + "abc"[i // 10] + "abcdefghij"[i % 10],
        ]
        for i in range(NUM_ARTICLES)
    }
    pairs = {
        f"images/{name[5:]}{i}.jpg": name
        for i in range(2)
        for name in reversed(tokens)
        if i == 0 or name < "text/10"
    }
    json_files.write(tmp_path / artefacts.TRAIN_DICT, pairs)
    dictionary = Dictionary(tokens[name] for name in pairs.values())
    dictionary.save(str(tmp_path / artefacts.DICTIONARY))
    MmCorpus.serialize(
        str(tmp_path / artefacts.BOW), [dictionary.doc2bow(tokens[name]) for name in pairs.values()]
    )
    with TokenStore(tmp_path) as store:
        store.keep(Row(name, "stamp", packed(t), []) for name, t in tokens.items())
    return tmp_path


@pytest.fixture
def run(script, monkeypatch, work, capsys):
    """run(...): the record and the printed lines; the plot is drawn only with --plot."""

    def run(*arguments):
        command = [
            "x",
            "--work",
            str(work),
            "--topics",
            "2",
            "3",
            "--seeds",
            "0",
            "1",
            "--workers",
            "1",
            "--passes",
            "2",
        ]
        with monkeypatch.context() as quick:
            if "--plot" not in arguments:
                quick.setattr(script.topic_numbers_plot, "draw", lambda *_: None)
            quick.setattr(sys, "argv", [*command, *(a for a in arguments if a != "--plot")])
            assert script.main() == 0
        return json.loads(
            (work / "LDA/choose_topics.json").read_text()
        ), capsys.readouterr().out.splitlines()

    return run


def numbers(record):
    """What was measured, without the seconds."""
    return [
        {name: value for name, value in row.items() if name != "learning_seconds"}
        for row in record["models"]
    ]


def test_the_record_and_what_is_printed(run, work):
    record, printed = run()
    assert [(row["topics"], row["seed"]) for row in record["models"]] == [
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert record["split"] == {
        "learning_documents": record["split"]["learning_documents"],
        "held_out_articles": 3,
        "held_out_words": 3 * 41,
        "coherence_articles": NUM_ARTICLES,
    }
    assert record["settings"] == {"passes": 2, "update_every": 3, "top_words": 10}
    assert record["seed"] == 0
    assert set(record["inputs"]) == {"train_dict", "dictionary", "bow"}
    for name in ("perplexity", "coherence"):
        rows = [[row[name] for row in record["models"] if row["topics"] == k] for k in (2, 3)]
        assert list(record["values"][name].values()) == pytest.approx(
            [np.mean(row) for row in rows], abs=1e-4
        )
        assert list(record["values"][name]) == ["2", "3"]
    assert all(
        1 < row["perplexity"] < 15 + NUM_ARTICLES and 0 < row["coherence"] < 1
        for row in record["models"]
    )
    assert printed[0] == (
        "models of 2, 3 topics, seeds 0, 1, passes 2: learning from"
        f" {record['split']['learning_documents']} documents,"
        " perplexity on 3 other articles, coherence on 30 articles; 0 of 4 models exist already"
    )
    assert [line.split(": perplexity ")[0] for line in printed[1:5]] == [
        f"{k} topics, seed {s}" for s in (0, 1) for k in (2, 3)
    ]
    assert printed[5:] == [
        f"record: {work / 'LDA/choose_topics.json'}; plot: {work / 'LDA/choose_topics.png'}"
    ]
    assert not list((work / "LDA").glob(".tmp-*"))


def test_the_plot_is_a_picture(run, work):
    run("--plot", "--seeds", "0")
    image = cv2.imread(str(work / "LDA/choose_topics.png"))
    assert image.shape == (720, 960, 3)
    line = np.abs(image.astype(int) - (0xB2, 0x6F, 0x1F)).max(axis=2) < 8  # blue, in both panels
    assert line[:360].any()
    assert line[360:].any()


def test_training_and_held_out_documents(run, script, monkeypatch, work):
    """Every article has a word of its own, so the words show that nothing of a held-out article is
    learnt from, however many images it has.
    """
    dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
    seen = []
    learn, measure = TopicModel.learn.__func__, script.measure

    def own_words(documents):
        return [
            dictionary[i]
            for document in documents
            for i, _ in document
            if dictionary[i].startswith("own")
        ]

    def learn_and_see(cls, dictionary, corpus, *rest, **named):
        seen.append(own_words(corpus))
        return learn(cls, dictionary, corpus, *rest, **named)

    def measure_and_see(model, held_out, *rest):
        seen.append(own_words(held_out))
        return measure(model, held_out, *rest)

    monkeypatch.setattr(TopicModel, "learn", classmethod(learn_and_see))
    monkeypatch.setattr(script, "measure", measure_and_see)
    record, _ = run("--held-out", "0.5")
    learnt, held_out = seen[:2]
    assert seen == [learnt, held_out] * 4
    assert len(held_out) == len(set(held_out)) == 15
    assert len(set(learnt)) == 15
    assert not set(learnt) & set(held_out)
    assert all(
        learnt.count(word) == (2 if word[3] == "a" else 1) for word in learnt
    )  # one document per image
    assert record["split"]["learning_documents"] == len(learnt)
    run("--held-out", "0.5", "--split-seed", "1", "--force", *ONE)
    assert set(seen[-1]) != set(held_out)


def test_bags_of_one_document_per_article(run, work):
    documents = list(MmCorpus(str(work / artefacts.BOW)))[:NUM_ARTICLES][
        ::-1
    ]  # in the order of the articles' names
    MmCorpus.serialize(str(work / artefacts.BOW), documents)
    words = Dictionary.load(str(work / artefacts.DICTIONARY))
    dictionary = Dictionary([[words[i] for i in range(45)]])
    dictionary.dfs = dict(Counter(i for document in documents for i, _ in document))
    dictionary.num_docs = NUM_ARTICLES
    dictionary.save(str(work / artefacts.DICTIONARY))
    assert run(*ONE)[0]["split"]["learning_documents"] == 27


def test_three_themes_are_best_modelled_by_three_topics(run):
    record, _ = run("--passes", "20", "--topics", "2", "3", "--held-out", "0.3")
    perplexity = record["values"]["perplexity"]
    assert perplexity["3"] < 0.9 * perplexity["2"]


def test_a_stopped_run_can_be_resumed(run, script, monkeypatch, work):
    whole, _ = run()
    (work / "LDA/choose_topics.json").unlink()
    measure, calls = script.measure, []

    def measure_twice(*arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments[0].num_topics)
        return measure(*arguments)

    monkeypatch.setattr(script, "measure", measure_twice)
    with pytest.raises(KeyboardInterrupt):
        run()
    stopped = json.loads((work / "LDA/choose_topics.json").read_text())
    assert [(row["topics"], row["seed"]) for row in stopped["models"]] == [(2, 0), (3, 0)]
    calls[:] = ["one model more"]
    with pytest.raises(KeyboardInterrupt):
        run()
    calls.clear()
    record, printed = run()
    assert calls == [3]
    assert "3 of 4 models exist already" in printed[-3]
    assert numbers(record) == numbers(whole)
    assert record["values"] == whole["values"]
    assert record["seconds"] >= stopped["seconds"]


def test_a_later_run_adds_models_and_a_finished_one_learns_none(run, monkeypatch):
    first, _ = run(*ONE)
    more, printed = run("--topics", "3", "2", "--seeds", "0")
    assert "1 of 2 models exist already" in printed[0]
    assert len(printed) == 3
    assert numbers(more)[:1] == numbers(first)
    assert [row["topics"] for row in more["models"]] == [
        2,
        3,
    ]
    monkeypatch.setattr(TopicModel, "learn", None)
    again, printed = run("--topics", "3", "2", "3", "--seeds", "0")
    assert again == more
    assert len(printed) == 2


@pytest.mark.parametrize(
    "other",
    [
        ["--passes", "1"],
        ["--update-every", "1"],
        ["--held-out", "0.2"],
        ["--split-seed", "5"],
        ["--coherence-articles", "20"],
        ["dictionary"],
    ],
)
def test_other_settings_or_articles_are_refused_without_force(run, work, other):
    before, _ = run(*ONE)
    if other == ["dictionary"]:
        dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
        dictionary.num_pos += 1
        dictionary.save(str(work / artefacts.DICTIONARY))
        other = []
    with pytest.raises(
        UserError,
        match=r"choose_topics.json was measured with other settings .*: give --force",
    ):
        run(*ONE, *other)
    assert json.loads((work / "LDA/choose_topics.json").read_text()) == before
    after, _ = run(*ONE, *other, "--force")
    assert len(after["models"]) == 1
    assert after != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topics", "40", "1"], "--topics 1: must be 2 or more"),
        (["--passes", "0"], "--passes 0: must be 1 or more"),
        (["--update-every", "0"], "--update-every 0: must be 1 or more"),
        (["--seeds", "0", "-1"], "--seeds -1: must be 0 or more"),
        (["--coherence-articles", "0"], "--coherence-articles 0: must be 1 or more"),
        (["--held-out", "1"], "--held-out 1: must be a share, above 0 and below 1"),
        (["--held-out", "0.99"], "--held-out 0.99 of 30 articles leaves nothing to learn from"),
    ],
)
def test_impossible_options_are_one_sentence(run, work, arguments, message):
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert not (work / "LDA/choose_topics.json").exists()


@pytest.mark.parametrize("name", ["dictionary.dict", "bow.mm", "bow.mm.index", "tokens.sqlite"])
def test_a_missing_artefact_names_its_command(run, work, name):
    (work / "LDA" / name).unlink()
    with pytest.raises(
        UserError, match=f"{name} does not exist: make it with python LDA/learn_LDA_model.py"
    ):
        run()
    assert name not in [path.name for path in (work / "LDA").iterdir()]


def test_a_missing_train_dict_names_its_command(run, work):
    (work / artefacts.TRAIN_DICT).unlink()
    with pytest.raises(
        UserError, match=r"does not exist: make it with python LDA/generate_train_dict.py"
    ):
        run()


def test_artefacts_that_do_not_belong_together_are_refused(run, work):
    pairs = json_files.read(work / artefacts.TRAIN_DICT, "-")
    json_files.write(work / artefacts.TRAIN_DICT, dict(list(pairs.items())[:-1]))
    with pytest.raises(
        UserError, match=r"bow.mm has 40 documents, but the train dict 39 images and 30 articles"
    ):
        run()
    Dictionary([["piano", "violin"]]).save(str(work / artefacts.DICTIONARY))
    with pytest.raises(
        UserError,
        match=r"dict \(2 words\) and .*bow.mm \(45 words\) do not belong together: move it",
    ):
        run()
    (work / artefacts.DICTIONARY).write_bytes(b"no pickle")
    with pytest.raises(UserError, match=r"dictionary.dict is damaged or is not a pickle"):
        run()


def test_an_article_without_tokens_is_named(run, work):
    (work / artefacts.TOKENS).unlink()
    with TokenStore(work) as store:
        store.keep([Row("text/00", "stamp", packed(["piano"]), [])])
    with pytest.raises(
        UserError,
        match=r"tokens.sqlite lacks the tokens of text/01: fill it with python LDA/learn_LDA",
    ):
        run()


def test_held_out_articles_without_words_are_refused(run, work):
    documents = list(MmCorpus(str(work / artefacts.BOW)))
    empty = [[] for _ in documents[:-1]] + [documents[-1]]
    empty[-1] = [(i, 1) for i in range(45)]
    dictionary = Dictionary.load(str(work / artefacts.DICTIONARY))
    dictionary.dfs = dict.fromkeys(range(45), 1)
    dictionary.save(str(work / artefacts.DICTIONARY))
    MmCorpus.serialize(str(work / artefacts.BOW), empty)
    with pytest.raises(
        UserError,
        match="the 3 held-out articles have no word of the dictionary: give a larger --held-out",
    ):
        run()


def test_topics_whose_words_are_in_none_of_the_articles_are_left_out_and_counted(
    run, script, monkeypatch, capsys
):
    monkeypatch.setattr(script, "coherences", lambda *_: np.array([0.2, np.nan, 0.6]))
    record, printed = run("--topics", "3", "--seeds", "0")
    assert record["models"][0]["coherence"] == 0.4
    assert record["models"][0]["topics_without_coherence"] == 1
    assert (
        "coherence 0.400 (1 topic left out, for words that are in no article); learnt in"
        in printed[1]
    )
    monkeypatch.setattr(script, "coherences", lambda *_: np.array([np.nan, np.nan]))
    with pytest.raises(UserError, match="give more --coherence-articles"):
        run("--topics", "2")
