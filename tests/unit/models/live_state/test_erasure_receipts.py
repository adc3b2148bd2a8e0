"""Erasures of one id that many requests open at once, beside the worker that advances them."""

from asyncio import gather, sleep
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from models.errors import CorruptRecordError
from models.live_state.erased_ids import read_erased
from models.live_state.erasure_receipts import (
    Erasure,
    forget_unknown,
    open_erasure,
    open_erasure_blocking,
    read_open,
    replace_erasure,
)
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.store.transaction import Commit, Outcome
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio


class TakingTurns(AsyncMemoryStore):
    """A store in memory between whose operations others have theirs."""

    async def get(self, key: str) -> bytes | None:
        await sleep(0)
        return await super().get(key)

    async def commit(self, commits: Sequence[Commit], wait_s: float | None = None) -> list[Outcome]:
        await sleep(0)
        return await super().commit(commits, wait_s)

    async def field_raise(self, key: str, name: str, number: int) -> int:
        await sleep(0)
        return await super().field_raise(key, name, number)


class Meanwhile:
    """A blocking store to which somebody else writes right before or after the first call of an operation."""

    def __init__(self, store: MemoryStore, operation: str, write: Callable[[], object], *, is_before: bool) -> None:
        self._store, self._operation, self._write, self._is_before = store, operation, write, is_before

    def __getattr__(self, name: str) -> Any:
        if name != self._operation:
            return getattr(self._store, name)
        self._operation = ""

        def call(*arguments: Any) -> Any:
            if self._is_before:
                self._write()
            answer = getattr(self._store, name)(*arguments)
            if not self._is_before:
                self._write()
            return answer

        return call


async def test_of_many_erasures_of_one_id_at_once_all_are_recorded(memory: MemoryStore, keys: Keys) -> None:
    store = TakingTurns(memory)
    timestamps_us = [*range(100, 140), *range(60, 20, -1)]
    await gather(*(open_erasure(store, keys, "ann", at, is_known=False) for at in timestamps_us))
    (erasure,) = read_open(memory, keys).values()
    assert erasure.timestamps_us == tuple(sorted(timestamps_us))
    assert (erasure.user_id, erasure.is_known) == ("ann", False)
    assert read_erased(memory, keys).timestamp_us("ann") == 139
    await open_erasure(store, keys, "ann", 120, is_known=True)
    (erasure,) = read_open(memory, keys).values()
    assert erasure.is_known, "it is enough that one of them knew the id"


@pytest.mark.parametrize("is_before", [False, True])
async def test_progress_and_an_erasure_opened_meanwhile_do_not_undo_each_other(
    memory: MemoryStore, keys: Keys, is_before: bool
) -> None:
    open_erasure_blocking(memory, keys, "ann", 5)
    ((name, erasure),) = read_open(memory, keys).items()
    done = replace(erasure, done=5, done_at=6, user_id=None)
    store = Meanwhile(memory, "commit", lambda: open_erasure_blocking(memory, keys, "ann", 9), is_before=is_before)
    assert replace_erasure(cast("SyncStore", store), keys, name, erasure, done)
    ((again, erasure),) = read_open(memory, keys).items()
    assert (again, erasure.done, erasure.timestamps_us, erasure.user_id) == (name, 5, (5, 9), "ann")
    assert not replace_erasure(memory, keys, name, done, replace(done, is_known=False)), "it is not as it was read"


@pytest.mark.parametrize(
    ("operation", "is_before"),
    [("commit", True), ("commit", False), ("fields_delete", True), ("fields_delete", False), ("get_many", False)],
)
async def test_who_is_erased_anew_while_an_unknown_id_is_forgotten_stays_erased(
    memory: MemoryStore, keys: Keys, operation: str, is_before: bool
) -> None:
    await open_erasure(AsyncMemoryStore(memory), keys, "ann", 5, is_known=False)
    ((name, erasure),) = read_open(memory, keys).items()
    done = replace(erasure, done=5, done_at=6, user_id=None)
    assert replace_erasure(memory, keys, name, erasure, done)
    store = Meanwhile(memory, operation, lambda: open_erasure_blocking(memory, keys, "ann", 9), is_before=is_before)
    forget_unknown(cast("SyncStore", store), keys, name, done)
    assert read_erased(memory, keys).timestamp_us("ann") == 9
    assert memory.ttl_s(keys.erasure(name)) is None, "the record is kept for the worker"
    assert read_open(memory, keys).keys() == {name}


@pytest.mark.parametrize("record", [b"", b"[]", b'{"stamps":[],"waits_for":[]}', b'{"stamps":[5],"waits_for":[]}\n{}'])
def test_a_damaged_record_is_refused(record: bytes) -> None:
    with pytest.raises(CorruptRecordError, match="the record of an erasure cannot be read"):
        Erasure.decode(record)
