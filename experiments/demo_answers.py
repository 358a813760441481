"""A part of demo.py: what the page says about an image, a text or a topic, as plain data."""

import base64
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from demo_model import READERS, Predictor

from texttopicnet import cores, files, images, text
from texttopicnet.errors import UserError
from texttopicnet.labelled_corpus import opening
from texttopicnet.token_store import TokenStore
from texttopicnet.topic_index import Near, TopicIndex
from texttopicnet.topics import TopicModel

TOPICS, WORDS = 5, 8  # that are shown of an image or a text
MANY_WORDS = 24  # of the topic that is looked at
PICTURES, ARTICLES = 12, 6
QUOTE = 220  # characters of an article
SIDE = 320  # pixels of a picture's longer side
REMEMBERED = 2048  # pictures and openings
LEAST_SHARE = 0.005  # a smaller topic is not shown

MOST_UPLOAD = 20 * 2**20  # bytes
MOST_CHARACTERS = 100_000
NOT_AN_IMAGE = (
    "This file is not an image that can be read. Please choose a JPEG, PNG, GIF, BMP, TIFF or WebP"
    " file."
)
NO_IMAGE = "Please choose an image."
NO_TEXT = "Please type a text."
TOO_LONG = f"This text is too long. Please give at most {MOST_CHARACTERS:,} characters."
UNKNOWN = "The topic model knows none of these words. Please try other words, or a longer text."


@dataclass(frozen=True)
class Topic:
    """A topic with its share of an image, of a text or of the corpus, from 0 to 1."""

    number: int
    share: float
    words: list[str]


@dataclass(frozen=True)
class Article:
    """An article that is shown; `distance` is None where none was computed."""

    title: str
    quote: str
    name: str
    distance: float | None = None


