"""Image labels, the training_labels*.json: the check of a label, and labels by number without
holding all in memory.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from texttopicnet.embedding_ranges import RANGES
from texttopicnet.errors import UserError

ROUNDING = 1e-5


def check(
    embedding: str, image: str, vector: Sequence[float], num_topics: int, made_by: str
) -> None:
    """Check one label, when it is written and when it is read.

    Parameters
    ----------
    embedding : str
        A key of `RANGES`.
    image : str
        Its path, for the error's sentence.
    vector : list of float
    num_topics : int
    made_by : str
        The command that makes the labels, for the error's sentence.

    Raises
    ------
    UserError
        It is not a list of `num_topics` finite numbers; or one is below 0, though the embedding is
        not signed; or its sum (lda) or length (the others) is above 1.
    """
    expected = RANGES[embedding]
    try:
        size = sum(vector) if expected.bounded_by == "sum" else math.hypot(*vector)
        least = min(vector, default=0)
        good = (
            len(vector) == num_topics and size <= 1 + ROUNDING and (expected.signed or least >= 0)
        )  # NaN fails
        found = f"width {len(vector)}, least {least:g}, {expected.bounded_by} {size:g}"
    except (TypeError, ValueError, OverflowError):
        good, found = False, str(vector)[:80]
    if not good:
        raise UserError(
            f"{image}: its label is not a vector of {num_topics} {embedding} numbers ({found});"
            f" run {made_by} again"
        )


def checked(
    embedding: str, labels: Iterable[tuple[str, list[float]]], num_topics: int, made_by: str
) -> Iterator[tuple[str, list[float]]]:
    """The labels, (image, vector) each, after `check`; UserError if there are none."""
    image = None
    for image, vector in labels:
        check(embedding, image, vector, num_topics, made_by)
        yield image, vector
    if image is None:
        raise UserError(f"there are no labels: make them with {made_by}")


class Labels:
    """Labels by number, in the order of their images' names.

    They are in a temporary SQLite database that is deleted when the process ends.  Names are
    ordered by code points, as Python orders them; of two labels for one image the later one counts.

    Parameters
    ----------
    labels : iterable of (str, list of float)
        Image path and vector.
    """

    def __init__(self, labels: Iterable[tuple[str, Sequence[float]]]) -> None:
        self._database = sqlite3.connect("")  # a file of SQLite's own
        self._database.execute(
            "CREATE TABLE read (image TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID"
        )
        self._database.executemany(
            "INSERT OR REPLACE INTO read VALUES (?, ?)",
            ((image, np.array(vector, np.float32).tobytes()) for image, vector in labels),
        )
        self._database.execute(
            "CREATE TABLE labels (number INTEGER PRIMARY KEY, image TEXT, vector BLOB)"
        )
        self._database.execute(
            "INSERT INTO labels (image, vector) SELECT image, vector FROM read ORDER BY image"
        )
        self._database.execute("DROP TABLE read")

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM labels").fetchone()[0]

    def __getitem__(self, number: int) -> tuple[str, np.ndarray]:
        """Image and vector (float32, shape (num_topics,)) by number, from 0."""
        row = self._database.execute(
            "SELECT image, vector FROM labels WHERE number = ?", (int(number) + 1,)
        ).fetchone()
        if row is None:
            raise IndexError(number)
        return row[0], np.frombuffer(row[1], np.float32)
