"""Accounts that fit no team, among users who all fit one."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import structlog

from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from offline.features.temporal_graph import friendships
from offline.snapshot.snapshot import write_snapshot
from offline.suspicion.config import SuspicionConfig
from offline.suspicion.detector import (
    Calibration,
    Evidence,
    standardised,
    suspicion,
)
from offline.synth.directory import FAKES, write
from offline.synth.network import generate
from tests.support.offline.suspicion_study import plain_evidence, profile_misfit, separation

LOG = structlog.get_logger()
TEAMS, TEAM, FRIENDS = 10, 30, 8


def teams(fakes: int = 12) -> tuple[np.ndarray, Graph, np.ndarray]:
    """Profiles (n, f), graph and who is fake: teams with friends inside only, fakes of a team with random friends."""
    random = np.random.default_rng(0)
    n = TEAMS * TEAM
    team = np.arange(n) // TEAM
    fake = np.zeros(n, bool)
    fake[random.permutation(n)[:fakes]] = True
    a = np.repeat(np.arange(n), FRIENDS // 2)
    mates = team[a] * TEAM + random.integers(TEAM, size=len(a))
    b = np.where(fake[a], random.integers(n, size=len(a)), mates)
    strangers = fake[b] & ~fake[a]
    b[strangers] = team[a[strangers]] * TEAM  # no user befriends a fake on their own
    profile = np.eye(TEAMS, dtype=np.float32)[team] + 0.1 * random.standard_normal((n, TEAMS), dtype=np.float32)
    return profile, Graph.from_pairs(n, a, b), fake


@pytest.mark.parametrize("detector", ["vgae", "dgi"])
def test_accounts_that_fit_no_team_score_high(detector: str) -> None:
    profile, graph, fake = teams()
    config = SuspicionConfig.model_validate({"detector": detector, "width": 16})
    scores = suspicion(profile, graph, config, log=LOG)
    assert scores.dtype == np.float16
    assert separation(scores, fake) > 0.95
    assert np.array_equal(scores, suspicion(profile, graph, config, log=LOG)), "the same seed says the same"


@pytest.mark.parametrize("detector", ["vgae", "dgi"])
def test_scores_are_chance_if_profiles_are_random(detector: str) -> None:
    profile, graph, fake = teams()
    dealt = np.random.default_rng(1).permutation(profile)
    config = SuspicionConfig.model_validate({"detector": detector, "width": 16})
    assert 0.2 < separation(suspicion(dealt, graph, config, log=LOG), fake) < 0.8


def test_people_without_friends_are_not_suspected() -> None:
    profile, graph, _ = teams()
    lonely = np.concatenate([profile, profile[:5]])
    more = Graph.from_pairs(len(lonely), *graph.pairs())
    scores = suspicion(lonely, more, SuspicionConfig(width=16, epochs=3), log=LOG)
    assert (scores[-5:] == 0).all()
    with pytest.raises(ValueError, match="no ordinary user has a friend"):
        suspicion(
            profile,
            Graph.from_pairs(len(profile), np.zeros(0, int), np.zeros(0, int)),
            SuspicionConfig(epochs=1),
            log=LOG,
        )


def test_evidence_is_compared_among_people_with_as_many_friends() -> None:
    degrees = np.repeat([2, 50], 101)
    usual = np.where(degrees == 2, 10.0, 0.0) + np.tile(np.linspace(-1, 1, 101), 2)
    said = Evidence(usual, usual, usual)
    calibration = Calibration.fit(said, degrees, bands=4)
    scores = calibration.scores(said, degrees)
    assert scores[:101] == pytest.approx(scores[101:], abs=0.01)
    odd = Evidence(*[np.array([10.0, 10.0])] * 3)
    assert calibration.scores(odd, np.array([2, 50])).tolist() == [pytest.approx(0.5, abs=0.01), 1.0]


def test_the_scale_is_that_of_ordinary_people() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=5000), random.normal(8, 1, size=5000)])
    said, degrees, ordinary = Evidence(values, values, values), np.full(10_000, 7), np.arange(10_000) < 5000
    scores = Calibration.fit(said, degrees, bands=1, ordinary=ordinary).scores(said, degrees).astype(float)
    assert (scores[ordinary] > 0.9).mean() == pytest.approx(0.1, abs=0.01)
    assert (scores[~ordinary] > 0.99).all()


def test_a_constant_profile_gives_no_evidence() -> None:
    assert np.isfinite(standardised(np.ones((4, 2), np.float32))).all()


@pytest.mark.slow
def test_planted_fakes_are_found_better_than_by_degree_clustering_or_refusals(tmp_path: Path) -> None:
    network = generate(10_000, seed=0, fake_share=0.02)
    write(network, tmp_path / "data")
    snapshot = write_snapshot(tmp_path / "data", tmp_path / "snapshot", started_at=datetime.now(UTC))
    named = pl.read_csv(tmp_path / "data" / FAKES)
    fakes = np.zeros(snapshot.n, bool)
    fakes[snapshot.vocabulary.rows(named["user_id"].to_list())] = True
    graph = friendships(snapshot).graph
    profile = ProfileEncoder.fit(snapshot.profiles).encode(snapshot.profiles)
    plain = plain_evidence(graph, snapshot.interactions())
    bar = max(0.90, 0.05 + max(separation(one, fakes, either_way=True) for one in plain.values()))
    for detector in ("vgae", "dgi"):
        config = SuspicionConfig.model_validate({"detector": detector})
        assert separation(suspicion(profile, graph, config, log=LOG), fakes) >= bar
    assert separation(profile_misfit(standardised(profile), graph), fakes) > 0.9
