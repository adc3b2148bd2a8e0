"""The contract of every store, through either port. Commits: all of one or nothing, whoever writes at the same time."""

from asyncio import gather

import pytest

from models.store.protocol import STREAM_START
from models.store.transaction import RECENT_BYTES, Append, Commit, Extend, Guard, Once, Outcome, Replace, Write
from tests.support.stores import AwaitedStore

pytestmark = pytest.mark.anyio

EVERY_BYTE = bytes(range(256))


class TestCommits:
    async def test_a_commit_writes_all_or_nothing(self, store: AwaitedStore, prefix: str) -> None:
        a, b, gone, log = (f"{prefix}{{1}}:{name}" for name in ("a", "b", "gone", "log"))
        await store.set(gone, b"x")
        first = Commit(
            guards=[Guard(a, None)],
            writes=[Write(a, b"1" + EVERY_BYTE), Write(b, b"", 60)],
            deletes=[gone],
            appends=[Append(log, b"one"), Append(log, EVERY_BYTE)],
        )
        assert await store.commit([first]) == [Outcome.APPLIED]
        assert await store.get_many([a, b, gone]) == [b"1" + EVERY_BYTE, b"", None]
        assert await store.ttl_s(a) is None
        left = await store.ttl_s(b)
        assert left is not None
        assert 50 < left <= 60
        again = Commit(guards=[Guard(a, None)], writes=[Write(b, b"2")], deletes=[a], appends=[Append(log, b"no")])
        assert await store.commit([again]) == [Outcome.CONFLICT]
        assert await store.get_many([a, b]) == [b"1" + EVERY_BYTE, b""]
        assert [entry for _, entry in await store.stream_read(log, STREAM_START, 9)] == [b"one", EVERY_BYTE]

    async def test_a_guard_compares_a_prefix(self, store: AwaitedStore, prefix: str) -> None:
        a, b = prefix + "{1}a", prefix + "{1}b"
        await store.set(a, b"\x00\xffrest")
        for guarded, holds in ((b"\x00\xff", True), (b"\x00\xfe", False), (b"\x00\xffrests", False), (None, False)):
            commit = Commit(guards=[Guard(a, guarded), Guard(b, None)], writes=[Write(a, b"\x00\xffrest")])
            assert await store.commit([commit]) == [holds], guarded
        missing = Commit(guards=[Guard(a, b"\x00"), Guard(b, b"\x00")], writes=[Write(a, b"changed")])
        assert await store.commit([missing]) == [False]
        with pytest.raises(ValueError, match="at least one byte"):
            Commit(guards=[Guard(a, b"")])

    async def test_commits_are_each_for_themselves(self, store: AwaitedStore, prefix: str) -> None:
        keys = [f"{prefix}{{{number}}}" for number in range(300)]
        await store.set_many((key, b"") for key in keys[::3])
        commits = [Commit(guards=[Guard(key, None)], writes=[Write(key, key.encode())]) for key in keys]
        assert await store.commit(commits) == [number % 3 != 0 for number in range(300)]
        assert await store.get_many(keys[:3]) == [b"", keys[1].encode(), keys[2].encode()]
        assert await store.commit([]) == []
        assert await store.commit([Commit()]) == [True]

    async def test_of_many_that_commit_over_the_same_one_wins(self, store: AwaitedStore, prefix: str) -> None:
        commits = [
            Commit(guards=[Guard(prefix, None)], writes=[Write(prefix, str(turn).encode())]) for turn in range(20)
        ]
        won = await gather(*(store.commit([commit]) for commit in commits))
        assert sum(made for (made,) in won) == 1
        assert await store.get(prefix) == str(won.index([Outcome.APPLIED])).encode()

    async def test_a_guard_compares_a_length(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"four")
        for length, outcome in ((3, Outcome.CONFLICT), (4, Outcome.APPLIED), (4, Outcome.CONFLICT)):
            commit = Commit(guards=[Guard(prefix, b"fo", length)], extends=[Extend(prefix, b"!")])
            assert await store.commit([commit]) == [outcome]
        assert await store.get(prefix) == b"four!"

    async def test_whoever_extends_a_value_at_the_same_time_loses_nothing(
        self, store: AwaitedStore, prefix: str
    ) -> None:
        commits = [Commit(extends=[Extend(prefix, b"<%d>" % number, b"start")]) for number in range(50)]
        outcomes = await gather(*(store.commit([commit]) for commit in commits))
        assert outcomes == [[Outcome.APPLIED]] * 50
        value = await store.get(prefix)
        assert value.startswith(b"start")
        assert all(b"<%d>" % number in value for number in range(50))
        assert value.count(b"start") == 1

    async def test_a_value_is_extended_once_and_up_to_its_limit(self, store: AwaitedStore, prefix: str) -> None:
        extend = Extend(prefix, EVERY_BYTE, b"0", 600, unless_recent=True)
        assert await store.commit([Commit(extends=[extend])] * 3) == [Outcome.APPLIED] * 3
        assert await store.get(prefix) == b"0" + EVERY_BYTE
        other = Commit(extends=[Extend(prefix, EVERY_BYTE, most_bytes=600)])
        assert await store.commit([other, other]) == [Outcome.APPLIED, Outcome.FULL]
        assert await store.commit([Commit(extends=[extend])]) == [Outcome.APPLIED]  # full, but it has the data
        assert await store.lengths([prefix, prefix + "none"]) == [513, 0]
        await store.commit([Commit(extends=[Extend(prefix, b"x" * RECENT_BYTES)])])
        await store.commit([Commit(extends=[Extend(prefix, EVERY_BYTE, unless_recent=True)])])
        assert await store.lengths([prefix]) == [513 + RECENT_BYTES + 256]

    async def test_a_replaced_value_keeps_what_was_added_meanwhile(self, store: AwaitedStore, prefix: str) -> None:
        await store.set(prefix, b"1-base-journal")
        await store.commit([Commit(extends=[Extend(prefix, b"-later")])])
        replace = Replace(prefix, len(b"1-base-journal"), b"2-merged")
        commit = Commit(guards=[Guard(prefix, b"1-")], replaces=[replace])
        assert await store.commit([commit, commit]) == [Outcome.APPLIED, Outcome.CONFLICT]
        assert await store.get(prefix) == b"2-merged-later"

    async def test_an_identity_is_written_once(self, store: AwaitedStore, prefix: str) -> None:
        days = tuple(f"{prefix}{{1}}{day}" for day in "abc")
        one, other, alike = b"\xff\x00identy", b"\xff\x00yidentyi"[:8], b"\xff\x01identy"

        def commit(identity: bytes, *keys: str) -> Commit:
            once = [Once(keys, identity)] if identity else []
            return Commit(once=once, appends=[Append(f"{prefix}{{1}}log", identity)])

        assert await store.commit([commit(one, *days[1:])]) == [Outcome.APPLIED]
        repeated = [commit(one, *days), commit(other, *days), commit(alike, *days), commit(alike, days[0])]
        new = Outcome.APPLIED
        assert await store.commit(repeated) == [Outcome.REPEATED, new, new, Outcome.REPEATED]
        assert await store.commit([commit(one, days[0])]) == [new], "the days that it is not looked for in do not count"
        both = Commit(once=[Once((days[0],), b"12345678"), Once((days[0],), other)])
        assert await store.commit([both, Commit(once=both.once[:1])]) == [Outcome.REPEATED, new]
        assert await store.stream_length(f"{prefix}{{1}}log") == 4
