"""The friendships that an encoder learns and those it is validated on."""

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
    """The friendships that an encoder must rank high."""

    training: Pairs
    """two (m,): friendships to learn; edges that messages pass over are among them only if all are learned"""
    held_out: Pairs
    """two (k,): friendships kept for validation"""
    known: Graph
    """the message graph with the training pairs: in a step, friends by it are not strangers"""
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
        """A share of the pairs, two (p,), for validation; the others, or they and the message graph, for training.

        Pairs of the validation count as strangers in training, like every future friendship: exempted as known, they
        would rank too high. Raises ValueError if a pair is also an edge of the message graph.
        """
        left, right = (np.asarray(side, dtype=np.int64) for side in pairs)
        _refuse_leaks(graph, left, right)
        order = np.random.default_rng(seed).permutation(len(left))
        kept = max(min(round(len(left) * share), MOST_VALIDATED, len(left) - 1), 0)
        training = left[order[kept:]], right[order[kept:]]
        known = _with_pairs(graph, *training)
        if learns == "all":
            first, second = known.pairs()
            training = first.astype(np.int64), second.astype(np.int64)
        return cls(training, (left[order[:kept]], right[order[:kept]]), known, _with_pairs(graph, left, right))


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
