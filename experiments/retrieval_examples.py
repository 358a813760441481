"""A part of multi_modal_retrieval.py: examples for the report, good and bad ones, by a rule."""

from collections.abc import Sequence

import numpy as np

from texttopicnet.retrieval import Direction, divergences, rank

# Which queries of a direction are shown, {name: place from 0, the best AP, to 1}.  Where there are
# so few that two places are one query, the later name counts.
PLACES = {
    "upper quartile": 0.25,
    "lower quartile": 0.75,
    "median": 0.5,
    "worst": 1.0,
    "best": 0.0,
}
FOUND = 6  # candidates per query


def chosen(direction: Direction) -> dict[str, tuple[int, float]]:
    """The queries at the places of `PLACES`, when all are sorted by AP.

    Parameters
    ----------
    direction : Direction
        Equal APs stay in its order, that of the sorted ids.

    Returns
    -------
    dict
        {name: (number of the query, its AP)}; fewer entries than `PLACES` if there are fewer
        queries.
    """
    order = np.argsort(-direction.ap, kind="stable")
    rows = {round(place * (len(order) - 1)): name for name, place in PLACES.items()}
    return {
        name: (int(direction.queries[order[row]]), float(direction.ap[order[row]]))
        for row, name in sorted(rows.items())
    }


def examples(
    found: dict[str, Direction],
    texts: np.ndarray,
    images: np.ndarray,
    text_ids: Sequence[str],
    image_ids: Sequence[str],
    labels: Sequence[str],
    count: int = FOUND,
) -> dict[str, list[dict]]:
    """The first candidates for the chosen queries of both directions.

    Parameters
    ----------
    found : dict
        Of `retrieval.both_directions`.
    texts, images : ndarray of shape (n_pairs, n_topics)
    text_ids, image_ids : sequence of str
    labels : sequence of str
        The category of each pair.
    count : int
        Candidates per query.

    Returns
    -------
    dict
        {'image_query': texts for images, 'text_query': images for texts}: per query id, category,
        ap, place (a key of `PLACES`) and found, a list of {id, category}, the best first.
    """
    rows = {}
    for name, direction in found.items():
        of_image = name == "image_query"
        queries, candidates = (image_ids, text_ids) if of_image else (text_ids, image_ids)
        rows[name] = []
        for place, (q, ap) in chosen(direction).items():
            scores = (
                divergences(texts, images[[q]]).T if of_image else divergences(texts[[q]], images)
            )
            _, ranking = rank(scores, [queries[q]], candidates)
            first = [{"id": candidates[j], "category": labels[j]} for j in ranking[0, :count]]
            row = {"id": queries[q], "category": labels[q], "ap": ap, "place": place}
            rows[name].append(row | {"found": first})
    return rows
