"""Fusions on lists whose answer is obvious."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from offline.evaluation.metrics import ndcg_of_lists
from offline.fusion.train import Fusion, fusion_config, train_fusion
from tests.support.candidate_lists import ENCODER, LOG, SECOND, by_product, by_switch, lists

QUICK = {
    "weighted_average": {},
    "mlp": {"epochs": 25},
    "moe": {"epochs": 25},
    "linucb": {"rounds": 2500, "refit_every": 500, "shown": 3},
    "dqn": {"rounds": 2500, "epsilon_rounds": 1000, "shown": 3},
}

SHORT: dict[str, dict[str, int]] = {
    "weighted_average": {"tried": 3},
    **{name: {"epochs": 5} for name in ("mlp", "moe")},
    "linucb": {"rounds": 300, "refit_every": 100},
    "dqn": {"rounds": 300},
}


def trained(name: str, rule: object = by_product, count: int = 160, **dials: object) -> Fusion:
    config = fusion_config({"name": name, **QUICK[name], **dials})
    return train_fusion(config, lists(count, rule), seed=0, log=LOG)  # type: ignore[arg-type]


def quality(fusion: Fusion, rule: object = by_product) -> float:
    fresh = lists(60, rule, seed=9)  # type: ignore[arg-type]
    return float(ndcg_of_lists(fusion.of_lists(fresh), fresh.labels, fresh.friends_made).mean())


@pytest.mark.parametrize("name", QUICK)
def test_every_fusion_finds_the_column_that_is_right(name: str) -> None:
    fusion = trained(name)
    assert quality(fusion) > 0.94
    fresh = lists(5, by_product, seed=3)
    scores = fusion.of_lists(fresh)
    assert scores.dtype == np.float32
    assert np.isneginf(scores[~fresh.valid]).all()
    assert np.isfinite(scores[fresh.valid]).all()


@pytest.mark.parametrize("name", QUICK)
def test_order_of_candidates_changes_no_score(name: str) -> None:
    fusion, features = trained(name, count=24, **SHORT[name]), lists(1, by_product, seed=5).features[0]
    turned = np.random.default_rng(0).permutation(len(features))
    assert fusion.scores(features[turned]) == pytest.approx(fusion.scores(features)[turned], abs=1e-5)


@pytest.mark.parametrize("name", QUICK)
def test_the_same_seed_learns_the_same_scores_and_they_survive_the_disk(name: str, tmp_path: Path) -> None:
    first, second = (trained(name, count=24, **SHORT[name]) for _ in range(2))
    features = lists(1, by_product, seed=5).features[0]
    assert np.array_equal(first.scores(features), second.scores(features))
    first.save(tmp_path / "fusion")
    kept = Fusion.load(tmp_path / "fusion")
    assert np.array_equal(first.scores(features), kept.scores(features))
    assert (kept.metrics, kept.names) == (first.metrics, first.names)


def test_networks_bend_where_an_average_cannot() -> None:
    average = quality(trained("weighted_average", by_switch), by_switch)
    for name in ("mlp", "moe"):
        assert quality(trained(name, by_switch), by_switch) > average + 0.1


def test_the_average_learns_how_much_the_product_counts() -> None:
    right = trained("weighted_average").metrics["product_share"]
    wrong = trained("weighted_average", lambda features: features[..., SECOND]).metrics["product_share"]
    assert right > 0.85
    assert wrong < 0.15


def test_the_gate_reports_its_entropy() -> None:
    metrics = trained("moe", by_switch).metrics
    assert 0 <= metrics["gate_entropy"] <= metrics["usage_entropy"] <= 1
    assert sum(metrics[f"expert_{at}_share"] for at in (1, 2, 3)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["linucb", "dqn"])
def test_a_blend_reports_its_reward_by_term(name: str) -> None:
    metrics = trained(name).metrics
    terms = sum(metrics[f"reward_{term}"] for term in ("accept", "dismiss", "ignore"))
    assert metrics["reward"] == pytest.approx(terms)
    assert metrics["reward_accept"] > 0 >= metrics["reward_dismiss"]
    assert metrics["reward"] > metrics["even_reward"] + 0.2
    assert metrics["reward"] >= 0.85 * metrics["best_arm_reward"]


def test_lists_with_other_columns_are_refused() -> None:
    fusion, other = trained("mlp", count=24), lists(3, by_product)
    other.names[ENCODER] = "something_else"
    with pytest.raises(ValueError, match="cannot score"):
        fusion.of_lists(other)


def test_one_viewer_is_too_few_and_two_towers_want_their_inputs() -> None:
    one = lists(2, by_product)
    for name in QUICK:
        with pytest.raises(ValueError, match="two viewers"):
            train_fusion(fusion_config({"name": name}), one, log=LOG)
    with pytest.raises(ValueError, match="ranker's inputs"):
        train_fusion(fusion_config({"name": "two_tower"}), lists(8, by_product), log=LOG)


def test_a_fusion_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="two_tower"):
        fusion_config({"name": "magic"})
    with pytest.raises(ValidationError, match="hiden"):
        fusion_config({"name": "mlp", "hiden": [3]})
