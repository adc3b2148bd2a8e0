"""The events that say what came of exposures, as a table."""

from pathlib import Path

import polars as pl

from models.event_log.archive.archive import Archive
from models.outcomes.viewer_sample import EVERYBODY, ViewerSample
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.protocol import SyncStore
from offline.snapshot.live_events import entry_table

EVENT_COLUMNS = pl.Schema(
    {
        "kind": pl.String,  # the word of an EventKind
        "user_id": pl.String,
        "other_id": pl.String,
        "acknowledged": pl.Int64,  # microseconds
        "request_id": pl.String,
    }
)
READ = frozenset(
    kind.word
    for kind in EventKind
    if kind not in (EventKind.WITHDRAW, EventKind.DISCONNECT, EventKind.UNDISMISS, EventKind.UNBLOCK)
)
"""kinds that say what came of an exposure"""


def read_events(
    home: Path, store: SyncStore, keys: Keys, *, since: int, until: int, sample: ViewerSample = EVERYBODY
) -> pl.DataFrame:
    """The events acknowledged from `since` up to `until` (microseconds), in EVENT_COLUMNS, by time.

    Of a sample of the viewers where one is given: what they did, and what was done to them.

    Raises ArtefactError if the archive lacks archived entries, StoreError if the store does not answer.
    """
    acknowledged = pl.col("timestamp_us")
    of_sample = sample.has("user_id") | sample.has("other_id")
    wanted = (pl.col("kind").is_in(list(READ)), acknowledged >= since, of_sample)
    table = entry_table(Archive(home), store, keys, until, *wanted)
    events = table.with_columns(acknowledged.alias("acknowledged")).select(EVENT_COLUMNS.names())
    return events.sort("acknowledged", maintain_order=True)
