"""A live record is its base and its journal: what is added amounts to what was done, in any order."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CorruptRecordError
from models.live_state.edges import PAIR_KINDS, Direction, edge_event
from models.live_state.journal import PROFILE, JournalEntry, entries
from models.live_state.user_record import LiveRecord, base_length, new_base, revision_of
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind

T0 = 1_790_000_000_000_000

relations = st.builds(
    JournalEntry,
    st.builds(edge_event, st.sampled_from(Direction), st.sampled_from(sorted(PAIR_KINDS))),
    st.integers(T0, T0 + 50),
    st.sampled_from(["bea", "héloïse/ 🦊", "x" * 128]),
)
changes = st.one_of(
    relations,
    st.builds(JournalEntry, st.just(PROFILE), st.integers(T0, T0 + 50), st.just("")),
    st.builds(JournalEntry.of_flag, st.sampled_from(list(Flag)), st.booleans(), st.integers(T0, T0 + 50)),
)


def record_of(journal: list[JournalEntry], base: bytes = new_base(T0)) -> LiveRecord:
    return LiveRecord.unpack(base + b"".join(entry.encode() for entry in journal))


@given(st.lists(changes, max_size=20), st.randoms())
def test_the_order_of_entries_and_how_often_they_are_there_decides_nothing(
    journal: list[JournalEntry], random: Random
) -> None:
    shuffled = [*journal, *random.sample(journal, len(journal) // 2)]
    random.shuffle(shuffled)
    assert record_of(journal) == record_of(shuffled)


@given(st.lists(changes, max_size=20), st.integers(0, 20))
def test_a_journal_merged_half_way_amounts_to_the_same(journal: list[JournalEntry], at: int) -> None:
    merged = record_of(journal[:at]).pack()
    assert record_of(journal[at:], merged) == record_of(journal)
    assert base_length(merged) == len(merged)


def test_every_changed_or_missing_byte_of_an_entry_is_noticed() -> None:
    base = new_base(T0)
    packed = base + JournalEntry(edge_event(Direction.IN, EventKind.BLOCK), T0, "héloïse").encode()
    for at in range(len(base), len(packed)):
        damaged = bytearray(packed)
        damaged[at] ^= 0x55
        with pytest.raises(CorruptRecordError):
            LiveRecord.unpack(bytes(damaged))
        if at > len(base):
            with pytest.raises(CorruptRecordError):
                LiveRecord.unpack(packed[:at])


def test_impressions_count_until_the_viewer_acts() -> None:
    shown = JournalEntry(edge_event(Direction.OUT, EventKind.IMPRESSION), T0, "bea")
    click = JournalEntry(edge_event(Direction.OUT, EventKind.CLICK), T0, "bea")
    blocked = JournalEntry(edge_event(Direction.IN, EventKind.BLOCK), T0, "bea")
    assert record_of([shown, shown, blocked]).shown["bea"].times == 2
    assert "bea" not in record_of([shown, click]).shown
    assert record_of([shown, click, shown]).shown["bea"].times == 1


def test_what_is_older_than_an_erasure_is_no_more() -> None:
    erased = LiveRecord(revision=T0, last=T0, erased=T0, watermark=T0).pack()
    late = [JournalEntry(edge_event(Direction.IN, EventKind.BLOCK), T0 - 1, "bea"), JournalEntry(PROFILE, T0 - 1)]
    record = record_of(late, erased)
    assert (record.edges, record.profile, record.erased) == ({}, 0, T0)
    assert record_of([JournalEntry(PROFILE, T0 + 1)], erased).profile == T0 + 1


def test_each_state_of_a_record_has_a_revision_of_its_own() -> None:
    base, entry = new_base(T0), JournalEntry(PROFILE, T0).encode()
    merged = record_of([JournalEntry(PROFILE, T0)]).next_revision(T0).pack()
    states = [None, base, base + entry, base + entry * 2, merged]
    assert len({revision_of(state) for state in states}) == len(states)
    assert [entry.number for entry in entries(base + entry * 2, len(base))] == [PROFILE, PROFILE]
