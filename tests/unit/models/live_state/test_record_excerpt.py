"""An excerpt of a record says of what was asked the same as the whole record."""

import random

import pytest

from models.errors import CorruptRecordError
from models.live_state import journal, record_excerpt
from models.live_state.edges import CONTACT, Direction, edge_event
from models.live_state.journal import JournalEntry
from models.live_state.record_excerpt import LARGE_BYTES, excerpt, read_excerpt, read_record
from models.live_state.user_record import LiveRecord
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind

pytestmark = pytest.mark.anyio
NAMES = ["", "a", "ab", "abc", "b", "é", "ü", "日", "日本", "zz", "\U0001f600"]
NUMBERS = [*(edge_event(way, kind) for way in Direction for kind in EventKind), CONTACT]


def drawn(seed: int) -> bytes:
    """A record with a base and a journal that name some of the same people."""
    draw = random.Random(seed)
    record = LiveRecord(revision=draw.randrange(1, 1 << 50), watermark=draw.choice([0, 50]))

    def entries(count: int) -> list[JournalEntry]:
        made = [
            JournalEntry(draw.choice(NUMBERS), draw.randrange(1, 1000), draw.choice(NAMES[1:])) for _ in range(count)
        ]
        made += [JournalEntry.of_flag(draw.choice(list(Flag)), draw.random() < 0.5, draw.randrange(1, 1000))] * (
            seed % 2
        )
        made += [JournalEntry(journal.PROFILE, draw.randrange(1, 1000))] * (seed % 3 // 2)
        draw.shuffle(made)
        return made

    record.erased = draw.choice([0, 60])
    record.merge(entries(draw.randrange(30)))
    return record.pack() + b"".join(one.encode() for one in entries(draw.randrange(30)))


@pytest.mark.parametrize("seed", range(60))
def test_it_says_what_the_whole_record_says(seed: int) -> None:
    packed = drawn(seed)
    whole = LiveRecord.unpack(packed)
    for others in ([], NAMES, *([name] for name in NAMES), ["nobody", *sorted(whole.edges)]):
        part = excerpt(packed, others)
        assert part.edges == {other: whole.edges[other] for other in others if other in whole.edges}
        assert (part.revision, part.profile, part.erased) == (whole.revision, whole.profile, whole.erased)
        assert (part.watermark, part.flags, part.shown) == (whole.watermark, whole.flags, {})


def test_of_nothing_it_is_empty() -> None:
    assert excerpt(None, ["ann"]) == LiveRecord()


@pytest.mark.parametrize("at", [0, 5, 60, -40, -1])
def test_a_damaged_record_is_refused_as_a_whole(at: int) -> None:
    record = LiveRecord(revision=7)
    record.merge(JournalEntry(edge_event(Direction.OUT, EventKind.BLOCK), number, f"u{number}") for number in range(9))
    packed = bytearray(record.pack() + JournalEntry(journal.PROFILE, 70).encode())
    packed[at] ^= 1
    with pytest.raises(CorruptRecordError):
        excerpt(bytes(packed), ["u3"])
    with pytest.raises(CorruptRecordError):
        excerpt(bytes(packed[:-1]))


async def test_a_large_record_is_read_in_a_thread_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    in_thread = record_excerpt.in_thread

    def counted(*arguments: object) -> object:
        calls.append(arguments[0])
        return in_thread(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(record_excerpt, "in_thread", counted)
    record = LiveRecord(revision=7)
    record.merge(JournalEntry(edge_event(Direction.OUT, EventKind.BLOCK), 5, f"u{number}") for number in range(9))
    assert await read_record(record.pack()) == record
    assert (await read_excerpt(record.pack(), ["u3"])).edges == {"u3": record.edges["u3"]}
    assert not calls
    record.merge(JournalEntry(edge_event(Direction.OUT, EventKind.BLOCK), 5, f"u{number}") for number in range(9_000))
    packed = record.pack()
    assert len(packed) > LARGE_BYTES
    assert await read_record(packed) == record
    assert (await read_excerpt(packed, ["u3"])).edges == {"u3": record.edges["u3"]}
    assert calls == [LiveRecord.unpack, excerpt]
