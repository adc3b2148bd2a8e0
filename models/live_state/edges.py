"""Ties: what two people did to each other, and what holds between them because of it.

A tie is kept as marks: for each kind of event that changes a pair, and who did it, the latest stamp. Marks of one tie
are merged by the later stamp, so that an event may be applied any number of times and in any order. What holds follows
from the bits that a version knows and the marks later than its cut, by the same rules as
offline.snapshot.relationship_state.resolve.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.schema.event_kinds import EventKind
from models.schema.relationship import FORBIDS, Relationship

EDGE_EVENTS = 32
"""one above the highest mark"""

PAIR_KINDS = frozenset(EventKind) - {EventKind.IMPRESSION, EventKind.CLICK, EventKind.VIEW}
"""the kinds that change what holds between two people"""

TWO_SIDED = PAIR_KINDS - {EventKind.DISMISS, EventKind.UNDISMISS, EventKind.REPORT}
"""the kinds that the other person's lists follow too"""

GRAPH_CHANGING = frozenset({EventKind.CONNECT, EventKind.ACCEPT, EventKind.DISCONNECT})
"""the kinds that change the graph, so that both people need other candidates"""


class Direction(IntEnum):
    """Who did it, seen from the person whose record it is."""

    OUT = 0
    """that person"""
    IN = 16
    """the other one"""


def edge_event(direction: Direction, kind: EventKind) -> int:
    """The number under which a record keeps the latest stamp of a kind of event, 0 to MARKS-1."""
    return direction | kind


def derive(
    base: NDArray[np.uint8], timestamps_us: NDArray[np.int64], *, cut: int, refused_after: int
) -> NDArray[np.uint8]:
    """(k,) uint8 of Relationship: what holds between one person and k others.

    `base` (k,) uint8 of Relationship is what the version knows; `timestamps_us` (k, MARKS) int64 microseconds by mark,
    0 where there is none. Stamps up to `cut`, the version's, are in its bits already. A decline or a disconnect forbids
    while its stamp is later than `refused_after`.
    """
    late = np.where(timestamps_us > cut, timestamps_us, 0)

    def done(direction: Direction, *kinds: EventKind) -> NDArray[np.int64]:
        latest = late[:, edge_event(direction, kinds[0])]
        for kind in kinds[1:]:
            latest = np.maximum(latest, late[:, edge_event(direction, kind)])
        return latest

    def by_either(*kinds: EventKind) -> NDArray[np.int64]:
        return np.maximum(done(Direction.OUT, *kinds), done(Direction.IN, *kinds))

    def standing(bit: Relationship, sets: NDArray[np.int64], lifts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Set by the later of two, by `sets` where they are equal, and as the version says where there is neither."""
        known = (base & np.uint8(bit)) != 0
        return np.where(np.maximum(sets, lifts) > 0, (sets >= lifts) & (sets > 0), known)

    out, into = Direction.OUT, Direction.IN
    joined, parted = by_either(EventKind.CONNECT, EventKind.ACCEPT), by_either(EventKind.DISCONNECT)
    connected = np.where(
        np.maximum(joined, parted) > 0, joined > parted, (base & np.uint8(Relationship.CONNECTED)) != 0
    )
    settled = np.maximum(joined, parted)

    def pending(bit: Relationship, inviter: Direction, invited: Direction) -> NDArray[np.bool_]:
        asked = done(inviter, EventKind.INVITE)
        ended = np.maximum(done(inviter, EventKind.WITHDRAW), done(invited, EventKind.ACCEPT, EventKind.DECLINE))
        ended = np.maximum(ended, settled)
        known = (base & np.uint8(bit)) != 0
        return np.asarray(np.where(np.maximum(asked, ended) > 0, asked > ended, known) & ~connected)

    refused = by_either(EventKind.DECLINE, EventKind.DISCONNECT) > max(refused_after, 0)
    holds = {
        Relationship.CONNECTED: connected,
        Relationship.BLOCKED_BY_VIEWER: standing(
            Relationship.BLOCKED_BY_VIEWER, done(out, EventKind.BLOCK), done(out, EventKind.UNBLOCK)
        ),
        Relationship.BLOCKED_BY_OTHER: standing(
            Relationship.BLOCKED_BY_OTHER, done(into, EventKind.BLOCK), done(into, EventKind.UNBLOCK)
        ),
        Relationship.DISMISSED: standing(
            Relationship.DISMISSED, done(out, EventKind.DISMISS), done(out, EventKind.UNDISMISS)
        ),
        Relationship.REPORTED: ((base & np.uint8(Relationship.REPORTED)) != 0) | (done(out, EventKind.REPORT) > 0),
        Relationship.INVITED_BY_VIEWER: pending(Relationship.INVITED_BY_VIEWER, out, into),
        Relationship.INVITED_BY_OTHER: pending(Relationship.INVITED_BY_OTHER, into, out),
        Relationship.REFUSED: (refused | ((base & np.uint8(Relationship.REFUSED)) != 0)) & ~connected,
    }
    bits = np.zeros(len(base), dtype=np.uint8)
    for bit, held in holds.items():
        bits |= np.where(held, np.uint8(bit), np.uint8(0))
    return bits


def derive_one(base: int, edge_events: Mapping[int, int], *, cut: int, refused_after: int) -> Relationship:
    """What holds between two people: `derive` for one tie, its latest stamps by mark."""
    timestamps_us = np.zeros((1, EDGE_EVENTS), dtype=np.int64)
    for number, timestamp_us in edge_events.items():
        timestamps_us[0, number] = timestamp_us
    return Relationship(int(derive(np.array([base], np.uint8), timestamps_us, cut=cut, refused_after=refused_after)[0]))


def forbids(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(k,) bool: where the bits of a pair keep the other out of the viewer's lists, be they friends or not."""
    return np.asarray((bits & np.uint8(FORBIDS)) != 0)
