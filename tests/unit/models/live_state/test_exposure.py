"""The table of people who were shown too often: its bytes stay readable, and nothing damaged is read."""

import pytest

from models.errors import CorruptRecordError
from models.live_state.exposure import Exposed

GOLDEN = bytes.fromhex("01000000000000002a00000000000000020000000000000003000000080000006265616465c3a961")


def test_golden_bytes() -> None:
    packed = Exposed.of(42, ["deéa", "bea"]).pack()
    assert packed[:-4] == GOLDEN
    assert Exposed.unpack(packed) == Exposed(42, frozenset({"bea", "deéa"}))


@pytest.mark.parametrize("people", [[], ["a/b 🦊"], [f"person {at}" for at in range(300)]])
def test_reads_back(people: list[str]) -> None:
    table = Exposed.of(7, people)
    assert Exposed.unpack(table.pack()) == table


def test_nothing_written_is_nobody() -> None:
    assert Exposed.unpack(None) == Exposed()


def test_the_identity_is_of_the_people_alone() -> None:
    assert Exposed.of(1, ["a", "b"]).identity == Exposed.of(2, ["b", "a"]).identity
    assert Exposed.of(1, ["a", "b"]).identity != Exposed.of(1, ["a", "c"]).identity
    assert Exposed.of(1, []).identity == Exposed().identity == 0


def test_damage_is_named() -> None:
    packed = Exposed.of(7, ["ann", "bea"]).pack()
    for end in range(len(packed)):
        with pytest.raises(CorruptRecordError):
            Exposed.unpack(packed[:end])
    for at in range(len(packed)):
        with pytest.raises(CorruptRecordError):
            Exposed.unpack(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])
