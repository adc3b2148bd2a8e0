"""The events that say what came of exposures, as a table."""

from pathlib import Path

import polars as pl

from models.event_log.archive import Archive
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.store.protocol import SyncStore
from offline.snapshot.live_events import read_entries

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


def read_events(home: Path, store: SyncStore, keys: Keys, *, since: int, until: int) -> pl.DataFrame:
    """The events acknowledged from `since` up to `until` (microseconds), in EVENT_COLUMNS, by time.

    Raises ArtefactError if the archive lacks archived entries, StoreError if the store does not answer.
    """
    rows = [
        (entry.kind, entry.user_id, entry.other_id, entry.timestamp_us, entry.request_id)
        for entry in read_entries(Archive(home), store, keys, until)
        if entry.kind in READ and entry.timestamp_us >= since
    ]
    return pl.DataFrame(rows, schema=EVENT_COLUMNS, orient="row").sort("acknowledged", maintain_order=True)
