"""Time the retrieval experiment's scoring against one loop per query and candidate.

Reads:   nothing; the topic vectors are drawn
Writes:  a record, if --out names one; prints the time per query and the ratio
Paper:   section 4.4 (image and text queries, ranked by KL divergence)
Usage:   python benchmarks/rank_texts.py [--quick] [--sizes 50 100 200] [--rounds 3] [--out FILE]

Both sides rank all texts for each image, and all images for each text, and must give the same mean
AP.  The straightforward way is the original's: scipy.stats.entropy of each pair, a sort per query,
and a walk down each ranking.
"""

import measuring
import numpy as np
from scipy.stats import entropy

from texttopicnet import average_precision, command_line, retrieval
from texttopicnet.errors import UserError

FULL = {"sizes": [50, 100, 200], "rounds": 3, "topics": 40, "categories": 10}
QUICK = FULL | {"sizes": [25, 50], "rounds": 2}


def draw(count: int, settings: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Topic vectors of texts and of images, and the categories of the pairs."""
    rng = np.random.default_rng(0)
    categories = np.arange(count) % settings["categories"]
    means = rng.dirichlet(np.full(settings["topics"], 0.2), settings["categories"])
    texts, images = (
        np.array([rng.dirichlet(5 * means[c] + 0.05) for c in categories]) for _ in range(2)
    )
    texts[texts < 0.01] = 0  # as labels
    return texts, images, categories


def ours(texts: np.ndarray, images: np.ndarray, categories: np.ndarray) -> list[float]:
    """Mean AP of image and of text queries, as multi_modal_retrieval.py computes it."""
    scores = retrieval.divergences(texts, images)
    names = [f"{i:06d}" for i in range(len(texts))]
    found = []
    for matrix in (scores.T, scores):
        queries, ranking = retrieval.rank(matrix, names, names)
        relevant = categories[ranking] == categories[queries][:, None]
        found.append(float(average_precision.retrieval(relevant).mean()))
    return found


def straightforward(texts: np.ndarray, images: np.ndarray, categories: np.ndarray) -> list[float]:
    """The same, a query and a candidate at a time."""
    images = np.maximum(images, np.finfo(np.float32).tiny)
    found = []
    for by_image in (True, False):
        precisions = []
        for query in range(len(texts)):
            scores = {}
            for candidate in range(len(texts)):
                pair = (candidate, query) if by_image else (query, candidate)
                scores[candidate] = entropy(texts[pair[0]], images[pair[1]])
            hits, total = 0, 0.0
            for rank, candidate in enumerate(sorted(scores, key=scores.get), start=1):
                if categories[candidate] == categories[query]:
                    hits += 1
                    total += hits / rank
            precisions.append(total / hits)
        found.append(float(np.mean(precisions)))
    return found


def compare(count: int, settings: dict) -> dict:
    """The row of one number of pairs."""
    drawn, mean_aps = draw(count, settings), {}
    sides = {
        "arrays": lambda: mean_aps.update(ours=ours(*drawn)),
        "one pair at a time": lambda: mean_aps.update(theirs=straightforward(*drawn)),
    }
    ours(*drawn)  # the first call sets einsum up
    what = f"retrieval among {count} pairs"
    seconds = measuring.in_turn(sides, settings["rounds"], what=what)
    if not np.allclose(mean_aps["ours"], mean_aps["theirs"], atol=1e-9):
        raise UserError("the two sides give different mean APs: the times mean nothing")
    factor = 1000 / (2 * count)
    return measuring.comparison(
        what, seconds, "arrays", "one pair at a time", "ms per query", factor, size=count
    )


def measure(settings: dict) -> dict:
    """The record: a row per number of pairs."""
    with measuring.watched() as seen:
        rows = [compare(count, settings) for count in settings["sizes"]]
    return measuring.record("retrieval", settings, rows, seen)


def main() -> None:
    args = measuring.parser(__doc__, "pairs").parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
