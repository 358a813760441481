"""Artefacts made with other stop words are known by their record, their words or their store."""

import json
import sqlite3
from pathlib import Path

import pytest
import topic_models
from gensim.corpora import Dictionary
from gensim.models import LdaModel

from texttopicnet import artefacts, embeddings, origin, text, topics
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_rows import Row, packed
from texttopicnet.token_store import TokenStore

OTHER_LIST = (Path(__file__).parent / "stop_words_2025.txt").read_text().split()


@pytest.fixture
def pairs():
    found = Pairs()
    for image, article in {"b.jpg": "text/2", "a.jpg": "text/1", "c.jpg": "text/2"}.items():
        found.add(image, article)
    return found


def store_of(work, texts):
    store = TokenStore(work)
    rows = [Row(name, "stamp", packed(words.split()), []) for name, words in texts.items()]
    store.keep(rows)
    return store


TEXTS = {"text/1": "piano violin", "text/2": "castle"}


def test_the_digest_is_of_texts_names_copies_and_order(tmp_path, pairs):
    first = origin.digest(store_of(tmp_path / "a", TEXTS), pairs)
    assert (
        origin.digest(store_of(tmp_path / "b", TEXTS | {"text/3": "not of the pairs"}), pairs)
        == first
    )
    assert origin.digest(store_of(tmp_path / "c", TEXTS | {"text/2": "castles"}), pairs) != first
    assert (
        origin.digest(store_of(tmp_path / "d", TEXTS | {"text/1": "violin piano"}), pairs) != first
    )
    unique = origin.digest(store_of(tmp_path / "a", TEXTS), pairs, unique_articles=True)
    assert unique != first
    pairs.add("d.jpg", "text/1")  # one more image of an article
    store = store_of(tmp_path / "a", TEXTS)
    assert origin.digest(store, pairs) != first
    assert origin.digest(store, pairs, unique_articles=True) == unique
    other_order = Pairs()
    for image, article in {"a.jpg": "text/1", "b.jpg": "text/2", "c.jpg": "text/2"}.items():
        other_order.add(image, article)
    assert origin.digest(store, other_order) != first


def test_the_record_is_saved_with_the_dictionary_and_with_each_model(tmp_path, pairs):
    record = origin.record(store_of(tmp_path, TEXTS), pairs, False, 1, 0.5)
    assert json.loads(json.dumps(record)) == record
    assert record["stop_words"]["count"] == 174
    assert record["versions"]["stop-words"] == "2018.7.23"
    dictionary = Dictionary([["piano", "violin"], ["castle"]])
    dictionary.made_from = record
    model = topics.TopicModel(dictionary, LdaModel(id2word=dictionary, num_topics=2))
    topic_models.save(model, tmp_path)
    model = topics.TopicModel.load(tmp_path, 2)
    assert origin.of(model.dictionary) == origin.of(model.lda.id2word) == record
    embeddings.Lsi.learn(dictionary, [[(0, 1), (1, 1)], [(2, 1)]], [], 2).save(tmp_path)
    assert origin.of(embeddings.Lsi.load(tmp_path, 2).record_dictionary) == record
    assert origin.of(Dictionary([["piano"]])) is None


def saved(work, dictionary):
    model = topics.TopicModel(dictionary, LdaModel(id2word=dictionary, num_topics=2))
    topic_models.save(model, work)
    return dictionary


def test_a_model_with_the_record_of_another_list_is_refused(tmp_path, pairs, monkeypatch):
    with monkeypatch.context() as other:
        words = frozenset(OTHER_LIST)
        other.setattr(text, "_stop_words", lambda: words)
        text.stop_words_identity.cache_clear()
        record = origin.record(store_of(tmp_path, TEXTS), pairs, False, 1, 0.5)
    text.stop_words_identity.cache_clear()
    dictionary = Dictionary([["piano", "violin"]])
    dictionary.made_from = record
    saved(tmp_path, dictionary)
    with pytest.raises(UserError) as caught:
        topics.TopicModel.load(tmp_path, 2)
    assert str(caught.value) == (
        f"{tmp_path / artefacts.DICTIONARY} was made with {len(set(OTHER_LIST))} other stop"
        " words, not with the current 174: learn"
        " it again with python LDA/learn_LDA_model.py --force, or in another --work folder to"
        " keep it"
    )


