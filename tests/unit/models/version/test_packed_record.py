"""Packed records: stored bytes stay readable, and a truncated or altered record is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.live_state.edges import Direction
from models.live_state.exposure import Exposed
from models.live_state.user_record import LiveRecord
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.version.candidate_block import Block, quantise
from models.version.new_user_record import Newcomer, ProfileCodes
from models.version.packed_record import RecordFormat

T0 = 1_790_000_000_000_000


def block() -> Block:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    return quantise(70_000, np.array([1, 3, 70_001], np.uint32), np.array([1, 2, 3], np.uint8), values)


def newcomer() -> Newcomer:
    return Newcomer(
        timestamp_us=T0 + 1,
        statistics=np.array([0.5, -3.5], np.float32),
        query=np.array([0.25, -0.5, 1.0], np.float32),
        codes=ProfileCodes(np.array([1, -1], np.int32), np.array([0, 4], np.int32)),
        friends=np.array([2, 5, 9], np.int32),
        block=block(),
    )


def exposed() -> Exposed:
    return Exposed.of(T0, ["bob", "héloïse"])


def live() -> LiveRecord:
    record = LiveRecord(revision=7, last=T0 + 3, profile=5, erased=4, graph_changed_at=6, watermark=2)
    record.apply("héloïse", Direction.OUT, EventKind.BLOCK, T0 + 2)
    record.apply("bob", Direction.IN, EventKind.CONNECT, T0 + 1)
    record.show("bob", T0)
    record.show("zoe", T0 + 1_000_000)
    record.show("zoe", T0 + 1_000_000)
    record.set_flag(Flag.ACTIVE, value=False, timestamp_us=T0)
    return record


GOLDEN: dict[str, tuple[Callable[[], Any], Callable[[bytes], Any], str]] = {
    "block": (
        block,
        Block.unpack,
        (
            "03020300701101000000000000004040000000400000a0400000000000000008000801020107000500010080ff0080ff2400"
            "0230041000040415c0cd9a"
        ),
    ),
    "newcomer": (
        newcomer,
        Newcomer.unpack,
        (
            "02000200030000000200000002000000030000003d00000001e025dafe5b06000000003f000060c00000803e000000bf0000"
            "803f01000000ffffffff000000000400000002000000050000000900000003020300ffffff00000000000000404000000040"
            "0000a0400000000000000008000801020107000500010080ff0080ff24000230041000040460d71272b8c52693"
        ),
    ),
    "exposed": (
        exposed,
        Exposed.unpack,
        "010000000000000000e025dafe5b06000200000000000000030000000c000000626f6268c3a96c6fc3af736522ae57a1",
    ),
    "live": (
        live,
        LiveRecord.unpack,
        (
            "01070000000000000003e025dafe5b06000500000000000000040000000000000001e025dafe5b0600020000000000000000000000000000"
            "0000c04bb4fdb70c00000000000000000003000000020000000200000000000000030000000c0000000f000000626f6268c3a96c6fc3af73"
            "657a6f650000000001000000170b01e025dafe5b060002e025dafe5b0600000000000200000001000200803bb16a813bb16a22e53fa6"
        ),
    ),
}

EARLIER: dict[str, tuple[Callable[[], Any], Callable[[bytes], Any], str]] = {
    "block": (
        block,
        Block.unpack,
        ("01020300701101000000000000004040000000400000a0400100030071110000010102030080ff0080ff05f59871"),
    ),
    "newcomer": (
        newcomer,
        Newcomer.unpack,
        (
            "02000200030000000200000002000000030000002e00000001e025dafe5b06000000003f000060c00000803e000000bf0000"
            "803f01000000ffffffff000000000400000002000000050000000900000001020300ffffff00000000000000404000000040"
            "0000a0400100030071110000010102030080ff0080ff6ae50730c3d9d37a"
        ),
    ),
}
"""in layouts that are read and no longer written"""


@pytest.mark.parametrize("name", EARLIER)
def test_what_was_stored_in_an_earlier_layout_is_read(name: str) -> None:
    build, unpack, stored = EARLIER[name]
    assert unpack(bytes.fromhex(stored)).pack() == build().pack()


@pytest.mark.parametrize("name", GOLDEN)
def test_stored_bytes_stay_as_they_are(name: str) -> None:
    build, unpack, stored = GOLDEN[name]
    assert build().pack().hex() == stored
    assert unpack(bytes.fromhex(stored)).pack().hex() == stored


@pytest.mark.parametrize("name", GOLDEN)
def test_every_truncation_and_every_altered_byte_is_refused(name: str) -> None:
    _, unpack, stored = GOLDEN[name]
    record = bytes.fromhex(stored)
    for length in range(len(record)):
        with pytest.raises(CorruptRecordError):
            unpack(record[:length])
    for at in range(len(record)):
        with pytest.raises(CorruptRecordError):
            unpack(record[:at] + bytes([record[at] ^ 0x55]) + record[at + 1 :])


@pytest.mark.parametrize("name", GOLDEN)
def test_a_valid_checksum_does_not_hide_a_wrong_length(name: str) -> None:
    _, unpack, stored = GOLDEN[name]
    record = bytes.fromhex(stored)
    resealed = RecordFormat(name, record[0], "").seal((), [record[1:-4], b"\x00"])
    with pytest.raises(CorruptRecordError):
        unpack(resealed)
