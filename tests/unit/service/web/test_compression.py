"""Compression: only where the client accepts it and the answer is large."""

import gzip

import pytest

from service.web.compression import AT_ONCE, Compression, accepts_gzip

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("accepted", "is_accepted"),
    [
        (b"gzip", True),
        (b"GZip, deflate, br", True),
        (b"br;q=1.0, gzip;q=0.5", True),
        (b"x-gzip", True),
        (b"*", True),
        (b"br, *;q=0.1", True),
        (b"", False),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*;q=0", False),
        (b"gzip;q=high", False),
        (b"gzipped", False),
    ],
)
def test_gzip_is_accepted_by_name_or_star_with_a_weight(accepted: bytes, is_accepted: bool) -> None:
    assert accepts_gzip(accepted) is is_accepted


@pytest.mark.parametrize("size", [11, AT_ONCE + 1])
async def test_large_answers_are_compressed_and_read_back(size: int) -> None:
    body = b"x" * size
    packed = await Compression(10).compressed(body, b"gzip")
    assert packed is not None
    assert gzip.decompress(packed) == body


async def test_small_ones_are_not_nor_any_that_no_one_asks_for() -> None:
    assert await Compression(10).compressed(b"x" * 10, b"gzip") is None
    assert await Compression(10).compressed(b"x" * 11, None) is None
    assert await Compression(10).compressed(b"x" * 11, b"br") is None
    assert await Compression(0).compressed(b"x" * 100_000, b"gzip") is None