@dataclass(frozen=True)
class Picture:
    """An image that is shown, with the title of its article; `uri` is '' if it cannot be read."""

    uri: str
    title: str
    name: str
    distance: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the page shows; `message` is why there is nothing else."""

    topics: list[Topic] = field(default_factory=list)
    articles: list[Article] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    message: str = ""


class Answers:
    """Answers about a model and its corpus, for several users at once.

    Parameters
    ----------
    predictor : Predictor
    lda : TopicModel
    index : TopicIndex
    collection : Path
        No file outside it is read, whatever names and links the corpus has.
    store : TokenStore
    seed : int
        Of the inference of a text's topics.
    """

    def __init__(
        self,
        predictor: Predictor,
        lda: TopicModel,
        index: TopicIndex,
        collection: Path,
        store: TokenStore,
        seed: int = 0,
    ) -> None:
        self.predictor, self.lda, self.index = predictor, lda, index
        self._collection, self._store, self._seed = collection, store, seed
        # the model's random state, SQLite's connection, and the memory of one large image
        self._inference, self._reading, self._decoding = (threading.Lock() for _ in range(3))
        self._pool = ThreadPoolExecutor(min(READERS, cores.usable()))
        self._picture = functools.lru_cache(REMEMBERED)(self._picture_of)
        self._opening = functools.lru_cache(REMEMBERED)(self._opening_of)
        self.words = [
            [word for word, _ in lda.top_words(topic, MANY_WORDS)]
            for topic in range(lda.num_topics)
        ]
        self.shares = index.shares_of_topics()

    def warm_up(self) -> None:
        """Run the net and the inference once, so that the first user need not wait for it."""
        self.predictor.of_image(np.zeros((1, 1, 3), np.uint8))
        self.of_text(self.words[0][0])

    # ---------------------------------------------------------------------------------- the answers
    def of_image(self, data: bytes | None) -> Answer:
        """An image's topics, the articles and the images that are nearest to it.

        Parameters
        ----------
        data : bytes or None
            The file that was uploaded.
        """
        if data is None:
            return Answer(message=NO_IMAGE)
        if images.size(data) is None:
            return Answer(message=NOT_AN_IMAGE)
        try:
            with self._decoding:
                pixels = images.resized(
                    images.decode(data, "This file"), images.stored_side(self.predictor.size)
                )
        except UserError as error:
            too_large = str(error).partition(";")[0].partition(": its header declares ")[2]
            if too_large:
                return Answer(message=f"This image is too large: its header declares {too_large}.")
            return Answer(message=NOT_AN_IMAGE)
        outputs = self.predictor.of_image(pixels)
        return Answer(
            self._topics(outputs),
            self._articles(self.index.articles_near(outputs, ARTICLES)),
            self._pictures(self.index.images_near(outputs, PICTURES)),
        )

    def of_text(self, words: str | None) -> Answer:
        """A text's topics, and the images that are nearest to it."""
        if not words or not words.strip():
            return Answer(message=NO_TEXT)
        if len(words) > MOST_CHARACTERS:
            return Answer(message=TOO_LONG)
        tokens = text.tokenize(words)
        if not any(token in self.lda.dictionary.token2id for token in tokens):
            return Answer(message=UNKNOWN)
        with self._inference:
            topics = self.lda.topic_vectors([tokens], self._seed)[0]
        return Answer(
            self._topics(topics), pictures=self._pictures(self.index.images_near(topics, PICTURES))
        )

    def of_topic(self, topic: int) -> Answer:
        """A topic's words, and the articles and images that have most of it."""
        number = int(topic)
        if not 0 <= number < self.lda.num_topics:
            return Answer(message=f"There is no topic {number}.")
        return Answer(
            [Topic(number, float(self.shares[number]), self.words[number])],
            self._articles(self.index.articles_of(number, ARTICLES)),
            self._pictures(self.index.images_of(number, PICTURES)),
        )

    def by_share(self) -> list[Topic]:
        """All topics with their shares of the corpus, the largest first."""
        order = np.argsort(-self.shares, kind="stable").tolist()
        return [Topic(i, float(self.shares[i]), self.words[i][:WORDS]) for i in order]

    # --------------------------------------------------------------------------------- their parts
    def _topics(self, vector: np.ndarray) -> list[Topic]:
        """The largest topics of an image or a text, as shares of the sum of all."""
        shares = vector / max(float(vector.sum()), np.finfo(np.float32).tiny)
        order = np.argsort(-shares, kind="stable")[:TOPICS]
        return [
            Topic(int(i), float(shares[i]), self.words[i][:WORDS])
            for i in order
            if shares[i] >= LEAST_SHARE
        ]

    def _articles(self, found: list[Near] | list[int]) -> list[Article]:
        rows = []
        for row, distance in map(_row_and_distance, found):
            name = self.index.article(row)
            rows.append(Article(*self._opening(name), name, distance))
        return rows

    def _pictures(self, found: list[Near] | list[int]) -> list[Picture]:
        rows = [_row_and_distance(each) for each in found]
        uris = self._pool.map(self._picture, [self.index.image(row) for row, _ in rows])
        return [
            Picture(
                uri,
                self._opening(self.index.article(self.index.article_of[row]))[0],
                self.index.image(row),
                distance,
            )
            for uri, (row, distance) in zip(uris, rows, strict=True)
        ]

    def _opening_of(self, name: str) -> tuple[str, str]:
        with self._reading:
            title, quote = opening(self._store, self._collection, name, QUOTE)
        # an article without a title has the name of its file
        return f"Article {title}" if title == name.rpartition("/")[2] else title, quote

    def _picture_of(self, name: str) -> str:
        """An image of the corpus as a small JPEG in a data URI; '' if it cannot be read."""
        try:
            data = files.read(files.member(self._collection, name))
            image = images.decode(data, name, _reduction(data))
        except UserError:
            return ""
        scale = min(1.0, SIDE / max(image.shape[:2]))
        size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _row_and_distance(found: Near | int) -> tuple[int, float | None]:
    return (found, None) if isinstance(found, int) else (found.row, found.distance)


def _reduction(data: bytes) -> int:
    """OpenCV's flag to decode a large image at a half, a quarter or an eighth of its size."""
    side = max(images.size(data) or (0, 0))
    for factor, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        if side >= 2 * factor * SIDE:
            return flag | cv2.IMREAD_IGNORE_ORIENTATION
    return images.COLOUR
