"""Whether the lists that a night may learn from were scored by the features that it finds."""

from pathlib import Path

import polars as pl
import structlog

from models.errors import ArtefactError
from models.event_log.archive.archive import Archive
from models.event_log.archive.day_files import entries_of
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from offline.evaluation.outcomes.learned import LoggedParity
from offline.outcomes.parity import feature_parity
from offline.snapshot.live_events import entry_table

LISTS = 300
"""lists that are compared: some thousand people, in seconds"""

log = structlog.get_logger(__name__)


def logged_parity(
    home: Path, store: SyncStore, keys: Keys, exposures: pl.DataFrame, forbidden_days: int, now: int
) -> LoggedParity | None:
    """The parity of a draw of logged lists whose version is on this host; None if none can be compared.

    Of the event log only what concerns their viewers is read, up to `now` (microseconds). Raises ArtefactError if the
    archive lacks entries, StoreError if the store does not answer.
    """
    names = ["request_id", "viewer"]
    here = exposures.lazy().filter(pl.col("version").is_in(Versions(home).ids()), pl.col("codes").is_not_null())
    lists = here.select(names).unique(maintain_order=True).collect()
    if lists.is_empty():
        return None
    lists = lists.sample(min(LISTS, len(lists)), seed=0)
    drawn = exposures.join(lists, on=names, how="semi")
    viewers = lists["viewer"].unique().implode()
    is_theirs = pl.col("user_id").is_in(viewers) | pl.col("other_id").is_in(viewers)
    table = entry_table(Archive(home), store, keys, now, is_theirs)
    entries = [entry for _, entry in entries_of(table) if entry is not None]
    try:
        found = feature_parity(drawn, entries, home, forbidden_days=forbidden_days, most=LISTS)
    except ArtefactError as error:  # of a version that the night does not need
        log.warning("features_not_compared", error=str(error))
        return None
    if not found.pairs:
        return None
    return LoggedParity(lists=found.lists, pairs=found.pairs, agreeing=found.agreeing, error=found.error)
