"""The packed ranked list: its bytes stay readable, and nothing damaged is served."""

import numpy as np
import orjson
import pytest

from models.errors import CorruptRecordError
from service.ranked_list import Entries, RankedList

GOLDEN = bytes.fromhex(
    "01000300070000000500000001000000020100000000803f0000003f0000803e0103400200"
    "0f0000001f0000000d0000001d0000001f000000"
    "7b226e223a2265222c2270223a317d2c7b226e223a226c222c2270223a327d"
)


def listed(count: int = 3) -> RankedList:
    entries = Entries.joined([(b'{"n":"%b","p":' % name, b"}") for name in (b"e", b"l")][:count])
    return RankedList(
        viewer=7,
        rows=np.array([5, 1, 258], np.uint32),
        scores=np.array([1, 0.5, 0.25], np.float32),
        sources=np.array([1, 3, 64], np.uint8),
        entries=entries,
    )


def test_golden_bytes() -> None:
    assert listed().pack(150)[:-4] == GOLDEN


def test_reads_back() -> None:
    again = RankedList.unpack(listed().pack(150), 7)
    assert again.viewer == 7
    assert again.rows.tolist() == [5, 1, 258]
    assert again.scores.tolist() == [1, 0.5, 0.25]
    assert again.sources.tolist() == [1, 3, 64]
    assert again.entries.first(2) == b'{"n":"e","p":1},{"n":"l","p":2}'
    assert again.entries.first(1) == b'{"n":"e","p":1}'
    assert again.entries.first(0) == b""


def test_an_entry_moves_to_another_position() -> None:
    entries = RankedList.unpack(listed().pack(150), 7).entries
    assert entries.at(1, 1) == b'{"n":"l","p":1}'
    assert entries.at(0, 100) == b'{"n":"e","p":100}'


def test_positions_of_two_digits_move_too() -> None:
    entries = Entries.joined([(b'{"p":', b',"i":%d}' % at) for at in range(120)])
    for at, position in ((9, 1), (10, 9), (99, 10), (119, 3)):
        assert orjson.loads(entries.at(at, position)) == {"p": position, "i": at}
    assert [one["p"] for one in orjson.loads(b"[" + entries.first(120) + b"]")] == list(range(1, 121))


def test_no_more_than_asked_for_is_packed() -> None:
    again = RankedList.unpack(listed().pack(1), 7)
    assert (len(again), len(again.entries)) == (1, 1)


def test_whatever_is_cut_off_or_altered_is_refused() -> None:
    record = listed().pack(150)
    for length in range(len(record)):
        with pytest.raises(CorruptRecordError):
            RankedList.unpack(record[:length], 7)
    for at in range(len(record)):
        with pytest.raises(CorruptRecordError):
            RankedList.unpack(record[:at] + bytes([record[at] ^ 0x55]) + record[at + 1 :], 7)


def test_another_viewers_list_is_refused() -> None:
    with pytest.raises(CorruptRecordError, match="of row 7 stands where row 8's is due"):
        RankedList.unpack(listed().pack(150), 8)


def test_a_list_of_somebody_unknown_is_not_kept() -> None:
    nobody = RankedList(None, np.zeros(0, np.uint32), np.zeros(0, np.float32), np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="not kept"):
        nobody.pack(150)
