"""The tokens of all articles, on the disk: preprocessing is the dear part, and is done once for every article.

A SQLite database, ``LDA/tokens.sqlite`` below the work folder.  It is a store, not a contract: whoever deletes it loses time.
A run that is killed finds there what it had done, and an article that has changed since is preprocessed anew.
"""

import contextlib
import importlib.metadata
import itertools
import json
import sqlite3
import time
import zlib
from pathlib import Path

from texttopicnet import artefacts, parallel, text

VERSION = 1  # of the preprocessing and of this file: raise it when either changes
LIBRARIES = ("gensim", "nltk", "stop-words")  # whose data and code decide about tokens
GROUP = 1 << 20  # bytes of articles that a process gets at once, about
COMMIT = 2.0  # seconds between two commits: what a killed run loses
PATIENCE = 60  # seconds that are waited for another run's transaction
PAGE = "page of"  # so begins the stamp of an article that lies in no file of its own


def packed(tokens):
    """Tokens as the store keeps them: bytes."""
    return zlib.compress(" ".join(tokens).encode("ascii"), 1)


def unpacked(data):
    """Inverse of `packed`."""
    return zlib.decompress(data).decode("ascii").split()


def _examine(articles):
    """[(name, stamp, packed tokens, blemishes)] of [(name, stamp, bytes)]."""
    rows = []
    for name, stamp, data in articles:
        tokens, blemishes = text.examine(data)
        rows.append((name, stamp, packed(tokens), blemishes))
    return rows


class TokenStore:
    """Tokens by article name.

    Parameters
    ----------
    work : str or Path
        The work folder; the store is made there if it is missing.

    Raises
    ------
    UserError
        The file is no such store, or damaged.
    """

    def __init__(self, work):
        self.path = Path(work) / artefacts.TOKENS
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made_with = [VERSION, *map(importlib.metadata.version, LIBRARIES)]
        with self._checked():
            # gensim reads its corpora in a thread, while the main one waits
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, check_same_thread=False)
            self._database.execute("CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT)")
            if self.setting("made with") != made_with:
                self._database.execute("DROP TABLE IF EXISTS articles")
                self._database.execute(
                    "CREATE TABLE articles"
                    " (name TEXT PRIMARY KEY, stamp TEXT, blemishes TEXT, title TEXT, opening TEXT, tokens BLOB)"
                )
                self.set("made with", made_with)
            self._database.commit()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._database.commit()
        self._database.close()

    @contextlib.contextmanager
    def _checked(self):
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, disk full, not to be opened
            raise artefacts.UserError(f"{self.path}: {error}; is another run at work there, or the disk full?") from error
        except sqlite3.DatabaseError as error:
            raise artefacts.UserError(f"{self.path} is damaged ({error}): delete it, it is made anew") from error

    # ------------------------------------------------------------------------------------------------------ settings
    def setting(self, key):
        """What `set` was given for `key`; None if nothing."""
        row = self._database.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return row and json.loads(row[0])

    def set(self, key, value):
        """Remember a JSON value, e.g. what an artefact was made from."""
        with self._checked():
            self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))
            self._database.commit()

    # ------------------------------------------------------------------------------------------------------- filling
    def stamp(self, name):
        """What the stored article was made from: size and time of its file, or `PAGE` and its dump; None if not stored."""
        row = self._database.execute("SELECT stamp FROM articles WHERE name = ?", (name,)).fetchone()
        return row and row[0]

    def _missing(self, names, folder, found):
        """(name, stamp, bytes) of the articles that are not stored, or have changed; `found` is called once an article."""
        for name in names:
            found()
            stamp = self.stamp(name)
            if stamp and stamp.startswith(PAGE):
                continue
            path = folder / name
            try:
                status = path.stat()
                current = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:
                current = None  # reading says what is wrong
            if current is None or stamp != current:
                yield name, current, text.read_bytes(path)

    def fill(self, names, folder, workers=1, executor=None, found=lambda: None):
        """Preprocess the article files that are not stored yet, or have changed since.

        Parameters
        ----------
        names : iterable of str
            Paths below `folder`.
        folder : Path
        workers : int
        executor : see `parallel.executor`, optional
        found : callable
            Called once an article, for a progress bar.

        Returns
        -------
        int
            Number of articles that were preprocessed.

        Raises
        ------
        UserError
            An article is neither stored nor can be read.
        """
        text.check_wordnet()
        groups = _by_size(self._missing(names, folder, found))
        return self.keep(itertools.chain.from_iterable(parallel.ordered_map(_examine, groups, workers, executor=executor)))

    def keep(self, rows):
        """Store (name, stamp, packed tokens, blemishes[, title, opening]); returns how many; commits as it goes."""
        count, last = 0, time.monotonic()
        with self._checked():
            try:
                for name, stamp, tokens, blemishes, *about in rows:
                    blemishes = json.dumps(blemishes) if blemishes else None
                    row = name, stamp, blemishes, *(about or (None, None)), tokens  # what is long comes last, as SQLite wants it
                    self._database.execute("INSERT OR REPLACE INTO articles VALUES (?, ?, ?, ?, ?, ?)", row)
                    count += 1
                    if time.monotonic() - last > COMMIT:
                        self._database.commit()
                        last = time.monotonic()
            finally:  # what was done is kept, whatever stopped it
                self._database.commit()
        return count

    # ------------------------------------------------------------------------------------------------------- reading
    def _column(self, column, name):
        with self._checked():
            return self._database.execute(f"SELECT {column} FROM articles WHERE name = ?", (name,)).fetchone()

    def __contains__(self, name):
        return self._column("1", name) is not None

    def packed(self, name):
        """Tokens of a stored article as `unpacked` takes them: bytes; KeyError if it is not stored."""
        row = self._column("tokens", name)
        if row is None:
            raise KeyError(name)
        return row[0]

    def tokens(self, name):
        """Tokens of a stored article: list of str; KeyError if it is not stored."""
        return unpacked(self.packed(name))

    def opening(self, name):
        """(title, first words) of a page of a dump, (None, None) of an article that lies in a file of its own."""
        return self._column("title, opening", name) or (None, None)

    def blemishes(self, names):
        """{blemish: (number of articles, the first of them)} among the articles named."""
        found = {}
        for name in names:
            row = self._column("blemishes", name)
            for blemish in json.loads(row[0]) if row and row[0] else ():
                count, first = found.get(blemish, (0, name))
                found[blemish] = count + 1, first
        return found


class Texts:
    """Token lists of stored articles, to be gone through as often as one likes.

    Parameters
    ----------
    store : TokenStore
    names : callable
        Returns an iterable of the articles' names.
    """

    def __init__(self, store, names):
        self.store, self.names = store, names

    def __iter__(self):
        return map(self.store.tokens, self.names())


def _by_size(articles):
    """Lists of articles of about GROUP bytes."""
    group, size = [], 0
    for article in articles:
        group.append(article)
        size += len(article[2])
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
