"""A corpus with the topics of its articles: the train dict, the labels, and how articles begin."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from texttopicnet import artefacts, files, json_files, markup, text, training_labels
from texttopicnet.errors import UserError
from texttopicnet.pairs import Pairs
from texttopicnet.token_store import TokenStore

NO_TEXT = re.compile(r"={2,}|'{2,}|\s+")
LONGEST_TITLE = 80  # characters; a longer first line is not a title
READ = 50  # times the length of a quote: how much of an article is read for it


class LabelledCorpus:
    """The articles and images with their labels.

    Parameters
    ----------
    work : Path
        The work folder, with the train dict and the labels.
    num_topics : int

    Attributes
    ----------
    pairs : Pairs
    articles : tuple of str
        Names of the articles, sorted.
    num_images : int
    vectors : ndarray of float32, shape (n_articles, num_topics)
        Their topic vectors.
    shares : ndarray of float64, shape (num_topics,)
        The topics' shares of the corpus; they sum to 1.

    Raises
    ------
    UserError
        A file is missing or damaged, or the two have different images.
    """

    def __init__(self, work: Path, num_topics: int) -> None:
        made_by = f"python LDA/generate_train_labels.py --topics {num_topics}"
        path = work / artefacts.training_labels(num_topics)
        self.pairs = Pairs.load(work / artefacts.TRAIN_DICT)
        self.articles, copies = zip(*self.pairs.articles(), strict=True)
        self.num_images = len(self.pairs)
        self.vectors = np.zeros((len(self.articles), num_topics), np.float32)
        labels = json_files.stream(path, made_by)
        for (image, rank), (labelled, vector) in itertools.zip_longest(
            self.pairs.ranks(), labels, fillvalue=(None, None)
        ):
            if image != labelled:
                raise UserError(
                    f"{path} {self._difference(path, made_by)}; move it away, then make it with"
                    f" {made_by}"
                )
            training_labels.check("lda", image, vector, num_topics, made_by)
            self.vectors[rank] = vector
        # one document per image, as in learning
        shares = self.vectors.T @ np.array(copies, np.float64)
        self.shares = shares / shares.sum()

    def _difference(self, path: Path, made_by: str) -> str:
        """How the labelled images differ from the train dict's."""
        labelled = {image for image, _ in json_files.stream(path, made_by)}
        images = {image for image, _ in self.pairs}
        if labelled == images:
            return "has the train dict's images in another order, or has one of them twice"
        only = ", ".join(
            f"{len(some)} only in the {what}, such as {min(some)}"
            for some, what in ((labelled - images, "labels"), (images - labelled, "train dict"))
            if some
        )
        return f"has other images than the train dict: {only}"

    def typical(self, topic: int) -> Iterator[int]:
        """Numbers of the articles that have a topic, those with the highest probability first."""
        order = np.argsort(-self.vectors[:, topic], kind="stable")
        return (int(i) for i in order if self.vectors[i, topic] > 0)

    def first_in(self, topic: int) -> int:
        """The number of articles in which the topic is the largest."""
        return int((self.vectors.argmax(axis=1) == topic).sum())


def opening(store: TokenStore, collection: Path, name: str, length: int) -> tuple[str, str]:
    """How an article begins, without its markup.

    Parameters
    ----------
    store : TokenStore
        Has the beginnings of a dump's articles, which have no files.
    collection : Path
    name : str
    length : int
        Characters of the quote at most.

    Returns
    -------
    title : str
        Its first line, or the name of its file if that line is too long or cannot be read.
    quote : str
        The text after the title; it may be empty.
    """
    path = collection / name
    title, quote = store.opening(name)
    if title:
        return title, shortened(NO_TEXT.sub(" ", quote or "").strip(), length)
    try:
        path = files.member(collection, files.find_article(collection, name))
        clean = markup.filter_wiki(text.read_article(path)[: READ * length])
    except UserError:
        return path.name, ""
    lines = [
        line for line in (NO_TEXT.sub(" ", line).strip() for line in clean.split("\n")) if line
    ]
    if not lines:
        return path.name, ""
    if len(lines[0]) > LONGEST_TITLE:
        return path.name, shortened(" ".join(lines), length)
    return lines[0], shortened(" ".join(lines[1:]), length)


def shortened(quote: str, length: int) -> str:
    """The first `length` characters at most, up to a whole word."""
    return quote if len(quote) <= length else quote[:length].rsplit(" ", 1)[0] + " …"
