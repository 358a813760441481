"""Tokens on the disk: each article is preprocessed once, and again when its file has changed."""

import os
import signal
import sqlite3
import subprocess
import sys
import zlib

import pytest

from texttopicnet import artefacts, article_files, token_rows, token_store
from texttopicnet.article_files import store_articles
from texttopicnet.errors import UserError
from texttopicnet.token_rows import Row
from texttopicnet.token_store import Texts, TokenStore

ARTICLES = {
    "text/a": "The pianos and the violin",
    "text/b": "harbour {{castle}}",
    "text/c": "the and",
    "text/d": "geese",
}
TOKENS = [["piano", "violin"], ["harbour"], [], ["goose"]]


@pytest.fixture
def collection(tmp_path):
    for name, raw in ARTICLES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(raw)
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_stored_tokens_are_those_of_the_preprocessing(collection, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(article_files, "GROUP", 30)
    found = []
    with TokenStore(tmp_path / "work") as store:
        assert (
            store_articles(
                store, iter(ARTICLES), collection, workers, found=lambda: found.append(1)
            )
            == 4
            == len(found)
        )
        assert [store.tokens(name) for name in ARTICLES] == TOKENS
    with TokenStore(tmp_path / "work") as store:
        texts = Texts(store, lambda: iter(ARTICLES))
        assert list(texts) == TOKENS == list(texts)
        assert "text/a" in store
        assert "text/x" not in store
        with pytest.raises(KeyError, match="text/x"):
            store.tokens("text/x")


def test_an_article_is_preprocessed_once_until_it_changes(collection, tmp_path):
    with TokenStore(tmp_path / "work") as store:
        store_articles(store, ARTICLES, collection)
        assert store_articles(store, ARTICLES, collection) == 0
        (collection / "text/b").write_text("glaciers and more")
        assert store_articles(store, ARTICLES, collection) == 1
        assert store.tokens("text/b") == ["glacier"]
        (collection / "text/a").unlink()
        with pytest.raises(UserError, match=r"text/a: cannot be read .No such file"):
            store_articles(store, ARTICLES, collection)


def test_a_page_of_a_dump_needs_no_file(tmp_path):
    stamp = token_rows.page_stamp("Piano", "The piano is a piano")
    with TokenStore(tmp_path) as store:
        tokens = token_rows.packed(["piano"])
        assert store.keep([Row("12", stamp, tokens, [], "Piano", "The piano is")]) == 1
        assert store_articles(store, ["12"], tmp_path) == 0
        assert store.tokens("12") == ["piano"]
        assert store.stamp("12") == stamp
        assert store.opening("12") == ("Piano", "The piano is")
        with pytest.raises(
            UserError, match="the page 13 is missing or damaged: read the dump again"
        ):
            store_articles(store, ["12", "13"], tmp_path)


def test_blemishes_are_counted_and_the_first_is_named(collection, tmp_path):
    (collection / "text/e").write_bytes(b"caf\xe9")
    (collection / "text/f").write_bytes(b"\xff")
    names = [*ARTICLES, "text/e", "text/f"]
    with TokenStore(tmp_path / "work") as store:
        store_articles(store, names, collection)
        assert store.blemishes(names) == {
            ("article", "empty after preprocessing"): (2, "text/c"),
            ("article", "not UTF-8"): (2, "text/e"),
        }
        assert store.blemishes(["text/a"]) == {}


def test_settings_are_remembered(tmp_path):
    with TokenStore(tmp_path) as store:
        assert store.setting("bow") is None
        store.set("bow", ["sha", 20, 0.5])
    with TokenStore(tmp_path) as store:
        assert store.setting("bow") == ["sha", 20, 0.5]
        store.set("bow", None)
        assert store.setting("bow") is None


def test_tokens_of_another_preprocessing_are_dropped(collection, tmp_path, monkeypatch):
    with TokenStore(tmp_path / "work") as store:
        store_articles(store, ARTICLES, collection)
    monkeypatch.setattr(token_store, "VERSION", -1)
    with TokenStore(tmp_path / "work") as store:
        assert "text/a" not in store
        assert store_articles(store, ARTICLES, collection) == 4


def test_tokens_of_other_stop_words_are_dropped_with_a_sentence(
    collection, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as other:
        other.setattr(token_store.text, "_stop_words", lambda: frozenset(["piano", "and"]))
        token_store.text.stop_words_identity.cache_clear()
        with TokenStore(tmp_path / "work") as store:
            store_articles(store, ARTICLES, collection)
    token_store.text.stop_words_identity.cache_clear()
    with TokenStore(tmp_path / "work") as store:
        assert store_articles(store, ARTICLES, collection) == 4
    said = "was made with 2 other stop words (now 174): its articles are preprocessed again"
    assert capsys.readouterr().out == f"{tmp_path / 'work' / artefacts.TOKENS} {said}\n"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tokens", b"not zlib"),
        ("tokens", zlib.compress("caf\xe9".encode())),
        ("tokens", token_rows.packed(["violin"] * 50)[:-4]),
        ("tokens", None),
        ("tokens", "text"),
        ("tokens", 7),
        ("blemishes", "[" * 200_000),
        ("blemishes", '{"a": 1}'),
        ("blemishes", b"\xff"),
        ("title", b"7"),
        ("opening", b"\0"),
        ("stamp", None),
        ("stamp", b"1 2 3"),
        ("CAST(x'ff' AS TEXT)", None),
    ],
)
def test_a_damaged_entry_is_rebuilt_and_counted(collection, tmp_path, capsys, column, value):
    with TokenStore(tmp_path) as store:
        store_articles(store, ARTICLES, collection)
    with sqlite3.connect(tmp_path / artefacts.TOKENS) as database:
        if column.startswith("CAST"):  # bytes that are not UTF-8, as text
            database.execute(f"UPDATE articles SET tokens = {column} WHERE name = 'text/b'")
        else:
            database.execute(f"UPDATE articles SET {column} = ? WHERE name = 'text/b'", (value,))
    database.close()
    with TokenStore(tmp_path) as store:
        assert store_articles(store, ARTICLES, collection) == 1
        assert [store.tokens(name) for name in ARTICLES] == TOKENS
        assert store.blemishes(ARTICLES).keys() == {("article", "empty after preprocessing")}
    assert capsys.readouterr().out == (
        f"{tmp_path / artefacts.TOKENS}: 1 damaged entry was rebuilt: text/b\n"
    )


