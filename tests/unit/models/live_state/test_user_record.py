"""The live record reads back as it was, and says so where it does not."""

import pytest

from models.errors import CorruptRecordError
from models.live_state.edges import CONTACT, Direction, edge_event
from models.live_state.user_record import (
    MOST_SHOWN,
    LiveRecord,
    Shown,
    revision_of,
)
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind

NOW = 1_790_000_000_000_000


def a_record() -> LiveRecord:
    record = LiveRecord(revision=NOW, last=NOW, profile=NOW - 5, graph_changed_at=NOW - 9)
    record.apply("héloïse/ 🦊", Direction.IN, EventKind.BLOCK, NOW - 3)
    record.apply("bob", Direction.OUT, EventKind.CONNECT, NOW - 2)
    record.set_flag(Flag.ACTIVE, False, NOW - 4)
    record.set_flag(Flag.DISCOVERABLE, True, NOW - 4)
    record.show("bob", NOW)
    record.show("cid", NOW)
    record.show("cid", NOW + 1_000_000)
    return record


class TestLiveRecord:
    def test_it_reads_back(self) -> None:
        record = a_record()
        assert LiveRecord.unpack(record.pack()) == record
        assert revision_of(record.pack()) == (NOW, len(record.pack()))
        assert record.shown == {"bob": Shown(NOW // 10**6, 1), "cid": Shown(NOW // 10**6 + 1, 2)}

    def test_nothing_reads_back(self) -> None:
        assert LiveRecord.unpack(LiveRecord().pack()) == LiveRecord() == LiveRecord.unpack(None)

    def test_equal_records_are_equal_bytes(self) -> None:
        first, second = LiveRecord(), LiveRecord()
        for record, people in ((first, "ab"), (second, "ba")):
            for person in people:
                record.apply(person, Direction.OUT, EventKind.DISMISS, NOW)
                record.show(person, NOW)
        assert first.pack() == second.pack()

    def test_every_changed_or_missing_byte_is_noticed(self) -> None:
        packed = a_record().pack()
        for at in range(len(packed)):
            damaged = bytearray(packed)
            damaged[at] ^= 0x55
            with pytest.raises(CorruptRecordError):
                LiveRecord.unpack(bytes(damaged))
            with pytest.raises(CorruptRecordError):
                LiveRecord.unpack(packed[:at])
        with pytest.raises(CorruptRecordError):
            LiveRecord.unpack(packed + b"\0")

    def test_the_bytes_that_a_write_compares_change_with_the_revision(self) -> None:
        record = a_record()
        packed, revision_prefix = record.pack(), record.revision_prefix
        assert revision_prefix is not None
        assert packed.startswith(revision_prefix)
        assert record.next_revision(NOW).revision == NOW + 1
        assert not record.pack().startswith(revision_prefix)
        assert LiveRecord().revision_prefix is None

    def test_of_too_many_shown_the_oldest_are_forgotten(self) -> None:
        record = LiveRecord()
        for number in range(MOST_SHOWN + 10):
            record.show(f"u{number}", NOW + number * 1_000_000)
        kept = LiveRecord.unpack(record.pack()).shown
        assert set(kept) == {f"u{number}" for number in range(10, MOST_SHOWN + 10)}

    def test_acting_begins_the_count_anew(self) -> None:
        record = a_record()
        record.act("cid")
        assert "cid" not in record.shown
        record.show("cid", NOW)
        assert record.shown["cid"].times == 1

    def test_what_every_version_knows_is_dropped_and_stays_dropped(self) -> None:
        record = a_record()
        record.drop_before(NOW - 3)
        assert record.edges == {"bob": {edge_event(Direction.OUT, EventKind.CONNECT): NOW - 2}}
        assert record.flags == {}
        assert not record.apply("héloïse/ 🦊", Direction.IN, EventKind.BLOCK, NOW - 3)
        assert record.apply("héloïse/ 🦊", Direction.IN, EventKind.BLOCK, NOW - 1)

    def test_flags_change_only_versions_cut_before(self) -> None:
        record = a_record()
        everything = Flag.DISCOVERABLE | Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE
        assert record.flags_over(everything & ~Flag.DISCOVERABLE, NOW - 5) == everything & ~Flag.ACTIVE
        assert record.flags_over(everything, NOW - 4) == everything

    def test_nothing_is_left_of_who_is_forgotten_but_what_came_later(self) -> None:
        record = a_record()
        record.apply("bob", Direction.IN, EventKind.BLOCK, NOW + 5)
        assert record.forget("bob", NOW)
        assert record.edges["bob"] == {edge_event(Direction.IN, EventKind.BLOCK): NOW + 5}
        assert "bob" not in record.shown
        assert not record.forget("bob", NOW)
        assert record.forget("bob", NOW + 5)
        assert b"bob" not in record.pack()

    def test_contacts_of_an_erased_person_are_not_those_of_the_next_one(self) -> None:
        record = LiveRecord(erased=NOW)
        for other, at in (("ann", NOW - 1), ("bea", NOW), ("cid", NOW + 1)):
            record.note(other, CONTACT, at)
        assert record.contacts() == {"cid": NOW + 1}
