"""The pairs of a train dict, image -> article, never all in memory.

They are in a temporary SQLite database that is gone with the process; what lasts is the train dict,
a JSON file. Names are ordered by code points, as Python orders them.
"""

import sqlite3

from texttopicnet import files, json_files
from texttopicnet.errors import UserError

MADE_BY = "python LDA/generate_train_dict.py"


class Pairs:
    """Pairs to which more can be added, and which can be read in the order of the images and of the
    articles.
    """

    def __init__(self):
        self._database = sqlite3.connect(
            "", check_same_thread=False
        )  # a file of SQLite's own, gone when it is closed
        self._database.execute(
            "CREATE TABLE pairs (number INTEGER PRIMARY KEY, image TEXT UNIQUE, article TEXT)"
        )

    @classmethod
    def load(cls, path):
        """Read a train dict.

        Raises
        ------
        UserError
            The file is missing, not JSON, empty, or holds something other than names of files
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
                        f"{path}: {what}, {shown}, is not a file of the collection ({wrong}): rebuild the file with"
                        f" {MADE_BY} --force"
                    )
            pairs.add(image, article)
        if not len(pairs):
            raise UserError(
                f"{path} holds no pairs of image and article: rebuild it with {MADE_BY} --force"
            )
        return pairs

    def add(self, image, article):
        """Add a pair; of two for one image the later one stays, in the first one's place."""
        self._database.execute(
            "INSERT INTO pairs (image, article) VALUES (?, ?) ON CONFLICT (image) DO UPDATE SET article = excluded.article",
            (image, article),
        )

    def _number(self, what):
        return self._database.execute(f"SELECT count({what}) FROM pairs").fetchone()[0]

    def __len__(self):
        """Number of images."""
        return self._number("*")

    @property
    def num_articles(self):
        return self._number("DISTINCT article")

    def __iter__(self):
        """(image, article), in the order in which the images were added first."""
        return self._database.execute("SELECT image, article FROM pairs ORDER BY number")

    def sorted(self):
        """(image, article), in the order of the images' names."""
        return self._database.execute("SELECT image, article FROM pairs ORDER BY image")

    def _index(self):
        self._database.execute("CREATE INDEX IF NOT EXISTS by_article ON pairs (article)")

    def has_article(self, article):
        """Whether an image has this article."""
        self._index()
        return (
            self._database.execute("SELECT 1 FROM pairs WHERE article = ?", (article,)).fetchone()
            is not None
        )

    def articles(self):
        """(article, how many images it has), in the order of the articles' names."""
        self._index()
        return self._database.execute(
            "SELECT article, count(*) FROM pairs GROUP BY article ORDER BY article"
        )

    def images(self, article):
        """The images of an article, in the order in which they were added first."""
        self._index()
        rows = self._database.execute(
            "SELECT image FROM pairs WHERE article = ? ORDER BY number", (article,)
        )
        return [image for (image,) in rows]

    def ranks(self):
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
