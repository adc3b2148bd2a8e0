"""The rules that keep people out of a list, as arithmetic on one byte a candidate.

The hard rules that a version can decide, in the order in which a drop is counted under them. A candidate's verdict is
the set of all rules that forbid it, so that whoever asks why learns every one of them.
"""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from models.columns import Flag
from models.tables import Tables


class Rule(IntFlag):
    """Hard rules: each alone keeps a candidate out. The lower-case name is what counters and answers show."""

    SELF = 1
    """the viewer"""
    CONNECTED = 2
    """a connection of the viewer"""
    FORBIDDEN = 4
    """blocked, dismissed, invited, reported, lately disconnected or declined"""
    UNDISCOVERABLE = 8
    """asked never to be suggested"""
    INACTIVE = 16
    """deactivated"""
    EXCLUDED = 32
    """left out by the request itself"""


def _rules_of_flags() -> NDArray[np.uint8]:
    """(256,) uint8: by a person's flags, the rules that keep the person out of every list."""
    flags = np.arange(256)
    undiscoverable = np.where(flags & Flag.DISCOVERABLE, 0, Rule.UNDISCOVERABLE)
    inactive = np.where(flags & Flag.ACTIVE, 0, Rule.INACTIVE)
    return (undiscoverable | inactive).astype(np.uint8)


RULES_OF_FLAGS = _rules_of_flags()
_SELF, _CONNECTED, _FORBIDDEN = (np.uint8(rule) for rule in (Rule.SELF, Rule.CONNECTED, Rule.FORBIDDEN))


class Verdicts:
    """Says which rules forbid which candidates, by one version's tables.

    Keeps one byte a user as scratch, all zero between calls; so one thread at a time may ask.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.uint8)

    def of(self, viewer: int | None, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """(m,) uint8 of Rule bits for candidates (m,), 0 where none forbids; a viewer of None has no row yet."""
        tables, marks = self._tables, self._marks
        verdicts = RULES_OF_FLAGS[tables.flags[rows]]
        if viewer is None:
            return verdicts
        friends, forbidden = tables.graph.neighbours(viewer), tables.forbidden.neighbours(viewer)
        try:
            marks[friends] = _CONNECTED
            marks[forbidden] |= _FORBIDDEN
            marks[viewer] |= _SELF
            verdicts |= marks[rows]
        finally:
            marks[friends] = 0
            marks[forbidden] = 0
            marks[viewer] = 0
        return verdicts


def drops(verdicts: NDArray[np.uint8]) -> dict[str, int]:
    """How many candidates each rule dropped; one that several forbid counts under the first of them."""
    by_verdict = np.bincount(verdicts, minlength=len(_FIRST)).tolist()
    dropped: dict[str, int] = {}
    for verdict, count in enumerate(by_verdict):
        if count and (name := _FIRST[verdict]) is not None:
            dropped[name] = dropped.get(name, 0) + count
    return dropped


def name_of(rule: Rule) -> str:
    """What counters and answers call a rule."""
    return str(rule.name).lower()


_FIRST = [None, *(name_of(next(rule for rule in Rule if rule & verdict)) for verdict in range(1, 2 * max(Rule)))]
"""by verdict, the name of the first rule in it"""
