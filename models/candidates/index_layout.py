"""How an index holds its vectors: the width of their codes, and the shards that a budget of memory asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from models.candidates.config import IndexConfig

Codes = Literal["float32", "float16", "int8"]
BYTES: dict[Codes, int] = {"float32": 4, "float16": 2, "int8": 1}
"""of a component of a vector, widest first"""
PROCESS = 150_000_000
"""bytes of a process that builds an index, before it has any"""
LEAST_SHARD = 1_000
"""users of a shard at the least, and at most so many shards, whatever the budget: each costs a search"""
MOST_SHARDS = 64


@dataclass(frozen=True, slots=True)
class IndexLayout:
    """The codes of an index, and the users of each of its shards but the last."""

    codes: Codes
    shard_users: int

    def starts(self, users: int) -> range:
        """The first row of each shard."""
        return range(0, max(users, 1), self.shard_users)


def bytes_of_a_vector(codes: Codes, dimensions: int, links: int) -> int:
    """What an HNSW index holds for a vector: its code, twice `links` on the lowest level, and a part of the others."""
    return dimensions * BYTES[codes] + 4 * ceil(2 * links * 1.1) + 16


def bytes_to_build(codes: Codes, dimensions: int, links: int) -> int:
    """What building holds for a vector: the index, a copy of all vectors if some are equal, hashes to find these."""
    return bytes_of_a_vector(codes, dimensions, links) + 4 * dimensions + 40


def layouts_of(users: int, dimensions: int, config: IndexConfig, room: int | None) -> Sequence[IndexLayout]:
    """The layouts that `config` permits, the one to build first, and then those to try if its recall is too low.

    `room` are the bytes that building may take; None: as many as there are, so that codes are float32 in one shard.
    With a room, the first has the widest codes with which the whole index fits; if none fit, int8 in shards of equal
    size that fit. The others have wider codes, in shards that fit.
    """
    permitted: tuple[Codes, ...] = tuple(BYTES) if config.codes == "auto" else (config.codes,)
    if users < max(config.flat_below, 1):
        return [IndexLayout("float32", _shard_users(users, 4 * dimensions, config, room))]
    layouts = [
        IndexLayout(codes, _shard_users(users, bytes_to_build(codes, dimensions, config.links), config, room))
        for codes in permitted
    ]
    first = next((at for at, one in enumerate(layouts) if one.shard_users >= users), len(layouts) - 1)
    return layouts[first::-1]


def _shard_users(users: int, each: int, config: IndexConfig, room: int | None) -> int:
    """The users of a shard: as `config` says, else as many as fit, in shards of equal size."""
    if config.shard_users or room is None:
        return max(min(config.shard_users or users, users), 1)
    fit = max((room - PROCESS) // each, LEAST_SHARD, ceil(users / MOST_SHARDS))
    return max(ceil(users / max(ceil(users / fit), 1)), 1)
