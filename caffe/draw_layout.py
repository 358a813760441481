"""Where the boxes of a drawing go: a layered layout (Sugiyama's), without Graphviz.

Each box gets a rank below those that it reads from; boxes of a rank are ordered so that few edges
cross; then they are moved to where their edges are short and straight.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 12  # over all ranks: to order the boxes, and to place them
GAP = 24.0  # pixels between neighbours of a rank
LANE = 10.0  # the width of an edge that passes a rank
BETWEEN = 46.0  # pixels between ranks, for the edges and their labels
STRAIGHT = 8.0  # how much more a lane pulls than an ordinary edge, so that it is straight


@dataclass(eq=False)
class Place:
    """A box, or the place where an edge passes a rank.

    Attributes
    ----------
    width, height : float
        Across the ranks and along the flow, in pixels.
    rank : int
    x, y : float
        Of its centre: across the ranks, and along the flow.
    floor : float
        Where its rank ends, along the flow; all of a rank begin at one line.
    above, below : list of Place
        Its neighbours in the ranks before and after.
    is_lane : bool
        Whether it is only a place that an edge passes.
    """

    width: float
    height: float
    rank: int = 0
    x: float = 0.0
    y: float = 0.0
    floor: float = 0.0
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)
    is_lane: bool = False


def lay_out(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    between: float = BETWEEN,
) -> tuple[list[Place], list[list[Place]], tuple[float, float]]:
    """Place boxes so that all edges lead downwards.

    Parameters
    ----------
    sizes : list of (float, float)
        Width and height of each box.
    edges : list of (int, int)
        Numbers of boxes, each edge once, from a lower number to a higher one.
    between : float
        The distance between ranks.

    Returns
    -------
    places : list of Place
        One per box.
    routes : list of list of Place
        Per edge the boxes at its ends, and what it passes in between.
    size : (float, float)
        Width and height of the whole.
    """
    places = [Place(width, height) for width, height in sizes]
    _rank(places, edges)
    ranks: list[list[Place]] = [[] for _ in range(1 + max(p.rank for p in places))]
    for place in places:
        ranks[place.rank].append(place)
    routes = [_route(places[a], places[b], ranks) for a, b in edges]
    ranks = _ordered(ranks)
    _place_across(ranks)
    at = 0.0
    for rank in ranks:
        height = max(place.height for place in rank)
        for place in rank:
            if place.is_lane:  # beside the boxes the edge runs straight
                place.height = height
            place.y = at + place.height / 2
            place.floor = at + height
        at += height + between
    left = min(p.x - p.width / 2 for rank in ranks for p in rank)
    for rank in ranks:
        for place in rank:
            place.x -= left
    right = max(p.x + p.width / 2 for rank in ranks for p in rank)
    return places, routes, (right, at - between)


def _rank(places: Sequence[Place], edges: Sequence[tuple[int, int]]) -> None:
    """The longest way from a source; sources come as late as they can."""
    out: list[list[int]] = [[] for _ in places]
    has_source = [False] * len(places)
    for a, b in edges:
        out[a].append(b)
        has_source[b] = True
    for a, place in enumerate(places):
        for b in out[a]:
            places[b].rank = max(places[b].rank, place.rank + 1)
    for a, place in enumerate(places):
        if out[a] and not has_source[a]:
            place.rank = min(places[b].rank for b in out[a]) - 1


def _route(start: Place, end: Place, ranks: Sequence[list[Place]]) -> list[Place]:
    """Link two boxes, with a lane in each rank between them."""
    route = [start]
    for rank in range(start.rank + 1, end.rank):
        lane = Place(LANE, 0.0, rank, is_lane=True)
        ranks[rank].append(lane)
        route.append(lane)
    route.append(end)
    for a, b in itertools.pairwise(route):
        a.below.append(b)
        b.above.append(a)
    return route


# ------------------------------------------------------------------------------------------- order


def _ordered(ranks: list[list[Place]]) -> list[list[Place]]:
    """The ranks in the order with the fewest crossings among those tried."""
    best, fewest = [list(rank) for rank in ranks], _crossings(ranks)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            _sort(rank, ranks, down)
        count = _crossings(ranks)
        if count < fewest:
            best, fewest = [list(rank) for rank in ranks], count
    return best


def _sort(rank: list[Place], ranks: Sequence[list[Place]], down: bool) -> None:
    """Order a rank by the mean position of its neighbours on one side."""
    if not rank:
        return
    number = rank[0].rank + (-1 if down else 1)
    if not 0 <= number < len(ranks):
        return
    position = {id(place): i for i, place in enumerate(ranks[number])}
    own = {id(place): i for i, place in enumerate(rank)}

    def key(place: Place):
        near = [position[id(other)] for other in (place.above if down else place.below)]
        return sum(near) / len(near) if near else own[id(place)]

    rank.sort(key=key)


def _crossings(ranks: Sequence[Sequence[Place]]) -> int:
    """How many pairs of edges cross."""
    total = 0
    for upper, lower in itertools.pairwise(ranks):
        position = {id(place): i for i, place in enumerate(lower)}
        ends = [sorted(position[id(p)] for p in place.below) for place in upper]
        flat = [end for group in ends for end in group]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


# ----------------------------------------------------------------------------------------- position


def _place_across(ranks: Sequence[list[Place]]) -> None:
    """Move the places of each rank towards their neighbours, in their order and without overlap."""
    for rank in ranks:
        at = 0.0
        for place in rank:
            place.x = at + place.width / 2
            at += place.width + GAP
        for place in rank:
            place.x -= at / 2
    for sweep in range(2 * SWEEPS + 1):  # the last one goes down
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            wishes, weights = [], []
            for place in rank:
                near = place.above if down else place.below
                pulls = [_pull(place, other) for other in near]
                total = sum(p.x * pull for p, pull in zip(near, pulls, strict=True))
                wishes.append(total / sum(pulls) if near else place.x)
                weights.append(max(pulls, default=0.1))
            _separate(rank, wishes, weights)


def _pull(place: Place, other: Place) -> float:
    """How strongly an edge wants to be straight: most where it passes ranks, or is in a chain."""
    if place.is_lane and other.is_lane:
        return STRAIGHT
    upper, lower = sorted((place, other), key=lambda p: p.rank)
    return STRAIGHT / 2 if len(upper.below) == len(lower.above) == 1 else 1.0


def _separate(rank: Sequence[Place], wishes: Sequence[float], weights: Sequence[float]) -> None:
    """Set the positions nearest to the wishes (least squares) that keep order and gaps.

    Without the gaps it is an isotonic regression, which pooling neighbours solves.
    """
    offsets, at = [], 0.0
    for before, place in zip([None, *rank], rank, strict=False):
        if before is not None:
            gap = GAP / 2 if before.is_lane and place.is_lane else GAP
            at += before.width / 2 + gap + place.width / 2
        offsets.append(at)
    blocks: list[list[float]] = []  # mean, weight, count
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        blocks.append([wish - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, weight_2, count = blocks.pop()
            other = blocks[-1]
            whole = other[1] + weight_2
            other[0] = (other[0] * other[1] + mean * weight_2) / whole
            other[1], other[2] = whole, other[2] + count
    means = [mean for mean, _, count in blocks for _ in range(int(count))]
    for place, mean, offset in zip(rank, means, offsets, strict=True):
        place.x = mean + offset