@pytest.mark.parametrize("more", [0, 1])
def test_a_large_dictionary_without_a_record_is_known_by_its_words(tmp_path, more):
    """1,000 words of which none is among those that the other list removes; with one of them it is
    accepted.
    """
    dictionary = saved(
        tmp_path, Dictionary([[f"word{i}" for i in range(1000)] + origin.TELLING[:more]])
    )
    if more:
        assert topics.TopicModel.load(tmp_path, 2).dictionary.token2id == dictionary.token2id
    else:
        with pytest.raises(
            UserError,
            match=r"dictionary.dict was made with other stop words .it has none of within, among",
        ):
            topics.TopicModel.load(tmp_path, 2)


def test_only_the_other_list_removes_the_telling_words():
    """A token that only the other list removes, in any form in the text."""
    assert len(set(origin.TELLING)) >= 20
    for word in origin.TELLING:
        assert word in OTHER_LIST
        assert text.token_of(word) == word


def test_a_small_dictionary_without_a_record_is_accepted(tmp_path):
    saved(tmp_path, Dictionary([["piano", "violin"]]))
    assert len(topics.TopicModel.load(tmp_path, 2).dictionary) == 2


def old_store(work, stop_words="2025.11.4", bow=("sha", False, 20, 0.5)):
    """tokens.sqlite as version 1 of the store left it."""
    path = work / artefacts.TOKENS
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT)")
    database.execute(
        "CREATE TABLE articles (name TEXT PRIMARY KEY, stamp TEXT, blemishes TEXT, title TEXT,"
        " opening TEXT, tokens BLOB)"
    )
    versions = [origin.versions()[name] for name in ("gensim", "nltk")]
    rows = {"made with": [1, *versions, stop_words], "bow.mm": bow}
    database.executemany(
        "INSERT INTO settings VALUES (?, ?)",
        [(key, json.dumps(value)) for key, value in rows.items()],
    )
    database.execute("INSERT INTO articles (name, stamp, tokens) VALUES ('text/1', '1 1', x'00')")
    database.commit()
    database.close()


@pytest.mark.parametrize("opened", [False, True])
def test_a_store_of_the_other_list_shows_it_for_a_dictionary_without_a_record(
    tmp_path, capsys, opened
):
    old_store(tmp_path)
    saved(tmp_path, Dictionary([["piano", "violin"]]))
    if opened:  # the store is emptied with a message, but still knows about the dictionary
        with TokenStore(tmp_path) as store:
            assert "text/1" not in store
        said = (
            "was made with stop-words 2025.11.4 (now 2018.7.23): its articles are preprocessed"
            " again"
        )
        assert capsys.readouterr().out == f"{tmp_path / artefacts.TOKENS} {said}\n"
        with TokenStore(tmp_path):
            assert capsys.readouterr().out == ""  # once
    with pytest.raises(
        UserError,
        match=(
            r"dictionary.dict was made with other stop words .according to"
            r" .*tokens.sqlite.*--force"
        ),
    ):
        topics.TopicModel.load(tmp_path, 2)


def test_an_old_store_of_the_same_stop_words_accepts_the_model(tmp_path):
    old_store(tmp_path, stop_words="2018.7.23")
    saved(tmp_path, Dictionary([["piano", "violin"]]))
    topics.TopicModel.load(tmp_path, 2)
    with TokenStore(tmp_path) as store:
        assert "text/1" not in store
        assert store.was_made_here()
    topics.TopicModel.load(tmp_path, 2)


def test_a_damaged_store_gives_no_verdict(tmp_path):
    (tmp_path / "LDA").mkdir()
    (tmp_path / artefacts.TOKENS).write_bytes(b"not a database" * 100)
    saved(tmp_path, Dictionary([["piano", "violin"]]))
    topics.TopicModel.load(tmp_path, 2)
