"""The Wikipedia retrieval set: its lists, the divergence of topic vectors, and the rankings that it
gives.
"""

import numpy as np

from texttopicnet import artefacts, files
from texttopicnet.errors import UserError

PAPER_PAIRS = [
    34,
    88,
    96,
    85,
    65,
    58,
    51,
    41,
    71,
    104,
]  # pairs a category in the test list of the paper
TEST_LIST, TRAIN_LIST = "testset_txt_img_cat.list", "trainset_txt_img_cat.list"
MADE_BY = "the set's own list (data/Wikipedia/README.md)"


def read_pairs(folder, name=TEST_LIST):
    """Read the list of a part of the set.

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
        A malformed row, a repeated id or category, or a number that is not a category's.
    """
    categories_path, path = (
        artefacts.existing(folder / file, MADE_BY) for file in ("categories.list", name)
    )
    names = [
        row for row in map(str.strip, _rows(categories_path)) if row
    ]  # a line may have several words
    if len(set(names)) != len(names):
        raise UserError(f"{categories_path}: {max(names, key=names.count)} is in it more than once")
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
                f"{path}, line {number}: not 'text id <tab> image id <tab> category 1..{len(names)}'"
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
            raise UserError(f"{path}: {max(ids, key=ids.count)} is in it more than once")
    if not texts:
        raise UserError(f"{path} holds no pair")
    return texts, images, np.array(categories, dtype=np.int64), names


def text_file(folder, text):
    """Path of a text of the set, by its id; UserError where it is missing, or a link to a file
    outside the set.
    """
    name = f"texts/{text}.xml"
    artefacts.existing(folder / name, MADE_BY)
    return files.member(folder, name)


def _rows(path):
    """Lines of a list, in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): take {MADE_BY}") from error


def divergences(texts, images):
    """Kullback-Leibler divergence of every image's topics from every text's, KL(text || image), in
    nats.

    Both are normalised to sum 1, as scipy.stats.entropy does; KL = sum t log t - sum t log i, with
    0 log 0 = 0. An image's zeros are raised to the smallest normal float32, so that one absent
    topic costs much, not everything (D7); a text in which no topic reached the threshold says
    nothing and counts as uniform.

    Parameters
    ----------
    texts : ndarray of shape (n_texts, n_topics)
        >= 0.
    images : ndarray of shape (n_images, n_topics)
        >= 0.

    Returns
    -------
    ndarray of float64, shape (n_texts, n_images)
        Small where they agree.  Equal rows in give bit-equal divergences out: ties stay ties.
    """
    texts, images = np.asarray(texts, dtype=np.float64), np.asarray(images, dtype=np.float64)
    if texts.ndim != 2 or images.ndim != 2 or texts.shape[1] != images.shape[1]:
        raise ValueError(f"topic vectors of {texts.shape} and {images.shape} cannot be compared")
    if (texts < 0).any() or (images < 0).any():
        raise ValueError("topic vectors must not be negative")
    texts = np.where(texts.sum(axis=1, keepdims=True) > 0, texts, 1.0)
    texts = texts / texts.sum(axis=1, keepdims=True)
    images = np.maximum(images, np.finfo(np.float32).tiny)
    images = images / images.sum(axis=1, keepdims=True)
    own = np.einsum("tk,tk->t", texts, np.log(np.where(texts > 0, texts, 1.0)))
    # einsum, not `@`: a BLAS rounds a row differently by its place in the matrix, which would break
    # ties
    return own[:, None] - np.einsum("tk,ik->ti", texts, np.log(images))


def rank(scores, query_ids, candidate_ids):
    """Candidates of every query, smallest score first, equal scores in the order of the sorted ids.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_candidates)
    query_ids, candidate_ids : list of str

    Returns
    -------
    queries : ndarray of int64, shape (n_queries,)
        Rows of `scores` in the order of the sorted query ids.
    ranking : ndarray of int64, shape (n_queries, n_candidates)
        Columns of `scores`; row i for query ``queries[i]``.
    """
    queries, candidates = (
        np.argsort(query_ids, kind="stable"),
        np.argsort(candidate_ids, kind="stable"),
    )
    order = np.argsort(scores[np.ix_(queries, candidates)], axis=1, kind="stable")
    return queries, candidates[order]
