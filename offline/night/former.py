"""The version that is active when a night begins: its weights, which the night may keep, and its report."""

from datetime import datetime
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from models.errors import ArtefactError, UsageError, VersionError
from models.features.profile_encoder import encoded_columns
from models.graph import Graph
from models.publishing.pointer import read_pointer
from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from models.schema.vocabulary import Vocabulary
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.evaluation.report import Ratio, Report
from offline.features.temporal_graph import Friendships
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle
from offline.snapshot.snapshot import Snapshot

Retrain = Literal["auto", "always", "never"]

LEAST_KEPT = 0.5
"""share of the former version's friendships that are left in the same network"""
SAMPLE = 10_000
"""friendships, or users, that are looked for"""

log = structlog.get_logger(__name__)


def former_weights(store: SyncStore, versions: Versions, keys: Keys, retrain: Retrain) -> ModelBundle | None:
    """The weights of the active version; None if this host does not have them or this release cannot read them.

    Raises UsageError if there are none and the night may not train.
    """
    former, pointer = None, read_pointer(store, keys=keys)
    if pointer is not None:
        try:
            former = ModelBundle.open(versions.path(pointer.version))
        except (ArtefactError, VersionError) as error:
            log.warning("former_weights_unreadable", version=pointer.version, error=str(error))
    if former is None and retrain == "never":
        raise UsageError("--retrain never needs an active version whose weights this host has; there is none")
    return former


def former_ratio(store: SyncStore, versions: Versions, keys: Keys) -> Ratio | None:
    """What the active version reached against resource allocation in its own report."""
    pointer = read_pointer(store, keys=keys)
    if pointer is None:
        return None
    try:
        return Report.read(versions.path(pointer.version)).ratio
    except ArtefactError as error:
        log.warning("former_report_unreadable", version=pointer.version, error=str(error))
        return None


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
) -> str | None:
    """Why a night on these friendships trains, or None if it keeps the former weights."""
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
    if former.ranker is not None and former.ranker.config.viewer_inputs != statistics_of(known):
        return "the ranker reads other statistics: whether friendships have dates, or the release, has changed"
    days, growth = config.retrain_after_days, config.retrain_after_growth
    return (
        _other_columns(former, snapshot)
        or _other_network(former, snapshot.vocabulary, known.graph)
        or former.is_due(now, known.graph.n, known.count, days, growth)
        or _many_new(former, snapshot.vocabulary, growth)
    )


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
        what, there = "friendships", _friendships_left(tables, vocabulary, graph)
    else:
        drawn = _drawn(len(tables.vocabulary)).tolist()
        what, there = "users", vocabulary.rows(tables.vocabulary.user_id(row) for row in drawn) >= 0
    left = float(there.mean()) if len(there) else 1.0
    if left >= LEAST_KEPT:
        return None
    return f"this is another network: {left:.0%} of the {what} of version {former.directory.name} are in it"


def _friendships_left(tables: Tables, vocabulary: Vocabulary, graph: Graph) -> NDArray[np.bool_]:
    """Whether each of some friendships of a version is in the graph of another vocabulary."""
    edges = _drawn(len(tables.graph.indices))
    starts = np.searchsorted(tables.graph.indptr, edges, side="right") - 1
    ends = tables.graph.indices[edges]
    first, second = (
        vocabulary.rows(tables.vocabulary.user_id(row) for row in rows.tolist()).tolist() for rows in (starts, ends)
    )
    pairs = zip(first, second, strict=True)
    return np.array([min(a, b) >= 0 and b in graph.neighbours(a) for a, b in pairs], dtype=bool)


def _drawn(n: int) -> NDArray[np.int64]:
    """At most SAMPLE of the numbers 0 to n-1, the same ones for the same n."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.unique(np.random.default_rng(0).integers(n, size=SAMPLE))


def _many_new(former: ModelBundle, vocabulary: Vocabulary, growth: float) -> str | None:
    """That more users than the growth allows are unknown to the weights, whoever left meanwhile."""
    if vocabulary.digest == former.vocabulary.digest:
        return None
    new = int((former.vocabulary.rows(vocabulary.user_ids()) < 0).sum())
    trained = former.training.users
    return f"{new} users are new since the training on {trained}" if new > trained * growth else None
