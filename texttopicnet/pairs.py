"""The pairs of a train dict, image -> article, never all in memory.

They are in a temporary SQLite database that is deleted when the process ends; the train dict itself
is a JSON file.  Names are ordered by code points, as Python orders them.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from texttopicnet import files, json_files
from texttopicnet.errors import UserError

MADE_BY = "python LDA/generate_train_dict.py"


class Pairs:
    """Pairs of image and article.

    More can be added; they can be read in the order of the images or of the articles.
    """

    def __init__(self) -> None:
        # a file of SQLite's own, which is deleted when it is closed
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute(
            "CREATE TABLE pairs (number INTEGER PRIMARY KEY, image TEXT UNIQUE, article TEXT)"
        )

    @classmethod
    def load(cls, path: Path | str) -> "Pairs":
        """Read a train dict.

        Raises
        ------
        UserError
            The file is missing, not JSON or empty, or holds something other than names of files
            inside the collection.
        """
        pairs = cls()
        for image, article in json_files.stream(path, MADE_BY):
            for what, name in (("the image", image), ("the article of an image", article)):
                if wrong := files.name_error(name):
                    shown = (
                        files.printable(name)[:80] if isinstance(name, str) else type(name).__name__
                    )
                    raise UserError(
                        f"{path}: {what}, {shown}, is not a file of the collection ({wrong}):"
                        f" rebuild the file with {MADE_BY} --force"
                    )
            pairs.add(image, article)
        if not len(pairs):
            raise UserError(
                f"{path} holds no pairs of image and article: rebuild it with {MADE_BY} --force"
            )
        return pairs

    def add(self, image: str, article: str) -> None:
        """Add a pair; a second pair of an image replaces the first one, in its place."""
        self._database.execute(
            "INSERT INTO pairs (image, article) VALUES (?, ?)"
            " ON CONFLICT (image) DO UPDATE SET article = excluded.article",
            (image, article),
        )

    def __contains__(self, image: str) -> bool:
        row = self._database.execute("SELECT 1 FROM pairs WHERE image = ?", (image,)).fetchone()
        return row is not None

    def _number(self, what: str) -> int:
        return self._database.execute(f"SELECT count({what}) FROM pairs").fetchone()[0]

    def __len__(self) -> int:
        """Number of images."""
        return self._number("*")

    @property
    def num_articles(self) -> int:
        return self._number("DISTINCT article")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(image, article), in the order in which the images were added first."""
        return self._database.execute("SELECT image, article FROM pairs ORDER BY number")

    def sorted(self) -> Iterator[tuple[str, str]]:
        """(image, article), in the order of the images' names."""
        return self._database.execute("SELECT image, article FROM pairs ORDER BY image")

    def _index(self) -> None:
        self._database.execute("CREATE INDEX IF NOT EXISTS by_article ON pairs (article)")

    def has_article(self, article: str) -> bool:
        """Whether an image has this article."""
        self._index()
        return (
            self._database.execute("SELECT 1 FROM pairs WHERE article = ?", (article,)).fetchone()
            is not None
        )

    def articles(self) -> Iterator[tuple[str, int]]:
        """(article, number of its images), in the order of the articles' names."""
        self._index()
        return self._database.execute(
            "SELECT article, count(*) FROM pairs GROUP BY article ORDER BY article"
        )

    def images(self, article: str) -> list[str]:
        """The images of an article, in the order in which they were added first."""
        self._index()
        rows = self._database.execute(
            "SELECT image FROM pairs WHERE article = ? ORDER BY number", (article,)
        )
        return [image for (image,) in rows]

    def ranks(self) -> Iterator[tuple[str, int]]:
        """(image, the place of its article in `articles`), in the order in which the images were
        added first.
        """
        self._database.execute(
            "CREATE TEMP TABLE IF NOT EXISTS ranks (article TEXT PRIMARY KEY, rank INTEGER)"
        )
        self._database.execute("DELETE FROM ranks")
        self._database.executemany(
            "INSERT INTO ranks VALUES (?, ?)",
            ((article, rank) for rank, (article, _) in enumerate(self.articles())),
        )
        return self._database.execute(
            "SELECT image, rank FROM pairs JOIN ranks USING (article) ORDER BY number"
        )
