"""Topics from a corpus of five articles: documents, dictionary, bags and model as gensim reads
them.
"""

import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from gensim.corpora import Dictionary, MmCorpus
from gensim.models import LdaModel

from texttopicnet import artefacts, dictionary_filter, inference, json_files, token_rows
from texttopicnet.errors import UserError

ARTICLES = {  # name: text, number of images
    "text/a": ("The piano, the piano and the violin.", 3),
    "text/b": ("Pianos and a harbour.", 1),
    "text/c": ("[[harbour]] castle glacier", 1),
    "text/d": ("castle glacier castle volcano", 2),
    "text/e": ("", 1),
}
FILES = ["dictionary.dict", "bow.mm", "ldamodel3.lda"]
LEFT = ["tokens.sqlite", "train_dict_ImageCLEF_Wikipedia.json"]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("LDA/learn_LDA_model.py")


@pytest.fixture
def corpus(tmp_path):
    """The data folder; the train dict is in work/, its images in an order that is not the
    articles'.
    """
    pairs = {}
    for name, (text, count) in reversed(ARTICLES.items()):
        path = tmp_path / "data" / "ImageCLEF_Wikipedia" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        pairs |= {f"images/{name[-1]}{i}.jpg": name for i in range(count)}
    json_files.write(tmp_path / "work" / artefacts.TRAIN_DICT, pairs)
    return tmp_path


@pytest.fixture
def run(script, monkeypatch, corpus):
    """run(...): the folder LDA/ with what the script left in it."""

    def run(*arguments, work="work", workers="1"):
        folder = corpus / work / "LDA"
        if work != "work":
            shutil.copytree(corpus / "work", folder.parent)
        command = [
            "x",
            "--data",
            str(corpus / "data"),
            "--work",
            str(folder.parent),
            "--topics",
            "3",
            "--workers",
            workers,
        ]
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        assert script.main() == 0
        return folder

    return run


ALL = ["--no-below", "1", "--no-above", "1"]


def counts(folder):
    """The documents as {word: count}, in the order of bow.mm."""
    dictionary = Dictionary.load(str(folder / "dictionary.dict"))
    return [
        {dictionary[i]: int(n) for i, n in document}
        for document in MmCorpus(str(folder / "bow.mm"))
    ]


def test_one_document_per_image(run):
    folder = run(*ALL)
    a, b = {"piano": 2, "violin": 1}, {"piano": 1, "harbour": 1}
    c, d = {"harbour": 1, "castle": 1, "glacier": 1}, {"castle": 2, "glacier": 1, "volcano": 1}
    assert MmCorpus(str(folder / "bow.mm")).num_docs == 8
    assert counts(folder) == [{}, d, d, c, b, a, a, a]  # in the order of the train dict
    dictionary = Dictionary.load(str(folder / "dictionary.dict"))
    assert dictionary.num_docs == 8
    assert {dictionary[i]: n for i, n in dictionary.dfs.items()} == {
        "piano": 4,
        "violin": 3,
        "harbour": 2,
        "castle": 3,
        "glacier": 3,
        "volcano": 2,
    }


def test_one_document_per_article(run):
    folder = run(*ALL, "--unique-articles")
    assert MmCorpus(str(folder / "bow.mm")).num_docs == 5
    assert [sorted(d) for d in counts(folder)] == [
        ["piano", "violin"],
        ["harbour", "piano"],
        ["castle", "glacier", "harbour"],
        ["castle", "glacier", "volcano"],
        [],
    ]
    dictionary = Dictionary.load(str(folder / "dictionary.dict"))
    assert dictionary.dfs[dictionary.token2id["piano"]] == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_the_dictionary_equals_gensims_own_counting(script, monkeypatch, workers):
    rng = np.random.default_rng(0)
    texts = [[f"word{i}" for i in rng.geometric(0.02, rng.integers(0, 60))] for _ in range(40)]
    copies = rng.integers(1, 4, 40).tolist()
    wanted = Dictionary()
    for tokens, count in zip(texts, copies, strict=True):
        for _ in range(count):
            wanted.doc2bow(tokens, allow_update=True)
    monkeypatch.setattr(script, "TOGETHER", 7)
    articles = zip(map(token_rows.packed, texts), copies, strict=True)
    found = script.make_dictionary(articles, workers, 1, 1.0)
    wanted.filter_extremes(1, 1.0)
    for name in ("token2id", "dfs", "cfs", "num_docs", "num_pos", "num_nnz"):
        assert getattr(found, name) == getattr(wanted, name), name
    bags = script.bags_of(
        found.token2id, [token_rows.packed([*tokens, "unknown"]) for tokens in texts]
    )
    assert [list(map(tuple, bag.tolist())) for bag in bags] == [
        wanted.doc2bow(tokens) for tokens in texts
    ]


