"""The topics of a corpus' images and articles in memory-mapped arrays, ready to be searched.

`topic_index_files.build` writes a folder of ``.npy`` files once, and `TopicIndex.open` maps them into memory, so that
opening takes no time and several processes share one copy.  Distances are those of the retrieval
experiments (`retrieval.divergences`), to the bit: what they compute from a corpus alone is stored,
and a query only costs one product with it.

| file | dtype, shape | what |
|---|---|---|
| images.npy | float32 (n_images, n_topics) | the net's outputs |
| image_logs.npy | float64 (n_images, n_topics) | `retrieval.log_shares_of_images` of them |
| image_names.npy | bytes (n_images,) | paths below the collection, UTF-8, sorted |
| article_of.npy | int64 (n_images,) | number of each image's article |
| articles.npy | float32 (n_articles, n_topics) | topic vectors |
| article_shares.npy, article_own.npy | float64 (n_articles, n_topics), (n_articles,) | of `retrieval.shares_of_texts` |
| article_names.npy | bytes (n_articles,) | paths below the collection, UTF-8, sorted |
| index.json | | what it was made from; written last |
"""  # noqa: E501

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from texttopicnet import retrieval

VERSION = 1  # of the files: raise it when they change
WHOLE = "index.json"
ARRAYS = (
    "images",
    "image_logs",
    "image_names",
    "article_of",
    "articles",
    "article_shares",
    "article_own",
    "article_names",
)


@dataclass(frozen=True)
class Near:
    """One answer.

    Attributes
    ----------
    row : int
        Number of the image or the article.
    distance : float
        Kullback-Leibler divergence, in nats.
    """

    row: int
    distance: float


@dataclass(frozen=True)
class TopicIndex:
    """An index that was built; its arrays are those of the module's table, mapped read-only."""

    images: np.ndarray
    image_logs: np.ndarray
    image_names: np.ndarray
    article_of: np.ndarray
    articles: np.ndarray
    article_shares: np.ndarray
    article_own: np.ndarray
    article_names: np.ndarray

    @classmethod
    def open(cls, folder: Path, inputs: dict[str, Any]) -> TopicIndex | None:
        """The index of a folder; None if it was not finished, was made from other `inputs`, or is
        damaged, so that it has to be built.
        """
        if note(folder / WHOLE) != identity(inputs):
            return None
        try:
            found = cls(**{name: np.load(folder / f"{name}.npy", "r") for name in ARRAYS})
        except (OSError, ValueError, EOFError):
            return None
        return found if found._fits() else None

    def _fits(self) -> bool:
        """Whether the arrays have the shapes and types of one index."""
        images, articles = self.images, self.articles
        if images.ndim != 2 or articles.ndim != 2 or images.shape[1] != articles.shape[1]:
            return False
        expected = {
            "images": (np.float32, images.shape),
            "image_logs": (np.float64, images.shape),
            "article_of": (np.int64, images.shape[:1]),
            "articles": (np.float32, articles.shape),
            "article_shares": (np.float64, articles.shape),
            "article_own": (np.float64, articles.shape[:1]),
        }
        return all(
            (getattr(self, name).dtype, getattr(self, name).shape) == row
            for name, row in expected.items()
        ) and (self.image_names.shape, self.article_names.shape) == (
            images.shape[:1],
            articles.shape[:1],
        )

    @property
    def num_topics(self) -> int:
        return self.images.shape[1]

    def image(self, row: int) -> str:
        """The path of an image below the collection."""
        return self.image_names[row].decode()

    def article(self, row: int) -> str:
        """The path of an article below the collection."""
        return self.article_names[row].decode()

    # ------------------------------------------------------------------------------------- queries
    def images_near(self, topics: np.ndarray, count: int) -> list[Near]:
        """The images whose topics are nearest to those of a text or of another image.

        Parameters
        ----------
        topics : ndarray of shape (n_topics,)
            >= 0.
        count : int

        Returns
        -------
        list of Near
            KL(topics || image), the smallest first; equal ones in the order of their names.
        """
        shares, own = retrieval.shares_of_texts(topics[None])
        return _first(retrieval.divergences_of_shares(shares, own, self.image_logs)[0], count)

    def articles_near(self, topics: np.ndarray, count: int) -> list[Near]:
        """The articles whose topics are nearest to those of an image: KL(article || topics), as
        `images_near`.
        """
        logs = retrieval.log_shares_of_images(topics[None])
        scores = retrieval.divergences_of_shares(self.article_shares, self.article_own, logs)
        return _first(scores[:, 0], count)

    def images_of(self, topic: int, count: int) -> list[int]:
        """The images with the largest share of a topic, the largest first."""
        return retrieval.nearest(-self.image_logs[:, topic], count).tolist()

    def articles_of(self, topic: int, count: int) -> list[int]:
        """The articles with the largest probability of a topic, the largest first; only articles
        that have the topic.
        """
        found = retrieval.nearest(-self.articles[:, topic], count)
        return found[self.articles[found, topic] > 0].tolist()

    def shares_of_topics(self) -> np.ndarray:
        """The topics' shares of the corpus, float64 (n_topics,); an article counts once per image.

        They sum to 1.
        """
        copies = np.bincount(self.article_of, minlength=len(self.articles))
        shares = self.articles.T @ copies.astype(np.float64)
        return shares / shares.sum()

    def own_article_is_nearer(self, sample: int = 1000) -> float:
        """How often an image is nearer to its own article than to the article of another image of a
        sample: about 0.5 for a net that was not trained on these topics, near 1 for a good one.
        """
        rows = np.unique(np.linspace(0, len(self.images) - 1, sample).astype(np.int64))
        shares, own = (a[self.article_of[rows]] for a in (self.article_shares, self.article_own))
        scores = retrieval.divergences_of_shares(shares, own, self.image_logs[rows])
        others = self.article_of[rows][:, None] != self.article_of[rows]
        mine = np.diag(scores)
        nearer = (mine < scores) + 0.5 * (mine == scores)  # column i: all articles for image i
        return float(nearer[others].mean()) if others.any() else 0.5


def _first(scores: np.ndarray, count: int) -> list[Near]:
    return [Near(int(row), float(scores[row])) for row in retrieval.nearest(scores, count)]


def identity(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the file index.json of an index with these inputs holds."""
    return json.loads(json.dumps({"version": VERSION, **inputs}))


def note(path: Path) -> Any:
    """The JSON value in a file; None without a readable one."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
