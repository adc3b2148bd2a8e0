"""Writes changes of one user rather than of a pair: profile columns, flags and erasure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import CorruptRecordError, StoreUnavailableError
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.reciprocal_update import extend_record, in_index
from models.live_state.erasure_receipts import open_erasure
from models.live_state.flag_change import FlagChange
from models.live_state.journal import PROFILE as PROFILE_CHANGED
from models.live_state.journal import JournalEntry
from models.live_state.profile_changes import EMPTY, LiveProfile
from models.live_state.record_excerpt import read_excerpt
from models.live_state.timestamps import take_timestamps
from models.live_state.user_record import PREFIX_BYTES, LiveRecord, erased_in
from models.live_state.visibility import append_change
from models.schema.columns import ALL_FLAGS, FLAG_COLUMNS, Flag
from models.schema.vocabulary import UserId
from models.store.keys import Keys, shard_of
from models.store.protocol import AsyncStore
from models.store.transaction import Append, Commit, Extend, Fence, Guard, Outcome, Replace
from models.system.clock import now_us

ATTEMPTS = 10
"""how often a write is sent: again only after a night, or the worker, has fenced the log off or rewritten the record"""
NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Put:
    """A profile change that is written."""

    timestamp_us: int
    epoch: bytes | None
    """of the hidden set, if a flag was changed: from this epoch on all processes apply it"""


async def write_profile(
    store: AsyncStore,
    keys: Keys,
    user_id: UserId,
    columns: Mapping[str, Any],
    *,
    after: int = 0,
    base: Flag = NO_FLAGS,
    cut: int = 0,
    clock: Callable[[], int] = now_us,
) -> Put:
    """Writes valid columns of a profile: record, live profile and log in one commit, then the flags to the hidden log.

    None clears a column; a cleared flag has its default, true. `base` are the user's flags in the served version, which
    has this `cut`: a flag that is true for all already is not written to the hidden log, unless the record changed
    meanwhile. A false flag always is, since earlier and later versions may have another value. `after` is that of
    write_events. Raises StoreError if nothing or only a part was written; the same columns may be written again.
    """
    live, profile_key, shard = keys.live(user_id), keys.live_profile(user_id), shard_of(user_id)
    is_crowded = False
    for _ in range(ATTEMPTS):
        timestamp_us = await take_timestamps(store, keys, 1, now=clock(), after=after)
        change = flags_changed(user_id, columns, timestamp_us)
        # the flags that other processes do not know yet
        announced, guards = dict(columns), list[Guard]()
        if change.flags and not is_crowded:
            announced, guards = await _unknown(store, live, columns, base, cut)
        flags = [column for column in announced if column in FLAG_COLUMNS]
        # one commit, then the hidden log
        added = [JournalEntry(PROFILE_CHANGED, timestamp_us)]
        added += [JournalEntry.of_flag(flag, value, timestamp_us) for flag, value in change.flags.items()]
        entry = Entry(PROFILE, user_id, timestamp_us, columns=dict(columns), announced=flags if change.flags else None)
        commit = Commit(
            guards=guards,
            fences=[Fence(keys.fence(shard), timestamp_us)],
            extends=[
                extend_record(keys, user_id, added),
                Extend(profile_key, LiveProfile.line(columns, timestamp_us), EMPTY),
            ],
            adds=[in_index(keys, user_id)],
            appends=[Append(keys.log(shard), entry.encode())],
        )
        if (await store.commit([commit]))[0] is Outcome.APPLIED:
            change = flags_changed(user_id, announced, timestamp_us)
            return Put(timestamp_us, await append_change(store, keys, change) if change.flags else None)
        is_crowded = True  # a fence, or another writer: then all flags are announced
    raise StoreUnavailableError("A night keeps fencing the event log off; try again.")


async def _unknown(
    store: AsyncStore, live: str, columns: Mapping[str, Any], base: Flag, cut: int
) -> tuple[dict[str, Any], list[Guard]]:
    """The columns without the flags that are true for all already, and the guard that the record stays as it is."""
    packed = await store.get(live)
    try:
        record = await read_excerpt(packed)
    except CorruptRecordError:
        return dict(columns), []
    shown = record.flags_over(int(ALL_FLAGS), 0) if record.erased > cut else record.flags_over(int(base), cut)
    announced = {column: value for column, value in columns.items() if not _is_shown(column, value, shown)}
    if len(announced) == len(columns):
        return announced, []
    return announced, [Guard(live, packed and packed[:PREFIX_BYTES], len(packed or b""))]


async def write_erasure(
    store: AsyncStore,
    keys: Keys,
    user_id: UserId,
    *,
    in_version: bool = True,
    after: int = 0,
    clock: Callable[[], int] = now_us,
) -> int:
    """Erases the live state of a user, except for the timestamp of the erasure, and hides them; returns the timestamp.

    `in_version`: False if no version that can be served has the user.
    The worker and the night remove the user from other users' records, the log, the archive and the versions
    (models.erasure.purge). Who is erased already and was not registered again keeps the timestamp, also if another
    request erases at the same time: so only the worker, which rewrites a record now and then, makes anybody try again.
    Raises StoreError if nothing or only a part was written; it may be called again.
    """
    live, shard = keys.live(user_id), shard_of(user_id)
    packed = await store.get(live)
    timestamp_us = await _erased_last(packed)
    is_known = in_version or (packed is not None and not timestamp_us)
    for _ in range(ATTEMPTS):
        if timestamp_us:
            break
        written_us = await take_timestamps(store, keys, 1, now=clock(), after=after)
        left = LiveRecord(revision=written_us, last=written_us, erased=written_us, watermark=written_us)
        commit = Commit(
            guards=[Guard(live, packed and packed[:PREFIX_BYTES])],
            fences=[Fence(keys.fence(shard), written_us)],
            replaces=[Replace(live, len(packed or b""), left.pack())],
            deletes=[keys.live_profile(user_id), keys.contacts(user_id)],
            adds=[in_index(keys, user_id)],
            appends=[Append(keys.log(shard), Entry(ERASE, user_id, written_us).encode())],
        )
        if (await store.commit([commit]))[0] is Outcome.APPLIED:
            timestamp_us = written_us
        else:
            before, packed = erased_in(packed), await store.get(live)
            # an erasure since then is later than all that was acknowledged before this call
            timestamp_us = erased_in(packed) if erased_in(packed) > before else 0
            is_known = is_known or (packed is not None and not timestamp_us)
    if not timestamp_us:
        raise StoreUnavailableError("The record of this user is rewritten again and again; try again.")
    await append_change(store, keys, FlagChange(user_id, timestamp_us, erased=True))
    await open_erasure(store, keys, user_id, timestamp_us, is_known=is_known)
    return timestamp_us


async def _erased_last(packed: bytes | None) -> int:
    """When the user of a record was erased, microseconds; 0: never, or registered again since, or it is damaged."""
    if not erased_in(packed):
        return 0
    try:
        record = await read_excerpt(packed)
    except CorruptRecordError:
        return 0
    return record.erased if record.erased > record.profile else 0


def flags_changed(user_id: UserId, columns: Mapping[str, Any], timestamp_us: int) -> FlagChange:
    """The change of a user's flags that a change of columns makes."""
    written = {FLAG_COLUMNS[column]: value for column, value in columns.items() if column in FLAG_COLUMNS}
    return FlagChange(user_id, timestamp_us, {flag: value is None or bool(value) for flag, value in written.items()})


def _is_shown(column: str, value: Any, shown: Flag) -> bool:
    """Whether a column is a flag that is set to true and is true for all already."""
    return column in FLAG_COLUMNS and (value is None or bool(value)) and bool(FLAG_COLUMNS[column] & shown)
