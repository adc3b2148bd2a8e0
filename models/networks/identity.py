"""A user's identity as learned columns, for graphs with poor profiles."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.networks.config import HashConfig, IdentityConfig, LookupConfig, NoIdentityConfig

UNKNOWN = 0
"""row of a lookup table for people whom training did not know"""
_START_DEVIATION = 0.1
_ODD = 0x1E3779B97F4A7C15
"""multiplier of Fibonacci hashing (Knuth), brought below 2^63"""


class Identity(nn.Module, ABC):
    """(n, width) float32 of keys (n,) int64, a hash of each user id; every key has columns."""

    width: int

    @abstractmethod
    def forward(self, keys: Tensor) -> Tensor:
        """The columns."""

    def know(self, keys: Tensor) -> None:
        """Called once, before training, with the keys of all users."""


class NoIdentity(Identity):
    """No columns."""

    width = 0

    def __init__(self, config: NoIdentityConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, keys: Tensor) -> Tensor:
        """(n, 0)"""
        return torch.empty((len(keys), 0), device=keys.device)


class Lookup(Identity):
    """Row 0 is the unknown person's; the row of a known one is one past the place of the key among `known`."""

    known: Tensor

    def __init__(self, config: LookupConfig) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.register_buffer("known", torch.arange(config.people))
        self.table = nn.Embedding(config.people + 1, config.width)
        nn.init.normal_(self.table.weight, std=_START_DEVIATION)
        with torch.no_grad():
            self.table.weight[UNKNOWN].zero_()

    def know(self, keys: Tensor) -> None:
        """As Identity.know. Raises ValueError for another number of people than the table was made for."""
        if len(keys) != self.config.people:
            raise ValueError(f"{len(keys)} people for a table of {self.config.people}")
        self.known.copy_(torch.sort(keys).values)

    def rows(self, keys: Tensor) -> Tensor:
        """(n,) int64: the row of the table of each."""
        if not len(self.known):
            return torch.full_like(keys, UNKNOWN)
        at = torch.searchsorted(self.known, keys).clamp(max=len(self.known) - 1)
        return torch.where(self.known[at] == keys, at + 1, UNKNOWN)

    def forward(self, keys: Tensor) -> Tensor:
        """As Identity.forward; in training some of the known count as unknown."""
        rows = self.rows(keys)
        if self.training:
            forgotten = torch.rand(len(rows), device=rows.device) < self.config.unknown_share
            rows = rows.masked_fill(forgotten, UNKNOWN)
        columns: Tensor = self.table(rows)
        return columns


class Hash(Identity):
    """Two people share all their rows about once in buckets^probes (Svenstrup, Hansen, Winther: Hash Embeddings 2017).

    A new user's rows are chosen in the same way, and hold what was learned of others.
    """

    offsets: Tensor

    def __init__(self, config: HashConfig) -> None:
        super().__init__()
        if config.buckets & (config.buckets - 1):
            raise ValueError(f"{config.buckets} buckets are no power of two")
        self.config, self.width = config, config.width
        generator = torch.Generator().manual_seed(config.seed)
        self.register_buffer("offsets", torch.randint(2**62, (config.probes,), generator=generator))
        self.table = nn.Embedding(max(config.buckets, 1), config.width)
        nn.init.normal_(self.table.weight, std=_START_DEVIATION)

    def rows(self, keys: Tensor) -> Tensor:
        """(n, probes) int64: the rows of the table of each, by the high bits of (key + offset) x an odd number."""
        mixed = (keys[:, None] + self.offsets) * _ODD
        mixed = (mixed ^ (mixed >> 29)) * _ODD  # products wrap around at 2^64; an arithmetic shift mixes as well
        bits = max(self.config.buckets, 1).bit_length() - 1
        return (mixed >> (63 - bits)) & (max(self.config.buckets, 1) - 1)

    def forward(self, keys: Tensor) -> Tensor:
        """As Identity.forward."""
        columns: Tensor = self.table(self.rows(keys)).mean(dim=1)
        return columns


def buckets_for(people: int) -> int:
    """The next power of two above four times so many people."""
    return 1 << (4 * people).bit_length()


def fitted_identity(config: IdentityConfig, people: int) -> IdentityConfig:
    """The configuration with its size for so many people."""
    match config:
        case LookupConfig():
            return config.model_copy(update={"people": people})
        case HashConfig():
            return config.model_copy(update={"buckets": buckets_for(people)})
    return config


def identity_of(config: IdentityConfig) -> Identity:
    """The identity encoding of a configuration."""
    match config:
        case LookupConfig():
            return Lookup(config)
        case HashConfig():
            return Hash(config)
    return NoIdentity(config)
