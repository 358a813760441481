"""The tokens of all articles, on the disk: preprocessing is expensive, so each article is
preprocessed once.

A SQLite database, ``LDA/tokens.sqlite`` below the work folder.  It is a cache: deleting it costs
time and nothing else, except that stage 1 has to read a dump's pages again.  A run that was killed
continues from what it had stored.

Each article has a stamp that says what its tokens were made from: size and times of its file, or
the digest of a dump's page. An entry whose stamp is another one, or whose tokens are damaged, is
not used: the article is preprocessed again.  Pages of a dump are used only while the store holds
one dump as a whole (`begin_dump`, `end_dump`).
"""

import contextlib
import hashlib
import itertools
import json
import sqlite3
import time
import zlib
from pathlib import Path

from texttopicnet import artefacts, errors, files, origin, parallel, text
from texttopicnet.errors import UserError

VERSION = 2  # of the preprocessing and of this file: raise it when either changes
GROUP = 1 << 20  # bytes of articles that a process gets at once, about
COMMIT = 2.0  # seconds between two commits: what a killed run loses
PATIENCE = 60  # seconds to wait for another run's transaction
PAGE = "page "  # the stamp of a dump's page begins so; such an article has no file of its own
FROM_DUMP = "python LDA/generate_train_dict.py --dump FILE --images FILE --force"


def packed(tokens):
    """Tokens as the store keeps them: bytes."""
    return zlib.compress(" ".join(tokens).encode("ascii"), 1)


def unpacked(data):
    """Inverse of `packed`; UserError for bytes that are not packed tokens."""
    try:
        return zlib.decompress(data).decode("ascii").split()
    except (zlib.error, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{artefacts.TOKENS} holds a damaged entry ({error}): delete the file, and the articles are preprocessed again;"
            f" pages of a dump are read again with {FROM_DUMP}"
        ) from error


def page_stamp(title, markup):
    """The stamp of a dump's page: another text, another stamp."""
    return PAGE + hashlib.sha256(f"{title}\0{markup}".encode("utf-8", "surrogatepass")).hexdigest()


