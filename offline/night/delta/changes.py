"""Whose friends, or profile, changed between the active version and a snapshot."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.schema.vocabulary import Vocabulary

Rows = NDArray[np.int64]
Stored = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""profiles as JSON one after the other, and the offsets of each"""


@dataclass(frozen=True)
class RowMap:
    """The rows of the same people in the active version and in a snapshot."""

    then: Rows
    """(n,) by row of the snapshot the row of the active version, -1 for somebody new"""
    now: Rows
    """(n',) by row of the active version the row of the snapshot, -1 for somebody who is gone"""

    @classmethod
    def of(cls, former: Vocabulary, current: Vocabulary) -> "RowMap":
        """The rows of two vocabularies."""
        if former.digest == current.digest:
            rows = np.arange(len(current), dtype=np.int64)
            return cls(rows, rows)
        then = former.rows(current.user_ids()).astype(np.int64)
        now = np.full(len(former), -1, np.int64)
        there = np.flatnonzero(then >= 0)
        now[then[there]] = there
        return cls(then, now)

    @cached_property
    def is_same(self) -> bool:
        """Whether every row is the same person; looked at once, since it is asked for each row."""
        return len(self.then) == len(self.now) and bool((self.then == np.arange(len(self.then))).all())

    @property
    def new(self) -> Rows:
        """Rows of the snapshot who are new."""
        return np.flatnonzero(self.then < 0)


def changed_edges(former: Graph, current: Graph, rows: RowMap) -> NDArray[np.bool_]:
    """(n,) the rows of a snapshot that have other neighbours than in the active version.

    Who is new has, if there are any; who lost somebody who is gone has.
    """
    n = current.n
    owners, others_then = _edges(former)
    owner, other = rows.now[owners], rows.now[others_then]
    changed = np.zeros(n, np.bool_)
    gone = (owner >= 0) & (other < 0)
    changed[owner[gone]] = True
    left = (owner >= 0) & (other >= 0)
    before = owner[left] * n + other[left]
    own, others = _edges(current)
    differing = np.setxor1d(before, own.astype(np.int64) * n + others, assume_unique=True)
    changed[differing // n] = True
    return changed


def changed_profiles(former: Stored, current: Stored, rows: RowMap) -> NDArray[np.bool_]:
    """(n,) the rows of a snapshot whose stored profile is another than in the active version; the new are not."""
    changed = np.zeros(len(rows.then), np.bool_)
    there = np.flatnonzero(rows.then >= 0)
    then = rows.then[there]
    before, after = (np.diff(offsets)[at] for (_, offsets), at in ((former, then), (current, there)))
    changed[there] = before != after
    like = np.flatnonzero(before == after)
    for row, other in zip(there[like].tolist(), then[like].tolist(), strict=True):
        changed[row] = not np.array_equal(_of(current, row), _of(former, other))
    return changed


def _of(stored: Stored, row: int) -> NDArray[np.uint8]:
    content, offsets = stored
    return content[offsets[row] : offsets[row + 1]]


def _edges(graph: Graph) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Owner and neighbour of every edge."""
    owners = np.repeat(np.arange(len(graph.indptr) - 1, dtype=np.int64), np.diff(graph.indptr))
    return owners, graph.indices
