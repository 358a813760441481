"""The tokens of all articles, on the disk: preprocessing is expensive, so it is done once.

A SQLite database, ``LDA/tokens.sqlite`` below the work folder.  It is a cache: deleting it costs
time and nothing else, except that stage 1 has to read a dump's pages, or the texts in a list of
pairs, again.  After a killed run, the next one continues from what was stored.

Each article has a stamp that says what its tokens were made from (`token_rows`).  If the stamp
differs or the tokens are damaged, the article is preprocessed again.  Pages of a dump are used only
while the store holds one whole dump (`begin_dump`, `end_dump`); the same goes for the texts of a
list.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from texttopicnet import artefacts, errors, origin, text
from texttopicnet.counts import Tally
from texttopicnet.errors import UserError
from texttopicnet.token_rows import PAGE, Row, is_sound, unpacked

VERSION = 2  # of the preprocessing and of this file: raise it when either changes
COMMIT = 2.0  # seconds between two commits: the most that a killed run loses
PATIENCE = 60  # seconds to wait for another run's transaction


class TokenStore:
    """Tokens by article name.

    Parameters
    ----------
    work : str or Path
        The work folder; the store is made there if it is missing.

    Raises
    ------
    UserError
        The file is not a token store, or it is damaged.
    """

    def __init__(self, work: Path | str) -> None:
        self.path = Path(work) / artefacts.TOKENS
        with errors.writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._checked():
            # gensim reads its corpora in a thread while the main thread waits
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, check_same_thread=False)
            # a damaged text must not raise
            self._database.text_factory = lambda data: data.decode("utf-8", "replace")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT)"
            )
            self._drop_other_tokens()
            self._database.commit()

    def _drop_other_tokens(self) -> None:
        """Empty the store, and print a line, if its tokens were made by another preprocessing."""
        now = {
            "version": VERSION,
            "libraries": origin.versions(),
            "stop words": text.stop_words_identity(),
        }
        before = self.setting("made with")
        if before == now:
            return
        if before is not None:
            print(
                f"{self.path} was made with {origin.difference(before, now)}: its articles are"
                " preprocessed again"
            )
            if self.setting("bow.mm"):
                self.set("bow.mm", None)
                self.set(origin.OTHER_WORDS, not origin.same_words(before))
        self._database.execute("DROP TABLE IF EXISTS articles")
        self._database.execute(
            "CREATE TABLE articles (name TEXT PRIMARY KEY, stamp TEXT, blemishes TEXT, title TEXT,"
            " opening TEXT, tokens BLOB)"
        )
        self.set("made with", now)

    def __enter__(self) -> "TokenStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            with self._checked():
                self._database.commit()
        self._database.close()  # after an error: `keep` has committed what was done

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            about = str(error)
            if isinstance(error, sqlite3.OperationalError) and not about.startswith(
                ("no such ", "table ")
            ):
                raise UserError(
                    f"{self.path}: {error}; is another run using it, or is the disk full?"
                ) from error
            raise UserError(
                f"{self.path} is damaged ({error}): delete it, and it is rebuilt"
            ) from error

    def _json(self, value: str | None) -> Any:
        """The value of a JSON column; None for NULL."""
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError, TypeError) as error:
            raise UserError(
                f"{self.path} is damaged ({error}): delete it, and it is rebuilt"
            ) from error

    # --------------------------------------------------------------------------------- settings
    def setting(self, key: str) -> Any:
        """The value that was `set` for `key`; None if there is none."""
        with self._checked():
            row = self._database.execute(
                "SELECT value FROM settings WHERE key = ?", (key,)
            ).fetchone()
        return self._json(row[0]) if row else None

    def set(self, key: str, value: Any) -> None:
        """Store a JSON value, e.g. what an artefact was made from."""
        with self._checked():
            self._database.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value))
            )
            self._database.commit()

    def was_made_here(self) -> bool:
        """Whether some version of this project made the dictionary beside the store."""
        return bool(self.setting("bow.mm")) or self.setting(origin.OTHER_WORDS) is not None

    # ---------------------------------------------------------------------------------- writing
    def stamp(self, name: str) -> str | None:
        """The stamp of a stored article; None if it is missing or damaged."""
        with self._checked():
            row = self._database.execute(
                "SELECT stamp, blemishes, title, opening, tokens FROM articles WHERE name = ?",
                (name,),
            ).fetchone()
        return row[0] if row and is_sound(*row) else None

    def keep(self, rows: Iterable[Row]) -> int:
        """Store rows, committing every few seconds; returns how many."""
        count, last = 0, time.monotonic()
        with self._checked():
            try:
                for row in rows:
                    blemishes = json.dumps(row.blemishes) if row.blemishes else None
                    # SQLite reads rows fastest if the long column comes last
                    self._database.execute(
                        "INSERT OR REPLACE INTO articles VALUES (?, ?, ?, ?, ?, ?)",
                        (row.name, row.stamp, blemishes, row.title, row.opening, row.tokens),
                    )
                    count += 1
                    if time.monotonic() - last > COMMIT:
                        self._database.commit()
                        last = time.monotonic()
            finally:  # what is done is kept, however the loop ends
                self._database.commit()
        return count

    # ---------------------------------------------------------------------------- pages of a dump
    def begin_dump(self) -> None:
        """Begin to read a dump.  Until `end_dump`, no page is used, because the store may hold
        pages of two dumps.
        """
        self.set("dump is incomplete", True)
        with self._checked():
            self._database.execute("CREATE TEMP TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY)")
            self._database.execute("DELETE FROM seen")

    def saw_page(self, name: str) -> None:
        """Note that the dump holds the stored version of this page."""
        with self._checked():
            self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,))

    def keep_pages(self, rows: Iterable[Row]) -> int:
        """`keep` pages of the dump that is being read."""

        def noted() -> Iterator[Row]:
            for row in rows:
                self.saw_page(row.name)
                yield row

        return self.keep(noted())

    def forget_other_pages(self) -> None:
        """Delete the pages that this dump does not hold; they come from another one."""
        with self._checked():
            self._database.execute(
                "DELETE FROM articles"
                " WHERE substr(stamp, 1, ?) = ? AND name NOT IN (SELECT name FROM seen)",
                (len(PAGE), PAGE),
            )
            self._database.commit()

    def end_dump(self) -> None:
        """Note that the store holds one whole dump, whose train dict is written."""
        self.set("dump is incomplete", None)

    # ---------------------------------------------------------------------------------- reading
    def _column(self, column: str, name: str) -> tuple | None:
        with self._checked():
            return self._database.execute(
                f"SELECT {column} FROM articles WHERE name = ?", (name,)
            ).fetchone()

    def __contains__(self, name: str) -> bool:
        return self._column("1", name) is not None

    def packed(self, name: str) -> bytes:
        """Tokens of a stored article, packed; KeyError if it is not stored."""
        row = self._column("tokens", name)
        if row is None:
            raise KeyError(name)
        return row[0]

    def tokens(self, name: str) -> list[str]:
        """Tokens of a stored article; KeyError if it is not stored."""
        return unpacked(self.packed(name))

    def opening(self, name: str) -> tuple[str | None, str | None]:
        """Title and first words of a dump's page; (None, None) for an article that has a file."""
        return self._column("title, opening", name) or (None, None)

    def blemishes(self, names: Iterable[str]) -> Tally:
        """The blemishes of the named articles."""
        found = Tally()
        for name in names:
            row = self._column("blemishes", name)
            for blemish in self._json(row[0] if row else None) or ():
                found.add(blemish, name, "article")
        return found


class Texts:
    """Token lists of stored articles, which can be read any number of times.

    Parameters
    ----------
    store : TokenStore
    names : callable
        Returns an iterable of the articles' names.
    """

    def __init__(self, store: TokenStore, names: Callable[[], Iterable[str]]) -> None:
        self.store, self.names = store, names

    def __iter__(self) -> Iterator[list[str]]:
        return map(self.store.tokens, self.names())