def test_a_dictionary_that_grows_too_large_is_cut_to_the_most_frequent_words(script, monkeypatch):
    for name, value in {"TOGETHER": 1, "PRUNED_EVERY": 2, "PRUNE_AT": 3}.items():
        monkeypatch.setattr(script, name, value)
    texts = [["a", "b"], ["a", "b", "c", "d"], ["d", "e"], ["e"]]
    found = script.make_dictionary(((token_rows.packed(tokens), 1) for tokens in texts), 1, 1, 1.0)
    # after two articles a, b (2 each) and one of c, d (1 each) stay; after four, one of those with
    # 2 goes
    assert found.num_docs == 4
    assert len(found) == 3
    assert max(found.dfs.values()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--no-below", "3", "--no-above", "1"],
            ["castle", "glacier", "piano", "violin"],
        ),  # in 3, 3, 4, 3 of 8
        (
            ["--no-below", "1", "--no-above", "0.4"],
            ["castle", "glacier", "harbour", "violin", "volcano"],
        ),  # at most 3.2
        (
            ["--no-below", "2", "--no-above", "1", "--unique-articles"],
            ["castle", "glacier", "harbour", "piano"],
        ),
    ],
)
def test_the_saved_dictionary_is_filtered_and_its_ids_are_the_bags(run, arguments, words):
    folder = run(*arguments)
    dictionary = Dictionary.load(str(folder / "dictionary.dict"))
    assert sorted(dictionary.token2id) == words
    assert sorted(dictionary.token2id.values()) == list(range(len(words)))
    lda = LdaModel.load(str(folder / "ldamodel3.lda"))
    assert lda.num_terms == len(words)
    assert lda.num_topics == 3
    assert lda.id2word.token2id == dictionary.token2id
    # every document has the words that its article keeps, none shifted
    tokens = [["piano", "piano", "violin"], ["piano", "harbour"], ["harbour", "castle", "glacier"]]
    tokens.append(["castle", "castle", "glacier", "volcano"])
    wanted = [{w: t.count(w) for w in t if w in words} for t in tokens]
    assert all(document in [*wanted, {}] for document in counts(folder))
    assert all(document in counts(folder) for document in wanted)


def test_gensims_own_e_step_on_request(run, monkeypatch):
    """Compiled code by default; --gensim never calls it, and the topics differ by rounding only."""
    steps = []
    step = inference.sufficient_statistics
    monkeypatch.setattr(
        inference, "sufficient_statistics", lambda *given: steps.append(1) or step(*given)
    )
    models = []
    for arguments, calls in (([], 1), (["--gensim"], 0)):
        steps.clear()
        folder = run(*ALL, *arguments, work=f"work{calls}")
        assert len(steps) == calls
        models.append(LdaModel.load(str(folder / "ldamodel3.lda")).get_topics())
    np.testing.assert_allclose(*models, atol=1e-5)


def test_defaults_are_the_originals(script, monkeypatch, corpus):
    monkeypatch.setattr(
        sys, "argv", ["x", "--data", str(corpus / "data"), "--work", str(corpus / "work")]
    )
    with pytest.raises(UserError) as caught:
        script.main()
    assert str(caught.value) == (
        "none of the 6 words is in at least 20 (--no-below) and at most 0.5 (--no-above) of the 8"
        " documents: for so small a"
        " corpus give --no-below 2, with which 6 words are left"
    )
    # nothing half-made is left, and no article is preprocessed again
    assert names_in(corpus / "work" / "LDA") == LEFT


def test_what_is_printed(run, corpus, capsys):
    folder = run(*ALL)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "learning 3 topics from 8 documents (5 articles): passes 1, workers 1, seed 0, words in"
        " at least 1 document and at"
        " most 1 of them"
    )
    assert printed[1] == "1 article (empty after preprocessing): text/e"
    assert printed[2] == "dictionary: 6 words; 17 counts in 8 documents"
    assert [line.split(":")[0] for line in printed[3:6]] == ["topic 0", "topic 1", "topic 2"]
    assert all(len(line.split(": ")[1].split()) == 6 for line in printed[3:6])
    assert printed[6].startswith("perplexity ")
    assert printed[6].endswith(
        f" (of the first 7 non-empty training documents): {folder / 'ldamodel3.lda'}"
    )


