"""The newcomer record: it reads back, and damage is noticed."""

from collections.abc import Callable

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.version.candidate_block import quantise
from models.version.new_user_record import OUTSIDE, Newcomer, ProfileCodes
from models.version.tables import Tables


def newcomer() -> Newcomer:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Newcomer(
        timestamp_us=1_790_000_000_000_001,
        statistics=np.array([0.5, 1.5, 2.5, -3.5], np.float32),
        query=np.array([0.25, -0.5, 1.0], np.float32),
        codes=ProfileCodes(np.array([1, -1], np.int32), np.array([0, 4], np.int32)),
        friends=np.array([2, 5, 9], np.int32),
        block=quantise(OUTSIDE, np.array([1, 3, 4], np.uint32), np.array([1, 2, 3], np.uint8), values),
    )


def test_it_reads_back() -> None:
    made, read = newcomer(), Newcomer.unpack(newcomer().pack())
    assert read.timestamp_us == made.timestamp_us
    for name in ("statistics", "query", "friends"):
        assert getattr(read, name).tolist() == getattr(made, name).tolist()
    assert read.codes.categorical.tolist() == [1, -1]
    assert read.codes.sets.tolist() == [0, 4]
    assert (read.block.viewer, read.block.rows.tolist()) == (OUTSIDE, [1, 3, 4])
    assert read.block.codes.tolist() == made.block.codes.tolist()
    assert read.pack() == made.pack()


def test_whoever_has_nothing_has_a_record_too() -> None:
    nothing = ProfileCodes(np.zeros(0, np.int32), np.zeros(0, np.int32))
    empty = quantise(OUTSIDE, np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.zeros((2, 0), np.float32))
    made = Newcomer(1, np.zeros(0, np.float32), np.zeros(0, np.float32), nothing, np.zeros(0, np.int32), empty)
    assert len(Newcomer.unpack(made.pack()).block) == 0


@pytest.mark.parametrize("kept", [0, 10, 31, 60, -1])
def test_a_cut_record_is_refused(kept: int) -> None:
    with pytest.raises(CorruptRecordError):
        Newcomer.unpack(newcomer().pack()[:kept])


def test_every_flipped_byte_is_noticed() -> None:
    packed = newcomer().pack()
    for at in range(len(packed)):
        with pytest.raises(CorruptRecordError):
            Newcomer.unpack(packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :])


def test_a_profile_is_coded_as_the_tables_code_it(make_tables: Callable[..., Tables]) -> None:
    tables = make_tables(
        ("ann", "bea"),
        [(0, 1)],
        categories={"company": ["Acme", "Bolt"], "city": ["Rome", None]},
        sets={"schools": [["Elm", "Oak"], ["Oak"]]},
    )
    codes = ProfileCodes.of({"company": "Bolt", "city": "Paris", "schools": ["Oak", "Ash"], "name": "Zoe"}, tables)
    assert codes.categorical.tolist() == [1, -1]
    assert [tables.multi_values[code] for code in codes.sets.tolist()] == [("schools", "Oak")]
