"""SyncStore in the memory of one process."""

import time
from collections.abc import Sequence

from models.store.decimals import read_decimal
from models.store.protocol import StoreInfo
from models.store.transaction import ONCE_FIELD_BYTES, RECENT_BYTES, Commit, Extend, Once, Outcome
from tests.support.memory_store.collections_of_members import Collections
from tests.support.memory_store.streams import Streams


class MemoryStore(Collections, Streams):
    """SyncStore without a server, for one thread. `clock` gives seconds; a test advances it to let keys expire."""

    def token_take(self, key: str, rate: float, burst: int) -> float:
        now = self._clock()
        stored = self.get(key)
        tokens, at = map(float, stored.split()) if stored else (float(burst), now)
        tokens = min(burst, tokens + (now - at) * rate)
        left = tokens - 1
        if left >= 0:
            self.set(key, f"{left} {now}".encode(), (burst - left) / rate + 1)
        return left

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> Outcome:
        outcome = self._outcome(commit)
        if outcome is not Outcome.APPLIED:
            return outcome
        for once in commit.once:
            field, row = _row(once)
            self.fields_set(once.keys[0], {field: self.fields(once.keys[0]).get(field, b"") + row})
        for extend in commit.extends:
            value = self.get(extend.key)
            if not _is_recent(extend, value):
                self.set(extend.key, (extend.start if value is None else value) + extend.data)
        for key, upto, value in commit.replaces:
            self.set(key, value + (self.get(key) or b"")[upto:])
        for key, value, ttl_s in commit.writes:
            self.set(key, value, ttl_s)
        self.delete(commit.deletes)
        for key, member in commit.adds:
            self.members_add(key, [member])
        for key, member in commit.removes:
            self.members_remove(key, [member])
        for key, entry in commit.appends:
            self._append(key, entry)
        return Outcome.APPLIED

    def _outcome(self, commit: Commit) -> Outcome:
        """What becomes of a commit, before anything is written."""
        for key, prefix, length in commit.guards:
            value = self.get(key)
            if (value is None) != (prefix is None) or (prefix and not (value or b"").startswith(prefix)):
                return Outcome.CONFLICT
            if length is not None and len(value or b"") != length:
                return Outcome.CONFLICT
        if any(fence.number <= (read_decimal(self.get(fence.key) or b"") or -1) for fence in commit.fences):
            return Outcome.CONFLICT
        for once in commit.once:
            field, row = _row(once)
            rows = [self.fields(key).get(field, b"") for key in once.keys]
            if any(row in {stored[at : at + len(row)] for at in range(0, len(stored), len(row))} for stored in rows):
                return Outcome.REPEATED
        for extend in commit.extends:
            value = self.get(extend.key)
            if 0 < extend.most_bytes < len(value or b"") + len(extend.data) and not _is_recent(extend, value):
                return Outcome.FULL
        return Outcome.APPLIED

    def numbers_take(self, key: str, count: int, at_least: int) -> int:
        first = max((read_decimal(self.get(key) or b"") or 0) + 1, at_least)
        self.set(key, b"%d" % (first + count - 1))
        return first

    def number_raise(self, key: str, number: int) -> int:
        raised = max(read_decimal(self.get(key) or b"") or 0, number)
        self.set(key, b"%d" % raised)
        return raised

    def clock_us(self) -> int:
        return time.time_ns() // 1000

    def ping(self) -> None:
        return None

    def info(self) -> StoreInfo:
        alive = [stored for key in list(self._stored) if (stored := self._stored_value(key)) is not None]
        size = sum(len(stored.value) for stored in alive)
        return StoreInfo(size, None, "noeviction", append_only=False, keys_read=self._keys_read, keys=len(alive))

    def compact(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to release: what was written stays with this object."""


def _is_recent(extend: Extend, value: bytes | None) -> bool:
    return extend.unless_recent and extend.data in (value or b"")[-RECENT_BYTES:]


def _row(once: Once) -> tuple[str, bytes]:
    """The field of an identity, and what its value holds of it."""
    return once.identity[:ONCE_FIELD_BYTES].decode("latin-1"), once.identity[ONCE_FIELD_BYTES:]
