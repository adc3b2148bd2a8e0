"""The table of outcomes of a home, and its files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from models.event_log.archive.archive import Archive
from models.event_log.event import Entry
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.schema import EXPOSURE_COLUMNS
from models.outcomes.viewer_sample import EVERYBODY, ViewerSample
from models.settings import Settings
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from offline.outcomes.events import read_events
from offline.outcomes.join import Windows, join_outcomes
from offline.snapshot.live_events import read_entries


def read_outcomes(settings: Settings, store: SyncStore, keys: Keys, *, since: int = 0, now: int) -> pl.DataFrame:
    """The outcomes (models.outcomes.schema.OUTCOME_COLUMNS) of the lists given out from `since` on, by time.

    Times are microseconds; events count that were acknowledged up to `now`. Lists that the worker has not filed yet
    are not among them. Raises ArtefactError if the event archive lacks entries, StoreError if the store does not
    answer.
    """
    return outcomes_of(settings.home, store, keys, Windows.of(settings), since=since, now=now)


def outcomes_of(
    home: Path,
    store: SyncStore,
    keys: Keys,
    windows: Windows,
    *,
    since: int = 0,
    now: int,
    sample: ViewerSample = EVERYBODY,
) -> pl.DataFrame:
    """As `read_outcomes`, of a home and with these windows, and of a sample of the viewers."""
    exposures = ExposureFiles(home).scan_lists(since, EXPOSURE_COLUMNS.names(), sample)
    events = read_events(home, store, keys, since=since, until=now, sample=sample)
    return join_outcomes(exposures, events, windows, now=now)


class AroundStart(NamedTuple):
    """The outcomes of lists before something started, and from then on."""

    before: pl.DataFrame
    after: pl.DataFrame


def outcomes_around(
    settings: Settings, store: SyncStore, keys: Keys, *, start: int, span: int, now: int
) -> AroundStart:
    """The outcomes of the lists of `span` microseconds before a start, and of those since.

    Lists of before have what came of them before the start alone: later answers may be an effect of what started, and
    nothing of that may be taken off as the past.
    """
    before = read_outcomes(settings, store, keys, since=start - span, now=start)
    after = read_outcomes(settings, store, keys, since=start, now=now)
    return AroundStart(before.filter(pl.col("at").dt.epoch("us") < start), after)


def every_entry(settings: Settings, store: SyncStore, keys: Keys, now: int) -> Iterator[Entry]:
    """The entries of the event log of a home, archived or not, up to a time (microseconds)."""
    return read_entries(Archive(settings.home), store, keys, now)


def write_outcomes(outcomes: pl.DataFrame, directory: Path) -> list[Path]:
    """Writes outcomes as one Parquet file a day of the lists, UTC; returns the files. Days of an earlier call that
    these do not have stay. Without outcomes an empty table is written.
    """
    if outcomes.is_empty():
        return [_write(outcomes, directory / "empty.parquet")]
    (directory / "empty.parquet").unlink(missing_ok=True)
    days = outcomes.group_by(pl.col("at").dt.date().alias("day"), maintain_order=True)
    return [_write(own, directory / f"{day.isoformat()}.parquet") for (day,), own in days]


def _write(outcomes: pl.DataFrame, path: Path) -> Path:
    with files.writing(path) as file:
        outcomes.write_parquet(file, compression="zstd")
    return path