def file_stamp(status):
    """The stamp of an article's file, given what os.stat says of it.

    The change time moves even where somebody sets the modification time back.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


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
        The file is not such a store, or it is damaged.
    """

    def __init__(self, work):
        self.path = Path(work) / artefacts.TOKENS
        with errors.writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._checked():
            # gensim reads its corpora in a thread, while the main one waits
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, check_same_thread=False)
            self._database.text_factory = lambda data: data.decode(
                "utf-8", "replace"
            )  # a damaged text must not raise
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT)"
            )
            self._drop_other_tokens()
            self._database.commit()

    def _drop_other_tokens(self):
        """Empty the store, and say so, if its tokens were made by another preprocessing."""
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
                f"{self.path} was made with {_difference(before, now)}: its articles are preprocessed again"
            )
            if self.setting("bow.mm"):
                self.set("bow.mm", None)
                self.set(origin.OTHER_WORDS, not origin.same_words(before))
        self._database.execute("DROP TABLE IF EXISTS articles")
        self._database.execute(
            "CREATE TABLE articles (name TEXT PRIMARY KEY, stamp TEXT, blemishes TEXT, title TEXT, opening TEXT, tokens BLOB)"
        )
        self.set("made with", now)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            with self._checked():
                self._database.commit()
        self._database.close()  # after an error: `keep` has committed what was done

    @contextlib.contextmanager
    def _checked(self):
        try:
            yield
        except sqlite3.DatabaseError as error:
            about = str(error)
            if isinstance(error, sqlite3.OperationalError) and not about.startswith(
                ("no such ", "table ")
            ):
                raise UserError(
                    f"{self.path}: {error}; is another run at work there, or the disk full?"
                ) from error
            raise UserError(
                f"{self.path} is damaged ({error}): delete it, and it is made again"
            ) from error

    def _json(self, value):
        """A JSON column's value; None for NULL."""
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError, TypeError) as error:
            raise UserError(
                f"{self.path} is damaged ({error}): delete it, and it is made again"
            ) from error

    # ------------------------------------------------------------------------------------------------------ settings
    def setting(self, key):
        """What `set` was given for `key`; None if nothing."""
        with self._checked():
            row = self._database.execute(
                "SELECT value FROM settings WHERE key = ?", (key,)
            ).fetchone()
        return self._json(row[0]) if row else None

    def set(self, key, value):
        """Remember a JSON value, e.g. what an artefact was made from."""
        with self._checked():
            self._database.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value))
            )
            self._database.commit()

    def was_made_here(self):
        """Whether this or an earlier version of the project made the dictionary beside the store."""
        return bool(self.setting("bow.mm")) or self.setting(origin.OTHER_WORDS) is not None

    # ------------------------------------------------------------------------------------------------------- filling
    def stamp(self, name):
        """What the stored article was made from: `file_stamp` or `page_stamp`; None if it is not
        stored, or damaged.
        """
        with self._checked():
            row = self._database.execute(
                "SELECT stamp, blemishes, title, opening, tokens FROM articles WHERE name = ?",
                (name,),
            ).fetchone()
        return row[0] if row and _is_sound(*row) else None

    def _missing(self, names, folder, found, repaired):
        """(name, stamp, bytes) of the articles that are not stored, or have changed; `found` is
        called once an article.
        """
        usable = not self.setting("dump is incomplete")
        for name in names:
            found()
            stamp = self.stamp(name)
            is_page = stamp is not None and stamp.startswith(PAGE)
            if is_page and usable:
                continue
            try:
                path = Path(folder) / files.find_article(folder, name)
                current = file_stamp(files.check_regular(path))
            except files.Unusable as error:
                if is_page or (name.isdecimal() and error.is_missing):
                    why = (
                        "of a dump that was not read to its end"
                        if is_page
                        else "not stored, or damaged"
                    )
                    raise UserError(
                        f"{self.path}: the page {name} is {why}: read the dump again with {FROM_DUMP}"
                    ) from error
                raise
            if stamp != current:
                data = files.read(path)
                if stamp is None and name in self:
                    repaired.append(name)
                yield name, current, data

    def fill(self, names, folder, workers=1, executor=None, found=lambda: None):
        """Preprocess the article files that are not stored yet, have changed since, or whose entry
        is damaged.

        Parameters
        ----------
        names : iterable of str
            Paths below `folder`; `text/` and `_text/` are one folder (`files.find_article`).
        folder : Path
        workers : int
        executor : see `parallel.executor`, optional
        found : callable
            Called once per article, for a progress bar.

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
        repaired = []
        groups = _by_size(self._missing(names, folder, found, repaired))
        count = self.keep(
            itertools.chain.from_iterable(
                parallel.ordered_map(_examine, groups, workers, executor=executor)
            )
        )
        if repaired:
            print(
                f"{self.path}: {len(repaired)} damaged entries were made again; the first is {repaired[0]}"
            )
        return count

    # ------------------------------------------------------------------------------------------------------ of a dump
    def begin_dump(self):
        """Start to read a dump: until `end_dump`, no page is used, since the store may hold pages
        of two dumps.
        """
        self.set("dump is incomplete", True)
        with self._checked():
            self._database.execute("CREATE TEMP TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY)")
            self._database.execute("DELETE FROM seen")

    def saw_page(self, name):
        """The dump holds this page, as it is stored."""
        with self._checked():
            self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (name,))

    def keep_pages(self, rows):
        """`keep` pages of the dump that is being read."""

        def noted():
            for row in rows:
                self.saw_page(row[0])
                yield row

        return self.keep(noted())

    def forget_other_pages(self):
        """Delete the pages that this dump does not hold: they are of another one."""
        with self._checked():
            self._database.execute(
                "DELETE FROM articles WHERE substr(stamp, 1, ?) = ? AND name NOT IN (SELECT name FROM seen)",
                (len(PAGE), PAGE),
            )
            self._database.commit()

    def end_dump(self):
        """The store holds the pages of one dump, and the train dict that was made of it is written."""
        self.set("dump is incomplete", None)

    def keep(self, rows):
        """Store (name, stamp, packed tokens, blemishes[, title, opening]); returns how many;
        commits as it goes.
        """
        count, last = 0, time.monotonic()
        with self._checked():
            try:
                for name, stamp, tokens, blemishes, *about in rows:
                    blemishes = json.dumps(blemishes) if blemishes else None
                    row = (
                        name,
                        stamp,
                        blemishes,
                        *(about or (None, None)),
                        tokens,
                    )  # what is long comes last, as SQLite wants it
                    self._database.execute(
                        "INSERT OR REPLACE INTO articles VALUES (?, ?, ?, ?, ?, ?)", row
                    )
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
            return self._database.execute(
                f"SELECT {column} FROM articles WHERE name = ?", (name,)
            ).fetchone()

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
        """(title, first words) of a page of a dump, (None, None) of an article that lies in a file
        of its own.
        """
        return self._column("title, opening", name) or (None, None)

    def blemishes(self, names):
        """{blemish: (number of articles, the first of them)} among the articles named."""
        found = {}
        for name in names:
            row = self._column("blemishes", name)
            for blemish in self._json(row[0] if row else None) or ():
                count, first = found.get(blemish, (0, name))
                found[blemish] = count + 1, first
        return found


class Texts:
    """Token lists of stored articles, which can be read any number of times.

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


def _is_sound(stamp, blemishes, title, opening, tokens):
    """Whether a row holds what `keep` writes."""
    try:
        zlib.decompress(tokens).decode("ascii")
        about = [] if blemishes is None else json.loads(blemishes)
        return isinstance(about, list) and all(
            part is None or isinstance(part, str) for part in (stamp, title, opening, *about)
        )
    except (zlib.error, TypeError, ValueError, RecursionError):
        return False


def _difference(before, now):
    """What a store was made with, where that is not what is used now, for a message."""
    if isinstance(before, list):  # of version 1 of this file
        before = {"libraries": dict(zip(origin.LIBRARIES, before[1:], strict=False))}
    before = before if isinstance(before, dict) else {}
    libraries, words = before.get("libraries"), before.get("stop words")
    changed = []
    if isinstance(libraries, dict):
        rows = ((name, libraries.get(name), number) for name, number in now["libraries"].items())
        changed += [f"{name} {old} (now {number})" for name, old, number in rows if old != number]
    if isinstance(words, dict) and words != now["stop words"]:
        changed.append(f"{words.get('count')} other stop words (now {now['stop words']['count']})")
    return " and ".join(changed) or "another version of this project"


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
