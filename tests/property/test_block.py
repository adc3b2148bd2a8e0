"""A packed block read back equals what was written; anything altered is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CorruptRecordError
from models.version.candidate_block import MAX_ROW, Block, quantise


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    m, features = draw(st.integers(0, 40)), draw(st.integers(0, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = random.normal(0, 10, (features, m)).astype(np.float32)
    rows = random.integers(0, MAX_ROW, m, endpoint=True, dtype=np.uint32)
    return quantise(draw(st.integers(0, MAX_ROW)), rows, random.integers(0, 256, m, dtype=np.uint8), values)


@given(blocks())
def test_read_back_equals_what_was_written(block: Block) -> None:
    again = Block.unpack(block.pack())
    assert again.viewer == block.viewer
    for name in ("rows", "sources", "codes", "low", "high"):
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name), err_msg=name)


@given(blocks(), st.data())
def test_a_truncated_or_altered_record_is_refused(block: Block, data: st.DataObject) -> None:
    record = block.pack()
    with pytest.raises(CorruptRecordError):
        Block.unpack(record[: data.draw(st.integers(0, len(record) - 1))])
    at = data.draw(st.integers(0, len(record) - 1))
    altered = record[:at] + bytes([record[at] ^ data.draw(st.integers(1, 255))]) + record[at + 1 :]
    with pytest.raises(CorruptRecordError):
        Block.unpack(altered)


def test_codes_are_within_half_a_step_of_the_values() -> None:
    values = np.random.default_rng(0).gamma(1, 3, (8, 1000)).astype(np.float32)
    block = quantise(1, np.arange(1000, dtype=np.uint32), np.zeros(1000, np.uint8), values)
    assert np.all(np.abs(block.values() - values) <= block.step[:, None] * 0.5001)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30))
def test_whatever_the_values_codes_come_within_a_step(numbers: list[float]) -> None:
    values = np.array([numbers], np.float32)
    m = len(numbers)
    block = quantise(1, np.arange(m, dtype=np.uint32), np.zeros(m, np.uint8), values)
    tolerance = block.step[:, None] * 0.501 + 1e-30 + np.abs(values).max() * 1e-6
    assert (np.abs(block.values() - values) <= tolerance).all()


def test_values_that_differ_by_next_to_nothing_are_equal() -> None:
    values = np.array([[0, 1e-40, 3e-41]], np.float32)
    block = quantise(1, np.arange(3, dtype=np.uint32), np.zeros(3, np.uint8), values)
    assert block.codes.tolist() == [[0, 0, 0]]


def test_a_thousand_candidates_fit_the_allocators_12_kib_class() -> None:
    values = np.zeros((8, 1000), dtype=np.float32)
    block = quantise(1, np.arange(1000, dtype=np.uint32), np.zeros(1000, np.uint8), values)
    assert len(block.pack()) == 12_076


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="row"):
        quantise(1, np.array([MAX_ROW + 1], np.uint32), np.zeros(1, np.uint8), np.zeros((1, 1), np.float32)).pack()
