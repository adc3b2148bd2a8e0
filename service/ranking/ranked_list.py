"""A viewer's ranked list, packed so that a part of it is served without parsing it.

    byte 0          layout version (2)
    byte 1          1 where nobody is missing behind the last, else 0
    bytes 2-3       number of people k, uint16
    bytes 4-7       row of the viewer, uint32
    3 x uint64      the state that it was made in: epoch of the hidden set; revision of the viewer's live record, and
                    the number that says how her friends and her lifted ties stood
                    (service.ranking.viewer_state.ViewerState.turned)
    2 x uint32      what the soft rules were, and which friends could be named
    k x uint32      rows, best first, before any soft rule
    k x float32     scores, never rising
    k x uint8       source bits
    2 bytes         number of encoded entries e, uint16
    e x uint32      rows of the entries: the first places after the soft rules
    e x float32     their scores
    e x uint32      where in the text each entry ends
    e x uint32      where in the text each entry's position begins
    4 bytes         length of the text, uint32
    text            JSON of the e entries, positions 1 to e, separated by commas
    4 bytes         CRC-32 of all before

Little-endian. Where the state is still the same, the first L entries in their order are one slice of the text; where it
is not, the people are judged and placed anew, and entries are joined around their new positions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RankedList:
    """Whom one viewer is shown in one context, best first.

    `viewer` is a row, None for somebody unknown; `rows` (k,) uint32; `scores` (k,) float32, 0-1, never rising;
    `sources` (k,) uint8 of models.schema.candidate_sources.Source bits.
    """

    viewer: int | None
    rows: NDArray[np.uint32]
    scores: NDArray[np.float32]
    sources: NDArray[np.uint8]
    is_whole: bool = True
    """nobody is missing behind the last"""

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, kept: NDArray[np.bool_]) -> "RankedList":
        """Those of the people (k,) who are kept."""
        return RankedList(self.viewer, self.rows[kept], self.scores[kept], self.sources[kept], self.is_whole)

    def at(self, places: NDArray[np.int32]) -> "RankedList":
        """Those at these places (j,)."""
        taken = (self.rows.take(places), self.scores.take(places), self.sources.take(places))
        return RankedList(self.viewer, *taken, self.is_whole)

    def first(self, most: int) -> "RankedList":
        """The first `most` of the people, as a list that nobody is missing from."""
        return RankedList(self.viewer, self.rows[:most], self.scores[:most], self.sources[:most])

    @property
    def lowest(self) -> np.float32 | None:
        """What nobody missing scores above; None where nobody is."""
        return None if self.is_whole else self.scores[-1]