def test_a_damaged_entry_is_one_sentence_where_nothing_is_filled(collection, tmp_path):
    with TokenStore(tmp_path) as store:
        store_articles(store, ARTICLES, collection)
        store._database.execute("UPDATE articles SET tokens = x'00'")
        with pytest.raises(
            UserError, match=r"LDA/tokens.sqlite holds a damaged entry .*: delete the file"
        ):
            store.tokens("text/a")


@pytest.mark.parametrize("value", ["[" * 200_000, "x", b"\xff"])
def test_a_damaged_setting_is_one_sentence(tmp_path, value):
    with TokenStore(tmp_path) as store:
        store._database.execute("INSERT INTO settings VALUES ('bow.mm', ?)", (value,))
        with pytest.raises(
            UserError, match=r"tokens.sqlite is damaged .*: delete it, and it is rebuilt"
        ):
            store.setting("bow.mm")


def test_a_store_that_lacks_its_table_is_damaged(tmp_path):
    with TokenStore(tmp_path) as store:
        store._database.execute("DROP TABLE articles")
        with pytest.raises(
            UserError, match=r"tokens.sqlite is damaged .no such table: articles.: delete it"
        ):
            store.tokens("text/a")


def test_a_fifo_instead_of_an_article_is_one_sentence(collection, tmp_path):
    os.mkfifo(collection / "text/f")
    with (
        TokenStore(tmp_path / "work") as store,
        pytest.raises(UserError, match=r"text/f: cannot be read .not a regular file."),
    ):
        store_articles(store, ["text/a", "text/f"], collection)


def test_a_file_that_is_not_a_store_is_named(tmp_path):
    path = tmp_path / artefacts.TOKENS
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(
        UserError,
        match=r"tokens.sqlite is damaged .file is not a database.: delete it, and it is rebuilt",
    ):
        TokenStore(tmp_path)


def test_a_store_that_another_run_writes_to_is_named(tmp_path, monkeypatch):
    TokenStore(tmp_path)
    other = sqlite3.connect(tmp_path / artefacts.TOKENS)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(token_store, "PATIENCE", 0.1)
    with pytest.raises(
        UserError, match=r"tokens.sqlite: database is locked; is another run using it"
    ):
        TokenStore(tmp_path)


KILLED = """
import os, signal, sys
from texttopicnet import article_files, text, token_store
token_store.COMMIT, article_files.GROUP = 0, 1
examine = text.examine
def examine_or_die(data):
    if data == b"geese":
        os.kill(os.getpid(), signal.SIGKILL)
    return examine(data)
text.examine = examine_or_die
with token_store.TokenStore(sys.argv[2]) as store:
    article_files.store_articles(store, ["text/a", "text/b", "text/c", "text/d"], sys.argv[1])
"""


def test_a_killed_run_keeps_what_it_had_done(collection, tmp_path):
    command = [sys.executable, "-c", KILLED, str(collection), str(tmp_path / "work")]
    assert subprocess.run(command, cwd=artefacts.ROOT).returncode == -signal.SIGKILL
    with TokenStore(tmp_path / "work") as store:
        assert [name in store for name in ARTICLES] == [True, True, True, False]
        assert store_articles(store, ARTICLES, collection) == 1
        assert [store.tokens(name) for name in ARTICLES] == TOKENS


def test_an_error_keeps_what_was_done(collection, tmp_path, monkeypatch):
    monkeypatch.setattr(article_files, "GROUP", 1)
    (collection / "text/c").unlink()
    with TokenStore(tmp_path / "work") as store, pytest.raises(UserError, match="text/c"):
        store_articles(store, ARTICLES, collection)
    with TokenStore(tmp_path / "work") as store:
        assert [name in store for name in ARTICLES] == [True, True, False, False]


def test_packing_loses_nothing():
    for tokens in ([], ["piano"], ["abc"] * 10_000):
        assert token_rows.unpacked(token_rows.packed(tokens)) == tokens
