"""Compression of large answers with gzip, for clients that accept it."""

import asyncio
import zlib

LEVEL = 1
"""of zlib: a list shrinks to a sixth; level 6 takes twice as long and saves a tenth of the bytes more"""
AT_ONCE = 256 << 10
"""bytes that are compressed beside the event loop above this size"""

_GZIP = 16 + zlib.MAX_WBITS

HEADERS = ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
"""of a compressed answer"""


class Compression:
    """Compresses answers above a size; 0: none."""

    def __init__(self, above_bytes: int) -> None:
        self.above_bytes = above_bytes or 1 << 62

    async def compressed(self, body: bytes, accepted: bytes | None) -> bytes | None:
        """The gzip of a body; None if it is small or the header Accept-Encoding does not accept it."""
        if len(body) <= self.above_bytes or accepted is None or not accepts_gzip(accepted):
            return None
        if len(body) <= AT_ONCE:
            return _gzip(body)
        return await asyncio.to_thread(_gzip, body)


def accepts_gzip(accepted: bytes) -> bool:
    """Whether a header Accept-Encoding accepts gzip (RFC 9110, 12.5.3): by its name, else by `*`, with a weight."""
    weights = {}
    for part in accepted.lower().split(b","):
        name, _, parameters = part.partition(b";")
        _, _, weight = parameters.partition(b"=")
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            return False
    return weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0))) > 0


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=_GZIP)
    return packer.compress(body) + packer.flush()
