"""The commands of the Redis protocol for the store's operations, for both ports.

A single server takes many keys in one command. On a cluster a command must keep to one slot, so each key gets its own
command, and the client library sends each node its share in one round trip.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain, islice
from typing import Any

from models.store.protocol import HORIZON_S, StoreInfo
from models.store.transaction import ONCE_FIELD_BYTES, Commit

Command = tuple[str | bytes | int | float, ...]

BATCH_BYTES = 1 << 20
"""the size of one write: large enough for the sync to disk after it not to matter, small enough to delay readers by a
few milliseconds only, if there is a pause before the next write (models.store.throttled_write)"""
BATCH_KEYS = 1000
BATCH_COMMITS = 250
"""commits of one script, for which everybody else waits: a millisecond or two"""
FIELD = b"e"
"""the name of the one field of a stream's entries"""


def _script(name: str) -> str:
    """A Lua script of this package without its comments, which every call would send."""
    lines = (files(__package__) / f"{name}.lua").read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if not line.startswith("--"))


COMPARE_AND_SET, QUEUE_TAKE, COMMIT = map(_script, ("compare_and_set", "queue_take", "commit"))
NUMBERS_TAKE, NUMBER_RAISE, TOKEN_TAKE = map(_script, ("numbers_take", "number_raise", "token_take"))
CHAIN_APPEND, TAIL, STREAM_OFFER = map(_script, ("chain_append", "tail", "stream_offer"))
FIELD_RAISE = _script("field_raise")


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
    """The command that sets or removes the expiry of a key."""
    return ("PERSIST", key) if ttl_s is None else ("PEXPIRE", key, milliseconds(ttl_s))


def compare_and_set(key: str, expected: bytes | None, value: bytes) -> Command:
    """The command that answers 1 if it wrote."""
    return ("EVAL", COMPARE_AND_SET, 1, key, "absent" if expected is None else "holds", expected or b"", value)


def queue_add(key: str, members: Sequence[bytes], due_s: float) -> Command:
    """The command that queues members that are not queued yet."""
    return ("ZADD", key, "NX", *(part for member in members for part in (due_s, member)))


def queue_take(key: str, now_s: float, lease_s: float, limit: int) -> Command:
    """The command that answers the due members and leases them."""
    return ("EVAL", QUEUE_TAKE, 1, key, now_s, now_s + lease_s, limit, now_s + max(HORIZON_S, 2 * lease_s))


def token_take(key: str, rate: float, burst: int) -> Command:
    """The command that answers the tokens left, as text."""
    return ("EVAL", TOKEN_TAKE, 1, key, rate, burst)


def commit(commits: Sequence[Commit]) -> Command:
    """The command that answers the outcome of each commit. Their keys are in one slot of a cluster."""
    keys = [key for changes in commits for key in _keys_in_order(changes)]
    return ("EVAL", COMMIT, len(keys), *keys, *chain.from_iterable(map(_arguments, commits)))


def _keys_in_order(changes: Commit) -> Iterator[str]:
    """The keys of a commit as the script takes them."""
    yield from (guard.key for guard in changes.guards)
    yield from (fence.key for fence in changes.fences)
    yield from (key for once in changes.once for key in once.keys)
    yield from (extend.key for extend in changes.extends)
    yield from (replace.key for replace in changes.replaces)
    yield from (write.key for write in changes.writes)
    yield from changes.deletes
    yield from (add.key for add in (*changes.adds, *changes.removes))
    yield from (append.key for append in changes.appends)


def _arguments(changes: Commit) -> Iterator[str | bytes | int]:
    """The arguments of a commit as the script takes them."""
    operations = (changes.guards, changes.fences, changes.once, changes.extends, changes.replaces)
    yield from map(len, (*operations, changes.writes, changes.deletes, changes.adds, changes.removes, changes.appends))
    for guard in changes.guards:
        yield from (guard.prefix or b"", "" if guard.length is None else guard.length)
    for fence in changes.fences:
        yield fence.number
    for once in changes.once:
        yield from (len(once.keys), once.identity[:ONCE_FIELD_BYTES], once.identity[ONCE_FIELD_BYTES:])
    for extend in changes.extends:
        yield from (extend.data, extend.start, extend.most_bytes, int(extend.unless_recent))
    for replace in changes.replaces:
        yield from (replace.upto, replace.value)
    for write in changes.writes:
        yield from (write.value, "" if write.ttl_s is None else milliseconds(write.ttl_s))
    yield from (add.member for add in (*changes.adds, *changes.removes))
    yield from (append.entry for append in changes.appends)


