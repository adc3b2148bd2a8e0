"""The packed ranked list: its bytes stay readable, and nothing damaged is served."""

import numpy as np
import orjson
import pytest

from models.errors import CorruptRecordError
from service.ranking.cached_list import CachedList, CachedRecord, CacheKey
from service.ranking.list_json import NO_ENTRIES, Entries
from service.ranking.ranked_list import RankedList

KEY = CacheKey(epoch=3, revision=4, relation_version=2**64 - 1, rerank=5, reasons=6)
GOLDEN = bytes.fromhex(
    "020103000700000003000000000000000400000000000000ffffffffffffffff05000000060000000500000001000000"
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


def test_whatever_is_cut_off_or_altered_is_refused() -> None:
    record = cached_list().pack(150)
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
