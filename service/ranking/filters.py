"""The hard rules: which people a list must not show, as arithmetic on two bytes a candidate.

The rules are in the order in which a drop is counted under them. A candidate's mask is the set of all rules that drop
it, so that an explanation names every one of them. Live state overrules what a version knows of a pair.
"""

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.schema.columns import Flag
from models.schema.relationship import Relationship
from models.schema.vocabulary import Row
from models.version.tables import Tables
from service.ranking.kernels.filters import filter_masks, places_left
from service.ranking.viewer_state import ViewerState

ERASED_FLAG = 128
"""beside models.schema.columns.Flag, in the flags of a process: erased since the version's cut"""


class Rule(IntFlag):
    """Each alone drops a candidate. The lower-case name is what counters and answers show."""

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
    """since the version's cut"""
    UNDISCOVERABLE = 256
    """chose not to be suggested"""
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
    """(256,) uint16: by a person's flags, the rules that drop the person from every list."""
    flags = np.arange(256)
    undiscoverable = np.where(flags & Flag.DISCOVERABLE, 0, Rule.UNDISCOVERABLE)
    inactive = np.where(flags & Flag.ACTIVE, 0, Rule.INACTIVE)
    return np.where(flags & ERASED_FLAG, Rule.ERASED, undiscoverable | inactive).astype(np.uint16)


def _rules_of_pair() -> NDArray[np.uint16]:
    """(256,) uint16: by the relationship of viewer and candidate, the rules that drop the candidate."""
    masks = np.zeros(256, dtype=np.uint16)
    for bit, rule in _OF_PAIR.items():
        masks[(np.arange(256) & bit) != 0] |= np.uint16(rule)
    return masks


RULES_OF_FLAGS = _rules_of_flags()
RULES_OF_PAIR = _rules_of_pair()
_SELF, _CONNECTED = int(Rule.SELF), int(Rule.CONNECTED)
EXCLUDED = np.uint16(Rule.EXCLUDED)
HIDING = np.uint16(Rule.UNDISCOVERABLE | Rule.INACTIVE)
"""rules that a person may lift without the viewer's doing"""

_NO_ROWS, _NO_BITS = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint8)


class FilterMasks:
    """Computes which rules drop which candidates, from one version's tables and live state.

    Holds two bytes a user as scratch, all zero between calls: one thread at a time.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.uint16)

    def of(
        self, viewer: Row | None, rows: NDArray[np.uint32], flags: NDArray[np.uint8], view: ViewerState | None = None
    ) -> NDArray[np.uint16]:
        """(m,) uint16 of Rule bits for candidates (m,), 0 if no rule drops them.

        A viewer of None has no row. `flags` (n,) are the current ones of all users; `view` is the viewer's live state.
        """
        masks = np.empty(len(rows), dtype=np.uint16)
        graph, forbidden = self._tables.graph, self._tables.forbidden
        filter_masks(
            rows,
            flags,
            RULES_OF_FLAGS,
            -1 if viewer is None else viewer,
            graph.indptr,
            graph.indices,
            forbidden.indptr,
            forbidden.indices,
            self._tables.forbidden_kinds,
            _NO_ROWS if view is None else view.others,
            _NO_BITS if view is None else view.bits,
            RULES_OF_PAIR,
            _SELF,
            _CONNECTED,
            self._marks,
            masks,
        )
        return masks

    def apply(
        self,
        viewer: Row | None,
        rows: NDArray[np.uint32],
        flags: NDArray[np.uint8],
        view: ViewerState | None,
        excluded: NDArray[np.int32],
        exempted: int = 0,
    ) -> "Filtered":
        """The candidates (m,) that no rule drops but exempted ones; the parameters as in `of`.

        `excluded` (k,) are rows that the request leaves out, `exempted` bits of Rule.
        """
        masks = self.of(viewer, rows, flags, view)
        if len(excluded):
            masks[np.isin(rows, excluded)] |= EXCLUDED
        return apply_filters(masks, exempted)


class Filtered(NamedTuple):
    """The candidates (m,) that the rules leave."""

    places: NDArray[np.int32]
    """(k,) of those who are left, in their order"""
    dropped: dict[str, int]
    """number of candidates by rule; one that several rules drop counts under the first of them"""
    hidden_now: int
    """how many of those who are left only exempted rules drop"""
    masks: NDArray[np.uint16]
    """(m,) of Rule bits: the rules that drop each candidate"""


def apply_filters(masks: NDArray[np.uint16], exempted: int = 0) -> Filtered:
    """The candidates that no rule drops but exempted ones, as bits of Rule."""
    places, dropped = np.empty(len(masks), dtype=np.int32), np.zeros(len(_NAMES), dtype=np.int64)
    left, hidden_now = places_left(masks, exempted, places, dropped)
    if left == len(masks) and not hidden_now:
        return Filtered(places, {}, 0, masks)
    counted = {name: count for name, count in zip(_NAMES, dropped.tolist(), strict=True) if count}
    return Filtered(places[:left], counted, hidden_now, masks)


def name_of(rule: Rule) -> str:
    """What counters and answers call a rule."""
    return str(rule.name).lower()


_NAMES = tuple(map(name_of, Rule))
