"""Hiding a part of the friendships, to train or to evaluate on."""

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph

WIDEST = 2.0
"""a window may hold at most this many times the wanted share, and at least that part of it; coarser dates give no
order"""


def hide(graph: Graph, created_at: NDArray[np.int64] | None, share: float, seed: int = 0) -> tuple[Graph, Graph]:
    """(kept, hidden): the graph without a share of its friendships, and those to be found.

    `created_at` (m,) are the dates of `graph.pairs()`, in any unit. With dates that order the friendships, the last
    `share` of them leave the kept graph, by the moment of `window_start`; of these only the pairs of two people who
    both keep a friendship are hidden: newcomers are evaluated apart. The rest of the window is in neither
    graph: the kept graph is the whole as of one moment, and nothing later. Without dates, or with dates too coarse, a
    random share of all pairs is hidden, by `seed`. The order of the friendships changes nothing.
    """
    a, b = graph.pairs()
    start = None if created_at is None else window_start(created_at, share)
    if created_at is None or start is None:
        gone = np.zeros(len(a), bool)
        gone[np.random.default_rng(seed).permutation(len(a))[: round(share * len(a))]] = True
        return Graph.from_pairs(graph.n, a[~gone], b[~gone]), Graph.from_pairs(graph.n, a[gone], b[gone])
    later = created_at >= start
    kept = Graph.from_pairs(graph.n, a[~later], b[~later])
    both = later & (kept.degrees[a] > 0) & (kept.degrees[b] > 0)
    return kept, Graph.from_pairs(graph.n, a[both], b[both])


def hide_people(graph: Graph, share: float, seed: int = 0) -> tuple[Graph, Graph, NDArray[np.int64]]:
    """(kept, hidden, newcomers): the graph as if a random share of its connected users came tomorrow.

    `newcomers` (k,) are their rows, ascending. The kept graph lacks all their friendships; hidden are those with users
    who stay, and those between two newcomers are in neither.
    """
    connected = np.flatnonzero(graph.degrees > 0)
    drawn = np.random.default_rng(seed).permutation(connected)[: round(share * len(connected))]
    coming = np.zeros(graph.n, bool)
    coming[drawn] = True
    a, b = graph.pairs()
    stay, to_find = ~coming[a] & ~coming[b], coming[a] != coming[b]
    kept, hidden = (Graph.from_pairs(graph.n, a[among], b[among]) for among in (stay, to_find))
    return kept, hidden, np.sort(drawn).astype(np.int64)


def window_start(created_at: NDArray[np.int64], share: float) -> int | None:
    """The first moment of the window of the last `share` of friendships; friendships of one date are not separated.

    Of the two moments around the share, the one whose window is nearer to it in size. None if there is no
    friendship, or neither is within WIDEST of the share, as if all have one date.
    """
    wanted = share * len(created_at)
    moments, counts = np.unique(created_at, return_counts=True)
    if not wanted or len(moments) < 2:
        return None
    later = np.cumsum(counts[::-1])[::-1][1:]  # friendships of each moment and after it, but for the first
    best = int(np.argmin(np.abs(later - wanted)))
    if not wanted / WIDEST <= later[best] <= wanted * WIDEST:
        return None
    return int(moments[1:][best])


def dates_of(part: Graph, whole: Graph, created_at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The dates (m',) of `part.pairs()`, which are all friendships of `whole`, from the dates of `whole.pairs()`.

    Raises ValueError if a friendship of the part is not one of the whole.
    """
    first, second = (_keys(graph) for graph in (part, whole))
    at = np.searchsorted(second, first)
    if len(first) and (at[-1] == len(second) or (second[at] != first).any()):
        raise ValueError("the part holds a friendship that the whole does not")
    return created_at[at]


def _keys(graph: Graph) -> NDArray[np.int64]:
    a, b = graph.pairs()
    return a.astype(np.int64) * graph.n + b
