"""The hard rules: who is kept out of a list, as arithmetic on two bytes a candidate.

They stand in the order in which a drop is counted under them. A candidate's verdict is the set of all rules that
forbid it, so that whoever asks why learns every one of them. What a version knows of a pair, live state overrules.
"""

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.schema.columns import Flag
from models.schema.relationship import Relationship
from models.version.tables import Tables
from service.ranking.kernels.filters import judge
from service.ranking.kernels.sorting import passing
from service.ranking.viewer_state import ViewerState

ERASED_FLAG = 128
"""beside models.schema.columns.Flag, in the flags of a process: erased since the version's cut"""


class Rule(IntFlag):
    """Each alone keeps a candidate out. The lower-case name is what counters and answers show."""

    SELF = 1
    """the viewer"""
    CONNECTED = 2
    """a connection of the viewer"""
    BLOCKED = 4
    """by either"""
    DISMISSED = 8
    """by the viewer"""
    REPORTED = 16
    """by the viewer, or forbidden by a version that does not say why"""
    INVITED = 32
    """by either, and pending"""
    REFUSED = 64
    """lately disconnected or declined, by either"""
    ERASED = 128
    """gone"""
    UNDISCOVERABLE = 256
    """asked never to be suggested"""
    INACTIVE = 512
    """deactivated"""
    EXCLUDED = 1024
    """left out by the request itself"""


_OF_PAIR = {
    Relationship.CONNECTED: Rule.CONNECTED,
    Relationship.BLOCKED_BY_VIEWER: Rule.BLOCKED,
    Relationship.BLOCKED_BY_OTHER: Rule.BLOCKED,
    Relationship.DISMISSED: Rule.DISMISSED,
    Relationship.REPORTED: Rule.REPORTED,
    Relationship.INVITED_BY_VIEWER: Rule.INVITED,
    Relationship.INVITED_BY_OTHER: Rule.INVITED,
    Relationship.REFUSED: Rule.REFUSED,
}


def _rules_of_flags() -> NDArray[np.uint16]:
    """(256,) uint16: by a person's flags, the rules that keep the person out of every list."""
    flags = np.arange(256)
    undiscoverable = np.where(flags & Flag.DISCOVERABLE, 0, Rule.UNDISCOVERABLE)
    inactive = np.where(flags & Flag.ACTIVE, 0, Rule.INACTIVE)
    return np.where(flags & ERASED_FLAG, Rule.ERASED, undiscoverable | inactive).astype(np.uint16)


def _rules_of_pair() -> NDArray[np.uint16]:
    """(256,) uint16: by what holds between viewer and candidate, the rules that keep the candidate out."""
    rules = np.zeros(256, dtype=np.uint16)
    for bit, rule in _OF_PAIR.items():
        rules[(np.arange(256) & bit) != 0] |= np.uint16(rule)
    return rules


RULES_OF_FLAGS = _rules_of_flags()
RULES_OF_PAIR = _rules_of_pair()
_SELF, _CONNECTED = int(Rule.SELF), int(Rule.CONNECTED)
EXCLUDED = np.uint16(Rule.EXCLUDED)
HIDING = np.uint16(Rule.UNDISCOVERABLE | Rule.INACTIVE)
"""what a person takes back without the viewer's doing"""

_NOBODY, _NOTHING = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint8)


class FilterMasks:
    """Says which rules forbid which candidates, by one version's tables and what is live.

    Keeps two bytes a user as scratch, all zero between calls; so one thread at a time may ask.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.uint16)

    def of(
        self, viewer: int | None, rows: NDArray[np.uint32], flags: NDArray[np.uint8], view: ViewerState | None = None
    ) -> NDArray[np.uint16]:
        """(m,) uint16 of Rule bits for candidates (m,), 0 where none forbids.

        A viewer of None has no row. `flags` (n,) are everybody's now; `view` says what the viewer did since the cut.
        """
        verdicts = np.empty(len(rows), dtype=np.uint16)
        graph, forbidden = self._tables.graph, self._tables.forbidden
        judge(
            rows,
            flags,
            RULES_OF_FLAGS,
            -1 if viewer is None else viewer,
            graph.indptr,
            graph.indices,
            forbidden.indptr,
            forbidden.indices,
            self._tables.forbidden_kinds,
            _NOBODY if view is None else view.others,
            _NOTHING if view is None else view.bits,
            RULES_OF_PAIR,
            _SELF,
            _CONNECTED,
            self._marks,
            verdicts,
        )
        return verdicts


class Filtered(NamedTuple):
    """What verdicts leave of the candidates (m,)."""

    places: NDArray[np.int32]
    """(k,) of those who are left, in their order"""
    dropped: dict[str, int]
    """how many each rule forbids; one that several do counts under the first of them"""
    over: int
    """how many of those who are left a rule forbids that was passed over"""


def apply_filters(verdicts: NDArray[np.uint16], passed_over: int = 0) -> Filtered:
    """The candidates whom no rule forbids but those passed over, as bits of Rule."""
    places, dropped = np.empty(len(verdicts), dtype=np.int32), np.zeros(len(_NAMES), dtype=np.int64)
    kept, over = passing(verdicts, passed_over, places, dropped)
    if kept == len(verdicts) and not over:
        return Filtered(places, {}, 0)
    counted = {name: count for name, count in zip(_NAMES, dropped.tolist(), strict=True) if count}
    return Filtered(places[:kept], counted, over)


def name_of(rule: Rule) -> str:
    """What counters and answers call a rule."""
    return str(rule.name).lower()


_NAMES = tuple(map(name_of, Rule))
