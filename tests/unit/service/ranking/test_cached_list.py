"""The packed ranked list: its bytes stay readable, and nothing damaged is served."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
import pytest

from models.errors import CorruptRecordError
from models.outcomes.exposure_record import UNNAMED, KeptCodes
from models.schema.candidate_sources import Source
from service.ranking.cached_list import CachedList, CachedRecord, CacheKey
from service.ranking.list_json import NO_ENTRIES, Entries
from service.ranking.ranked_list import RankedList

KEY = CacheKey(epoch=3, revision=4, relation_version=2**64 - 1, rerank=5, reasons=6)
GOLDEN = bytes.fromhex(
    "030103000700000003000000000000000400000000000000ffffffffffffffff0500000006000000000500000001000000"
    "020100000000803f0000003f0000803e010340020005000000020100000000803f0000003e0f0000001f0000000d0000"
    "001d0000001f000000"
    "7b226e223a2265222c2270223a317d2c7b226e223a226c222c2270223a327d"
)


def cached_list(count: int = 2) -> CachedList:
    entries = Entries.joined([(b'{"n":"%b","p":' % name, b"}") for name in (b"e", b"l")][:count])
    listed = RankedList(
        viewer=7,
        rows=np.array([5, 1, 258], np.uint32),
        scores=np.array([1, 0.5, 0.25], np.float32),
        sources=np.array([1, 3, 64], np.uint8),
    )
    return CachedList(listed, KEY, [5, 258][:count], [1, 0.125][:count], entries)


def test_golden_bytes() -> None:
    assert cached_list().pack(150)[:-4] == GOLDEN


def keeping_list() -> CachedList:
    """A list that keeps two features of a block of six people, at 4, 2 and 0 of which its own are."""
    plain, codes = cached_list(), np.arange(12, dtype=np.uint8).reshape(2, 6)
    places = np.array([4, 2, 0], np.int32)
    listed = replace(plain.listed, places=places)
    kept = KeptCodes(codes, np.array([0, 1], np.float32), np.array([2, 3], np.float32), np.arange(6, dtype=np.uint16))
    return replace(plain, listed=listed, kept=kept, placed=listed.at(np.array([0, 2], np.int32)))


def test_a_list_keeps_what_the_ranker_read() -> None:
    record = CachedRecord.open(keeping_list().pack(150), 7)
    people = record.packed_people(2)
    assert (people.n, people.features) == (2, 2)
    assert np.frombuffer(people.ranges, "<f4").tolist() == [0, 1, 2, 3]
    assert people.columns == (
        np.array([5, 258], "<u4").tobytes()
        + np.array([1, 0.125], "<f4").tobytes()
        + bytes([1, 64])
        + np.array([4, 0], "<u2").tobytes()
        + bytes([4, 10, 0, 6])
    )
    assert record.packed_people(1).columns[-2:] == bytes([4, 10])
    assert record.first(2) == cached_list().entries.first(2)
    again = record.unpack()
    assert again.kept is not None
    assert again.kept.codes.tolist() == [[4, 2, 0], [10, 8, 6]]
    assert again.listed.places is not None
    assert again.listed.places.tolist() == [0, 1, 2]


def test_a_list_in_which_contacts_count_is_packed_without_codes_and_those_whom_they_know() -> None:
    """As one that an earlier release cached; later ones keep nothing of it."""
    plain = keeping_list()
    sources = np.array([1, 3, Source.CONTACTS | 1], np.uint8)
    listed = replace(plain.listed, sources=sources)
    people = CachedRecord.open(replace(plain, listed=listed).pack(150), 7).packed_people(2)
    assert (people.n, people.features, people.unnamed) == (2, 0, 1)
    assert people.columns == (
        np.array([5, UNNAMED], "<u4").tobytes() + np.array([1, 0], "<f4").tobytes() + bytes([1, 0])
    )


def test_people_of_a_list_that_keeps_nothing_are_packed_without_codes() -> None:
    people = CachedRecord.open(cached_list().pack(150), 7).packed_people(2)
    assert (people.features, people.ranges, people.columns[-2:]) == (0, b"", bytes([1, 64]))


def test_reads_back() -> None:
    again = CachedList.unpack(cached_list().pack(150), 7)
    assert again.listed.viewer == 7
    assert again.listed.rows.tolist() == [5, 1, 258]
    assert again.listed.scores.tolist() == [1, 0.5, 0.25]
    assert again.listed.sources.tolist() == [1, 3, 64]
    assert again.listed.is_whole
    assert again.key == KEY
    assert (list(again.rows), list(again.scores)) == ([5, 258], [1, 0.125])
    assert again.entries.first(2) == b'{"n":"e","p":1},{"n":"l","p":2}'
    assert again.entries.first(1) == b'{"n":"e","p":1}'
    assert again.entries.first(0) == b""


def test_the_first_entries_of_a_record_are_those_of_the_list() -> None:
    entries = Entries.joined([(b'{"p":', b',"i":%d}' % at) for at in range(30)])
    made = CachedList(cached_list().listed, KEY, [1] * 30, [0.5] * 30, entries)
    record = CachedRecord.open(made.pack(150), 7)
    assert (record.key, record.encoded) == (KEY, 30)
    assert [record.first(count) for count in range(31)] == [entries.first(count) for count in range(31)]


def test_rows_beyond_the_people_are_refused_when_a_list_is_unpacked() -> None:
    record = CachedRecord.open(cached_list().pack(150), 7)
    assert len(record.unpack(259).listed) == 3
    with pytest.raises(CorruptRecordError, match="names row 258 of 258 people"):
        record.unpack(258)


def test_an_entry_falls_apart_around_its_position() -> None:
    entries = CachedList.unpack(cached_list().pack(150), 7).entries
    assert entries.around_position(1) == (b'{"n":"l","p":', b"}")
    assert entries.around_position(0) == (b'{"n":"e","p":', b"}")


def test_positions_of_two_digits_move_too() -> None:
    entries = Entries.joined([(b'{"p":', b',"i":%d}' % at) for at in range(120)])
    for at, position in ((9, 1), (10, 9), (99, 10), (119, 3)):
        front, back = entries.around_position(at)
        assert orjson.loads(b"%b%d%b" % (front, position, back)) == {"p": position, "i": at}
    moved = Entries.moved([(entries, 99), (Entries.joined([(b"<", b">")]), 0), (entries, 9)])
    assert moved.text == b'{"p":1,"i":99},<2>,{"p":3,"i":9}'
    assert (moved.first(1), moved.first(2)) == (b'{"p":1,"i":99}', b'{"p":1,"i":99},<2>')
    assert [one["p"] for one in orjson.loads(b"[" + entries.first(120) + b"]")] == list(range(1, 121))


def test_no_more_than_asked_for_is_packed_and_who_is_missing_is_known() -> None:
    again = CachedList.unpack(cached_list().pack(2), 7)
    assert (again.listed.scores.tolist(), again.listed.is_whole) == ([1, 0.5], False)


@pytest.mark.parametrize("made", [cached_list, keeping_list])
def test_whatever_is_cut_off_or_altered_is_refused(made: Callable[[], CachedList]) -> None:
    record = made().pack(150)
    for length in range(len(record)):
        with pytest.raises(CorruptRecordError):
            CachedList.unpack(record[:length], 7)
    for at in range(len(record)):
        with pytest.raises(CorruptRecordError):
            CachedList.unpack(record[:at] + bytes([record[at] ^ 0x55]) + record[at + 1 :], 7)


def test_another_viewers_list_is_refused() -> None:
    with pytest.raises(CorruptRecordError, match="row 8's ranked list is row 7's"):
        CachedList.unpack(cached_list().pack(150), 8)


def test_the_list_of_a_viewer_without_a_row_is_not_cached() -> None:
    nobody = RankedList(None, np.zeros(0, np.uint32), np.zeros(0, np.float32), np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="not cached"):
        CachedList(nobody, KEY, [], [], NO_ENTRIES).pack(150)
