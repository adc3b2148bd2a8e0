"""Planes of bytes come back as they were packed, whatever they hold; nothing is read beyond the bytes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.kernels.packed_planes import MOST_SHIFT, pack_within, unpack_planes

PLENTY = 1 << 30


@st.composite
def planes(draw: st.DrawFn) -> NDArray[np.uint8]:
    count, m = draw(st.integers(1, 5)), draw(st.one_of(st.integers(0, 40), st.integers(120, 300)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    highest = draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))
    return np.stack([random.integers(0, most, m, endpoint=True).astype(np.uint8) for most in highest])


@given(planes())
def test_what_fits_comes_back_as_it_was(given_planes: NDArray[np.uint8]) -> None:
    packed = pack_within(given_planes.copy(), 0, PLENTY)
    again = np.full_like(given_planes, 7)
    assert unpack_planes(packed, again)
    np.testing.assert_array_equal(again, given_planes)


@given(planes(), st.data())
def test_bytes_that_are_not_those_of_the_planes_are_refused(
    given_planes: NDArray[np.uint8], data: st.DataObject
) -> None:
    packed, again = pack_within(given_planes.copy(), 0, PLENTY), np.empty_like(given_planes)
    assert not unpack_planes(packed[: data.draw(st.integers(0, len(packed) - 1))], again)
    assert not unpack_planes(np.append(packed, np.uint8(0)), again)
    other = packed.copy()
    other[data.draw(st.integers(0, len(given_planes) - 1))] |= MOST_SHIFT + 1
    assert not unpack_planes(other, again)


def test_values_alike_take_few_bits() -> None:
    level = np.full((1, 128), 200, np.uint8)
    assert len(pack_within(level.copy(), 0, PLENTY)) == 3  # a shift, the least value, no bits
    for width, spread in ((1, 1), (3, 7), (5, 31), (7, 127), (8, 255)):
        values = (np.arange(128) % (spread + 1)).astype(np.uint8)[None]
        values[0, 0] = spread
        assert len(pack_within(values.copy(), 0, PLENTY)) == 3 + 16 * width


def test_few_distinct_values_are_numbered() -> None:
    random = np.random.default_rng(0)
    counts = np.round(np.log1p(random.integers(0, 16, 1000)) * 80).astype(np.uint8)[None]
    packed, again = pack_within(counts.copy(), 0, PLENTY), np.empty_like(counts)
    assert len(packed) <= 1 + 17 + 16 + 500
    assert unpack_planes(packed, again)
    np.testing.assert_array_equal(again, counts)


def test_numbered_planes_get_their_values_back_where_nothing_else_is_left_to_round() -> None:
    random = np.random.default_rng(0)
    values = np.sort(random.permutation(256)[:64]).astype(np.uint8)
    codes = np.stack([random.permutation(np.resize(values, 1000)) for _ in range(7)])
    rows = random.integers(0, 256, (4, 1000)).astype(np.uint8)
    given_planes = np.concatenate([codes, rows])
    packed, again = pack_within(given_planes.copy(), 7, 8_000), np.empty_like(given_planes)
    assert len(pack_within(given_planes.copy(), 0, PLENTY)) > 9_000
    assert len(packed) <= 8_000
    assert unpack_planes(packed, again)
    np.testing.assert_array_equal(again[7:], rows)
    off = np.abs(again[:7].astype(int) - codes.astype(int))
    assert off.max() <= 1 << (MOST_SHIFT - 1)
    assert off.any(axis=1).sum() == (packed[:7] & 127 > 0).sum(), "of the others nothing is lost"


def test_where_they_would_not_fit_the_widest_are_rounded_to_the_middle() -> None:
    random = np.random.default_rng(0)
    wide, exact = random.integers(0, 256, 1000).astype(np.uint8), random.integers(0, 256, 1000).astype(np.uint8)
    both = np.stack([wide, exact])
    free = len(pack_within(both.copy(), 1, PLENTY))
    for most, error in ((free, 0), (free - 100, 1), (free - 200, 2), (0, 8)):
        packed, again = pack_within(both.copy(), 1, most), np.empty_like(both)
        assert len(packed) <= most or not most
        assert unpack_planes(packed, again)
        np.testing.assert_array_equal(again[1], exact)
        assert np.abs(again[0].astype(int) - wide).max() <= error
