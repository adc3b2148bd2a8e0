"""Which shards of the event log a worker processes: leases in the store, evenly distributed among the live workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from models.candidate_refresh.replay import live_workers
from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore

LEASE_S = 6.0
"""after so long another worker takes over the shards of one that died"""
RENEW_S = 1.0
"""how often leases are renewed and distributed again"""


@dataclass
class ShardLeases:
    """The shards that this worker holds. A shard may have two workers for a moment, which is harmless."""

    store: SyncStore
    keys: Keys
    name: str
    clock: Callable[[], float] = time.time
    """epoch seconds"""
    held: list[int] = field(default_factory=list)
    _renewed_s: float = 0.0

    def shards(self) -> list[int]:
        """The shards to process; leases are renewed if that is due."""
        now = self.clock()
        if now - self._renewed_s >= RENEW_S:
            self._renew(now)
            self._renewed_s = now
        return self.held

    def release(self) -> None:
        """Releases all shards."""
        values = self.store.get_many([self.keys.log_lease(shard) for shard in self.held])
        for shard, value in zip(self.held, values, strict=True):
            if _held(value)[0] == self.name:
                self.store.compare_and_set(self.keys.log_lease(shard), value, _value("", 0.0))
        self.held = []
        self.store.fields_delete(self.keys.workers, [self.name])

    def _renew(self, now: float) -> None:
        """Renews the leases of this worker's share of the shards, and releases those beyond it."""
        until = now + LEASE_S
        self.store.fields_set(self.keys.workers, {self.name: b"%f" % until})
        workers = live_workers(self.store, self.keys, now)
        share = -(-SHARDS // max(len(workers), 1))
        values = self.store.get_many([self.keys.log_lease(shard) for shard in range(SHARDS)])
        own, free = [], []
        for shard, value in enumerate(values):
            holder, until_s = _held(value)
            if holder == self.name:
                own.append(shard)
            elif until_s <= now:
                free.append(shard)
        self.held = [
            shard
            for shard in [*own, *free][:share]
            if self.store.compare_and_set(self.keys.log_lease(shard), values[shard], _value(self.name, until))
        ]
        for shard in own[share:]:
            self.store.compare_and_set(self.keys.log_lease(shard), values[shard], _value("", 0.0))
        dead = [name for name, end in self.store.fields(self.keys.workers).items() if float(end) < now - LEASE_S]
        self.store.fields_delete(self.keys.workers, dead)


def _value(name: str, until: float) -> bytes:
    return orjson.dumps({"by": name, "until": until})


def _held(value: bytes | None) -> tuple[str, float]:
    """The holder of a lease and when it ends; a value that does not read back has no holder."""
    try:
        lease = orjson.loads(value or b"null")
        return str(lease["by"]), float(lease["until"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return "", 0.0
