"""The edge between two users: the events that change it, and the relationship that follows from them.

An edge is stored as edge events: the latest timestamp of each kind of event that changes a pair, by direction. They are
merged by the later timestamp, so that events may be applied repeatedly and in any order. The relationship follows from
the bits in a version and the edge events after its cut, by the rules of offline.snapshot.relationship_state.resolve.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.schema.event_kinds import EventKind
from models.schema.relationship import FORBIDS, Relationship

EDGE_EVENTS = 32
"""one above the highest number of an edge event"""

CONTACT, UNCONTACT = 14, 15
"""edge events that no event of a caller makes: the other is in the owner's contacts, and no longer is. They concern the
owner alone, and stay until the owner takes the contacts back, whatever versions include"""

NEWCOMER = 30
"""edge event that the worker makes: the other is new, and the owner among the first of the other's candidates"""

OF_ONE = frozenset({CONTACT, UNCONTACT, NEWCOMER})
"""the edge events that no event of a caller makes"""

PAIR_KINDS = frozenset(EventKind) - {EventKind.IMPRESSION, EventKind.CLICK, EventKind.VIEW}
"""the kinds that change the relationship of two users"""

TWO_SIDED = PAIR_KINDS - {EventKind.DISMISS, EventKind.UNDISMISS, EventKind.REPORT}
"""the kinds that change the other user's lists too"""

PROTECTING = frozenset({EventKind.BLOCK, EventKind.REPORT, EventKind.DISMISS, EventKind.DISCONNECT, EventKind.DECLINE})
"""the kinds that keep two people apart"""

GRAPH_CHANGING = frozenset({EventKind.CONNECT, EventKind.ACCEPT, EventKind.DISCONNECT})
"""the kinds that change the graph, so that both users need other candidates"""


class Direction(IntEnum):
    """Who acted, from the point of view of the record's owner."""

    OUT = 0
    """the owner"""
    IN = 16
    """the other user"""


def edge_event(direction: Direction, kind: EventKind) -> int:
    """The number of an edge event in a record, 0 to EDGE_EVENTS-1."""
    return direction | kind


def derive(
    base: NDArray[np.uint8], timestamps_us: NDArray[np.int64], *, cut: int, refused_after: int
) -> NDArray[np.uint8]:
    """(k,) uint8 of Relationship, between one user and k others.

    `base` (k,) uint8 of Relationship is in the version; `timestamps_us` (k, EDGE_EVENTS) int64 has the microseconds of
    each edge event, 0 if there is none. The version's bits include events up to its `cut`. A decline or a disconnect
    forbids while its timestamp is later than `refused_after`.
    """

    # the latest timestamp of each kind, of events after the cut
    late = np.where(timestamps_us > cut, timestamps_us, 0)

    def latest_of(direction: Direction, *kinds: EventKind) -> NDArray[np.int64]:
        latest = late[:, edge_event(direction, kinds[0])]
        for kind in kinds[1:]:
            latest = np.maximum(latest, late[:, edge_event(direction, kind)])
        return latest

    def by_either(*kinds: EventKind) -> NDArray[np.int64]:
        return np.maximum(latest_of(Direction.OUT, *kinds), latest_of(Direction.IN, *kinds))

    def is_set(bit: Relationship, sets: NDArray[np.int64], lifts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Set if `sets` is not earlier than `lifts`; as in the version if there is neither."""
        known = (base & np.uint8(bit)) != 0
        return np.where(np.maximum(sets, lifts) > 0, (sets >= lifts) & (sets > 0), known)

    # connections: the later of a connect and a disconnect decides
    out, into = Direction.OUT, Direction.IN
    joined, parted = by_either(EventKind.CONNECT, EventKind.ACCEPT), by_either(EventKind.DISCONNECT)
    connected = np.where(
        np.maximum(joined, parted) > 0, joined > parted, (base & np.uint8(Relationship.CONNECTED)) != 0
    )
    settled = np.maximum(joined, parted)

    # invites: pending until a later answer, connect or disconnect
    def pending(bit: Relationship, inviter: Direction, invited: Direction) -> NDArray[np.bool_]:
        invited_at = latest_of(inviter, EventKind.INVITE)
        ended = np.maximum(
            latest_of(inviter, EventKind.WITHDRAW), latest_of(invited, EventKind.ACCEPT, EventKind.DECLINE)
        )
        ended = np.maximum(ended, settled)
        known = (base & np.uint8(bit)) != 0
        return np.asarray(np.where(np.maximum(invited_at, ended) > 0, invited_at > ended, known) & ~connected)

    # one mask for each bit
    refused = by_either(EventKind.DECLINE, EventKind.DISCONNECT) > max(refused_after, 0)
    holds = {
        Relationship.CONNECTED: connected,
        Relationship.BLOCKED_BY_VIEWER: is_set(
            Relationship.BLOCKED_BY_VIEWER, latest_of(out, EventKind.BLOCK), latest_of(out, EventKind.UNBLOCK)
        ),
        Relationship.BLOCKED_BY_OTHER: is_set(
            Relationship.BLOCKED_BY_OTHER, latest_of(into, EventKind.BLOCK), latest_of(into, EventKind.UNBLOCK)
        ),
        Relationship.DISMISSED: is_set(
            Relationship.DISMISSED, latest_of(out, EventKind.DISMISS), latest_of(out, EventKind.UNDISMISS)
        ),
        Relationship.REPORTED: ((base & np.uint8(Relationship.REPORTED)) != 0) | (latest_of(out, EventKind.REPORT) > 0),
        Relationship.INVITED_BY_VIEWER: pending(Relationship.INVITED_BY_VIEWER, out, into),
        Relationship.INVITED_BY_OTHER: pending(Relationship.INVITED_BY_OTHER, into, out),
        Relationship.REFUSED: (refused | ((base & np.uint8(Relationship.REFUSED)) != 0)) & ~connected,
    }
    bits = np.zeros(len(base), dtype=np.uint8)
    for bit, mask in holds.items():
        bits |= np.where(mask, np.uint8(bit), np.uint8(0))
    return bits


def derive_one(base: int, edge_events: Mapping[int, int], *, cut: int, refused_after: int) -> Relationship:
    """The relationship of two users: `derive` for one edge, given its timestamps by edge event."""
    timestamps_us = np.zeros((1, EDGE_EVENTS), dtype=np.int64)
    for number, timestamp_us in edge_events.items():
        timestamps_us[0, number] = timestamp_us
    return Relationship(int(derive(np.array([base], np.uint8), timestamps_us, cut=cut, refused_after=refused_after)[0]))


def forbids(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(k,) bool: whether the bits of a pair, without CONNECTED, exclude the other user from the viewer's lists."""
    return np.asarray((bits & np.uint8(FORBIDS)) != 0)
