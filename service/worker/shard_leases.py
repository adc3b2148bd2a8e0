"""Which shards of the event log a worker works off: leases in the store, shared out evenly among the live workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from models.candidate_refresh.replay import live_workers
from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore

LEASE_S = 6.0
"""a worker that died is followed after so long"""
RENEW_S = 1.0
"""how often leases are renewed and shared out anew"""


@dataclass
class ShardLeases:
    """The shards that are this worker's for now. A shard may for a moment have two workers, which is harmless."""

    store: SyncStore
    keys: Keys
    name: str
    clock: Callable[[], float] = time.time
    """epoch seconds"""
    held: list[int] = field(default_factory=list)
    _looked: float = 0.0

    def shards(self) -> list[int]:
        """The shards to work off, renewed where that is due."""
        now = self.clock()
        if now - self._looked >= RENEW_S:
            self._share(now)
            self._looked = now
        return self.held

    def release(self) -> None:
        """Lets the others have all of it."""
        values = self.store.get_many([self.keys.log_lease(shard) for shard in self.held])
        for shard, value in zip(self.held, values, strict=True):
            if _held(value)[0] == self.name:
                self.store.compare_and_set(self.keys.log_lease(shard), value, _value("", 0.0))
        self.held = []
        self.store.fields_delete(self.keys.workers, [self.name])

    def _share(self, now: float) -> None:
        until = now + LEASE_S
        self.store.fields_set(self.keys.workers, {self.name: b"%f" % until})
        workers = live_workers(self.store, self.keys, now)
        share = -(-SHARDS // max(len(workers), 1))
        values = self.store.get_many([self.keys.log_lease(shard) for shard in range(SHARDS)])
        own, free = [], []
        for shard, value in enumerate(values):
            whose, ends = _held(value)
            if whose == self.name:
                own.append(shard)
            elif ends <= now:
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
    """Whose a lease is and until when; a value that does not read back is nobody's."""
    try:
        said = orjson.loads(value or b"null")
        return str(said["by"]), float(said["until"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return "", 0.0
