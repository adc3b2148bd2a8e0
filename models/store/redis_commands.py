"""The store's operations in the words of the Redis protocol, for both faces.

On a single server many keys travel in one command; on a cluster a command must keep to one slot, so each key gets its
own, and the client library sends each node its share in one round trip.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from models.store.protocol import StoreInfo
from models.store.transaction import Commit

Command = tuple[str | bytes | int | float, ...]

BATCH_BYTES = 1 << 20
"""what one write carries: large enough that the sync to disk after each one does not count, small enough to keep
readers waiting for a few milliseconds only, where writes do not follow each other at once
(models.store.throttled_write)"""
BATCH_KEYS = 1000
FIELD = b"e"
"""what the one field of a stream's entries is called"""

COMPARE_AND_SET = """
local held = redis.call('GET', KEYS[1])
if (ARGV[1] == 'absent' and not held) or (ARGV[1] == 'holds' and held == ARGV[2]) then
    redis.call('SET', KEYS[1], ARGV[3])
    return 1
end
return 0
"""

QUEUE_TAKE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
    redis.call('ZADD', KEYS[1], 'XX', ARGV[2], member)
end
return due
"""

COMMIT = """
local guards, writes, deletes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 1, guards do
    local wanted = ARGV[3 + i]
    if wanted == '' then
        if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
    elseif redis.call('GETRANGE', KEYS[i], 0, #wanted - 1) ~= wanted then
        return 0
    end
end
local at = 3 + guards
for i = 1, writes do
    local value, ttl_ms = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
    if ttl_ms == '' then
        redis.call('SET', KEYS[guards + i], value)
    else
        redis.call('SET', KEYS[guards + i], value, 'PX', ttl_ms)
    end
end
at = at + 2 * writes
for i = guards + writes + 1, guards + writes + deletes do
    redis.call('UNLINK', KEYS[i])
end
for i = guards + writes + deletes + 1, #KEYS do
    at = at + 1
    redis.call('XADD', KEYS[i], '*', 'e', ARGV[at])
end
return 1
"""


def read(keys: Sequence[str], cluster: bool) -> list[Command]:
    """Commands whose answers hold the values of `keys`, in one list or (cluster) one by one."""
    return [("GET", key) for key in keys] if cluster else [("MGET", *keys)]


def write(key: str, value: bytes, ttl_s: float | None) -> Command:
    """The command that writes one value."""
    return ("SET", key, value) if ttl_s is None else ("SET", key, value, "PX", milliseconds(ttl_s))


def write_all(pairs: Sequence[tuple[str, bytes]], ttl_s: float | None, cluster: bool) -> list[Command]:
    """Commands that write a batch."""
    if cluster or ttl_s is not None:
        return [write(key, value, ttl_s) for key, value in pairs]
    return [("MSET", *(part for pair in pairs for part in pair))]


def on_each(verb: str, keys: Sequence[str], cluster: bool) -> list[Command]:
    """Commands that apply a verb taking any number of keys (UNLINK, EXISTS) to all of them."""
    return [(verb, key) for key in keys] if cluster else [(verb, *keys)]


def expire(key: str, ttl_s: float | None) -> Command:
    """The command that sets or lifts the expiry of a key."""
    return ("PERSIST", key) if ttl_s is None else ("PEXPIRE", key, milliseconds(ttl_s))


def compare_and_set(key: str, expected: bytes | None, value: bytes) -> Command:
    """The command that answers 1 where it wrote."""
    return ("EVAL", COMPARE_AND_SET, 1, key, "absent" if expected is None else "holds", expected or b"", value)


def queue_add(key: str, members: Sequence[bytes], due_s: float) -> Command:
    """The command that queues members that do not wait yet."""
    return ("ZADD", key, "NX", *(part for member in members for part in (due_s, member)))


def queue_take(key: str, now_s: float, lease_s: float, limit: int) -> Command:
    """The command that answers the due members and puts them off."""
    return ("EVAL", QUEUE_TAKE, 1, key, now_s, now_s + lease_s, limit)


def commit(wanted: Commit) -> Command:
    """The command that answers 1 where the guards held and all was written."""
    keys = wanted.keys
    arguments: list[str | bytes | int | float] = [len(wanted.guards), len(wanted.writes), len(wanted.deletes)]
    arguments += [guard.prefix or b"" for guard in wanted.guards]
    for write in wanted.writes:
        arguments += [write.value, "" if write.ttl_s is None else milliseconds(write.ttl_s)]
    arguments += [append.entry for append in wanted.appends]
    return ("EVAL", COMMIT, len(keys), *keys, *arguments)


def commit_batches(commits: Sequence[Commit]) -> Iterator[list[Command]]:
    """The commands of commits in lists of about BATCH_BYTES and at most BATCH_KEYS."""
    batch: list[Command] = []
    size = 0
    for one in commits:
        batch.append(commit(one))
        size += len(COMMIT) + sum(len(part) for part in batch[-1] if isinstance(part, (str, bytes)))
        if size >= BATCH_BYTES or len(batch) >= BATCH_KEYS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def stream_read(key: str, after: str, limit: int) -> Command:
    """The command that answers entries with their positions."""
    return ("XRANGE", key, f"({after}", "+", "COUNT", limit)


def stream_entries(answer: Sequence[Any]) -> list[tuple[str, bytes]]:
    """Positions and entries in the answer to `stream_read`."""
    return [(position.decode(), fields[FIELD]) for position, fields in answer]


def stream_trim(key: str, upto: str) -> Command:
    """The command that drops the entries up to a position, itself included."""
    milliseconds_part, _, number = upto.partition("-")
    return ("XTRIM", key, "MINID", f"{milliseconds_part}-{int(number) + 1}")


def timestamps_raise(key: str, timestamps_us: Mapping[str, int]) -> Command:
    """The command that notes stamps that are later than what stands there."""
    return ("ZADD", key, "GT", *(part for name, timestamp_us in timestamps_us.items() for part in (timestamp_us, name)))


def timestamps_after(key: str, timestamp_us: int, limit: int) -> Command:
    """The command that answers names and stamps, alternating."""
    return ("ZRANGE", key, f"({timestamp_us}", "+inf", "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")


def stamped(answer: Sequence[Any]) -> list[tuple[str, int]]:
    """Names and stamps in the answer to `timestamps_after`, in pairs or flat."""
    flat = [part for pair in answer for part in pair] if answer and isinstance(answer[0], (list, tuple)) else answer
    return [
        (name.decode(), round(float(timestamp_us))) for name, timestamp_us in zip(flat[::2], flat[1::2], strict=True)
    ]


def fields_set(key: str, fields: Mapping[str, bytes]) -> Command:
    """The command that writes fields of a record."""
    return ("HSET", key, *(part for field in fields.items() for part in field))


def pattern(prefix: str) -> str:
    """The glob that matches keys beginning with `prefix`, whatever it contains."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix) + "*"


def milliseconds(ttl_s: float) -> int:
    """A time to live as the protocol takes it, at least one."""
    return max(1, round(ttl_s * 1000))


def seconds(answer_ms: int) -> float | None:
    """The answer to PTTL in seconds; None where the key does not expire or does not exist."""
    return answer_ms / 1000 if answer_ms >= 0 else None


def pair_batches(
    pairs: Iterable[tuple[str, bytes]], most_bytes: Callable[[], int] = lambda: BATCH_BYTES
) -> Iterator[list[tuple[str, bytes]]]:
    """Pairs in lists of about so many bytes, asked for as each fills, and at most BATCH_KEYS."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for key, value in pairs:
        batch.append((key, value))
        size += len(key) + len(value)
        if size >= most_bytes() or len(batch) >= BATCH_KEYS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def key_batches(keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys in lists of at most BATCH_KEYS."""
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH_KEYS)):
        yield batch


def store_info(answer: Mapping[str, Any]) -> StoreInfo:
    """What the answer to INFO says: of one server, or of all primaries under their names."""
    nodes: list[Mapping[str, Any]] = [answer] if "used_memory" in answer else list(answer.values())
    limit = sum(int(node["maxmemory"]) for node in nodes)
    return StoreInfo(
        memory_used_bytes=sum(int(node["used_memory"]) for node in nodes),
        memory_limit_bytes=limit or None,
        eviction_policy=str(nodes[0]["maxmemory_policy"]),
        append_only=all(int(node["aof_enabled"]) == 1 for node in nodes),
        keys_read=sum(int(node[f"keyspace_{found}"]) for node in nodes for found in ("hits", "misses")),
        compacting=any(int(node[f"aof_rewrite_{how}"]) for node in nodes for how in ("in_progress", "scheduled")),
        compacted=all(node["aof_last_bgrewrite_status"] == "ok" for node in nodes),
    )
