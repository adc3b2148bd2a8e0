"""The system's own rankings: a user's candidates by the probability that the service would return."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.ranker.ranker import PersonTables, Ranker
from models.version.candidate_block import Block

CONTEXT = "web"


class Candidates(Protocol):
    """Where the candidates of users come from."""

    def blocks(self, users: NDArray[np.int64]) -> Iterable[Block]:
        """The block of each of `users` (U,), in their order."""


class KeptCandidates:
    """Candidates that several rankings read: made once, and kept packed, some ten kilobytes a user."""

    def __init__(self, generator: Candidates) -> None:
        self._generator = generator
        self._records: dict[int, bytes] = {}

    def blocks(self, users: NDArray[np.int64]) -> Iterator[Block]:
        """As Candidates.blocks."""
        missing = np.array([user for user in users.tolist() if user not in self._records], dtype=np.int64)
        for block in self._generator.blocks(missing):
            self._records[block.viewer] = block.pack()
        for user in users.tolist():
            yield Block.unpack(self._records[user])


@dataclass(frozen=True)
class Ranked:
    """Candidates of U users, best first, without the service's filters.

    `rows` (U, m) int32, -1 past the last candidate; `scores` (U, m) float32 probabilities, -inf there.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    def scores_of(self, others: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores (U, c) of each user's `others` (U, c); -inf for rows that are not candidates, and for row -1."""
        found = np.full(others.shape, -np.inf, np.float32)
        for at in range(len(others)):
            order = np.argsort(self.rows[at])
            rows = self.rows[at][order]
            place = np.minimum(np.searchsorted(rows, others[at]), len(rows) - 1)
            same = (rows[place] == others[at]) & (others[at] >= 0)
            found[at, same] = self.scores[at][order][place[same]]
        return found


def rank(candidates: Candidates, ranker: Ranker, tables: PersonTables, users: NDArray[np.int64], kept: int) -> Ranked:
    """The first `kept` candidates of `users` (U,) by score; equal scores keep the order of the block."""
    rows = np.full((len(users), kept), -1, np.int32)
    scores = np.full((len(users), kept), -np.inf, np.float32)
    for at, block in enumerate(candidates.blocks(users)):
        probabilities = ranker.scores(tables, block, CONTEXT)
        order = np.argsort(-probabilities, kind="stable")[:kept]
        rows[at, : len(order)], scores[at, : len(order)] = block.rows[order], probabilities[order]
    return Ranked(rows, scores)
