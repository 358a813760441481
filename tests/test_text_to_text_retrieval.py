"""Text-to-text retrieval by hand, from files to the record, and the tables of LDA/README.md made of
such records.
"""

import json
import shutil
import sys

import numpy as np
import pytest

from texttopicnet import artefacts, average_precision, results, retrieval, tables
from texttopicnet.errors import UserError

WORDS = {
    "music": ["piano", "violin", "melody", "orchestra", "concert", "singer"],
    "sport": ["football", "stadium", "goal", "referee", "champion", "league"],
    "war": ["cannon", "soldier", "battle", "trench", "cavalry", "siege"],
}
TOPICS = 6
CHEAP = ("lda", "lsi", "tfidf", "tfidf of all words")  # those that are learnt in less than a second


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/text_to_text_retrieval.py")


@pytest.fixture(scope="module")
def make_tables(load_script):
    return load_script("experiments/make_text_tables.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four texts and eight training texts of each of three subjects."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    (folder / "categories.list").write_text("".join(f"{name}\n" for name in WORDS))
    for part, count in ((retrieval.TEST_LIST, 4), (retrieval.TRAIN_LIST, 8)):
        rows = []
        for c, (name, words) in enumerate(WORDS.items(), start=1):
            for i in range(count):
                text = f"{part[:5]}-{name}-{i}"
                (folder / "texts" / f"{text}.xml").write_text(
                    f"<text>{' '.join(rng.choice(words, 40))}</text>"
                )
                rows.append(f"{text}\timage-{text}\t{c}\n")
        (folder / part).write_text("".join(rows))
    return folder


def run(script, monkeypatch, folder, work, *arguments):
    command = [
        "x",
        "--set",
        folder,
        "--work",
        work,
        "--topics",
        TOPICS,
        "--no-below",
        2,
        "--workers",
        1,
        *arguments,
    ]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    script.main()
    return json.loads(
        (work / "experiments" / "results" / "text" / "retrieval_wikipedia.json").read_text()
    )


def test_average_precisions_by_hand(script):
    # the diagonal is the best score of each row and must not count
    scores = [[0, 3, 1, 2], [1, 0, 2, 3], [5, 6, 0, 4], [9, 8, 7, 0]]
    categories = np.array([0, 0, 1, 1])
    # a finds c d b, b finds a, c finds d, d finds c
    assert script.average_precisions(scores, ["a", "b", "c", "d"], categories) == pytest.approx(
        [1 / 3, 1, 1, 1]
    )


def test_average_precisions_do_not_depend_on_the_order_of_the_texts(script):
    rng = np.random.default_rng(0)
    scores, categories = rng.integers(0, 3, (30, 30)), rng.permutation(np.arange(30) % 3)
    ids = [f"t{i:02}" for i in range(30)]
    order = rng.permutation(30)
    found = script.average_precisions(scores, ids, categories)
    shuffled = script.average_precisions(
        scores[np.ix_(order, order)], [ids[i] for i in order], categories[order]
    )
    assert shuffled.tolist() == found[order].tolist()


def test_the_mean_over_random_scores_is_chance(script):
    rng = np.random.default_rng(0)
    categories = np.arange(40) % 4
    ids = [f"t{i:02}" for i in range(40)]
    found = [
        script.average_precisions(rng.random((40, 40)), ids, categories).mean() for _ in range(100)
    ]
    assert np.mean(found) == pytest.approx(average_precision.retrieval_by_chance(9, 39), abs=0.003)


def test_embeddings_find_the_subject(script, monkeypatch, folder, tmp_path, capsys):
    record = run(
        script,
        monkeypatch,
        folder,
        tmp_path,
        "--passes",
        1,
        30,
        "--seeds",
        0,
        1,
        "--embeddings",
        *CHEAP,
    )
    values = record["values"]
    assert record["split"] == {
        "learnt from": 24,
        "texts": 12,
        "categories": {"music": 4, "sport": 4, "war": 4},
    }
    assert record["tokens"] == {"article": 40, "text": 40}
    assert record["words"] == 18
    assert not record["paper_set"]
    assert values["chance"] == pytest.approx(average_precision.retrieval_by_chance(3, 11))
    rows = {(r["embedding"], r["passes"], r["measure"]): r for r in values["rows"]}
    assert len(rows) == 2 * 3 + len(CHEAP) - 1
    for key in [("lda", 30, measure) for measure in ("KL", "KL, whole", "cosine")] + [
        ("lsi", None, "cosine")
    ]:
        assert rows[key]["mean"] > 0.8, key
    assert rows["tfidf of all words", None, "cosine"]["mean"] == 1
    assert list(rows["tfidf", None, "cosine"]["seeds"]) == ["0"]
    assert list(rows["lsi", None, "cosine"]["seeds"]) == ["0", "1"]
    for row in rows.values():
        assert row["mean"] == pytest.approx(np.mean(list(row["seeds"].values())))
        assert row["mean"] == pytest.approx(
            np.mean(list(row["categories"].values()))
        )  # categories of one size
        assert row["least"] == min(row["seeds"].values())
        assert row["most"] == max(row["seeds"].values())
    assert str(folder) not in json.dumps(record)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("text-to-text retrieval: 12 texts in 3 categories")
    assert printed[-1].endswith("wikipedia.json")
    with pytest.raises(UserError, match="--force"):
        run(script, monkeypatch, folder, tmp_path)


def test_articles_of_another_folder_can_be_learnt_from(script, monkeypatch, folder, tmp_path):
    (tmp_path / "articles" / "en").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "articles" / "en" / str(i)).write_text("piano violin football soldier")
    options = ["--articles", tmp_path / "articles", "--embeddings", script.ALL_WORDS, "--topics", 4]
    with pytest.raises(
        UserError,
        match=r"none of the 4 words is in at least 2 .* of the 3 documents: .* give --no-above 1,",
    ):
        run(script, monkeypatch, folder, tmp_path, *options)
    with pytest.raises(
        UserError,
        match=r"none of the 4 words is in at least 4 .*: .* give --no-below 2 --no-above 1, with",
    ):
        run(script, monkeypatch, folder, tmp_path, *options, "--no-below", 4)
    assert (
        run(
            script, monkeypatch, folder, tmp_path, *options, "--no-above", 1, "--name", "wikipedia"
        )["words"]
        == 4
    )
    (tmp_path / "experiments/results/text/retrieval_wikipedia.json").unlink()
    for i in range(3, 7):
        (tmp_path / "articles" / "en" / str(i)).write_text("history")
    assert run(script, monkeypatch, folder, tmp_path, *options)["words"] == 4
    with pytest.raises(UserError, match="nowhere holds no articles"):
        run(script, monkeypatch, folder, tmp_path, "--articles", tmp_path / "nowhere", "--force")


