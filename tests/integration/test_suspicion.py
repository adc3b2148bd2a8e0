"""A night that scores suspicious accounts: lists change only if the service's rule is on."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models.ranker.ranker import Ranker
from models.settings import Settings
from offline.night.config import NightConfig
from offline.suspicion.config import SuspicionConfig
from service.ranking.rerank import RerankSettings
from service.recommend.batch import BatchRecommender
from tests.support.nights import KEYS, NightHarness

ABOVE = 0.5
"""share of ordinary accounts; half of a small network is beyond it"""


def lists(harness: NightHarness, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """By person the entries that the active version suggests, best first."""
    batch = BatchRecommender(harness.store, harness.versions, KEYS, Ranker.open, RerankSettings.of(settings))
    answers = [orjson.loads(one) for one in batch.answers(batch.active_users, "web", 10)]
    return {one["user_id"]: one["recommendations"] for one in answers}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> NightHarness:
    return NightHarness(tmp_path_factory.mktemp("home"), small_network, NightConfig.read(small_night))


def test_suspicion_changes_lists_only_if_the_rule_is_on(harness: NightHarness, tmp_path: Path) -> None:
    assert harness.tables(harness.night().version).suspicion is None
    plain = lists(harness, Settings(home=tmp_path))
    tables = harness.tables(harness.night(suspicion=SuspicionConfig(width=16, epochs=3)).version)
    assert tables.suspicion is not None
    assert tables.suspicion.shape == (tables.n,)
    suspects = {tables.vocabulary.user_id(row) for row in np.flatnonzero(tables.suspicion > ABOVE).tolist()}
    assert 0 < len(suspects) < tables.n

    off, dropped = (
        lists(harness, Settings(home=tmp_path)),
        lists(harness, Settings(home=tmp_path, suspicious="drop", suspicious_above=ABOVE)),
    )
    assert sum(map(len, plain.values())) > 1000
    assert off == plain
    assert any(one["user_id"] in suspects for entries in plain.values() for one in entries)
    assert not any(one["user_id"] in suspects for entries in dropped.values() for one in entries)
