"""The Wikipedia retrieval set: its lists, the divergence of topic vectors, and rankings."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from texttopicnet import artefacts, average_precision, files
from texttopicnet.errors import UserError

# pairs per category in the paper's test list
PAPER_PAIRS = [34, 88, 96, 85, 65, 58, 51, 41, 71, 104]  # fmt: skip
TEST_LIST, TRAIN_LIST = "testset_txt_img_cat.list", artefacts.RETRIEVAL_TRAIN_LIST
README = "data/Wikipedia/README.md"

DIRECTIONS = ("image_query", "text_query")
# Scores that are in memory at one time: a block of queries against all candidates. A score needs
# about 60 bytes while its block is ranked, so that a block takes about 60 MB.
CELLS = 2**20

# score(queries, candidates): float64 (n_queries, n_candidates), small where they agree
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def read_pairs(
    folder: Path, name: str = TEST_LIST
) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    """Read one of the set's lists.

    Parameters
    ----------
    folder : Path
        Holds the list (``text id <tab> image id <tab> category number``, from 1) and
        categories.list.
    name : str
        TEST_LIST or TRAIN_LIST.

    Returns
    -------
    texts, images : list of str
        Ids; pair i is ``texts[i]``, ``images[i]``.
    categories : ndarray of int64, shape (n_pairs,)
        From 0: rows of `names`.
    names : list of str

    Raises
    ------
    UserError
        A row is malformed, an id or category is repeated, or a number is not a category's.
    """
    categories_path, path = (
        artefacts.downloaded(folder / file, README) for file in ("categories.list", name)
    )
    # a name may have several words
    names = [row for row in map(str.strip, _rows(categories_path)) if row]
    if len(set(names)) != len(names):
        raise UserError(
            f"{categories_path}: {max(names, key=names.count)} is in it more than once: {README}"
            " says how to get it"
        )
    texts, images, categories = [], [], []
    for number, row in enumerate(_rows(path), start=1):
        fields = row.split("\t")
        if not row.strip():
            continue
        if (
            len(fields) != 3
            or not fields[2].strip().isdecimal()
            or not 1 <= int(fields[2]) <= len(names)
        ):
            raise UserError(
                f"{path}, line {number}: not 'text id <tab> image id <tab> category"
                f" 1..{len(names)}'"
            )
        wrong = files.name_error(fields[0]) or files.name_error(fields[1])
        if wrong:
            raise UserError(
                f"{path}, line {number}: an id is not the name of a file of the set ({wrong})"
            )
        texts.append(fields[0])
        images.append(fields[1])
        categories.append(int(fields[2]) - 1)
    for ids in (texts, images):
        if len(set(ids)) != len(ids):
            raise UserError(
                f"{path}: {max(ids, key=ids.count)} is in it more than once: take one of the pairs"
                f" out, or get the list again ({README})"
            )
    if not texts:
        raise UserError(f"{path} holds no pairs: {README} says how to get it")
    return texts, images, np.array(categories, dtype=np.int64), names


def corpus_of(counts: np.ndarray) -> tuple[str, bool]:
    """What a record calls the set with these numbers of pairs per category, and whether it is the
    paper's.
    """
    if counts.tolist() == PAPER_PAIRS:
        return "Wikipedia (Rasiwasia et al.)", True
    return "another set in the layout of the Wikipedia set", False


def text_file(folder: Path, text: str) -> Path:
    """Path of a text of the set, by its id; UserError if it is missing, or a link to a file outside
    the set.
    """
    name = f"texts/{text}.xml"
    artefacts.downloaded(folder / name, README)
    return files.member(folder, name)


def _rows(path: Path) -> list[str]:
    """The lines of a list, read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as text ({error}): {README} says how to get it"
        ) from error


def divergences(texts: ArrayLike, images: ArrayLike) -> np.ndarray:
    """Kullback-Leibler divergence of every image's topics from every text's, KL(text || image), in
    nats.

    Both are normalised to sum 1, as scipy.stats.entropy does; KL = sum t log t - sum t log i, with
    0 log 0 = 0.  An image's zeros are raised to the smallest normal float32, so that a missing
    topic is expensive, but not infinitely so (D7).  A text in which no topic reached the threshold
    counts as uniform.

    Parameters
    ----------
    texts : ndarray of shape (n_texts, n_topics)
        >= 0.
    images : ndarray of shape (n_images, n_topics)
        >= 0.

    Returns
    -------
    ndarray of float64, shape (n_texts, n_images)
        Small where they agree.  Equal rows give divergences that are equal to the bit, so that ties
        stay ties.
    """
    texts, images = np.asarray(texts, dtype=np.float64), np.asarray(images, dtype=np.float64)
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise ValueError(f"topic vectors of {texts.shape} and {images.shape} cannot be compared")
    return divergences_of_shares(*shares_of_texts(texts), log_shares_of_images(images))