def test_all_articles_empty_is_reported_as_such(script, monkeypatch, folder, tmp_path):
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles" / "a").write_text("the and of")
    with pytest.raises(UserError, match="no article has a word after preprocessing"):
        run(script, monkeypatch, folder, tmp_path, "--articles", tmp_path / "articles")


def test_inputs_are_checked_before_anything_is_learnt(script, monkeypatch, folder, tmp_path):
    monkeypatch.setattr(script, "measure", lambda *_: pytest.fail("learnt"))
    with pytest.raises(
        UserError,
        match="tfidf of 19 numbers needs as many words, and the dictionary has 18: give a lower",
    ):
        run(script, monkeypatch, folder, tmp_path, "--topics", 19)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "texts" / "tests-war-3.xml").unlink()
    with pytest.raises(UserError, match=r"tests-war-3.xml does not exist"):
        run(script, monkeypatch, copy, tmp_path)


def test_what_was_measured_is_kept_and_a_stopped_run_resumes(
    script, monkeypatch, folder, tmp_path, capsys
):
    """The record is whole after each embedding; a second run measures the rest, and its record
    equals that of an uninterrupted run.
    """
    options = ["--passes", 2, "--seeds", 0, 1, "--embeddings", "lda", "lsi", "tfidf"]
    expected = run(script, monkeypatch, folder, tmp_path / "whole", *options)
    measure, jobs = script.measure, []

    def stopping(corpus, job):
        if len(jobs) == 3:
            raise KeyboardInterrupt
        jobs.append(job)
        return measure(corpus, job)

    work, path = (
        tmp_path / "stopped",
        tmp_path / "stopped/experiments/results/text/retrieval_wikipedia.json",
    )
    with monkeypatch.context() as stopped:
        stopped.setattr(script, "measure", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(script, stopped, folder, work, *options)
    assert jobs == [("lda", 2, 0), ("lda", 2, 1), ("lsi", None, 0)]
    assert [row["embedding"] for row in json.loads(path.read_text())["values"]["rows"]] == [
        "lda",
        "lda",
        "lda",
        "lsi",
    ]
    with pytest.raises(
        UserError, match="partial was measured with other texts or settings: give another --name"
    ):
        run(script, monkeypatch, folder, work, *options, "--topics", 5)
    capsys.readouterr()
    jobs.clear()
    monkeypatch.setattr(
        script, "measure", lambda corpus, job: jobs.append(job) or measure(corpus, job)
    )
    record = run(script, monkeypatch, folder, work, *options)
    assert jobs == [("lsi", None, 1), ("tfidf", None, 0)]
    assert (
        "partial: 3 of 5 embeddings and seeds have been measured already" in capsys.readouterr().out
    )
    assert record["values"] == expected["values"]
    assert record["seed"] == expected["seed"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(UserError, match=r"retrieval_wikipedia.json exists already: give --force"):
        run(script, monkeypatch, folder, work, *options)


def test_a_category_of_two_words_is_one(script, monkeypatch, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "categories.list").write_text("visual arts\nsport & leisure \n\nwar\n")
    record = run(script, monkeypatch, copy, tmp_path, "--embeddings", "tfidf", "--seeds", 0)
    assert list(record["values"]["rows"][0]["categories"]) == [
        "visual arts",
        "sport & leisure",
        "war",
    ]


def test_a_category_of_one_text_is_named(script, monkeypatch, folder, tmp_path):
    (tmp_path / "categories.list").write_text("music\nwar\n")
    (tmp_path / retrieval.TEST_LIST).write_text("a\ti\t1\nb\tj\t1\nc\tk\t2\n")
    with pytest.raises(UserError, match="war has only one text"):
        run(script, monkeypatch, tmp_path, tmp_path)


# ------------------------------------------------------------------------------------------- tables


def record_of(rows, **more):
    common = {
        "corpus": "a set",
        "split": {"learnt from": 9, "texts": 4},
        "inputs": {},
        "seconds": 2,
        "note": "learnt from it",
    }
    more = {
        "name": "small",
        "topics": 40,
        "words": 7,
        "tokens": {"article": 12.4, "text": 5.6},
    } | more
    values = {"chance": 0.125, "rows": rows}
    return results.record(
        experiment="text_to_text_retrieval", values=values, seed=[0, 1], **common, **more
    )


@pytest.fixture
def records():
    row = {
        "embedding": "lda",
        "passes": 5,
        "seeds": {"0": 0.5, "1": 0.75},
        "mean": 0.625,
        "least": 0.5,
        "most": 0.75,
    }
    row["categories"] = {"art": 0.5, "war": 0.75}
    other = row | {
        "embedding": "tfidf",
        "passes": None,
        "seeds": {"0": 0.25},
        "mean": 0.25,
        "measure": "cosine",
    }
    found = {
        "flat": {
            "non_zero": 10.75,
            "median_non_zero": 11,
            "sum": 0.968,
            "largest": 0.437,
            "entropy": 1.65,
        }
    }
    found["flat"] |= {"least_topic": 0.0052, "most_topic": 0.0806}
    common = {"corpus": "flat", "split": {"flat": 10000}, "seed": None, "inputs": {}, "seconds": 1}
    models = [
        {
            "topics": k,
            "seed": seed,
            "perplexity": 100.0 * k + 50 * seed,
            "coherence": 0.5 + seed / 10,
        }
        for k, seed in ((10, 0), (2, 0), (2, 1))
    ]
    split = {"learning_documents": 1800, "held_out_articles": 200, "coherence_articles": 2000}
    more = {"models": models, "settings": {"passes": 7}}
    sweep = results.record("choose_topics", "2000 articles", {}, split, 0, {}, 3, **more)
    return {
        "choose_topics_small": sweep,
        "label_distribution": results.record(
            experiment="label_distribution", values=found, **common
        ),
        "retrieval_small": record_of([row | {"measure": "KL"}, row | {"measure": "cosine"}, other]),
    }


def test_tables_hold_the_records_numbers(make_tables, records):
    ranked, by_category, labels, sweep, runs = make_tables.tables(records)
    assert [row["cells"] for row in ranked["rows"]] == [
        ["lda, passes 5", "62.5 (50.0–75.0)", "62.5 (50.0–75.0)"],
        ["tfidf", "—", "25.0"],
        ["chance", "12.5", "12.5"],
    ]
    assert "4 texts of 6 tokens" in ranked["lead"][0]
    assert "9 articles of 12 tokens, 7 words" in ranked["lead"][0]
    assert [row["cells"] for row in by_category["rows"]] == [
        ["lda, passes 5", "50", "75"],
        ["tfidf", "50", "75"],
    ]
    expected = ["flat", "10,000", "10.75", "11", "0.968", "0.437", "1.65", "0.0052", "0.0806", "—"]
    assert [row["cells"] for row in labels["rows"]] == [expected]
    assert sweep["title"] == "The number of topics, small"
    assert "1,800 documents, passes 7" in sweep["lead"][0]
    assert [row["cells"] for row in sweep["rows"]] == [
        ["2", "225 (200–250)", "0.550 (0.500–0.600)"],
        ["10", "1000", "0.500"],
    ]
    assert [row["cells"][:2] for row in runs["rows"]] == [
        ["choose_topics_small", "0, 1"],
        ["label_distribution", "—"],
        ["retrieval_small", "0, 1"],
    ]
    for table in (ranked, by_category, labels, sweep, runs):
        rows = [row for row in tables.markdown(table).splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1


def test_a_readme_that_is_not_its_records_is_refused(make_tables, monkeypatch, tmp_path, records):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\n{tables.END}\nafter\n")

    def run(*more):
        monkeypatch.setattr(
            sys, "argv", ["x", "--results", str(tmp_path / "text"), "--readme", str(readme), *more]
        )
        return make_tables.main()

    with pytest.raises(UserError, match="holds no records"):
        run()
    for name, record in records.items():
        results.save(tmp_path / "text" / f"{name}.json", record)
    run()
    run("--check")
    assert readme.read_text().startswith("before\n")
    assert readme.read_text().endswith("after\n")
    readme.write_text(readme.read_text().replace("25.0", "26.0"))
    with pytest.raises(
        UserError, match=r"are not those of .*python experiments/make_text_tables.py --results"
    ):
        run("--check")


def test_the_projects_readme_and_its_records_agree(make_tables, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--check"])
    records = results.load_all(artefacts.ROOT / "experiments" / "results" / "text")
    assert {"retrieval_openstax", "retrieval_wikipedia"} <= set(records)
    make_tables.main()
