"""Reads the event log, archived and not, up to the cut of a night."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from models.event_log.archive import Archive, order
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.log_entries import log_entries
from models.live_state.erased_ids import ErasedPeople, read_erased
from models.live_state.profile_changes import LiveProfile
from models.store.keys import SHARDS, Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import MICROSECONDS

SCHEMA = {"user_id": pl.String, "other_id": pl.String, "kind": pl.UInt8, "at": pl.Int64, "order": pl.Int64}


@dataclass(frozen=True)
class LiveEvents:
    """Everything acknowledged up to a cut, without what erased users did and what was done to them."""

    cut: int
    """microseconds: includes everything up to this timestamp, nothing later"""
    events: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SCHEMA))
    """`user_id`, `other_id` String, `kind` UInt8 code of EventKind, `at` Int64 epoch seconds from the client, clipped,
    `order` Int64 the timestamp of acknowledgement in microseconds"""
    profiles: dict[str, LiveProfile] = field(default_factory=dict)
    """the columns written by PUT, by user"""
    erased: ErasedPeople = field(default_factory=ErasedPeople.nobody)
    """erased users, those erased after the cut included"""
    returned: dict[str, int] = field(default_factory=dict)
    """erased users written by PUT afterwards, who are new users, with the first time, microseconds"""

    @property
    def last(self) -> int:
        """The latest timestamp included, microseconds; 0 if there is none."""
        put = [timestamp_us for profile in self.profiles.values() for timestamp_us, _ in profile.columns.values()]
        latest = self.events["order"].max() if self.events.height else 0
        return max([int(str(latest)), *put])


def read_live_events(home: Path, store: SyncStore, keys: Keys, *, cut: int) -> LiveEvents:
    """The live events of a store and of its home's archive, up to `cut` (microseconds).

    Raises ArtefactError if the archive lacks archived entries, StoreError if the store does not answer.
    """
    erased = read_erased(store, keys)
    entries = list(read_entries(Archive(home), store, keys, cut))
    erased_at: dict[str, int] = {}
    for entry in entries:
        if entry.kind == ERASE:
            erased_at[entry.user_id] = max(entry.timestamp_us, erased_at.get(entry.user_id, 0))

    erased = erased.joined(erased_at)
    returned: dict[str, int] = {}
    profiles: dict[str, LiveProfile] = {}
    for entry in entries:
        since = erased.timestamp_us(entry.user_id)
        if entry.kind == PROFILE and entry.columns is not None and entry.timestamp_us > since:
            profiles.setdefault(entry.user_id, LiveProfile()).put(entry.columns, entry.timestamp_us)
            if since:
                returned[entry.user_id] = min(entry.timestamp_us, returned.get(entry.user_id, entry.timestamp_us))

    def is_visible(user_id: str, timestamp_us: int) -> bool:
        """Whether no user was erased after what they did or what was done to them at this time."""
        return not erased.timestamp_us(user_id) or (user_id in returned and timestamp_us > returned[user_id])

    rows: list[tuple[str, str, int, int, int]] = []
    for entry in entries:
        kind, other, timestamp_us = entry.event_kind, entry.other_id, entry.timestamp_us
        if (
            kind is not None
            and other is not None
            and is_visible(entry.user_id, timestamp_us)
            and is_visible(other, timestamp_us)
        ):
            at = timestamp_us if entry.at is None else entry.at
            rows.append((entry.user_id, other, int(kind), at // MICROSECONDS, timestamp_us))
    return LiveEvents(cut, pl.DataFrame(rows, schema=SCHEMA, orient="row"), profiles, erased, returned)


def read_entries(archive: Archive, store: SyncStore, keys: Keys, cut: int) -> Iterator[Entry]:
    """Yields every entry up to the cut once, each user's in the order of acknowledgement."""
    for shard in range(SHARDS):
        archived_up_to = store.get(keys.archived(shard))
        # read the log first: entries that move to the archive meanwhile are then found there
        unarchived = list(log_entries(store, keys, shard))
        last = STREAM_START
        for position, entry in archive.read(shard, STREAM_START if archived_up_to is None else archived_up_to.decode()):
            last = position
            if entry is not None and entry.timestamp_us <= cut:
                yield entry
        for position, entry in unarchived:
            if order(position) > order(last) and entry.timestamp_us <= cut:
                yield entry