def commit_batches(commits: Sequence[Commit], cluster: bool) -> Iterator[tuple[list[int], Command]]:
    """Commands for commits, each with the places of its commits in `commits`, in their order for every slot.

    One command has about BATCH_BYTES and at most BATCH_COMMITS.
    """
    slots: dict[str, list[int]] = {}
    for place, changes in enumerate(commits):
        slots.setdefault(_tag(next(changes.keys(), "")) if cluster else "", []).append(place)
    for places in slots.values():
        batch: list[int] = []
        size = 0
        for place in places:
            batch.append(place)
            size += sum(len(part) for part in _arguments(commits[place]) if isinstance(part, (str, bytes)))
            if size >= BATCH_BYTES or len(batch) >= BATCH_COMMITS:
                yield batch, commit([commits[place] for place in batch])
                batch, size = [], 0
        if batch:
            yield batch, commit([commits[place] for place in batch])


def _tag(key: str) -> str:
    """The hash tag of a key: keys with equal tags are in one slot."""
    return key[key.index("{") : key.index("}")] if "{" in key and "}" in key else key


def numbers_take(key: str, count: int, at_least: int) -> Command:
    """The command that answers the first number taken."""
    return ("EVAL", NUMBERS_TAKE, 1, key, count, at_least)


def number_raise(key: str, number: int) -> Command:
    """The command that answers the number after it was raised."""
    return ("EVAL", NUMBER_RAISE, 1, key, number)


def field_raise(key: str, name: str, number: int) -> Command:
    """The command that answers the number in a field after it was raised."""
    return ("EVAL", FIELD_RAISE, 1, key, name, number)


def chain_append(head: str, stream: str, identity: str, entry: bytes) -> Command:
    """The command that answers the new head."""
    return ("EVAL", CHAIN_APPEND, 2, head, stream, identity, entry)


def stream_offer(key: str, entries: Sequence[bytes], most: int, ttl_s: float) -> Command:
    """The command that answers how many of the entries were appended."""
    return ("EVAL", STREAM_OFFER, 1, key, most, milliseconds(ttl_s), *entries)


def tail(key: str, start: int, prefix_bytes: int) -> tuple[str, ...]:
    """The command that answers a value's first bytes and those from a place on."""
    return ("EVAL", TAIL, "1", key, str(start), str(prefix_bytes))


def stream_read(key: str, after: str, limit: int) -> Command:
    """The command that answers entries with their positions."""
    return ("XRANGE", key, f"({after}", "+", "COUNT", limit)


def stream_entries(answer: Sequence[Any]) -> list[tuple[str, bytes]]:
    """Positions and entries in the answer to `stream_read`."""
    return [(position.decode(), fields[FIELD]) for position, fields in answer]


def streams_wait(after: Mapping[str, str], wait_s: float) -> Command:
    """The command that answers the first entry of each stream after its position, as soon as there is one."""
    block = ("BLOCK", milliseconds(wait_s)) if wait_s > 0 else ()
    return ("XREAD", "COUNT", 1, *block, "STREAMS", *after, *after.values())


def stream_first(key: str) -> Command:
    """The command that answers the oldest entry of a stream."""
    return ("XRANGE", key, "-", "+", "COUNT", 1)


def stream_ages_s(answers: Sequence[Any], clock: Sequence[Any]) -> list[float | None]:
    """Ages by the answers to `stream_first` and TIME."""
    now = clock_us(clock) / 1e6
    positions = [entries[0][0].decode() if entries else None for entries in answers]
    return [None if at is None else max(0.0, now - int(at.partition("-")[0]) / 1000) for at in positions]


def clock_us(answer: Sequence[Any]) -> int:
    """The answer to TIME in microseconds."""
    return int(answer[0]) * 1_000_000 + int(answer[1])


