"""Time the page's search of a corpus against scipy's entropy of all pairs and a sort.

Reads:   nothing; the topic vectors are drawn
Writes:  a record, if --out names one; prints the time per query, and the slowest query
Paper:   section 4.4 (image and text queries, ranked by KL divergence)
Usage:   python benchmarks/search_topics.py [--quick] [--sizes 10000 100000] [--rounds 3]
                                           [--out FILE]

A query is what experiments/demo.py asks for an image, after the net: the nearest 12 images and the
nearest 6 articles, of as many articles as images.  Both sides must give the same ones.  Our side
searches an index in memory-mapped files that were just opened; the straightforward one has the
vectors in memory.
"""

import tempfile
from pathlib import Path

import measuring
import numpy as np
from scipy.stats import entropy

from texttopicnet import command_line
from texttopicnet.errors import UserError
from texttopicnet.topic_index import TopicIndex
from texttopicnet.topic_index_files import build

FULL = {"sizes": [10_000, 100_000], "rounds": 3, "topics": 40, "queries": 10}
QUICK = FULL | {"sizes": [2000, 5000], "rounds": 2}
IMAGES, ARTICLES = 12, 6  # demo.py's

Found = list[tuple[list[int], list[int]]]  # images and articles of each query


def draw(count: int, settings: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Topic vectors of articles, of images, and of the images that are asked about."""
    rng = np.random.default_rng(0)
    topics = np.full(settings["topics"], 0.2)
    articles = rng.dirichlet(topics, count).astype(np.float32)
    articles[articles < 0.01] = 0  # as labels
    images, queries = (
        rng.dirichlet(topics, rows).astype(np.float32) for rows in (count, settings["queries"])
    )
    return articles, images, queries


def indexed(folder: Path, articles: np.ndarray, images: np.ndarray) -> TopicIndex:
    """An index of drawn vectors; image i has article i."""
    names = [f"{i:07d}" for i in range(len(images))]
    rows = list(zip(names, names, strict=True))

    def compute(batch: list[str]) -> np.ndarray:
        return images[[int(name) for name in batch]]

    return build(folder, {}, rows, names, articles, compute, 5000)


def ours(index: TopicIndex, queries: np.ndarray) -> Found:
    """The nearest images and articles of each query, as demo.py asks for them."""
    return [
        (
            [near.row for near in index.images_near(query, IMAGES)],
            [near.row for near in index.articles_near(query, ARTICLES)],
        )
        for query in queries
    ]


def straightforward(articles: np.ndarray, images: np.ndarray, queries: np.ndarray) -> Found:
    """The same by scipy: all divergences, and a sort of all."""
    tiny = np.finfo(np.float32).tiny
    found = []
    for query in queries.astype(np.float64):
        by_image = entropy(query[:, None], np.maximum(images.T, tiny))
        by_article = entropy(articles.T.astype(np.float64), np.maximum(query, tiny)[:, None])
        first = np.argsort(by_image)[:IMAGES], np.argsort(by_article)[:ARTICLES]
        found.append((first[0].tolist(), first[1].tolist()))
    return found


def compare(count: int, settings: dict, folder: Path) -> tuple[dict, float]:
    """The row of one number of images, and the slowest query of the index in seconds."""
    articles, images, queries = draw(count, settings)
    index, found = indexed(folder, articles, images), {}
    sides = {
        "index": lambda: found.update(ours=ours(index, queries)),
        "scipy": lambda: found.update(theirs=straightforward(articles, images, queries)),
    }
    what = f"search among {count} images and articles"
    slowest = max(
        measuring.seconds_of(lambda q=q: ours(index, queries[[q]])) for q in range(len(queries))
    )
    seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    if found["ours"] != found["theirs"]:
        raise UserError("the two sides find different images or articles: the times mean nothing")
    factor = 1000 / len(queries)
    row = measuring.comparison(what, seconds, "index", "scipy", "ms per query", factor, size=count)
    return row, slowest


def measure(settings: dict) -> dict:
    """The record: a row per number of images."""
    rows, values = [], {}
    with measuring.watched() as seen:
        for count in settings["sizes"]:
            with tempfile.TemporaryDirectory() as folder:
                row, slowest = compare(count, settings, Path(folder))
            rows.append(row)
            values[f"ms of the slowest query among {count} images"] = round(1000 * slowest, 1)
    return measuring.record("index", settings, rows, seen, values)


def main() -> None:
    args = measuring.parser(__doc__, "images").parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
