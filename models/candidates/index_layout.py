"""How an index holds its vectors: the width of their codes, and the shards that a budget of memory asks for."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from models.candidates.config import IndexConfig
from models.system import memory_budget

Codes = Literal["float32", "float16", "int8"]
BYTES: dict[Codes, int] = {"float32": 4, "float16": 2, "int8": 1}
"""of a component of a vector"""
LEAST_SHARD = 1_000
"""users of a shard at the least: smaller ones would be searched one by one"""


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


def layout_of(users: int, dimensions: int, config: IndexConfig) -> IndexLayout:
    """The codes and shards of `config`; what it leaves open follows the budget of memory of this process.

    Without a budget, codes are float32 in one shard. With one, the widest codes with which the whole index fits its
    part of the budget; if none do, int8 in shards that fit, each written to disk before the next is built.
    """
    wanted: tuple[Codes, ...] = tuple(BYTES) if config.codes == "auto" else (config.codes,)
    fits = 0
    for codes in wanted:
        fits = memory_budget.within(users, bytes_of_a_vector(codes, dimensions, config.links), least=LEAST_SHARD)
        if fits >= users:
            break
    return IndexLayout(codes, config.shard_users or max(fits, 1))


def settled(users: int, dimensions: int, config: IndexConfig) -> IndexConfig:
    """`config` with codes and shards chosen by this process's budget, for a process that builds without one."""
    layout = layout_of(users, dimensions, config)
    return config.model_copy(update={"codes": layout.codes, "shard_users": layout.shard_users})