def queue_oldest(key: str) -> Command:
    """The command that answers the member that is due first, and when."""
    return ("ZRANGE", key, 0, 0, "WITHSCORES")


def member_and_score(answer: Sequence[Any]) -> tuple[bytes, float] | None:
    """The member and its score in the answer to `queue_oldest`, in a pair or flat."""
    flat = answer[0] if answer and isinstance(answer[0], (list, tuple)) else answer
    return (flat[0], float(flat[1])) if flat else None


def stream_trim(key: str, upto: str) -> Command:
    """The command that drops the entries up to a position, itself included."""
    milliseconds_part, _, number = upto.partition("-")
    return ("XTRIM", key, "MINID", f"{milliseconds_part}-{int(number) + 1}")


def timestamps_raise(key: str, timestamps_us: Mapping[str, int]) -> Command:
    """The command that stores timestamps that are later than the stored ones."""
    return ("ZADD", key, "GT", *(part for name, timestamp_us in timestamps_us.items() for part in (timestamp_us, name)))


def timestamps_after(key: str, timestamp_us: int, limit: int) -> Command:
    """The command that answers names and timestamps, alternating."""
    return ("ZRANGE", key, f"({timestamp_us}", "+inf", "BYSCORE", "LIMIT", 0, limit, "WITHSCORES")


def named_timestamps(answer: Sequence[Any]) -> list[tuple[str, int]]:
    """Names and timestamps in the answer to `timestamps_after`, in pairs or flat."""
    flat = [part for pair in answer for part in pair] if answer and isinstance(answer[0], (list, tuple)) else answer
    return [
        (name.decode(), round(float(timestamp_us))) for name, timestamp_us in zip(flat[::2], flat[1::2], strict=True)
    ]


def fields_set(key: str, fields: Mapping[str, bytes]) -> Command:
    """The command that writes fields of a record."""
    return ("HSET", key, *(part for field in fields.items() for part in field))


def pattern(prefix: str) -> str:
    """The glob that matches the keys with this prefix, whatever characters it contains."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix) + "*"


def milliseconds(ttl_s: float) -> int:
    """A time to live in milliseconds, at least one."""
    return max(1, round(ttl_s * 1000))


def seconds(answer_ms: int) -> float | None:
    """The answer to PTTL in seconds; None if the key does not expire or does not exist."""
    return answer_ms / 1000 if answer_ms >= 0 else None


def pair_batches(
    pairs: Iterable[tuple[str, bytes]], most_bytes: Callable[[], int] = lambda: BATCH_BYTES
) -> Iterator[list[tuple[str, bytes]]]:
    """Pairs in lists of about `most_bytes()` bytes, called for each list again, and at most BATCH_KEYS."""
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
    """The answer to INFO: of one server, or of all primaries by their names."""
    nodes: list[Mapping[str, Any]] = [answer] if "used_memory" in answer else list(answer.values())
    limit = sum(int(node["maxmemory"]) for node in nodes)
    return StoreInfo(
        memory_used_bytes=sum(int(node["used_memory"]) for node in nodes),
        memory_limit_bytes=limit or None,
        eviction_policy=str(nodes[0]["maxmemory_policy"]),
        append_only=all(int(node["aof_enabled"]) == 1 for node in nodes),
        keys_read=sum(int(node[f"keyspace_{outcome}"]) for node in nodes for outcome in ("hits", "misses")),
        compacting=any(int(node[f"aof_rewrite_{state}"]) for node in nodes for state in ("in_progress", "scheduled")),
        compacted=all(node["aof_last_bgrewrite_status"] == "ok" for node in nodes),
        appended=all(node.get("aof_last_write_status", "ok") == "ok" for node in nodes),
        saved=all(node.get("rdb_last_bgsave_status", "ok") == "ok" for node in nodes),
        refuses_writes=any(int(node.get("min_slaves_good_slaves", 1)) == 0 for node in nodes),
        keys=sum(
            int(of["keys"]) for node in nodes for name, of in node.items() if name[:2] == "db" and name[2:].isdigit()
        ),
    )
