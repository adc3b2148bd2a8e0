"""The version that is active when a night begins: its weights, which the night may keep, and its report."""

from datetime import datetime
from typing import Literal

import structlog

from models.errors import ArtefactError, UsageError, VersionError
from models.publishing.pointer import read_pointer
from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from offline.evaluation.report import Ratio, Report
from offline.features.temporal_graph import Friendships
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle

Retrain = Literal["auto", "always", "never"]
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
    former: ModelBundle | None, retrain: Retrain, config: NightConfig, known: Friendships, now: datetime
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
    return former.is_due(now, known.graph.n, known.count, days, growth)
