"""Streams and chains in memory."""

import time
from collections.abc import Mapping, Sequence

from models.store.protocol import STREAM_START
from tests.support.memory_store.values import Stream, Values


class Streams(Values):
    """Streams and chains by key."""

    def _append(self, key: str, entry: bytes) -> None:
        self._appended += 1
        position = time.time_ns() // 1_000_000, self._appended
        self._appended_s[position] = time.monotonic()
        self._write(key, "stream", [*self._of_type(key, "stream", Stream()), (position, entry)])

    def stream_offer(self, key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> int:
        taken = entries[: max(0, most - self.stream_length(key))]
        for entry in taken:
            self._append(key, entry)
        if taken:
            self.expire_many([key], ttl_s)
        return len(taken)

    def stream_read(self, key: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        later = [(at, entry) for at, entry in self._of_type(key, "stream", Stream()) if at > _position(after)]
        return [(f"{at[0]}-{at[1]}", entry) for at, entry in later[: max(0, limit)]]

    def streams_wait(self, after: Mapping[str, str], wait_s: float) -> list[str]:
        deadline = time.monotonic() + wait_s
        while not (found := [key for key, position in after.items() if self.stream_read(key, position, 1)]):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        return found

    def stream_ages_s(self, keys: Sequence[str]) -> list[float | None]:
        oldest = [self.stream_read(key, STREAM_START, 1) for key in keys]
        return [time.monotonic() - self._appended_s[_position(read[0][0])] if read else None for read in oldest]

    def stream_trim(self, key: str, upto: str) -> int:
        entries = self._of_type(key, "stream", Stream())
        return self._stream_write(key, [entry for entry in entries if entry[0] > _position(upto)])

    def stream_delete(self, key: str, positions: Sequence[str]) -> int:
        entries = self._of_type(key, "stream", Stream())
        deleted = {_position(position) for position in positions}
        return self._stream_write(key, [entry for entry in entries if entry[0] not in deleted])

    def _stream_write(self, key: str, left: Stream) -> int:
        dropped = self.stream_length(key) - len(left)
        self._write(key, "stream", left)
        return dropped

    def stream_length(self, key: str) -> int:
        return len(self._of_type(key, "stream", Stream()))

    def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        before = self.get(head) or b""
        after = b"%020d:%b" % (int(before[:20] or 0) + 1, identity.encode())
        self.set(head, after)
        self._append(stream, b'{"epoch":"%b","after":"%b",%b' % (after, before, entry[1:]))
        return after


def _position(text: str) -> tuple[int, int]:
    """A position of a stream, which sorts as numbers and not as text."""
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)
