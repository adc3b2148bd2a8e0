"""A packed block read back equals what was written; anything altered is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CorruptRecordError
from models.version.candidate_block import MAX_ROW, MOST_BYTES, Block, quantise
from models.version.packed_record import RecordFormat


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


def like_a_list(m: int, people: int, seed: int = 0) -> Block:
    """Candidates as a night orders them: scores fall along the list, and counts are small whole numbers."""
    random, place = np.random.default_rng(seed), np.linspace(1, 0, m)
    falling = [place**2 * 3 + random.gamma(1, 0.1, m) for _ in range(4)]
    profile_affinity = random.choice(random.normal(0, 2, 60), m)
    values = np.stack([np.log1p(random.poisson(6 * place)), *falling, profile_affinity]).astype(np.float32)
    rows = random.choice(people, m, replace=False).astype(np.uint32)
    return quantise(1, rows, random.integers(1, 32, m, dtype=np.uint8), values)


def test_a_thousand_candidates_of_a_million_people_fit_8_kib_exactly() -> None:
    block = like_a_list(1000, 1_000_000)
    record = block.pack()
    assert len(record) <= MOST_BYTES
    np.testing.assert_array_equal(Block.unpack(record).codes, block.codes)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_candidates_fit_8_kib_whatever_they_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, sources = random.choice(MAX_ROW, 1000).astype(np.uint32), random.integers(1, 128, 1000, dtype=np.uint8)
    block = quantise(1, rows, sources, random.normal(0, 1, (6, 1000)).astype(np.float32))
    record = block.pack()
    again = Block.unpack(record)
    assert len(record) <= MOST_BYTES
    np.testing.assert_array_equal(again.rows, rows)
    np.testing.assert_array_equal(again.sources, sources)
    assert np.abs(again.codes.astype(int) - block.codes).max() <= 4


@pytest.mark.parametrize("made_at", [0, 1_790_000_000_000_000])
def test_records_of_earlier_releases_are_read(made_at: int) -> None:
    block = like_a_list(300, 100_000)
    form = RecordFormat("candidate block", 2 if made_at else 1, "BHIq" if made_at else "BHI")
    rows, of_worker = block.rows, [made_at] if made_at else []
    arrays = [block.low, block.high, rows.astype("<u2"), (rows >> 16).astype(np.uint8), block.sources, block.codes]
    again = Block.unpack(form.seal((6, 300, block.viewer, *of_worker), [array.tobytes() for array in arrays]))
    assert (again.viewer, again.made_at) == (block.viewer, made_at)
    for name in ("rows", "sources", "codes", "low", "high"):
        np.testing.assert_array_equal(getattr(again, name), getattr(block, name), err_msg=name)


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="row"):
        quantise(1, np.array([MAX_ROW + 1], np.uint32), np.zeros(1, np.uint8), np.zeros((1, 1), np.float32)).pack()
