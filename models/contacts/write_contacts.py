"""Writes a user's contacts: record and log entry in one commit; the worker matches them (models.contacts.matching)."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.contacts.record import PREFIX_BYTES, ContactRecord, readable
from models.errors import CorruptRecordError, StoreUnavailableError
from models.event_log.event import CONTACTS, Entry
from models.event_log.reciprocal_update import extend_record, in_index
from models.live_state.edges import UNCONTACT
from models.live_state.erased_ids import erased_among
from models.live_state.journal import JournalEntry
from models.live_state.record_excerpt import read_excerpt, read_record
from models.live_state.timestamps import take_timestamps
from models.live_state.user_record import PREFIX_BYTES as LIVE_PREFIX_BYTES
from models.live_state.user_record import LiveRecord
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import AsyncStore
from models.store.transaction import Append, Commit, Fence, Guard, Outcome, Write
from models.system.clock import DAY_US, MICROSECONDS, now_us

RETRY_S = 10.0
"""how long a write is tried again because another process writes the same contacts, or the worker the live record"""
MOST_UNDONE = 3
"""attempts that others may undo, until a writer asks for a lock under which nobody else writes"""
LOCK_S = 2.0
"""how long a lock is held at most: whoever has it may have died"""
_PAUSE_S = 0.004


@dataclass(frozen=True, slots=True)
class TooMany:
    """Nothing was written: more new contacts and own addresses within a day than are allowed."""

    left: int
    """how many new ones the user may still upload"""
    again_s: float
    """seconds until the count starts anew"""


class Gone:
    """Nothing was written: the user was erased, and no PUT has registered the id again."""


async def write_contacts(
    store: AsyncStore,
    keys: Keys,
    user_id: UserId,
    *,
    contacts: frozenset[bytes] | None,
    own: frozenset[bytes] | None,
    daily: int,
    after: int = 0,
    clock: Callable[[], int] = now_us,
    wait_s: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> ContactRecord | TooMany | Gone:
    """Writes keyed hashes of a user's contacts and own addresses; None leaves those as they are.

    With an empty set the contacts are taken back: nobody is in the user's lists as a contact from then on. What changes
    nothing is not written, and nothing is matched. `daily` addresses may be new within 24 hours. `after` and `wait_s`
    are those of write_events. Raises StoreError if a change was not written.

    A record is read and written back, so a process lets one writer of a user write at a time (service.state.turns). An
    attempt is refused only if another process, or the worker, has written meanwhile. After MOST_UNDONE of these a
    writer takes a lock, under which no other process writes; so a slow one is not refused for good by a fast one.
    """
    key, live, shard = keys.contacts(user_id), keys.live(user_id), shard_of(user_id)
    lock = _Lock(store, keys.contacts_lock(user_id))
    until, attempts = monotonic() + RETRY_S, 0
    while monotonic() < until:
        if attempts >= MOST_UNDONE and not await lock.take():
            continue
        attempts += 1
        packed, record, secret = await store.get_many([key, live, keys.erased_key])
        known = await _known(record, contacts)
        erased = {} if secret is None else await erased_among(store, keys, secret, [user_id])
        # of a record that does not read back nobody knows whether the id was registered again
        is_gone = known is not None and max(known.erased, erased.get(user_id, 0)) > known.profile
        if is_gone:
            await lock.release()
            return Gone()
        before, new = await asyncio.to_thread(_compared, packed, contacts, own)
        taken_back = list(known.contacts()) if known is not None and contacts is not None and not contacts else []
        if new is None and not taken_back:
            await lock.release()
            return before
        now, new = clock(), new or 0
        since = before.tested_since if now - before.tested_since < DAY_US else now
        tested = before.tested if since == before.tested_since else 0
        if new and tested + new > daily:
            await lock.release()
            return TooMany(max(daily - tested, 0), (since + DAY_US - now) / MICROSECONDS)
        timestamp_us = await take_timestamps(store, keys, 1, now=now, after=after)
        written = replace(
            before,
            timestamp_us=timestamp_us,
            tested_since=since,
            tested=tested + new,
            contacts=before.contacts if contacts is None else contacts,
            own=before.own if own is None else own,
        )
        gone = [JournalEntry(UNCONTACT, timestamp_us, other) for other in taken_back]
        commit = Commit(
            # an erasure replaces the live record, and may find no contacts to delete
            guards=[
                Guard(key, packed and packed[:PREFIX_BYTES], len(packed or b"")),
                Guard(live, record and record[:LIVE_PREFIX_BYTES]),
                lock.guard,
            ],
            fences=[Fence(keys.fence(shard), timestamp_us)],
            extends=[extend_record(keys, user_id, gone)] if gone else [],
            adds=[in_index(keys, user_id)] if gone else [],
            writes=[Write(key, await asyncio.to_thread(written.pack))],
            deletes=lock.end,
            appends=[Append(keys.log(shard), Entry(CONTACTS, user_id, timestamp_us).encode())],
        )
        if (await store.commit([commit], wait_s))[0] is Outcome.APPLIED:
            return written
    raise StoreUnavailableError("Other processes change the contacts of this user all the time; try again.")


class _Lock:
    """The lock of one writer, for which others of the same user wait."""

    def __init__(self, store: AsyncStore, key: str) -> None:
        self._store, self._key = store, key
        self._token: bytes | None = None
        """under the key as long as this writer has the lock"""

    @property
    def guard(self) -> Guard:
        """Refuses what is written under the lock of another."""
        return Guard(self._key, self._token)

    @property
    def end(self) -> list[str]:
        """What is deleted with the write."""
        return [] if self._token is None else [self._key]

    async def take(self) -> bool:
        """Whether this writer has the lock, as before or from now on; otherwise it returns after a short while."""
        if self._token is not None and await self._store.get(self._key) == self._token:
            return True
        token = secrets.token_bytes(8)
        asked = Commit(guards=[Guard(self._key, None)], writes=[Write(self._key, token, LOCK_S)])
        is_mine = await self._store.commit([asked]) == [Outcome.APPLIED]
        self._token = token if is_mine else None
        if not is_mine:
            await asyncio.sleep(_PAUSE_S * (0.5 + random.random()))  # noqa: S311 - so that nobody comes second always
        return is_mine

    async def release(self) -> None:
        """Gives the lock back without a write."""
        if self._token is not None:
            await self._store.commit([Commit(guards=[self.guard], deletes=self.end)])


def _compared(
    packed: bytes | None, contacts: frozenset[bytes] | None, own: frozenset[bytes] | None
) -> tuple[ContactRecord, int | None]:
    """The record before, and how many addresses are new; None: it stays as it is. Of 100,000 contacts that takes tens
    of milliseconds.
    """
    before = readable(packed)
    pairs = ((contacts, before.contacts), (own, before.own))
    is_read = packed is None or before.timestamp_us > 0
    if is_read and all(now is None or now == former for now, former in pairs):
        return before, None
    return before, sum(len(now - former) for now, former in pairs if now is not None)


async def _known(record: bytes | None, contacts: frozenset[bytes] | None) -> LiveRecord | None:
    """The live record of the owner; None if it does not read back: a repair matches anew.

    Its edges are read only if contacts are taken back.
    """
    try:
        return await (read_excerpt(record) if contacts is None or contacts else read_record(record))
    except CorruptRecordError:
        return None
