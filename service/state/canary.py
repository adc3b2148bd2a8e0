"""The canary of one process: which viewers are served from it, and what is counted of their lists and of the others."""

from bisect import bisect_left
from math import log

from models.publishing.canary_counts import (
    BOUNDS_MS,
    BUCKETS,
    DISMISSED,
    ERRORS,
    INVITED,
    LISTS,
    PLACE,
    PLACE_SQUARES,
    POOR,
    REQUESTS,
    SCORE,
    SCORE_SQUARES,
    SCORED,
    Counts,
    ShareDraw,
)
from models.publishing.canary_record import Canary
from models.schema.event_kinds import EventKind
from service.ranking.ranked_list import AnyExposed, Exposed
from service.state.served_version import ServedVersion

FIRST = 10
"""people of a list whose scores and places are compared"""
_LEAST = 1e-6
_ACTS = {
    EventKind.INVITE: INVITED,
    EventKind.DISMISS: DISMISSED,
    EventKind.BLOCK: DISMISSED,
    EventKind.REPORT: DISMISSED,
}
OWN = frozenset({"ranked", "cache"})
"""ways of a list that is made of the candidates that its version has of the viewer"""
AFRESH = "ranked"


class ServedCanary:
    """A canary while this process serves it: its version, its viewers and the counts of one step."""

    __slots__ = ("_draw", "canary", "counts", "served", "written")

    def __init__(self, canary: Canary, served: ServedVersion | None, fault: str | None = None) -> None:
        """`served` is the canary's version; None if it cannot be opened, by `fault`."""
        self.canary = canary
        self.served = served
        self.counts = Counts(canary.identity, fault=fault)
        self.written = b""
        """as the store has them"""
        self._draw = ShareDraw(canary.version, canary.share)

    def has(self, user_id: str) -> bool:
        """Whether a viewer is in the share."""
        return self._draw.has(user_id)

    def answered(self, user_id: str, served: str, exposed: AnyExposed | None, seconds: float | None) -> None:
        """Counts a list of a viewer, made in a way that answers say; `seconds` None: it was one of many."""
        drawn = self._draw.number(user_id)
        arm = self._draw.arm(drawn)
        sums = self.counts.sums[arm, drawn % BUCKETS]
        sums[REQUESTS] += 1
        sums[LISTS] += 1
        if served not in OWN:
            sums[POOR] += 1
        elif served == AFRESH and isinstance(exposed, Exposed):
            if len(exposed.placed):
                logits, place = _first(exposed)
                sums[SCORED] += 1
                sums[SCORE] += logits
                sums[SCORE_SQUARES] += logits * logits
                sums[PLACE] += place
                sums[PLACE_SQUARES] += place * place
            if seconds is not None:
                self.counts.times[arm, bisect_left(BOUNDS_MS, seconds * 1000)] += 1

    def failed(self, user_id: str) -> None:
        """Counts a request of a viewer that no list could be made for."""
        drawn = self._draw.number(user_id)
        sums = self.counts.sums[self._draw.arm(drawn), drawn % BUCKETS]
        sums[REQUESTS] += 1
        sums[ERRORS] += 1

    def acted(self, user_id: str, kind: EventKind) -> None:
        """Counts what a viewer did, if it is an invitation or a dismissal."""
        of = _ACTS.get(kind)
        if of is not None:
            drawn = self._draw.number(user_id)
            self.counts.sums[self._draw.arm(drawn), drawn % BUCKETS, of] += 1


def _first(exposed: Exposed) -> tuple[float, float]:
    """The mean log-odds of the first people of a list, and their mean place among the candidates, 0 to 1."""
    placed, read = exposed.placed, exposed.read
    scores = placed.scores[:FIRST].tolist()
    logits = sum(log(max(one, _LEAST) / max(1 - one, _LEAST)) for one in scores) / len(scores)
    if placed.places is None or read is None:
        return logits, 0.0
    return logits, float(placed.places[:FIRST].mean()) / read.codes.shape[1]
