"""A viewer's live record in the rows of one version: resolved once, then extended by what is added to the record."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.live_state.edges import (
    CONTACT,
    EDGE_EVENTS,
    GRAPH_CHANGING,
    NEWCOMER,
    OF_ONE,
    PAIR_KINDS,
    UNCONTACT,
    Direction,
    derive,
    edge_event,
    forbids,
)
from models.live_state.journal import JournalEntry
from models.live_state.neighbourhood import base_bits
from models.live_state.user_record import MOST_IMPRESSIONS, LiveRecord
from models.schema.columns import ALL_FLAGS, Flag
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.schema.vocabulary import Row
from models.version.tables import Tables

_LIFTED_BY = frozenset({EventKind.UNBLOCK, EventKind.UNDISMISS, EventKind.WITHDRAW})
_RELATION_EVENTS = np.array(
    sorted(edge_event(direction, kind) for direction in Direction for kind in GRAPH_CHANGING | _LIFTED_BY),
    dtype=np.intp,
)
"""events after which a list holds people who were not in it, or reasons name other friends"""
_FRIENDSHIP_EVENTS = np.array(
    [edge_event(direction, kind) for direction in Direction for kind in (EventKind.CONNECT, EventKind.ACCEPT)],
    dtype=np.uint8,
)
"""events that make a friendship"""


class EdgeEvents(NamedTuple):
    """The edge events of a viewer's record, in no order; people whom the version does not know are dropped."""

    rows: NDArray[np.int32]
    """(e,) the other user"""
    numbers: NDArray[np.uint8]
    """(e,) models.live_state.edges.edge_event"""
    timestamps_us: NDArray[np.int64]
    """(e,)"""

    def with_more(self, rows: Sequence[int], numbers: Sequence[int], timestamps_us: Sequence[int]) -> "EdgeEvents":
        """These events and others."""
        return EdgeEvents(
            np.append(self.rows, np.array(rows, np.int32)),
            np.append(self.numbers, np.array(numbers, np.uint8)),
            np.append(self.timestamps_us, np.array(timestamps_us, np.int64)),
        )

    def latest(self, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """(k, EDGE_EVENTS) int64, the latest timestamp of each edge event with each of `rows` (k,), ascending."""
        table = np.zeros((len(rows), EDGE_EVENTS), dtype=np.int64)
        own = np.flatnonzero(np.isin(self.rows, rows))
        np.maximum.at(table, (np.searchsorted(rows, self.rows[own]), self.numbers[own]), self.timestamps_us[own])
        return table


class Suggestion(NamedTuple):
    """A user who may have a place beside the ranked ones: one of the viewer's contacts, or a newcomer."""

    user_id: str
    row: int
    """-1: the version does not know the user"""
    since: int
    """when the later of the two joined or uploaded, or the newcomer was noted, microseconds"""


NO_ROWS = np.zeros(0, np.int32)
NO_EVENTS = EdgeEvents(np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class ViewerState:
    """One viewer in one version. Rows are int32, ascending; people whom the version does not know are dropped."""

    revision: tuple[int, int]
    """of the record (models.live_state.user_record.revision_of)"""
    relation_version: int
    """a number that changes whenever a friendship was made or ended, or a block, dismissal or invitation was lifted"""
    others: NDArray[np.int32]
    """(k,) people with whom something happened since the cut"""
    bits: NDArray[np.uint8]
    """(k,) models.schema.relationship.Relationship with each, the version's knowledge included"""
    friends: NDArray[np.int32]
    """(f,) connections, less those whom the viewer must not be shown"""
    shown: NDArray[np.int32]
    """(s,) people shown since the viewer last did anything with them"""
    times: NDArray[np.float32]
    """(s,) how often"""
    events: EdgeEvents = NO_EVENTS
    """the edge events that `bits` follow from"""
    is_gone: bool = False
    """erased, and not registered again"""
    is_new: bool = False
    """registered again after an erasure that the version does not know of: the row is the former user's"""
    flags: Flag = ALL_FLAGS
    """of a viewer without a row; those of the others are in the hidden set"""
    graph_changed_at: int = 0
    """when the friendships or the profile of the viewer last changed, microseconds; 0: never"""
    profile_changed_at: int = 0
    """when the profile of a viewer with a row was last changed since the cut, microseconds; 0: not at all"""
    watermark: int = 0
    """of the record: edge events up to it do not count, even if they are added later, microseconds"""
    contacts: tuple[Suggestion, ...] = ()
    """by user id; of those whom the version does not know, only those whom nothing keeps out of the viewer's lists"""
    newcomers: tuple[Suggestion, ...] = ()
    """users whom the version does not know, and who have the viewer among their first candidates, likewise"""

    def changed_friends(self, graph: Graph, row: Row) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The friends made and those lost since the version of this graph, where the viewer has this row; ascending."""
        if not self.graph_changed_at or not len(self.others):
            return NO_ROWS, NO_ROWS
        before = graph.neighbours(row)
        was = np.isin(self.others, before, assume_unique=True)
        now = (self.bits & np.uint8(Relationship.CONNECTED)) != 0
        return self.others[now & ~was], self.others[was & ~now]

    def friends_made_since(self, timestamp_us: int, graph: Graph, row: Row | None) -> NDArray[np.int32]:
        """The present friends who became it after a moment, without those whom the version's graph has; ascending."""
        if self.graph_changed_at <= timestamp_us:
            return NO_ROWS
        rows, numbers, timestamps_us = self.events
        late = rows[(timestamps_us > timestamp_us) & np.isin(numbers, _FRIENDSHIP_EVENTS)]
        made = self.friends[np.isin(self.friends, late)]
        return made if row is None else np.setdiff1d(made, graph.neighbours(row), assume_unique=True)


def from_record(
    record: LiveRecord,
    tables: Tables,
    row: Row | None,
    *,
    revision: tuple[int, int] = (0, 0),
    cut: int,
    refused_after: int,
    is_erased: bool = False,
    rows_of: Callable[[Iterable[str]], NDArray[np.int32]] | None = None,
) -> ViewerState:
    """The state of the viewer whose record it is, at `row` of a version with this cut.

    `cut` and `refused_after` as in models.live_state.edges.derive; `is_erased`: the user at that row was erased since;
    `rows_of` finds rows like the version's vocabulary, which is the default.
    """
    # which user the record is of, in this version
    is_gone = record.erased > record.profile
    is_new = is_erased or record.erased > cut
    if is_new:
        row = None
    # the people in it, by row
    rows_of = rows_of or tables.vocabulary.rows
    found = rows_of([*record.edges, *record.shown])
    rows, shown_rows = found[: len(record.edges)], found[len(record.edges) :]
    timestamps_us = record.timestamps_us()
    others_ids = list(record.edges)
    has = timestamps_us[:, CONTACT] > np.maximum(timestamps_us[:, UNCONTACT], record.erased)
    contacts = _people(others_ids, rows, timestamps_us, has, CONTACT, refused_after)
    new = (timestamps_us[:, NEWCOMER] > 0) & (rows < 0) & ~has
    newcomers = _people(others_ids, rows, timestamps_us, new, NEWCOMER, refused_after)
    known = rows >= 0
    if row is not None:
        known &= rows != row
    order = np.argsort(rows[known], kind="stable")
    others, own = rows[known][order], timestamps_us[known][order]
    # the relationship with each of them, and the friends that follow from it
    bits = derive(base_bits(tables, row, others), own, cut=cut, refused_after=refused_after)
    base = tables.graph.neighbours(row) if row is not None else np.zeros(0, np.int32)
    barred = tables.forbidden.neighbours(row) if row is not None else np.zeros(0, np.int32)
    untouched = np.setdiff1d(np.setdiff1d(base, barred, assume_unique=True), others, assume_unique=True)
    added = others[((bits & np.uint8(Relationship.CONNECTED)) != 0) & ~forbids(bits)]
    shown, times = _shown(record, shown_rows)
    event_at, numbers = np.nonzero(own)
    return ViewerState(
        revision=revision,
        relation_version=_relation_version(own),
        events=EdgeEvents(others[event_at], numbers.astype(np.uint8), own[event_at, numbers]),
        others=others,
        bits=bits,
        friends=np.union1d(untouched, added).astype(np.int32),
        shown=shown,
        times=times,
        is_gone=is_gone,
        is_new=is_new,
        flags=record.flags_over(int(ALL_FLAGS), 0),
        graph_changed_at=max(record.graph_changed_at, record.profile),
        profile_changed_at=record.profile if row is not None and record.profile > cut else 0,
        watermark=record.watermark,
        contacts=contacts,
        newcomers=newcomers,
    )


def _people(
    others: Sequence[str],
    rows: NDArray[np.int32],
    timestamps_us: NDArray[np.int64],
    among: NDArray[np.bool_],
    number: int,
    refused_after: int,
) -> tuple[Suggestion, ...]:
    """Those `among` (k,) the users of a record, with the time of one edge event of `timestamps_us` (k, EDGE_EVENTS)."""
    places = np.flatnonzero(among)
    if not len(places):
        return ()
    bits = derive(np.zeros(len(places), np.uint8), timestamps_us[places], cut=0, refused_after=refused_after)
    shown = places[(rows[places] >= 0) | (bits == 0)].tolist()
    return tuple(sorted(Suggestion(others[at], int(rows[at]), int(timestamps_us[at, number])) for at in shown))


def _shown(record: LiveRecord, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows of the people shown, ascending, and how often; `rows` (s,) in the record's order, -1 for the unknown."""
    times = np.fromiter((shown.times for shown in record.shown.values()), np.float32, len(record.shown))
    order = np.argsort(rows)
    order = order[rows[order] >= 0]
    return rows[order], times[order]


def extended(
    state: ViewerState,
    entries: Sequence[JournalEntry],
    tables: Tables,
    row: Row | None,
    *,
    revision: tuple[int, int],
    cut: int,
    refused_after: int,
    rows_of: Callable[[Iterable[str]], NDArray[np.int32]],
) -> ViewerState | None:
    """The state of a viewer after entries were added to the record, at the cost of those entries.

    Arguments as in `from_record`. None if they change the viewer's own flags or profile, or may concern a contact or a
    newcomer: then the record has to be read as a whole.
    """
    if any(entry.number >= EDGE_EVENTS or entry.number in OF_ONE for entry in entries):
        return None
    named = (*state.contacts, *state.newcomers)
    if named and not {entry.text for entry in entries}.isdisjoint(one.user_id for one in named):
        return None
    row = None if state.is_new else row
    rows = rows_of([entry.text for entry in entries])
    lifted = [EventKind(entry.number & ~Direction.IN) in _LIFTED_BY for entry in entries]
    if any(is_lifted and row < 0 for is_lifted, row in zip(lifted, rows.tolist(), strict=True)):
        return None  # a contact or a newcomer may come back
    known = np.flatnonzero((rows >= 0) & (rows != (-1 if row is None else row))).tolist()
    shown = dict(zip(state.shown.tolist(), state.times.tolist(), strict=True))
    added: list[tuple[int, int, int]] = []
    late = [(EventKind(number & ~Direction.IN), at) for number, at, _ in entries if at > state.watermark]
    graph_changes = [at for kind, at in late if kind in GRAPH_CHANGING]
    # each entry in turn
    for place in known:
        number, timestamp_us, _ = entries[place]
        other, kind = int(rows[place]), EventKind(number & ~Direction.IN)
        if kind is EventKind.IMPRESSION:
            shown[other] = min(shown.get(other, 0.0) + 1.0, MOST_IMPRESSIONS)
        elif number < Direction.IN:
            shown.pop(other, None)
        if kind in PAIR_KINDS and timestamp_us > state.watermark:
            added.append((other, number, timestamp_us))
    shown_rows = np.array(sorted(shown), dtype=np.int32)
    times = np.array([shown[other] for other in shown_rows.tolist()], dtype=np.float32)
    changed_at = max([state.graph_changed_at, *graph_changes])
    state = replace(state, revision=revision, graph_changed_at=changed_at, shown=shown_rows, times=times)
    if not added:
        return state
    # the relationship with those whom something happened with
    events = state.events.with_more(*zip(*added, strict=True))
    touched = np.unique(events.rows[len(state.events.rows) :])
    before, latest = state.events.latest(touched), events.latest(touched)
    bits = derive(base_bits(tables, row, touched), latest, cut=cut, refused_after=refused_after)
    is_friend = ((bits & np.uint8(Relationship.CONNECTED)) != 0) & ~forbids(bits)
    others = without(state.others, touched)
    at = np.searchsorted(others, touched)
    return replace(
        state,
        events=events,
        relation_version=(state.relation_version + _relation_version(latest) - _relation_version(before)) % (1 << 64),
        others=np.insert(others, at, touched),
        bits=np.insert(np.delete(state.bits, np.flatnonzero(np.isin(state.others, touched))), at, bits),
        friends=_inserted(without(state.friends, touched), touched[is_friend]),
    )


def _relation_version(timestamps_us: NDArray[np.int64]) -> int:
    """The part of `relation_version` that follows from the latest timestamps (k, EDGE_EVENTS) of some people."""
    relations = timestamps_us.reshape(-1, EDGE_EVENTS)[:, _RELATION_EVENTS]
    return int(relations.astype(np.uint64).sum(dtype=np.uint64))


def without(rows: NDArray[np.int32], removed: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ascending rows without some of them; both (n,) and (k,) ascending, n large and k small."""
    if not len(rows) or not len(removed):
        return rows
    at = np.minimum(np.searchsorted(rows, removed), len(rows) - 1)
    return np.delete(rows, at[rows[at] == removed])


def _inserted(rows: NDArray[np.int32], added: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ascending rows and others that are not among them, ascending."""
    return np.insert(rows, np.searchsorted(rows, added), added)
