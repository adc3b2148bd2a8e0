"""The drift that a night knows of before it trains: of its data, and of what came of lists."""

from dataclasses import dataclass

from models.live_state.erased_ids import ErasedPeople
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import MICROSECONDS
from models.version.local_versions import Versions
from offline.evaluation.drift_check import DriftCheck
from offline.features.temporal_graph import Friendships
from offline.monitor.compare_data import compare_data
from offline.monitor.describe import describe
from offline.monitor.reference import ReferenceStatistics
from offline.night.monitor import reference_of_active
from offline.night.outcomes.watch import Watched, watch_outcomes
from offline.outcomes.join import Windows
from offline.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class DataDrift:
    """How the data of a night differ from the active version, and what came of its lists."""

    then: ReferenceStatistics | None
    """what the active version keeps, but for what may tell of who was erased since"""
    now: ReferenceStatistics
    """what the version of the night is to keep, but for the lists that it serves"""
    checks: list[DriftCheck]
    note: str | None


def data_drift(
    versions: Versions,
    active: str | None,
    snapshot: Snapshot,
    known: Friendships,
    erased: ErasedPeople,
    store: SyncStore,
    keys: Keys,
    windows: Windows | None,
    most_rows: int,
) -> DataDrift:
    """The drift of a snapshot, whose friendships are `known`; with windows that of outcomes too, of about
    `most_rows` people shown at most.

    Raises what `watch_outcomes` does.
    """
    then, now = reference_of_active(versions, active), describe(snapshot, known)
    if then is not None and erased.since(then.cut * MICROSECONDS):  # a night that keeps its weights passes it on
        then = then.without_gone(now)
    home = versions.home
    watched = Watched() if windows is None else watch_outcomes(home, store, keys, windows, then, most_rows)
    checks = [] if then is None else [*compare_data(then, now), *watched.checks]
    return DataDrift(then, now.model_copy(update={"outcomes": watched.kept}), checks, watched.note)
