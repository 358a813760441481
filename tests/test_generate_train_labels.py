"""Every image gets its article's topic vector; the file is the same for the same seed."""

import json
import shutil
import sys

import pytest
import topic_models
from gensim.corpora import Dictionary, MmCorpus

from texttopicnet import artefacts, json_files, text
from texttopicnet.errors import UserError
from texttopicnet.topics import TopicModel

ARTICLES = {
    "text/music": "piano violin piano melody " * 5,
    "text/sport": "goal stadium football goal " * 5,
    "text/both": "piano goal violin stadium " * 5,
    "text/empty": "the and of",
}
PAIRS = {  # neither images nor articles are sorted
    "images/3.jpg": "text/sport",
    "images/1.jpg": "text/music",
    "images/4.jpg": "text/empty",
    "images/2.jpg": "text/both",
    "images/0.jpg": "text/sport",
}


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("LDA/generate_train_labels.py")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A data folder of four articles, and work/ with a train dict and a model of three topics."""
    folder = tmp_path_factory.mktemp("labels")
    for name, words in ARTICLES.items():
        path = folder / "data" / "ImageCLEF_Wikipedia" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
    json_files.write(folder / "work" / artefacts.TRAIN_DICT, PAIRS)
    documents = [text.tokenize(words) for words in ARTICLES.values()]
    dictionary = Dictionary(documents)
    bows = [dictionary.doc2bow(tokens) for tokens in documents]
    model = TopicModel.learn(dictionary, bows, 3, passes=5, workers=1, seed=1)
    topic_models.save(model, folder / "work")
    return folder


@pytest.fixture
def folder(learnt, tmp_path):
    """A copy of what was learnt, which a test may damage."""
    return shutil.copytree(learnt, tmp_path / "copy")


@pytest.fixture
def run(script, monkeypatch, folder):
    """run(...): the path of the labels the script wrote."""

    def run(*arguments, topics=3):
        command = [
            "x",
            "--data",
            str(folder / "data"),
            "--work",
            str(folder / "work"),
            "--workers",
            "1",
        ]
        monkeypatch.setattr(sys, "argv", [*command, "--topics", str(topics), *arguments])
        assert script.main() == 0
        return folder / "work" / artefacts.training_labels(topics)

    return run


def test_one_label_per_article_in_the_train_dicts_order(run):
    labels = json.loads(run().read_text())
    assert list(labels) == list(PAIRS)
    assert labels["images/3.jpg"] == labels["images/0.jpg"]
    assert labels["images/3.jpg"] != labels["images/1.jpg"]


def test_width_range_and_sum(run):
    for label in json.loads(run().read_text()).values():
        assert len(label) == 3
        assert all(p == 0 or 0.01 <= p <= 1 for p in label)
        assert 0.97 <= sum(label) <= 1 + 1e-6  # two topics below 0.01 are 0 at most
    # an article without a word of the dictionary has no topic more than another
    assert json.loads(run("--force").read_text())["images/4.jpg"] == pytest.approx([1 / 3] * 3)


def test_labels_are_the_models_topic_vectors(run, folder):
    labels = json.loads(run("--seed", "4").read_text())
    model = TopicModel.load(folder / "work", 3)
    for image, article in PAIRS.items():
        (wanted,) = model.topic_vectors([text.tokenize(ARTICLES[article])], seed=4)
        assert labels[image] == wanted.tolist()


def test_same_seed_same_bytes(run):
    first = run().read_bytes()
    assert run("--force").read_bytes() == first
    assert run("--force", "--workers", "2").read_bytes() == first


@pytest.mark.parametrize("name", ["lsi", "tfidf", "word2vec"])
def test_other_embeddings(run, folder, capsys, name):
    """The model is learnt first, and then reused; the same seed gives the same files."""
    with pytest.raises(
        UserError, match=r"bow.mm does not exist: make it with python LDA/learn_LDA_model.py"
    ):
        run("--embedding", name)
    documents = [text.tokenize(words) for words in ARTICLES.values()]
    dictionary = Dictionary.load(str(folder / "work" / artefacts.DICTIONARY))
    MmCorpus.serialize(str(folder / "work" / artefacts.BOW), map(dictionary.doc2bow, documents))
    capsys.readouterr()
    run("--embedding", name)
    path = folder / "work" / artefacts.training_labels(3, name)
    loss = "SigmoidCrossEntropyLoss" if name == "tfidf" else "EuclideanLoss"
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"learning {name} from 4 documents, seed 0"
    assert printed[-1] == f"5 labels, for {loss}: {path}"
    labels, first = json.loads(path.read_text()), path.read_bytes()
    assert list(labels) == list(PAIRS)
    assert labels["images/3.jpg"] == labels["images/0.jpg"] != labels["images/1.jpg"]
    assert labels["images/4.jpg"] == [0, 0, 0]
    assert not (folder / "work" / artefacts.training_labels(3)).exists()
    path.unlink()
    run("--embedding", name, "--workers", "2")
    assert "learning" not in capsys.readouterr().out
    assert path.read_bytes() == first
    run("--embedding", name, "--force")
    assert "learning" in capsys.readouterr().out
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["lsi", "tfidf", "word2vec"])
def test_a_dictionary_of_another_bow_is_refused_for_other_embeddings(run, folder, name):
    """Same words with other ids: without the check, the labels would be wrong and the status 0."""
    documents = [text.tokenize(words) for words in ARTICLES.values()]
    dictionary = Dictionary.load(str(folder / "work" / artefacts.DICTIONARY))
    MmCorpus.serialize(str(folder / "work" / artefacts.BOW), map(dictionary.doc2bow, documents))
    Dictionary([*documents[::-1], ["extra"]]).save(str(folder / "work" / artefacts.DICTIONARY))
    with pytest.raises(
        UserError, match=r"dictionary.dict .7 words. and .*bow.mm .6 words. do not belong together"
    ):
        run("--embedding", name)
    assert not (folder / "work" / artefacts.training_labels(3, name)).exists()


@pytest.mark.parametrize("name", ["lsi", "word2vec"])
def test_articles_without_known_words_are_counted(run, folder, name, capsys):
    documents = [text.tokenize(words) for words in ARTICLES.values()]
    dictionary = Dictionary.load(str(folder / "work" / artefacts.DICTIONARY))
    MmCorpus.serialize(str(folder / "work" / artefacts.BOW), map(dictionary.doc2bow, documents))
    run("--embedding", name)
    said = "1 article has no word of the dictionary: text/empty; label: the vector 0"
    assert capsys.readouterr().out.splitlines()[-2] == said


def test_what_is_printed(run, capsys):
    path = run("--seed", "4")
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "labelling 5 images of 4 articles with 3 topics, seed 4",
        "1 article has no word of the dictionary: text/empty; label: the topics of an empty"
        " article,"
        " the same for all",
        f"5 labels, for SigmoidCrossEntropyLoss: {path}",
    ]


def test_a_model_of_another_number_of_topics_is_refused(run, folder):
    for path in (folder / "work" / "LDA").glob("ldamodel3.lda*"):
        path.rename(path.with_name(path.name.replace("3", "4")))
    with pytest.raises(
        UserError, match=r"ldamodel4.lda is a model of 3 topics, not of 4: see --topics"
    ):
        run(topics=4)
    assert not (folder / "work" / artefacts.training_labels(4)).exists()


def test_with_another_dictionary_the_models_own_words_are_used(run, folder, capsys):
    before = run().read_bytes()
    capsys.readouterr()
    Dictionary([["piano", "violin"]]).save(str(folder / "work" / artefacts.DICTIONARY))
    assert run("--force").read_bytes() == before
    assert "the model's own 6 words are used, not the dictionary's 2\n" in capsys.readouterr().err


def test_missing_artefacts_name_their_command(run, folder):
    with pytest.raises(
        UserError,
        match=(
            r"ldamodel5.lda does not exist: make it with python LDA/learn_LDA_model.py --topics"
            r" 5"
        ),
    ):
        run(topics=5)
    (folder / "data" / "ImageCLEF_Wikipedia" / "text" / "both").unlink()
    with pytest.raises(UserError, match="text/both: cannot be read"):
        run()
    (folder / "work" / artefacts.TRAIN_DICT).unlink()
    with pytest.raises(
        UserError, match=r"does not exist: make it with python LDA/generate_train_dict.py"
    ):
        run()
    assert not (folder / "work" / artefacts.training_labels(3)).exists()


def test_existing_labels_are_kept_without_force(run):
    before = run().read_bytes()
    with pytest.raises(UserError, match=r"training_labels3.json exists already: give --force"):
        run()
    assert run("--force").read_bytes() == before
