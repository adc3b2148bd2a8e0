"""Which shards of the event log a worker processes: leases in the store, evenly distributed among the live workers.

A lease holds for as long as its holder reports itself (models.publishing.serving_processes): the report expires by the
store's clock, so no clock of a host decides, and none that is set back or ahead keeps a lease from being taken over.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import orjson

from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit, Guard, Write

LEASE_S = 6.0
"""workers of former releases take a lease over that was not renewed for so long, by their clocks"""
RENEW_S = 2.0
"""how often leases are renewed and distributed again"""


@dataclass
class ShardLeases:
    """The shards that this worker holds. A shard may have two workers for a moment, which is harmless."""

    store: SyncStore
    keys: Keys
    name: str
    clock: Callable[[], float] = time.monotonic
    """seconds of a clock that is never set"""
    held: list[int] = field(default_factory=list)
    _renewed_s: float | None = None

    def shards(self) -> list[int]:
        """The shards to process; leases are renewed if that is due."""
        now = self.clock()
        if self._renewed_s is None or now - self._renewed_s >= RENEW_S:
            self._renew()
            self._renewed_s = now
        return self.held

    def holds_first(self) -> bool:
        """Whether this worker holds the first shard: one worker at a time does what is to be done once."""
        return 0 in self.held

    def release(self) -> None:
        """Releases all shards."""
        values = self.store.get_many([self.keys.log_lease(shard) for shard in self.held])
        own = {shard: value for shard, value in zip(self.held, values, strict=True) if _holder(value) == self.name}
        self._write(own, _value("", 0.0))
        self.held = []
        self.store.fields_delete(self.keys.workers, [self.name])

    def _renew(self) -> None:
        """Renews the leases of this worker's share of the shards, and releases those beyond it."""
        # who is there
        until = time.time() + LEASE_S
        self.store.fields_set(self.keys.workers, {self.name: b"%f" % until})
        values = self.store.get_many([self.keys.log_lease(shard) for shard in range(SHARDS)])
        workers = set(self.store.fields(self.keys.workers))
        live = self._live(workers | {_holder(value) for value in values})
        # whose is what
        share = -(-SHARDS // len(live & workers))
        own = [shard for shard, value in enumerate(values) if _holder(value) == self.name]
        free = [shard for shard, value in enumerate(values) if _holder(value) not in live]
        wanted = {shard: values[shard] for shard in [*own, *free][:share]}
        self.held = sorted(self._write(wanted, _value(self.name, until)))
        self._write({shard: values[shard] for shard in own[share:]}, _value("", 0.0))
        self.store.fields_delete(self.keys.workers, sorted(workers - live))

    def _live(self, names: Collection[str]) -> set[str]:
        """Those of these workers who report themselves, and this one."""
        others = sorted({*names} - {"", self.name})
        values = self.store.get_many([self.keys.process(name) for name in others])
        return {self.name, *(name for name, value in zip(others, values, strict=True) if value is not None)}

    def _write(self, leases: dict[int, bytes | None], value: bytes) -> list[int]:
        """Writes a value in place of those that were read; returns the shards where nobody else was faster."""
        keys = [self.keys.log_lease(shard) for shard in leases]
        commits = [
            Commit(guards=[Guard(key, before)] if before != b"" else [], writes=[Write(key, value)])
            for key, before in zip(keys, leases.values(), strict=True)
        ]
        return [shard for shard, done in zip(leases, self.store.commit(commits), strict=True) if done]


def _value(name: str, until: float) -> bytes:
    return orjson.dumps({"by": name, "until": until})


def _holder(value: bytes | None) -> str:
    """The holder of a lease; a value that does not read back has none."""
    try:
        return str(orjson.loads(value or b"null")["by"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