def test_perplexity_passes_over_empty_documents(run, script, monkeypatch, capsys):
    monkeypatch.setattr(script, "MEASURED", 1)  # the first document is an empty article's
    run(*ALL)
    printed = capsys.readouterr().out.splitlines()[-1]
    assert float(printed.split()[1]) > 1
    assert "(of the first 1 non-empty training document)" in printed


@pytest.mark.parametrize("workers", ["1", "2"])
def test_articles_with_blemishes_are_counted_and_the_first_is_named(run, corpus, capsys, workers):
    """Articles come in the order of their names; none of these stops the run, and the good ones are
    learnt from.
    """
    text = corpus / "data" / "ImageCLEF_Wikipedia" / "text"
    contents = {
        "f": "the piano caf\xe9".encode("latin-1"),
        "g": b"\xff\xfe\x00",  # neither UTF-8 nor a word
        "h": b"{{a|" * 3000 + b"piano" + b"}}" * 3000 + b" violin",
        "i": b"{{a|" * 3000 + b"piano",  # never closed: removed to the end
        "j": b"piano " * 2_000_000,
        "k": "the castle \ufffd".encode(),  # a U+FFFD in the file itself is UTF-8
    }
    for name, content in contents.items():
        (text / name).write_bytes(content)
    pairs = json_files.read(corpus / "work" / artefacts.TRAIN_DICT, "-")
    json_files.write(
        corpus / "work" / artefacts.TRAIN_DICT,
        pairs | {f"images/{n}.jpg": f"text/{n}" for n in contents},
    )
    folder = run(*ALL, workers=workers)
    assert [
        line for line in capsys.readouterr().out.splitlines() if re.match(r"\d+ article", line)
    ] == [
        "3 articles (empty after preprocessing); the first is text/e",
        "1 article (longer than 10 MB): text/j",
        "2 articles (not UTF-8); the first is text/f",
        "2 articles (templates more than 40 deep); the first is text/h",
    ]
    assert counts(folder)[-6:] == [
        {"piano": 1, "caf": 1},
        {},
        {"violin": 1},
        {},
        {"piano": 2_000_000},
        {"castle": 1},
    ]


def test_same_seed_same_bytes_with_any_number_of_workers(run):
    runs = [("7", "1"), ("7", "2"), ("8", "1")]
    folders = [
        run(*ALL, "--passes", "2", "--seed", seed, work=f"w{i}", workers=n)
        for i, (seed, n) in enumerate(runs)
    ]
    first, again, other = [
        {p.name: p.read_bytes() for p in f.iterdir() if p.name != "tokens.sqlite"} for f in folders
    ]
    assert set(FILES) < set(first)
    assert [name for name in first if first[name] != again[name]] == []
    assert first["dictionary.dict"] == other["dictionary.dict"]
    topics = [LdaModel.load(str(folder / "ldamodel3.lda")).get_topics() for folder in folders]
    assert (topics[0] == topics[1]).all()
    assert (topics[0] != topics[2]).any()


def test_dictionary_and_bags_are_reused(run, corpus, capsys):
    """Another number of topics needs the model alone; another corpus or other settings need all."""
    folder = run(*ALL)
    before = {name: (folder / name).stat().st_mtime_ns for name in ("dictionary.dict", "bow.mm")}
    capsys.readouterr()
    run(*ALL, "--topics", "4")
    assert (
        "dictionary.dict and bow.mm exist already, made from the same articles"
        in capsys.readouterr().out
    )
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert LdaModel.load(str(folder / "ldamodel4.lda")).num_topics == 4
    run(*ALL, "--topics", "5", "--unique-articles")
    assert MmCorpus(str(folder / "bow.mm")).num_docs == 5
    (corpus / "data" / "ImageCLEF_Wikipedia" / "text" / "e").write_text("glaciers")
    run(*ALL, "--topics", "6", "--unique-articles")
    assert counts(folder)[4] == {"glacier": 1}
    assert "exist already" not in capsys.readouterr().out


KILLED = """
import importlib.util, os, signal, sys
from texttopicnet import artefacts, command_line, topics
name, place, *arguments = sys.argv[1:]
spec = importlib.util.spec_from_file_location("script", artefacts.ROOT / "LDA/learn_LDA_model.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
owner = {"script": script, "lda": script.topics.TopicModel, "store": script.TokenStore}[name]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, place, die)
sys.argv = ["x", *arguments]
command_line.run(script.main)
"""


