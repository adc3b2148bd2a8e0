"""Queues, sets, records and timestamps in memory."""

from collections.abc import Iterator, Mapping, Sequence

from models.store.decimals import read_decimal
from models.store.protocol import HORIZON_S
from tests.support.memory_store.values import Members, Values


class Collections(Values):
    """Queues, sets, records and timestamps by key."""

    def queue_add(self, key: str, members: Sequence[bytes], due_s: float) -> int:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        added = {member: due_s for member in members if member not in queue}
        self._write(key, "queue", queue | added)
        return len(added)

    def queue_take(self, key: str, now_s: float, lease_s: float, limit: int) -> list[bytes]:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        due = sorted((due_s, member) for member, due_s in queue.items() if due_s <= now_s)
        due += sorted((due_s, member) for member, due_s in queue.items() if due_s > now_s + max(HORIZON_S, 2 * lease_s))
        taken = [member for _, member in due[:limit]]
        self._write(key, "queue", queue | dict.fromkeys(taken, now_s + lease_s))
        return taken

    def queue_done(self, key: str, members: Sequence[bytes]) -> int:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        left = {member: due_s for member, due_s in queue.items() if member not in members}
        self._write(key, "queue", left)
        return len(queue) - len(left)

    def queue_length(self, key: str) -> int:
        return len(self._of_type(key, "queue", dict[bytes, float]()))

    def queue_oldest(self, key: str) -> tuple[bytes, float] | None:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        return min(queue.items(), key=lambda entry: (entry[1], entry[0]), default=None)

    def queue_members(self, key: str) -> list[bytes]:
        queue = self._of_type(key, "queue", dict[bytes, float]())
        return sorted(queue, key=lambda member: (queue[member], member))

    def members_add(self, key: str, members: Sequence[bytes]) -> int:
        stored = self._of_type(key, "set", Members())
        self._write(key, "set", stored | {*members})
        return len({*members} - stored)

    def members_remove(self, key: str, members: Sequence[bytes]) -> int:
        stored = self._of_type(key, "set", Members())
        self._write(key, "set", stored - {*members})
        return len(stored & {*members})

    def members(self, key: str) -> frozenset[bytes]:
        return frozenset(self._of_type(key, "set", Members()))

    def members_scan(self, key: str) -> Iterator[bytes]:
        yield from self.members(key)

    def fields_set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._write(key, "record", self._of_type(key, "record", dict[str, bytes]()) | dict(fields))

    def field_raise(self, key: str, name: str, number: int) -> int:
        raised = max(read_decimal(self.fields(key).get(name, b"0")) or 0, number)
        self.fields_set(key, {name: b"%d" % raised})
        return raised

    def fields_delete(self, key: str, names: Sequence[str]) -> int:
        record = self._of_type(key, "record", dict[str, bytes]())
        left = {name: value for name, value in record.items() if name not in names}
        self._write(key, "record", left)
        return len(record) - len(left)

    def fields(self, key: str) -> dict[str, bytes]:
        return dict(self._of_type(key, "record", dict[str, bytes]()))

    def fields_get(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        record = self.fields(key)
        return [record.get(name) for name in names]

    def timestamps_raise(self, key: str, timestamps_us: Mapping[str, int]) -> None:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        self._write(
            key, "timestamps", stored | {name: max(at, stored.get(name, at)) for name, at in timestamps_us.items()}
        )

    def timestamps_after(self, key: str, timestamp_us: int, limit: int) -> list[tuple[str, int]]:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        later = sorted((at, name) for name, at in stored.items() if at > timestamp_us)
        return [(name, at) for at, name in later[: max(0, limit)]]

    def timestamps_drop(self, key: str, upto: int) -> int:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        return self.timestamps_remove(key, [name for name, at in stored.items() if at <= upto])

    def timestamps_remove(self, key: str, names: Sequence[str]) -> int:
        stored = self._of_type(key, "timestamps", dict[str, int]())
        left = {name: at for name, at in stored.items() if name not in names}
        self._write(key, "timestamps", left)
        return len(stored) - len(left)
