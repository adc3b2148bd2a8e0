"""Reads the event log, archived and not, up to the cut of a night."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
import structlog

from models.erasure.purge import EVER_US
from models.errors import DiskFullError
from models.event_log.archive import day_files
from models.event_log.archive.archive import Archive
from models.event_log.archive.day_files import entries_of
from models.event_log.archive.packing import pack
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.log_entries import log_entries
from models.live_state.erased_ids import ErasedPeople, read_erased
from models.live_state.profile_changes import LiveProfile
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import MICROSECONDS
from models.system.stream_position import order

log = structlog.get_logger(__name__)

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


def pack_archive(home: Path, now: datetime, event_days: int) -> None:
    """Turns the days of a home's archive that are over into Parquet, and drops what passes of those long ago.

    A full disk leaves them as they are. Raises ArtefactError if a file is truncated or altered.
    """
    try:
        packed = pack(Archive(home), now, event_days)
    except DiskFullError as error:
        log.warning("event_archive_not_packed", error=str(error))
    else:
        log.info("event_archive_packed", **asdict(packed))


def read_live_events(home: Path, store: SyncStore, keys: Keys, *, cut: int) -> LiveEvents:
    """The live events of a store and of its home's archive, up to `cut` (microseconds).

    Raises ArtefactError if the archive lacks archived entries, StoreError if the store does not answer.
    """
    erased = read_erased(store, keys)
    entries = entry_table(Archive(home), store, keys, cut)
    erasures = entries.filter(kind=ERASE).group_by("user_id").agg(pl.col("timestamp_us").max())
    erased = erased.joined(dict(erasures.iter_rows()))
    returned: dict[str, int] = {}
    profiles: dict[str, LiveProfile] = {}
    for _, entry in entries_of(entries.filter(pl.col("kind") == PROFILE, pl.col("columns").is_not_null())):
        if entry is None or entry.columns is None:
            continue
        since = erased.timestamp_us(entry.user_id)
        if entry.timestamp_us > since:
            profiles.setdefault(entry.user_id, LiveProfile()).put(entry.columns, entry.timestamp_us)
            if since:
                returned[entry.user_id] = min(entry.timestamp_us, returned.get(entry.user_id, entry.timestamp_us))
    return LiveEvents(cut, _events(entries, erased, returned), profiles, erased, returned)


def _events(entries: pl.DataFrame, erased: ErasedPeople, returned: dict[str, int]) -> pl.DataFrame:
    """The events (SCHEMA) without those of users who were erased after what they did or what was done to them."""
    codes = {kind.word: int(kind) for kind in EventKind}
    events = entries.filter(pl.col("kind").is_in(list(codes)), pl.col("other_id").is_not_null())
    named = pl.concat([events["user_id"], events["other_id"]]).unique()
    hidden_until = {user_id: returned.get(user_id, EVER_US) for user_id in erased.among(named)}
    ids, until = list(hidden_until), pl.Series(list(hidden_until.values()), dtype=pl.Int64)

    def is_visible(column: str) -> pl.Expr:
        latest = pl.col(column).replace_strict(ids, until, default=-1, return_dtype=pl.Int64)
        return pl.col("timestamp_us") > latest

    at = pl.coalesce("at", "timestamp_us") // MICROSECONDS
    return events.filter(is_visible("user_id"), is_visible("other_id")).select(
        "user_id",
        "other_id",
        pl.col("kind").replace_strict(codes, return_dtype=pl.UInt8),
        at.alias("at"),
        pl.col("timestamp_us").alias("order"),
    )


def read_entries(archive: Archive, store: SyncStore, keys: Keys, cut: int) -> Iterator[Entry]:
    """Yields every entry up to the cut once, each user's in the order of acknowledgement."""
    for _, entry in entries_of(entry_table(archive, store, keys, cut)):
        if entry is not None:
            yield entry


def entry_table(archive: Archive, store: SyncStore, keys: Keys, cut: int, *where: pl.Expr) -> pl.DataFrame:
    """Every entry up to the cut once for which all conditions hold, each user's in the order of acknowledgement.

    Rows of models.event_log.archive.day_files.ENTRY_COLUMNS.
    """
    conditions = (pl.col("timestamp_us") <= cut, *where)
    tables = []
    for shard in range(SHARDS):
        archived_up_to = store.get(keys.archived(shard))
        # read the log first: entries that move to the archive meanwhile are then found there
        unarchived = list(log_entries(store, keys, shard))
        archived, last = archive.table(
            shard, STREAM_START if archived_up_to is None else archived_up_to.decode(), *conditions
        )
        rest = [(position, entry) for position, entry in unarchived if order(position) > order(last)]
        tables += [archived, day_files.select([day_files.entry_table(rest)], where=conditions)]
    return pl.concat(tables)