@pytest.mark.parametrize(
    "where",
    [
        ("store", "keep"),
        ("script", "make_dictionary"),
        ("script", "Bags"),
        ("lda", "learn"),
        ("lda", "top_words"),
    ],
)
def test_a_killed_run_leaves_no_half_artefact_and_can_be_resumed(run, corpus, where):
    """`kill -9` before tokens, dictionary, bags and training, and after the model."""
    wanted = run(*ALL, work="uninterrupted")
    arguments = [
        "--data",
        corpus / "data",
        "--work",
        corpus / "work",
        "--topics",
        "3",
        "--workers",
        "1",
        *ALL,
    ]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *where, *map(str, arguments)], cwd=artefacts.ROOT
    )
    assert done.returncode == -signal.SIGKILL
    folder = corpus / "work" / "LDA"
    for name in FILES[:2]:
        assert (
            not (folder / name).exists()
            or (folder / name).read_bytes() == (wanted / name).read_bytes()
        )
    assert (folder / "ldamodel3.lda").exists() == (where == ("lda", "top_words"))
    folder = run(*ALL, *(["--force"] if where == ("lda", "top_words") else []))
    assert names_in(folder) == names_in(wanted)
    for path in wanted.iterdir():
        if path.name != "tokens.sqlite":
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_several_workers_tokenize_the_same_corpus(run):
    folders = [run(*ALL, work=workers, workers=workers) for workers in ("1", "2")]
    assert counts(folders[0]) == counts(folders[1])
    assert LdaModel.load(str(folders[1] / "ldamodel3.lda")).num_terms == 6


def test_a_cluster_that_does_not_answer_is_one_sentence(run, corpus):
    with pytest.raises(UserError, match=r"tcp://127.0.0.1:9"):
        run(*ALL, "--scheduler", "tcp://127.0.0.1:9")
    assert names_in(corpus / "work" / "LDA") == LEFT


def test_a_missing_article_is_named_and_nothing_is_left(run, corpus):
    (corpus / "data" / "ImageCLEF_Wikipedia" / "text" / "c").unlink()
    with pytest.raises(UserError, match="text/c: cannot be read"):
        run(*ALL)
    assert names_in(corpus / "work" / "LDA") == LEFT


def test_a_missing_train_dict_names_its_command(run, corpus):
    (corpus / "work" / artefacts.TRAIN_DICT).unlink()
    with pytest.raises(
        UserError, match=r"does not exist: make it with python LDA/generate_train_dict.py"
    ):
        run(*ALL)


def test_foreign_models_are_not_replaced_and_force_is_not_advised(run, corpus):
    """A downloaded model or dictionary: the sentence names another work folder, not --force."""
    folder = corpus / "work" / "LDA"
    downloaded = Dictionary([["piano", "an", "unfiltered", "dictionary"]])
    downloaded.save(str(folder / "dictionary.dict"))
    before = names_in(folder), (folder / "dictionary.dict").read_bytes()
    with pytest.raises(
        UserError,
        match=(
            r"dictionary.dict was not made in this work folder, and would be overwritten: give"
            r" another --work folder, or move"
        ),
    ):
        run(*ALL)
    assert (names_in(folder), (folder / "dictionary.dict").read_bytes()) == (
        sorted([*before[0], "tokens.sqlite"]),
        before[1],
    )
    LdaModel(id2word=downloaded, num_topics=3).save(str(folder / "ldamodel3.lda"))
    for content in (None, b"damaged"):
        if content:
            (folder / "ldamodel3.lda").write_bytes(content)
        with pytest.raises(
            UserError,
            match=r"ldamodel3.lda exists already and was not made here: give another --work",
        ) as caught:
            run(*ALL)
        assert "--force" not in str(caught.value)
    run(*ALL, "--force")
    run(*ALL, "--topics", "4")


def test_an_existing_model_is_kept_without_force(run):
    folder = run(*ALL)
    before = {name: (folder / name).read_bytes() for name in FILES}
    with pytest.raises(UserError, match=r"ldamodel3.lda exists already: give --force"):
        run(*ALL, "--unique-articles")
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    run(*ALL, "--unique-articles", "--force")
    assert MmCorpus(str(folder / "bow.mm")).num_docs == 5


