"""What a process counts of the lists of a canary's viewers and of the others, and the sum over all processes.

Viewers are in BUCKETS by the hash that draws the canary's share, since one viewer asks many times: how much sums vary
from bucket to bucket tells how much chance is in them. Process sums add up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import orjson

from models.arrays import Float64s
from models.experiments.assignment import number

BUCKETS = 64
CONTROL, CANARY = 0, 1
SUMS = (
    *("requests", "errors", "lists", "poor", "scored", "score", "score_squares", "place", "place_squares"),
    *("invited", "dismissed"),
)
REQUESTS, ERRORS, LISTS, POOR, SCORED, SCORE, SCORE_SQUARES, PLACE, PLACE_SQUARES, INVITED, DISMISSED = range(len(SUMS))
"""requests for a list; those that failed; lists; those not made of the version's own candidates; lists scored afresh;
the mean log-odds of their first people, and its squares; the mean place of these among the candidates as they were
generated, 0 to 1, and its squares; people invited and dismissed by the viewers"""

BOUNDS_MS = tuple(float(f"{0.5 * 1.2**at:.3g}") for at in range(55))
"""upper bounds of the histogram of times, milliseconds: 0.5 ms to 9.4 s, each a fifth above the one before"""


_RANGE = 1 << 64
_PERSON = b"pymk-canary"


class ShareDraw:
    """Who is in the share of a canary: a hash of the id, salted with the version; a larger share has all of a smaller.

    The same in every process.
    """

    __slots__ = ("_bound", "_salt")

    def __init__(self, version: str, share: float) -> None:
        self._salt = version
        self._bound = round(share * _RANGE)

    def number(self, user_id: str) -> int:
        """The 64 bits of a viewer."""
        return number(self._salt, user_id, _PERSON)

    def arm(self, drawn: int) -> int:
        """CANARY or CONTROL, by the bits of a viewer."""
        return CANARY if drawn < self._bound else CONTROL

    def has(self, user_id: str) -> bool:
        """Whether a viewer is in the share."""
        return number(self._salt, user_id, _PERSON) < self._bound


@dataclass
class Counts:
    """Sums of one step of one canary."""

    identity: str
    """models.publishing.canary_record.Canary.identity"""
    sums: Float64s = field(default_factory=lambda: np.zeros((2, BUCKETS, len(SUMS))))
    """(2, BUCKETS, sums) by arm and bucket"""
    times: Float64s = field(default_factory=lambda: np.zeros((2, len(BOUNDS_MS) + 1)))
    """(2, bounds + 1) lists ranked afresh, by the time they took"""
    fault: str | None = None
    """why the process does not serve the canary"""

    def pack(self) -> bytes:
        """The counts as the store has them."""
        return orjson.dumps(
            {
                "identity": self.identity,
                "sums": self.sums.round(6).tolist(),
                "times": self.times.tolist(),
                "fault": self.fault,
            }
        )


def total(identity: str, packed: Iterable[bytes]) -> Counts:
    """The sums over all processes; what is of another step, or does not read back, is left out."""
    every = Counts(identity)
    for content in packed:
        try:
            read = orjson.loads(content)
            if read["identity"] != identity:
                continue
            sums, times = np.asarray(read["sums"], np.float64), np.asarray(read["times"], np.float64)
            every.fault = every.fault or read["fault"]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
        if sums.shape == every.sums.shape and times.shape == every.times.shape:
            every.sums += sums
            every.times += times
    return every
