"""A viewer's live record in the rows of one version, resolved once for every revision of the record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.live_state.edges import (
    EDGE_EVENTS,
    GRAPH_CHANGING,
    Direction,
    derive,
    edge_event,
    forbids,
)
from models.live_state.neighbourhood import base_bits
from models.live_state.user_record import LiveRecord
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


@dataclass(frozen=True, slots=True)
class ViewerState:
    """One viewer in one version. Rows are int32, ascending; people whom the version does not know are dropped."""

    revision: int
    """of the record"""
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


def from_record(
    record: LiveRecord,
    tables: Tables,
    row: Row | None,
    *,
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
    known = rows >= 0
    if row is not None:
        known &= rows != row
    order = np.argsort(rows[known])
    others, own = rows[known][order], timestamps_us[known][order]
    # the relationship with each of them, and the friends that follow from it
    bits = derive(base_bits(tables, row, others), own, cut=cut, refused_after=refused_after)
    base = tables.graph.neighbours(row) if row is not None else np.zeros(0, np.int32)
    barred = tables.forbidden.neighbours(row) if row is not None else np.zeros(0, np.int32)
    untouched = np.setdiff1d(np.setdiff1d(base, barred, assume_unique=True), others, assume_unique=True)
    added = others[((bits & np.uint8(Relationship.CONNECTED)) != 0) & ~forbids(bits)]
    shown, times = _shown(record, shown_rows)
    return ViewerState(
        revision=record.revision,
        relation_version=int(
            timestamps_us.reshape(-1, EDGE_EVENTS)[:, _RELATION_EVENTS].astype(np.uint64).sum(dtype=np.uint64)
        ),
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
    )


def _shown(record: LiveRecord, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows of the people shown, ascending, and how often; `rows` (s,) in the record's order, -1 for the unknown."""
    times = np.fromiter((shown.times for shown in record.shown.values()), np.float32, len(record.shown))
    order = np.argsort(rows)
    order = order[rows[order] >= 0]
    return rows[order], times[order]