# ------------------------------------------------------------------------------------ small corpora
@pytest.mark.parametrize(
    ("documents", "num_documents", "no_below", "no_above", "advice"),
    [
        # one article: each word is in all documents, more than half of them
        ([1] * 60, 1, 20, 0.5, "give --no-below 1 --no-above 1, with which 60 words are left"),
        ([1] * 60, 1, 1, 0.5, "give --no-above 1, with which 60 words are left"),
        # an article with two images
        ([2] * 60, 2, 2, 0.5, "give --no-above 1, with which 60 words are left"),
        # 10 articles that share many words: 55 are in 5 of them
        ([5] * 55 + [1] * 100, 10, 20, 0.5, "give --no-below 5, with which 55 words are left"),
        # 10 articles that share few
        ([2] * 60 + [1] * 100, 10, 20, 0.5, "give --no-below 2, with which 60 words are left"),
        # none is in two articles
        ([1] * 100, 10, 20, 0.5, "give --no-below 1 --no-above 1, with which 100 words are left"),
        # a vocabulary of few words: as many as there are
        ([3] * 4, 6, 20, 0.5, "give --no-below 2, with which 4 words are left"),
        # no option is made stricter than the user's
        ([4] * 60, 5, 3, 0.7, "give --no-above 1, with which 60 words are left"),
    ],
)
def test_the_advice_fits_the_cause(script, documents, num_documents, no_below, no_above, advice):
    said = dictionary_filter.why_no_word(np.array(documents), num_documents, no_below, no_above)
    assert said.endswith(f"for so small a corpus {advice}")
    assert said.startswith(
        f"none of the {len(documents)} words is in at least {no_below} (--no-below) and at most"
        f" {no_above:g}"
    )
    for count, option in zip(documents, [(no_below, no_above)] * len(documents), strict=True):
        assert not dictionary_filter.is_kept(np.array(count), num_documents, *option)


def test_articles_that_are_all_empty_are_reported_as_such(run, corpus):
    for name in ARTICLES:
        (corpus / "data/ImageCLEF_Wikipedia" / name).write_text("the and of {{template}}")
    with pytest.raises(UserError) as caught:
        run(*ALL)
    assert str(caught.value) == (
        "no article has a word after preprocessing: all of them are empty, or hold nothing but"
        " markup and stop words"
    )


@pytest.mark.parametrize("count", [1, 2, 12, 100])
def test_small_corpora_are_learnt_from_as_the_message_says(run, corpus, count):
    rng = np.random.default_rng(count)
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(650)]
    pairs = {}
    for i in range(count):
        (corpus / f"data/ImageCLEF_Wikipedia/text/{i}").write_text(" ".join(rng.choice(words, 60)))
        pairs[f"images/{i}.jpg"] = f"text/{i}"
    json_files.write(corpus / "work" / artefacts.TRAIN_DICT, pairs)
    with pytest.raises(UserError, match="for so small a corpus give ") as caught:
        run()
    options = str(caught.value).partition("corpus give ")[2].partition(",")[0].split()
    folder = run(*options)
    assert len(Dictionary.load(str(folder / "dictionary.dict"))) >= 50


def test_a_dictionary_of_few_words_comes_with_advice(script, capsys):
    """60 words in 2 of 30 documents each, and one in 15: a dictionary of that one word is hardly
    enough to learn from.
    """
    texts = [
        ["everywhere"] * (i < 15)
        + [f"word{i}", f"word{(i + 1) % 30}", f"other{i}", f"other{(i + 1) % 30}"]
        for i in range(30)
    ]
    articles = [(token_rows.packed(tokens), 1) for tokens in texts]
    assert list(script.make_dictionary(articles, 1, 10, 0.5).token2id) == ["everywhere"]
    assert capsys.readouterr().out == "only 1 of 61 words are left: --no-below 2 would keep 61\n"
    script.make_dictionary(articles, 1, 2, 0.5)
    assert capsys.readouterr().out == ""


def test_a_dictionary_that_was_not_made_here_is_not_overwritten(run, corpus):
    """Such as a downloaded one, beside the downloaded model of another number of topics."""
    path = corpus / "work" / artefacts.DICTIONARY
    Dictionary([["piano", "violin"]]).save(str(path))
    before = path.read_bytes()
    with pytest.raises(
        UserError,
        match=(
            r"dictionary.dict was not made in this work folder, and would be overwritten: give"
            r" another"
        ),
    ):
        run(*ALL)
    assert path.read_bytes() == before
    run(*ALL, "--force")
    assert b"made_from" in path.read_bytes()
