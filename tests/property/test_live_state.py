"""Live state says what the night will say, in whatever order and however often its reciprocal updates arrive."""

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.live_state.edges import (
    PAIR_KINDS,
    TWO_SIDED,
    Direction,
    derive,
    derive_one,
)
from models.live_state.user_record import LiveRecord
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from offline.snapshot.relationship_state import resolve

PEOPLE = ("ann", "bea", "cid")
START = 1_790_000_000
DAYS = 90

steps = st.tuples(st.integers(0, 2), st.integers(1, 2), st.sampled_from(sorted(PAIR_KINDS)))
"""the user, how many places after them the other user is, and the kind of event"""


def events_of(drawn: list[tuple[int, int, EventKind]]) -> list[tuple[int, int, EventKind, int]]:
    """Returns viewer, other, kind and timestamp in microseconds. Several share a second, and two each a timestamp."""
    return [(who, (who + on) % 3, kind, START * 10**6 + at // 2 * 300_000) for at, (who, on, kind) in enumerate(drawn)]


def base_of(known: list[tuple[int, int, EventKind, int]], connected: bool, now_s: int) -> dict[tuple[int, int], int]:
    """What a night with these events knows, bits by (viewer, other); `connected`: ann and bea were friends before."""
    claims = pl.DataFrame(
        {"a": [0], "b": [1], "created_at": [START - 1000]} if connected else {"a": [], "b": [], "created_at": []},
        schema={"a": pl.Int32, "b": pl.Int32, "created_at": pl.Int64},
    )
    events = pl.DataFrame(
        {
            "user": [event[0] for event in known],
            "other": [event[1] for event in known],
            "kind": [int(event[2]) for event in known],
            "at": [event[3] // 10**6 for event in known],
            "order": [event[3] for event in known],
        },
        schema={"user": pl.Int32, "other": pl.Int32, "kind": pl.UInt8, "at": pl.Int64, "order": pl.Int64},
    )
    state = resolve(claims, events, as_of=now_s, forbidden_days=DAYS)
    bits = {(viewer, other): kinds for viewer, other, kinds in state.forbidden.iter_rows()}
    for a, b in state.connections.select("a", "b").iter_rows():
        for pair in ((a, b), (b, a)):
            bits[pair] = bits.get(pair, 0) | Relationship.CONNECTED
    return bits


@given(st.lists(steps, max_size=25), st.floats(0, 1), st.booleans())
@example([(0, 1, EventKind.INVITE), (1, 2, EventKind.DECLINE)], 0.0, False)  # with equal timestamps the answer counts
@settings(max_examples=200, deadline=None)
def test_a_version_and_what_came_after_it_say_what_the_next_version_will(
    drawn: list[tuple[int, int, EventKind]], share: float, connected: bool
) -> None:
    events = events_of(drawn)
    split = round(share * len(events))
    now_s = START + 100
    cut = events[split - 1][3] if split else START * 10**6 - 1
    known_then = [event for event in events if event[3] <= cut]
    base, whole = base_of(known_then, connected, now_s), base_of(events, connected, now_s)
    for viewer in range(3):
        record = LiveRecord()
        for (
            who,
            other,
            kind,
            timestamp_us,
        ) in events:  # those before the cut too: the record goes back further than the base
            if who == viewer:
                record.apply(PEOPLE[other], Direction.OUT, kind, timestamp_us)
            elif other == viewer and kind in TWO_SIDED:
                record.apply(PEOPLE[who], Direction.IN, kind, timestamp_us)
        others = [other for other in range(3) if other != viewer]
        known = np.array([base.get((viewer, other), 0) for other in others], np.uint8)
        after = (now_s - DAYS * 86_400) * 10**6
        timestamps_us = record.timestamps_us(PEOPLE[other] for other in others)
        bits = derive(known, timestamps_us, cut=cut, refused_after=after)
        assert bits.tolist() == [whole.get((viewer, other), 0) for other in others]
        one = derive_one(int(known[0]), record.edges.get(PEOPLE[others[0]], {}), cut=cut, refused_after=after)
        assert int(one) == bits[0]


reciprocal_updates = st.tuples(
    st.sampled_from(PEOPLE), st.sampled_from(Direction), st.sampled_from(sorted(PAIR_KINDS)), st.integers(1, 20)
)


def record_of(applied: list[tuple[str, Direction, EventKind, int]]) -> LiveRecord:
    record = LiveRecord()
    for update in applied:
        record.apply(*update)
    return record


@given(st.lists(reciprocal_updates, max_size=20), st.data())
@settings(max_examples=200, deadline=None)
def test_reciprocal_updates_may_come_in_any_order_and_more_than_once(
    applied: list[tuple[str, Direction, EventKind, int]], data: st.DataObject
) -> None:
    again = data.draw(st.permutations(applied + data.draw(st.lists(st.sampled_from(applied or [None]), max_size=5))))
    assert record_of([update for update in again if update is not None]).pack() == record_of(applied).pack()


@st.composite
def records(draw: st.DrawFn) -> LiveRecord:
    record = record_of(draw(st.lists(reciprocal_updates, max_size=8)))
    for person, timestamp_us in draw(st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 5)), max_size=5)):
        record.show(person, timestamp_us * 10**6)
    for flag, value, timestamp_us in draw(
        st.lists(st.tuples(st.sampled_from(list(Flag)), st.booleans(), st.integers(1, 9)), max_size=4)
    ):
        record.set_flag(flag, value, timestamp_us)
    record.drop_before(draw(st.integers(0, 6)))
    return record


@given(records())
@settings(max_examples=200, deadline=None)
def test_a_record_reads_back_as_it_was(record: LiveRecord) -> None:
    packed = record.pack()
    read = LiveRecord.unpack(packed)
    assert read == record
    assert read.pack() == packed
