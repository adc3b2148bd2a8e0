"""The version that is active when a night begins: its weights, which the night may keep, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from models.errors import ArtefactError, UsageError, VersionError
from models.features.profile_encoder import encoded_columns
from models.graph import Graph
from models.publishing.pointer import ActivePointer
from models.publishing.transfer import Loader
from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from models.schema.vocabulary import Vocabulary
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.evaluation.drift_check import DriftCheck
from offline.evaluation.report import Report
from offline.features.temporal_graph import Friendships
from offline.gate.losses import ActiveVersion, drawn, friendships_left
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle
from offline.snapshot.snapshot import Snapshot

Retrain = Literal["auto", "always", "never"]

LEAST_KEPT = 0.5
"""share of the former version's friendships that are left in the same network"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WeightsPlan:
    """Whether a night trains, and the weights that it keeps or begins with."""

    former: ModelBundle | None
    """those of the active version"""
    reason: str | None
    """why it trains; None: it does not"""

    @property
    def kept(self) -> ModelBundle | None:
        """The weights that it keeps."""
        return self.former if self.reason is None else None

    @property
    def replaced(self) -> ModelBundle | None:
        """The weights that those of the training take the place of."""
        return None if self.reason is None else self.former


def former_weights(versions: Versions, pointer: ActivePointer | None, retrain: Retrain) -> ModelBundle | None:
    """The weights of the active version; None if this host does not have them or this release cannot read them.

    Raises UsageError if there are none and the night may not train.
    """
    former = None
    if pointer is not None:
        try:
            former = ModelBundle.open(versions.path(pointer.version))
        except (ArtefactError, VersionError) as error:
            log.warning("former_weights_unreadable", version=pointer.version, error=str(error))
    if former is None and retrain == "never":
        raise UsageError("--retrain never needs an active version whose weights this host has; there is none")
    return former


def active_report(versions: Versions, active: ActiveVersion | None) -> Report | None:
    """The report of the active version; None if there is none that this host can read."""
    if active is None:
        return None
    try:
        return Report.read(versions.path(active.manifest.version))
    except ArtefactError as error:
        log.warning("former_report_unreadable", version=active.manifest.version, error=str(error))
        return None


def active_version(
    store: SyncStore, versions: Versions, keys: Keys, pointer: ActivePointer | None
) -> ActiveVersion | None:
    """The version of the pointer, from this host's disk or as the store describes it; None if nothing is published."""
    if pointer is None:
        return None
    try:
        return ActiveVersion.of(versions, versions.manifest(pointer.version))
    except (ArtefactError, VersionError) as error:
        log.warning("active_version_not_on_disk", version=pointer.version, error=str(error))
    try:
        stored = Loader(store, keys).manifest(pointer.version)
    except ArtefactError as error:
        log.warning("active_version_unreadable", version=pointer.version, error=str(error))
        stored = None
    return None if stored is None else ActiveVersion(stored, None)


def statistics_of(known: Friendships) -> int:
    """How many statistics of a user there are with these friendships."""
    return len(ALL_STATISTICS) if known.have_order else len(STATISTICS)


def why_train(
    former: ModelBundle | None,
    retrain: Retrain,
    config: NightConfig,
    known: Friendships,
    snapshot: Snapshot,
    now: datetime,
    drifted: Sequence[DriftCheck] = (),
) -> str | None:
    """Why a night on these friendships trains, or None if it keeps the former weights.

    `drifted` are the checks for drift from the active version.
    """
    if retrain == "never":
        if former is not None and former.ranker is not None:
            reads, has = former.ranker.config.viewer_inputs, statistics_of(known)
            if reads != has:
                raise UsageError(
                    f"--retrain never: the active version's ranker reads {reads} statistics of a user, and the "
                    f"dataset has {has} now, since its friendships have {'' if known.have_order else 'no '}dates"
                )
        return None
    if former is None:
        return "there are no former weights"
    if retrain == "always":
        return "--retrain always"
    if former.training.configuration != config.learning():
        return "the configuration of training changed"
    days, growth = config.retrain_after_days, config.retrain_after_growth
    return (
        other_data(former, known, snapshot, growth)
        or former.is_due(now, known.graph.n, known.count, days, growth)
        or _drift(drifted)
    )


def other_data(former: ModelBundle, known: Friendships, snapshot: Snapshot, growth: float) -> str | None:
    """What makes the dataset another one than the weights were trained on, whatever its values: dates of friendships,
    profile columns, the network, or more new people than `growth` of those before.
    """
    if former.ranker is not None and former.ranker.config.viewer_inputs != statistics_of(known):
        return "the ranker reads other statistics: whether friendships have dates, or the release, has changed"
    return (
        _other_columns(former, snapshot)
        or _other_network(former, snapshot.vocabulary, known.graph)
        or _many_new(former, snapshot.vocabulary, growth)
    )


def _drift(drifted: Sequence[DriftCheck]) -> str | None:
    """What the monitor gives alarm for."""
    said = [check.sentence for check in drifted if check.verdict == "alarm"]
    return f"the data drifted: {'; '.join(said)}" if said else None


def _other_columns(former: ModelBundle, snapshot: Snapshot) -> str | None:
    """What differs between the profile columns and those that the weights were trained on."""
    trained, there = former.encoder.columns, encoded_columns(snapshot.profiles, former.encoder.text_model)
    differences = [
        *(f"{name} is new" for name in sorted(there.keys() - trained.keys())),
        *(f"{name} is gone" for name in sorted(trained.keys() - there.keys())),
        *(f"{name} has another kind" for name in sorted(there) if trained.get(name, there[name]) != there[name]),
    ]
    return f"the profile columns changed: {', '.join(differences)}" if differences else None


def _other_network(former: ModelBundle, vocabulary: Vocabulary, graph: Graph) -> str | None:
    """That less than LEAST_KEPT of the former version's friendships, or of its users if it has none, are left."""
    if former.directory is None:
        return None
    try:
        tables = Tables.open(former.directory / "tables")
    except ArtefactError as error:
        log.warning("former_tables_unreadable", error=str(error))
        return None
    if len(tables.graph.indices):
        what, there = "friendships", friendships_left(tables, vocabulary, graph)
    else:
        rows = drawn(len(tables.vocabulary)).tolist()
        what, there = "users", vocabulary.rows(tables.vocabulary.user_id(row) for row in rows) >= 0
    left = float(there.mean()) if len(there) else 1.0
    if left >= LEAST_KEPT:
        return None
    return f"this is another network: {left:.0%} of the {what} of version {former.directory.name} are in it"


def _many_new(former: ModelBundle, vocabulary: Vocabulary, growth: float) -> str | None:
    """That more users than the growth allows are unknown to the weights, whoever left meanwhile."""
    if vocabulary.digest == former.vocabulary.digest:
        return None
    new = int((former.vocabulary.rows(vocabulary.user_ids()) < 0).sum())
    trained = former.training.users
    return f"{new} users are new since the training on {trained}" if new > trained * growth else None
