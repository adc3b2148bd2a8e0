"""The people of a list: scored candidates in any order, and ranked lists, best first."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.schema.vocabulary import Row


class Candidates(NamedTuple):
    """Scored people in any order, before any rule."""

    rows: NDArray[np.uint32]
    """(m,) uint32"""
    scores: NDArray[np.float32]
    """(m,) float32, 0-1"""
    sources: NDArray[np.uint8]
    """(m,) uint8 of models.schema.candidate_sources.Source bits"""


@dataclass(frozen=True, slots=True)
class RankedList:
    """The people shown to one viewer in one context, best first.

    `viewer` is a row, None for a viewer whom the version does not know; `rows` (k,) uint32; `scores` (k,) float32, 0-1,
    never rising; `sources` (k,) uint8 of models.schema.candidate_sources.Source bits.
    """

    viewer: Row | None
    rows: NDArray[np.uint32]
    scores: NDArray[np.float32]
    sources: NDArray[np.uint8]
    is_whole: bool = True
    """no one is missing after the last"""

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, mask: NDArray[np.bool_]) -> "RankedList":
        """The people for whom the mask (k,) is True."""
        return RankedList(self.viewer, self.rows[mask], self.scores[mask], self.sources[mask], self.is_whole)

    def at(self, places: NDArray[np.int32]) -> "RankedList":
        """The people at these places (j,)."""
        taken = (self.rows.take(places), self.scores.take(places), self.sources.take(places))
        return RankedList(self.viewer, *taken, self.is_whole)
