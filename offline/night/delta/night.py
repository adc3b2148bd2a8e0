"""What a delta night makes in the place of training, evaluation and a whole version."""

from pathlib import Path

import structlog

from models.errors import UsageError
from models.publishing.canary import refuse_delta_of
from models.publishing.canary_record import running_canary
from models.publishing.pointer import ActivePointer, read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from offline.evaluation.report import Report
from offline.gate.losses import ActiveVersion
from offline.night.context import NightContext
from offline.night.delta.build import build_delta
from offline.night.delta.inputs import ActiveState, DeltaInputs
from offline.night.former import active_report
from offline.night.model_bundle import ModelBundle
from offline.steps.config import RetryConfig
from offline.steps.recorder import tried

log = structlog.get_logger(__name__)


def refuse_delta(versions: Versions, former: ModelBundle | None, active: str | None) -> None:
    """Raises UsageError if there is no active version that a delta night could go on from on this host."""
    if active is None or former is None or not versions.is_whole(active):
        raise UsageError("--delta needs an active version whose files this host has; run pymk nightly without it first")


def active_id(store: SyncStore, keys: Keys, retry: RetryConfig) -> str:
    """The id of the active version, "" for none."""
    pointer = tried("start", lambda: read_pointer(store, keys=keys), retry)
    return "" if pointer is None else pointer.version


def refuse_beside_canary(store: SyncStore, keys: Keys, pointer: ActivePointer | None) -> None:
    """Raises VersionError if a canary runs beside the active version: the delta night's version would end it."""
    if pointer is not None:
        refuse_delta_of(pointer.version, pointer, running_canary(store, keys, pointer))


def make_delta(context: NightContext, active: Path, directory: Path) -> DeltaInputs:
    """Writes all files of a version but bundle, report and manifest; returns what it was made from.

    Raises UsageError if the dataset has other columns than the active version, in the directory `active`.
    """
    state, snapshot = ActiveState.open(active), context.snapshot
    people = context.history.before(snapshot.cut + 1, context.known)
    delta = DeltaInputs.of(state, snapshot, context.known, people)
    log.info("delta", touched=len(delta.touched), new=len(delta.rows.new), of=snapshot.n)
    build_delta(state, delta, context, directory)
    return delta


def report_of_delta(versions: Versions, active: ActiveVersion | None) -> Report:
    """The report that a delta night begins with: the figures of the active version, whose weights it keeps.

    Without those of groups, whose values may be of somebody erased since.
    """
    known = active_report(versions, active)
    empty = Report(users=0, held_out=0, methods={})
    if known is None:
        return empty
    return known.model_copy(update={"drift": None, "gate": [], "steps": [], "retraining": None, "groups": None})


def noted(manifest: Manifest, active: str, delta: DeltaInputs) -> Manifest:
    """The manifest that says what the version was made from."""
    return manifest.model_copy(update={"delta_of": active, "remade": len(delta.touched)})
