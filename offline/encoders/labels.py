"""Which friendships an encoder learns, which it is validated on, and which people count as no strangers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph

MOST_VALIDATED = 2_000
"""friendships kept for early stopping, at most"""

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows]


@dataclass(frozen=True)
class Labels:
    """The friendships that an encoder is asked for; none of them is an edge that messages pass over."""

    learnt: Pairs
    """two (m,): friendships to learn"""
    held_out: Pairs
    """two (k,): friendships kept for validation"""
    known: Graph
    """the message graph with what is learnt: in a training step, these pairs are no strangers"""
    whole: Graph
    """the message graph with all labels"""

    @classmethod
    def split(
        cls,
        graph: Graph,
        pairs: tuple[NDArray[np.integer], NDArray[np.integer]],
        share: float,
        learns: Literal["hidden", "all"],
        seed: int,
    ) -> "Labels":
        """A share of the pairs, two (p,), kept for validation; learnt are the others, or they and the message graph.

        Pairs kept for validation count as strangers in training, like every friendship to come: exempted as known,
        they would rise. Raises ValueError if a pair is also an edge of the message graph.
        """
        left, right = (np.asarray(side, dtype=np.int64) for side in pairs)
        _refuse_leaks(graph, left, right)
        order = np.random.default_rng(seed).permutation(len(left))
        kept = max(min(round(len(left) * share), MOST_VALIDATED, len(left) - 1), 0)
        learnt = left[order[kept:]], right[order[kept:]]
        known = _with_pairs(graph, *learnt)
        if learns == "all":
            first, second = known.pairs()
            learnt = first.astype(np.int64), second.astype(np.int64)
        return cls(learnt, (left[order[:kept]], right[order[:kept]]), known, _with_pairs(graph, left, right))


def _refuse_leaks(graph: Graph, left: Rows, right: Rows) -> None:
    """Raises ValueError if a label pair is an edge of the message-passing graph."""
    leaked = graph.contains(left, right) | graph.contains(right, left)
    if leaked.any():
        first = int(np.flatnonzero(leaked)[0])
        raise ValueError(
            f"{int(leaked.sum())} of {len(left)} label pairs are edges of the message-passing graph, "
            f"the first between rows {left[first]} and {right[first]}: take them out of it"
        )


def _with_pairs(graph: Graph, left: Rows, right: Rows) -> Graph:
    first, second = graph.pairs()
    return Graph.from_pairs(graph.n, np.concatenate([first, left]), np.concatenate([second, right]))
