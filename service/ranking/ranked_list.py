"""The people of a list: scored candidates in any order, ranked lists, best first, and lists as they were shown."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.outcomes.exposure_record import PackedPeople, ReadCodes, by_contacts, codes_of, pack_unread, ranges_of
from models.schema.vocabulary import Row
from models.version.candidate_block import Block
from service.ranking.exploration.draw import Drawn

if TYPE_CHECKING:
    from service.ranking.cached_list import CachedRecord


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
    places: NDArray[np.int32] | None = None
    """(k,) where each is among the candidates that the list was made of; None: not known"""

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, mask: NDArray[np.bool_]) -> "RankedList":
        """The people for whom the mask (k,) is True."""
        own = None if self.places is None else self.places[mask]
        return RankedList(self.viewer, self.rows[mask], self.scores[mask], self.sources[mask], self.is_whole, own)

    def at(self, places: NDArray[np.int32]) -> "RankedList":
        """The people at these places (j,)."""
        taken = (self.rows.take(places), self.scores.take(places), self.sources.take(places))
        return RankedList(self.viewer, *taken, self.is_whole, None if self.places is None else self.places.take(places))


MAX_SHOWN = 255


class Exposed(NamedTuple):
    """The people of a page in their places, and what the ranker read of them."""

    placed: RankedList
    read: ReadCodes | None
    """None: they are not of a block"""
    statistics: NDArray[np.float32] | None = None
    """(s,) of a viewer whom the version does not know"""
    most: int = MAX_SHOWN
    """people at most: the page is the beginning of the list"""
    drawn: Drawn | None = None
    """how the people of the page were drawn; None: they were not"""

    def pack(self) -> PackedPeople:
        """The people as the record of a list holds them."""
        placed, read, most = self.placed, self.read, self.most
        rows, scores, sources = placed.rows[:most], placed.scores[:most], placed.sources[:most]
        of_contacts = by_contacts(read.sources if isinstance(read, Block) else sources)
        if read is None or placed.places is None or of_contacts:
            return pack_unread(rows, scores, sources)
        columns = (
            rows.astype("<u4", copy=False).tobytes(),
            scores.astype("<f4", copy=False).tobytes(),
            sources.tobytes(),
            *codes_of(placed.places[:most], read),
        )
        return PackedPeople(len(rows), len(read.low), ranges_of(read), b"".join(columns))


class ExposedEntries(NamedTuple):
    """The first entries of a cached list, as they were served."""

    record: "CachedRecord"
    shown: int
    statistics: None = None
    """lists of viewers whom the version does not know are not cached"""
    drawn: None = None
    """lists that are drawn are not served as they were cached"""

    def pack(self) -> PackedPeople:
        """The people as the record of a list holds them."""
        return self.record.packed_people(self.shown)


AnyExposed = Exposed | ExposedEntries
