"""What a dataset, or a version just made, differs in from the active version, and whether to train again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import structlog

from models.candidates.config import CandidateConfig
from models.candidates.generator import CONFIG, CandidateGenerator
from models.errors import ArtefactError, VersionError
from models.publishing.pointer import read_pointer
from models.schema.columns import Flag
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from models.system.clock import now_us
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from offline.evaluation.drift_check import DriftCheck, DriftReport
from offline.features.graph_features import compute_graph_features
from offline.features.temporal_graph import Friendships, friendships, user_history
from offline.monitor.compare_data import compare_data
from offline.monitor.describe import describe
from offline.monitor.model import (
    CONTEXT,
    USERS,
    Embedded,
    compare_embeddings,
    compare_lists,
    model_reference,
)
from offline.monitor.reference import ModelReference, ReferenceStatistics
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.evaluate import EvaluationTables
from offline.night.former import other_data, statistics_of
from offline.night.model_bundle import ModelBundle
from offline.night.outcomes.watch import watch_outcomes
from offline.outcomes.join import Windows
from offline.snapshot.live_events import read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot

log = structlog.get_logger(__name__)

NOTHING_PUBLISHED = "nothing is published yet: pymk nightly DATA publishes a first version"
NOT_HERE = "version {version} is not on this host's disk: run pymk monitor where its night ran"
NO_REFERENCE = (
    "version {version} was made by an earlier release and keeps no reference statistics: the version of the next pymk "
    "nightly does"
)
OTHER_STATISTICS = (
    "lists were not compared: the ranker reads dates of friendships, and whether there are any has changed"
)


@dataclass(frozen=True)
class Monitored:
    """A report, and the statistics that it compares, for plots."""

    report: DriftReport
    then: ReferenceStatistics | None = None
    now: ReferenceStatistics | None = None


def monitor(
    data: Path,
    home: Path,
    store: SyncStore,
    keys: Keys,
    config: NightConfig,
    *,
    with_model: bool,
    forbidden_days: int,
    windows: Windows,
) -> Monitored:
    """Compares a dataset, the live events since and what came of lists with the active version; changes nothing.

    With `with_model`, embeddings and lists of the dataset are made with the weights of the active version too. Raises
    DatasetError about the dataset, ArtefactError about a damaged version.
    """
    note: str | None = None
    versions, pointer, at = Versions(home), read_pointer(store, keys=keys), datetime.now(UTC)
    if pointer is None:
        return Monitored(DriftReport(version=None, at=at, retrain=False, checks=[], note=NOTHING_PUBLISHED))
    version = pointer.version
    if version not in versions.ids():
        note = NOT_HERE.format(version=version)
        return Monitored(DriftReport(version=version, at=at, retrain=False, checks=[], note=note))
    directory = versions.path(version)
    then = ReferenceStatistics.read(directory)
    if then is None:
        note = NO_REFERENCE.format(version=version)
        return Monitored(DriftReport(version=version, at=at, retrain=False, checks=[], note=note))
    with TemporaryDirectory(prefix="pymk-monitor-") as scratch:
        live = read_live_events(home, store, keys, cut=now_us())
        snapshot = write_snapshot(
            data, Path(scratch) / "snapshot", started_at=at, forbidden_days=forbidden_days, live=live
        )
        known = friendships(snapshot)
        now = describe(snapshot, known)
        watched = watch_outcomes(home, store, keys, windows, then, config.outcomes.most_read)
        now, note = now.model_copy(update={"outcomes": watched.later}), watched.note
        checks = compare_data(then, now) + watched.checks
        bundle = ModelBundle.open(directory)
        checks += weights_checks(bundle, at, known, snapshot, config)
        reads = statistics_of(known) if bundle.ranker is None else bundle.ranker.config.viewer_inputs
        if with_model and reads != statistics_of(known):
            note = OTHER_STATISTICS if note is None else f"{OTHER_STATISTICS}; {note}"
        elif with_model and snapshot.n:
            as_made = CandidateConfig.model_validate(files.read_json(directory / "candidates" / CONFIG))
            same = config.model_copy(update={"candidates": as_made})
            made = _with_former_weights(bundle, snapshot, known, same, Path(scratch) / "model")
            now = now.model_copy(update={"model": made.lists})
            checks += compare_embeddings(Embedded.of_version(directory), made.embedded)
            checks += [] if then.model is None else compare_lists(then.model, made.lists)
    return Monitored(report_of(version, at, checks, note), then, now)


def report_of(version: str, at: datetime, checks: list[DriftCheck], note: str | None = None) -> DriftReport:
    """The report of these checks."""
    retrain = any(check.verdict == "alarm" for check in checks)
    return DriftReport(version=version, at=at, retrain=retrain, checks=checks, note=note)


def keep(report: DriftReport, store: SyncStore, keys: Keys) -> None:
    """Leaves a report with checks in the store, where service and worker show the latest one."""
    if report.checks:
        store.set(keys.drift, report.model_dump_json().encode())


def reference_of_active(versions: Versions, version: str | None) -> ReferenceStatistics | None:
    """The statistics that the active version keeps; None if there are none that this host can read."""
    if version is None or version not in versions.ids():
        return None
    try:
        return ReferenceStatistics.read(versions.path(version))
    except (ArtefactError, VersionError) as error:
        log.warning("reference_unreadable", version=version, error=str(error))
        return None


def weights_checks(
    bundle: ModelBundle, now: datetime, known: Friendships, snapshot: Snapshot, config: NightConfig
) -> list[DriftCheck]:
    """Whether the weights are old, the network has outgrown them, or the dataset is another one."""
    trained, days = bundle.training, config.retrain_after_days
    age = max((now - trained.trained_at).total_seconds() / 86_400, 0.0)
    said = f"the weights are {age:.1f} days old, and are due after {days:g}"
    checks = [DriftCheck.of("age", "weights", age, warn=max(days, 1e-9), alarm=max(days, 1e-9), sentence=said)]
    for what, then, today in (
        ("people", trained.users, known.graph.n),
        ("friendships", trained.connections, known.count),
    ):
        grown = max(today / max(then, 1) - 1, 0.0)
        said = f"{what} grew by {grown:.1%} since the training, from {then:,} to {today:,}"
        limit = np.nextafter(config.retrain_after_growth, np.inf)
        checks.append(DriftCheck.of(f"growth_{what}", "weights", grown, warn=limit, alarm=limit, sentence=said))
    other = other_data(bundle, known, snapshot, config.retrain_after_growth)
    said = other or "the dataset has the columns, the network and the people that the weights were trained on"
    checks.append(DriftCheck.of("dataset", "weights", float(other is not None), warn=1, alarm=1, sentence=said))
    return checks


def reference_to_keep(
    then: ReferenceStatistics | None, now: ReferenceStatistics, trained_at: datetime, started_at: datetime
) -> ReferenceStatistics:
    """What a version keeps for the nights after it: the statistics of the night that its weights were trained in.

    `then` are those that the active version keeps, `now` those of this night, which began at `started_at`.
    A night that keeps the weights passes those of the active version on, with what they lack as of this night. So a
    drift of small steps adds up, and one that a delta night has seen still calls for training.
    """
    if then is None or trained_at == started_at:
        return now
    has_outcomes = then.outcomes is not None and then.outcomes.scored is not None
    lacking: dict[str, object] = {} if then.model is not None else {"model": now.model}
    lacking |= {} if has_outcomes else {"outcomes": now.outcomes}
    return then.model_copy(update=lacking)


def compare_versions(then: ReferenceStatistics, active: Path, now: ModelReference, made: Path) -> list[DriftCheck]:
    """Checks of a version that was just made against the active one: embeddings, scores, coverage, sources."""
    checks = [] if then.model is None else compare_lists(then.model, now)
    try:
        checks += compare_embeddings(Embedded.of_version(active), Embedded.of_version(made))
    except ArtefactError as error:
        log.warning("embeddings_not_compared", error=str(error))
    return checks


@dataclass(frozen=True)
class _Made:
    embedded: Embedded
    lists: ModelReference


def _with_former_weights(
    bundle: ModelBundle, snapshot: Snapshot, known: Friendships, config: NightConfig, scratch: Path
) -> _Made:
    """Embeddings of everybody and lists of a sample, by weights trained before."""
    history = user_history(snapshot, bundle.encoder)
    night = NightContext(snapshot, bundle.encoder, history, known, config, datetime.now(UTC))
    people = history.before(snapshot.cut + 1, known)
    active = np.flatnonzero(snapshot.flags & np.uint8(Flag.ACTIVE)).astype(np.int64)
    drawn = np.sort(np.random.default_rng(0).permutation(active)[:USERS])
    graph_features = compute_graph_features(known.graph, people, bundle.reference(snapshot.vocabulary))
    view = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers).build(
        graph_features, people, drawn, scratch
    )
    tables, ranker = EvaluationTables.of(view), bundle.served_ranker().with_outcomes(None)
    blocks = list(_blocks(view.generator, drawn))
    served = float(np.mean([len(block) > 0 for block in blocks])) if blocks else 0.0
    lists = model_reference(
        (block for block in blocks if len(block)), lambda block: ranker.scores(tables, block, CONTEXT), served
    )
    return _Made(Embedded(snapshot.vocabulary, view.embeddings), lists)


def _blocks(generator: CandidateGenerator, rows: np.ndarray) -> Iterator[Block]:
    for pools in generator.batches(rows):
        yield from pools.blocks()
