"""The state of a viewer that is extended step by step is the one that is resolved from the whole record."""

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.live_state.edges import CONTACT, NEWCOMER, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.user_record import LiveRecord, new_base
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import Row
from service.ranking.viewer_state import ViewerState, extended, from_record
from tests.support.tables import tables_in_memory

T0 = 1_790_000_000_000_000
PEOPLE = [f"u{number}" for number in range(8)]
TABLES = tables_in_memory(
    PEOPLE,
    [(0, 1), (0, 2), (0, 3), (3, 4)],
    forbidden=[(0, 2), (0, 5)],
)

entries = st.builds(
    JournalEntry,
    st.builds(edge_event, st.sampled_from(Direction), st.sampled_from(EventKind)),
    st.integers(T0 - 3, T0 + 60),
    st.sampled_from([*PEOPLE[1:], "unknown", "another"]),
)


def state_of(record: LiveRecord, revision: tuple[int, int]) -> ViewerState:
    return from_record(record, TABLES, Row(0), revision=revision, cut=T0, refused_after=T0 + 20)


watermarks = st.sampled_from([0, T0 - 1, T0 + 30])
"""the last: of somebody who was erased then, and registered again"""


@given(
    st.lists(st.lists(entries, max_size=6), min_size=1, max_size=6),
    watermarks,
    st.sampled_from([CONTACT, NEWCOMER]),
)
@settings(max_examples=400, deadline=None)
def test_extended_is_resolved(parts: list[list[JournalEntry]], watermark: int, suggested: int) -> None:
    erased = watermark if watermark > T0 else 0
    base = LiveRecord(revision=T0, last=T0, erased=erased, profile=erased + 1, watermark=watermark)
    # whom the version does not know, and who is kept out of the lists
    base.edges["another"] = {suggested: T0 + 1, edge_event(Direction.OUT, EventKind.BLOCK): T0 + 1}
    packed = base.pack() if watermark else new_base(T0)
    state: Any = state_of(LiveRecord.unpack(packed), (T0, len(packed)))
    for part in parts:
        packed += b"".join(entry.encode() for entry in part)
        revision = (T0, len(packed))
        moments: Any = {"cut": T0, "refused_after": T0 + 20}
        rows_of = TABLES.vocabulary.rows
        state = extended(state, part, TABLES, Row(0), revision=revision, rows_of=rows_of, **moments)
        if state is None:  # the whole record is read
            state = state_of(LiveRecord.unpack(packed), revision)
        whole = state_of(LiveRecord.unpack(packed), revision)
        for field in fields(ViewerState):
            one, other = getattr(state, field.name), getattr(whole, field.name)
            if field.name == "events":
                rows = np.unique(np.concatenate([one.rows, other.rows])).astype(np.int32)
                assert np.array_equal(one.latest(rows), other.latest(rows))
            elif isinstance(one, np.ndarray):
                assert np.array_equal(one, other), field.name
                assert one.dtype == other.dtype, field.name
            else:
                assert one == other, field.name


def test_contacts_are_those_of_the_record() -> None:
    record = LiveRecord(erased=T0, profile=T0 + 1)
    for other, at in (("u1", T0 - 1), ("u2", T0), ("u4", T0 + 1), ("another", T0 - 1), ("unknown", T0 + 1)):
        record.note(other, CONTACT, at)
    found = state_of(record, (0, 0)).contacts
    assert {one.user_id: one.since for one in found} == record.contacts() == {"u4": T0 + 1, "unknown": T0 + 1}
