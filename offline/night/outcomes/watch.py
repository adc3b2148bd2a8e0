"""What came of lists, as a night and the monitor look at it: against the active version, and to keep in the next."""

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from models.errors import ArtefactError
from models.outcomes.exposure_files import ExposureFiles
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us
from offline.evaluation.drift_check import DriftCheck
from offline.monitor.compare_outcomes import compare_outcomes, note_of
from offline.monitor.outcome_reference import OutcomeReference
from offline.monitor.outcomes import READ, OutcomeLog, first_needed, later_outcomes, outcome_reference, waiting
from offline.monitor.reference import ReferenceStatistics
from offline.night.outcomes.viewers_read import viewers_read
from offline.outcomes.events import read_events
from offline.outcomes.join import Windows

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Watched:
    """What came of lists; nothing where none was recorded."""

    kept: OutcomeReference | None = None
    """of the days before, for a version that is made"""
    later: OutcomeReference | None = None
    """of what the active version does not have"""
    checks: list[DriftCheck] = field(default_factory=list)
    note: str | None = None
    """what was not compared"""


def watch_outcomes(
    home: Path,
    store: SyncStore,
    keys: Keys,
    windows: Windows,
    then: ReferenceStatistics | None,
    most_rows: int,
) -> Watched:
    """The outcomes of the lists that are filed, compared with those that the active version keeps.

    Of a log above `most_rows` people shown the lists of a sample of the viewers are read (viewers_read). What is
    damaged is said, and nothing compared. Raises StoreError if the store does not answer.
    """
    if not ExposureFiles(home).all():
        return Watched()
    try:
        return _watched(home, store, keys, windows, then, most_rows)
    except ArtefactError as error:
        log.warning("outcomes_not_compared", error=str(error))
        return Watched(note=f"outcomes were not compared: {error}")


def _watched(
    home: Path, store: SyncStore, keys: Keys, windows: Windows, then: ReferenceStatistics | None, most_rows: int
) -> Watched:
    before = None if then is None else then.outcomes
    now = now_us()
    since = max(first_needed(windows, now, before), 0)
    sample = viewers_read(home, since, most_rows)
    events = read_events(home, store, keys, since=since, until=now, sample=sample)
    filed = OutcomeLog(ExposureFiles(home).scan_lists(since, READ, sample), events, windows, now)
    kept = outcome_reference(filed)
    if before is None:
        return Watched(kept, note=None if then is None else note_of(None, []))
    later = later_outcomes(filed, before)
    checks = compare_outcomes(before, later, waiting(filed, before))
    return Watched(kept, later, checks, note_of(before, checks))
