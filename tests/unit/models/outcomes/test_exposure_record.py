"""The packed record of a list, and the batch of records: they read back, and nothing damaged does."""

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.outcomes.exposure_record import (
    ENTRY_BYTES,
    NO_PEOPLE,
    UNNAMED,
    Batch,
    DrawnPlaces,
    ListHead,
    PackedPeople,
    batches,
    by_contacts,
    pack_list,
    pack_unread,
    unpack_list,
)
from models.schema.candidate_sources import Source

HEAD = ListHead(
    1_700_000_000_000_000, "r-1", "20260101T000000Z-00000a", "web", "héloïse", "ranked", {"e": "b"}, 7, "sampled"
)
FEATURES = 3
DRAWN = DrawnPlaces(
    1, np.array([0.5, 0.25, 0.125], np.float32), np.array([0, 2, 1, 3], np.uint16), np.arange(4, dtype=np.uint16)
)


def people(n: int) -> PackedPeople:
    columns = (
        np.arange(10, 10 + n, dtype="<u4").tobytes(),
        np.linspace(1, 0.5, n, dtype="<f4").tobytes(),
        np.arange(1, n + 1, dtype=np.uint8).tobytes(),
        np.arange(100, 100 + n, dtype="<u2").tobytes(),
        np.arange(n * FEATURES, dtype=np.uint8).tobytes(),
    )
    return PackedPeople(n, FEATURES, np.arange(2 * FEATURES, dtype="<f4").tobytes(), b"".join(columns))


def test_a_list_reads_back() -> None:
    again = unpack_list(pack_list(HEAD, people(4), np.float32(2.5).tobytes(), DRAWN.pack()))
    assert again.head == HEAD
    assert again.rows.tolist() == [10, 11, 12, 13]
    assert again.scores.tolist() == np.linspace(1, 0.5, 4, dtype=np.float32).tolist()
    assert again.sources.tolist() == [1, 2, 3, 4]
    assert again.places.tolist() == [100, 101, 102, 103]
    assert again.codes.tolist() == np.arange(12).reshape(4, 3).tolist()
    assert (again.low.tolist(), again.high.tolist()) == ([0, 1, 2], [3, 4, 5])
    assert again.statistics.tolist() == [2.5]
    assert again.drawn is not None
    assert [np.asarray(part).tolist() for part in again.drawn] == [1, [0.5, 0.25, 0.125], [0, 2, 1, 3], [0, 1, 2, 3]]


def test_a_list_of_no_block_has_neither_codes_nor_propensities() -> None:
    columns = np.array([3], "<u4").tobytes() + np.array([0.5], "<f4").tobytes() + b"\x20"
    again = unpack_list(pack_list(HEAD._replace(draw="none", arms={}), PackedPeople(1, 0, b"", columns)))
    assert (again.rows.tolist(), again.sources.tolist(), again.codes.shape, len(again.places)) == ([3], [32], (1, 0), 0)
    assert again.drawn is None
    assert again.head.arms == {}


def test_of_those_whom_contacts_know_the_places_alone_are_packed() -> None:
    rows, scores = np.array([3, 4, 5], np.uint32), np.array([0.75, 0.5, 0.25], np.float32)
    sources = np.array([Source.EMBEDDING, Source.CONTACTS | Source.THREE_HOPS, Source.POPULAR], np.uint8)
    packed = pack_unread(rows, scores, sources)
    again = unpack_list(pack_list(HEAD._replace(draw="none"), packed))
    assert (packed.unnamed, again.rows.tolist()) == (1, [3, UNNAMED, 5])
    assert (again.scores.tolist(), again.sources.tolist()) == ([0.75, 0, 0.25], [Source.EMBEDDING, 0, Source.POPULAR])
    assert pack_unread(rows[1:2], scores[1:2], sources[1:2]) == NO_PEOPLE._replace(unnamed=1)
    assert pack_unread(rows[:0], scores[:0], sources[:0]) == NO_PEOPLE
    assert [by_contacts(part) for part in (sources, sources[:1], sources[:0])] == [True, False, False]


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pack_list(HEAD._replace(viewer="v" * 256), NO_PEOPLE)


def test_batches_are_closed_at_their_size_and_count_what_came_before() -> None:
    records = [pack_list(HEAD, people(90), b"", DRAWN.pack())] * 25
    made = list(batches(9, 100, records))
    before = np.cumsum([100, *(len(batch.records) for batch in made)]).tolist()
    assert [batch.before for batch in made] == before[:-1]
    assert all(len(batch.pack()) < ENTRY_BYTES + len(records[0]) + 100 for batch in made)
    again = [Batch.unpack(batch.pack()) for batch in made]
    assert [record for batch in again for record in batch.records] == records
    assert {batch.process for batch in again} == {9}


def test_whatever_is_cut_off_or_altered_is_refused() -> None:
    record = pack_list(HEAD, people(2), b"", DRAWN._replace(people=DRAWN.people[:2], places=DRAWN.places[:2]).pack())
    for length in range(len(record)):
        with pytest.raises(CorruptRecordError):
            unpack_list(record[:length])
    entry = Batch(1, 0, [record]).pack()
    for at in range(len(entry)):
        with pytest.raises(CorruptRecordError):
            Batch.unpack(entry[:at] + bytes([entry[at] ^ 0x55]) + entry[at + 1 :])
