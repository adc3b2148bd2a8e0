"""Writes changes of one user rather than of a pair: profile columns, flags and erasure."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.errors import StoreUnavailableError
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.reciprocal_update import commit_of
from models.event_log.write_events import ATTEMPTS, CROWDED, PAUSE_S
from models.live_state.erasure_receipts import open_erasure
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import FlagChange, append_change
from models.schema.columns import ALL_FLAGS, FLAG_COLUMNS, Flag
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import AsyncStore
from models.store.transaction import Append, Commit, Write
from models.system.clock import next_timestamp_us, now_us

NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Put:
    """A profile change that is written."""

    timestamp_us: int
    epoch: int | None
    """of the hidden set, if a flag was changed: from this epoch on all processes apply it"""


async def write_profile(
    store: AsyncStore,
    keys: Keys,
    user_id: UserId,
    columns: Mapping[str, Any],
    *,
    watermark: int = 0,
    base: Flag = NO_FLAGS,
    cut: int = 0,
    clock: Callable[[], int] = now_us,
) -> Put:
    """Writes valid columns of a profile: record, live profile and log in one commit, then the flags to the hidden log.

    None clears a column; a cleared flag has its default, true. `base` are the user's flags in the served version, which
    has this `cut`: a flag that is true for all already is not written to the hidden log. A false flag always is, since
    earlier and later versions may have another value. Raises StoreError if nothing or only a part was written; the same
    columns may be written again.
    """
    live, profile_key = keys.live(user_id), keys.live_profile(user_id)
    for attempt in range(ATTEMPTS):
        packed, stored = await store.get_many([live, profile_key])
        record, profile = LiveRecord.unpack(packed), LiveProfile.unpack(stored)
        revision_prefix, now = record.revision_prefix, clock()
        timestamp_us = next_timestamp_us(now, [record.last])
        # the flags that other processes do not know yet
        change = flags_changed(user_id, columns, timestamp_us)
        shown = record.flags_over(int(ALL_FLAGS), 0) if record.erased > cut else record.flags_over(int(base), cut)
        announced = {column: value for column, value in columns.items() if not _is_shown(column, value, shown)}
        # the record and the profile
        profile.put(columns, timestamp_us)
        profile.drop_before(watermark)
        record.last = record.profile = timestamp_us
        for flag, value in change.flags.items():
            record.set_flag(flag, value, timestamp_us)
        commit = commit_of(keys, user_id, record, revision_prefix, watermark=watermark, now=now)
        flags = [column for column in announced if column in FLAG_COLUMNS]
        entry = Entry(PROFILE, user_id, timestamp_us, columns=dict(columns), announced=flags if change.flags else None)
        # one commit, then the hidden log
        writes = [*commit.writes, Write(profile_key, profile.pack())]
        if await _applied(store, replace(commit, writes=writes, appends=[_append(keys, entry)])):
            change = flags_changed(user_id, announced, timestamp_us)
            return Put(timestamp_us, await append_change(store, keys, change) if change.flags else None)
        await asyncio.sleep(attempt * PAUSE_S)
    raise StoreUnavailableError(CROWDED)


async def write_erasure(store: AsyncStore, keys: Keys, user_id: UserId, *, clock: Callable[[], int] = now_us) -> int:
    """Erases the live state of a user, except for the timestamp of the erasure, and hides them; returns the timestamp.

    The worker and the night remove the user from other users' records, the log, the archive and the versions
    (models.erasure.purge). Raises StoreError if nothing or only a part was written; it may be called again.
    """
    for attempt in range(ATTEMPTS):
        record = LiveRecord.unpack(await store.get(keys.live(user_id)))
        now = clock()
        timestamp_us = next_timestamp_us(now, [record.last])
        left = LiveRecord(revision=record.revision, last=timestamp_us, erased=timestamp_us, watermark=timestamp_us)
        commit = commit_of(keys, user_id, left, record.revision_prefix, watermark=timestamp_us, now=now)
        entry = Entry(ERASE, user_id, timestamp_us)
        deletes = [keys.live_profile(user_id), keys.recent_events(user_id)]
        if await _applied(store, replace(commit, deletes=deletes, appends=[_append(keys, entry)])):
            await append_change(store, keys, FlagChange(user_id, timestamp_us, erased=True))
            await open_erasure(store, keys, user_id, timestamp_us)
            return timestamp_us
        await asyncio.sleep(attempt * PAUSE_S)
    raise StoreUnavailableError(CROWDED)


def flags_changed(user_id: UserId, columns: Mapping[str, Any], timestamp_us: int) -> FlagChange:
    """The change of a user's flags that a change of columns makes."""
    written = {FLAG_COLUMNS[column]: value for column, value in columns.items() if column in FLAG_COLUMNS}
    return FlagChange(user_id, timestamp_us, {flag: value is None or bool(value) for flag, value in written.items()})


def _is_shown(column: str, value: Any, shown: Flag) -> bool:
    """Whether a column is a flag that is set to true and is true for all already."""
    return column in FLAG_COLUMNS and (value is None or bool(value)) and bool(FLAG_COLUMNS[column] & shown)


def _append(keys: Keys, entry: Entry) -> Append:
    return Append(keys.log(shard_of(entry.user_id)), entry.encode())


async def _applied(store: AsyncStore, commit: Commit) -> bool:
    return (await store.commit([commit]))[0]