def shares_of_texts(texts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """What `divergences` computes from the texts alone.

    Parameters
    ----------
    texts : ndarray of shape (n_texts, n_topics)
        >= 0.

    Returns
    -------
    shares : ndarray of float64, shape (n_texts, n_topics)
        t: rows sum to 1.
    own : ndarray of float64, shape (n_texts,)
        sum t log t of each row, in nats, at most 0.
    """
    texts = np.asarray(texts, dtype=np.float64)
    if (texts < 0).any():
        raise ValueError("topic vectors must not be negative")
    texts = np.where(texts.sum(axis=1, keepdims=True) > 0, texts, 1.0)
    texts = texts / texts.sum(axis=1, keepdims=True)
    return texts, np.einsum("tk,tk->t", texts, np.log(np.where(texts > 0, texts, 1.0)))


def log_shares_of_images(images: ArrayLike) -> np.ndarray:
    """What `divergences` computes from the images alone: log i, float64, of the images' shape."""
    images = np.asarray(images, dtype=np.float64)
    if (images < 0).any():
        raise ValueError("topic vectors must not be negative")
    images = np.maximum(images, np.finfo(np.float32).tiny)
    return np.log(images / images.sum(axis=1, keepdims=True))


def divergences_of_shares(shares: np.ndarray, own: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """`divergences` from what `shares_of_texts` and `log_shares_of_images` return."""
    # einsum, not `@`: BLAS rounds a row differently depending on its place in the matrix, which
    # would break ties
    return own[:, None] - np.einsum("tk,ik->ti", shares, logs)


def nearest(scores: np.ndarray, count: int) -> np.ndarray:
    """The first candidates of one query: smallest score first, equal scores in their order.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates,)
        Not NaN.
    count : int
        At most this many are returned.

    Returns
    -------
    ndarray of int64, shape (min(count, n_candidates),)
        Numbers of candidates; the start of what a stable sort of all scores gives.
    """
    if count < len(scores):
        candidates = np.flatnonzero(scores <= np.partition(scores, count - 1)[count - 1])
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(scores[candidates], kind="stable")[:count]]


def rank(
    scores: np.ndarray, query_ids: Sequence[str], candidate_ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates of every query, smallest score first; equal scores in the order of the sorted ids.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_candidates)
    query_ids, candidate_ids : list of str

    Returns
    -------
    queries : ndarray of int64, shape (n_queries,)
        Rows of `scores` in the order of the sorted query ids.
    ranking : ndarray of int64, shape (n_queries, n_candidates)
        Columns of `scores`; row i is for query ``queries[i]``.
    """
    queries = np.argsort(query_ids, kind="stable")
    candidates = np.argsort(candidate_ids, kind="stable")
    order = np.argsort(scores[np.ix_(queries, candidates)], axis=1, kind="stable")
    return queries, candidates[order]


def rankings(
    score: Score,
    queries: np.ndarray,
    candidates: np.ndarray,
    query_ids: Sequence[str],
    candidate_ids: Sequence[str],
    cells: int = CELLS,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`rank` for many queries and candidates: block by block, so that memory stays bounded.

    Parameters
    ----------
    score : callable
        Scores a block of queries against all candidates.
    queries, candidates : ndarray of shape (n_queries, n_dims), (n_candidates, n_dims)
    query_ids, candidate_ids : list of str
    cells : int
        At most this many scores are computed at one time, and at least those of one query.

    Yields
    ------
    queries : ndarray of int64, shape (n_block,)
        Row numbers; all blocks together are in the order of the sorted query ids.
    ranking : ndarray of int64, shape (n_block, n_candidates)
        As from `rank`.
    """
    query_order = np.argsort(query_ids, kind="stable")
    candidate_order = np.argsort(candidate_ids, kind="stable")
    in_order = candidates[candidate_order]
    rows = max(1, cells // len(in_order))
    for start in range(0, len(query_order), rows):
        block = query_order[start : start + rows]
        order = np.argsort(score(queries[block], in_order), axis=1, kind="stable")
        yield block, candidate_order[order]


class Direction(NamedTuple):
    """The queries of one direction, in the order of their sorted ids, and the AP of each.

    queries : ndarray of int64, shape (n_pairs,)
    ap : ndarray of float64, shape (n_pairs,)
    """

    queries: np.ndarray
    ap: np.ndarray


def both_directions(
    texts: np.ndarray,
    images: np.ndarray,
    text_ids: Sequence[str],
    image_ids: Sequence[str],
    categories: np.ndarray,
    score: Score = divergences,
    cells: int = CELLS,
) -> dict[str, Direction]:
    """Rank in both directions and score every query; a candidate of its category is relevant.

    Parameters
    ----------
    texts, images : ndarray of shape (n_pairs, n_dims)
    text_ids, image_ids : list of str
    categories : ndarray of int64, shape (n_pairs,)
    score : callable
        ``score(texts, images)``; by default KL(text || image), which is the original's score in
        both directions.
    cells : int
        As in `rankings`; it does not change the result.

    Returns
    -------
    dict
        {each of DIRECTIONS: Direction}
    """
    sides = {
        "image_query": (lambda q, c: score(c, q).T, images, texts, image_ids, text_ids),
        "text_query": (score, texts, images, text_ids, image_ids),
    }
    found = {}
    for direction, arguments in sides.items():
        queries, aps = [], []
        bar = tqdm(
            total=len(categories),
            desc=direction.replace("_", " "),
            unit="query",
            disable=len(categories) ** 2 <= cells,
        )
        for block, ranking in rankings(*arguments, cells=cells):
            relevant = categories[ranking] == categories[block][:, None]
            queries.append(block)
            aps.append(average_precision.retrieval(relevant))
            bar.update(len(block))
        bar.close()
        found[direction] = Direction(np.concatenate(queries), np.concatenate(aps))
    return found


def mean_average_precisions(found: dict[str, Direction]) -> dict[str, float]:
    """{each of DIRECTIONS and 'average': mean AP}."""
    values = {direction: float(found[direction].ap.mean()) for direction in DIRECTIONS}
    return values | {"average": (values["image_query"] + values["text_query"]) / 2}
