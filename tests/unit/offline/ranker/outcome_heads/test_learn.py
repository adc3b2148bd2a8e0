"""Heads learn known tastes from a log in which the first places are looked at more, and nothing from too little."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from models.ranker.outcome_heads import HEADS, OutcomeHeads, blend_of
from offline.ranker.outcome_heads.config import BlendConfig, OutcomesConfig
from offline.ranker.outcome_heads.examination import Examination, examination_of
from offline.ranker.outcome_heads.fit import fit_head
from offline.ranker.outcome_heads.learn import LearnedHeads, _Problem, learn_heads
from offline.ranker.outcome_heads.table import OutcomeTable
from tests.support.offline.outcome_logs import ETA, TASTES, log_of

CONFIG = OutcomesConfig(penalties=(1.0, 10.0))
Table = tuple[OutcomeTable, NDArray[np.float32]]


def learned(made: Table, config: OutcomesConfig = CONFIG) -> LearnedHeads:
    table, logits = made
    scale = np.ones(table.inputs.shape[1])
    return learn_heads(table, logits, 0.9 * logits - 2, 0.9, scale, config, log=structlog.get_logger())


def heads_of(found: LearnedHeads) -> OutcomeHeads:
    assert found.heads is not None, found.report.said
    return found.heads


@pytest.fixture(scope="module")
def made() -> Table:
    return log_of(6000, 1)


@pytest.fixture(scope="module")
def found(made: Table) -> LearnedHeads:
    return learned(made)


def test_the_tastes_of_the_log_are_recovered(found: LearnedHeads) -> None:
    heads = heads_of(found)
    for at, name in enumerate(HEADS):
        level, by_logit, by_second = TASTES[name]
        # whoever is invited is not dismissed, which the head of dismissals does not know
        allowed = 0.3 if name == "dismissed" else 0.15
        assert heads.bias[0, at] == pytest.approx(level, abs=0.3)
        assert heads.weights[0, at, -1] + heads.weights[0, at, 0] == pytest.approx(by_logit, abs=allowed)
        assert heads.weights[0, at, 1] == pytest.approx(by_second, abs=allowed)
    assert found.report.eta == pytest.approx(ETA, abs=0.1)
    assert found.report.examination == "modelled"


def test_without_the_correction_for_places_they_are_not(made: Table) -> None:
    table, logits = made
    columns = np.column_stack([logits, table.inputs[:, 1], np.ones(len(table))]).astype(np.float64)
    level, by_logit, _ = TASTES["invited"]

    def fitted(eta: float) -> NDArray[np.float64]:
        looked = Examination(eta, "modelled").of(table.places)
        return fit_head(columns, table.invited, looked, table.weights, np.full(3, 1e-3), np.zeros(3), 200)

    corrected, naive = fitted(ETA), fitted(0.0)
    assert corrected[0] == pytest.approx(by_logit, abs=0.1)
    assert corrected[2] == pytest.approx(level, abs=0.1)
    assert naive[0] > by_logit + 0.2, "the best stand where people look"
    assert naive[2] < level - 0.5


def test_its_order_is_better_for_viewers_held_out_and_its_probabilities_come(found: LearnedHeads) -> None:
    ratio = found.report.accepted_ratio
    assert ratio is not None
    assert ratio.low > 1
    assert found.report.learned
    for quality in found.report.heads.values():
        assert quality.predicted == pytest.approx(quality.came, rel=0.05)
        assert quality.reads == "inputs"
        assert quality.gain > 0


def test_the_score_stays_a_probability_of_friendship(made: Table, found: LearnedHeads) -> None:
    table, logits = made
    heads = heads_of(found)
    odds = heads.log_odds(table.inputs, logits, "web")
    friendship = 1 / (1 + np.exp(-(0.9 * logits - 2)))
    slope, level = heads.curve.tolist()
    scores = 1 / (1 + np.exp(-slope * blend_of(heads.powers, 0.9 * logits - 2, odds) - level))
    assert scores.mean() == pytest.approx(friendship.mean(), rel=0.03)
    high = scores >= np.quantile(scores, 0.8)
    assert scores[high].mean() == pytest.approx(friendship[high].mean(), rel=0.15)


def test_the_same_log_and_seed_give_the_same_weights() -> None:
    first, second = (heads_of(learned(log_of(2500, 3))) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.curve, second.curve)


def test_lists_drawn_uniformly_alone_say_how_places_are_looked_at() -> None:
    table, logits = log_of(6000, 4, uniform=0.3)
    found = learned((table, logits))
    assert found.report.examination == "uniform"
    assert found.report.eta == pytest.approx(ETA, abs=0.1)
    few = learned((table, logits), CONFIG.model_copy(update={"least_drawn": 10**6}))
    assert few.report.examination == "modelled"


def test_lists_that_are_looked_at_evenly_need_no_correction() -> None:
    table, logits = log_of(3000, 5, eta=0.0)
    read = np.column_stack([table.inputs, logits]).astype(np.float64)
    assert examination_of(table.acted, table.places, None, table.weights).eta > 0.35, "the best stand first"
    assert examination_of(table.acted, table.places, read, table.weights).eta < 0.25
    table, _ = log_of(3000, 5, eta=0.0, uniform=1.0)
    assert examination_of(table.acted, table.places, None, table.weights).eta < 0.05


def test_a_context_with_tastes_of_its_own_has_weights_of_its_own() -> None:
    found = learned(log_of(6000, 6, emails=0.4, in_email=1.6))
    heads = heads_of(found)
    assert found.report.heads["invited"].reads == "inputs by context"
    assert heads.contexts == ("email", "web")
    email, web, other = heads.weights[:, 0, 1]
    assert email == pytest.approx(0.8, abs=0.25)
    assert web == pytest.approx(-0.8, abs=0.25)
    assert web < other < email
    alike = learned(log_of(3000, 7, emails=0.4))
    assert alike.report.heads["invited"].reads == "inputs"


@pytest.mark.parametrize("name", ["least_invited", "least_accepted", "least_viewers"])
def test_too_few_outcomes_leave_links_alone_and_say_so(made: Table, name: str) -> None:
    found = learned(made, CONFIG.model_copy(update={name: 100_000}))
    assert found.heads is None
    assert not found.report.learned
    assert f"outcomes.{name}" in found.report.said
    assert found.report.shown == len(made[0])


def test_outcomes_that_follow_the_links_alone_leave_links_alone() -> None:
    tastes = {"invited": (-1.5, 0.9, 0.0), "accepted": (0.2, 0.0, 0.0), "dismissed": (-2.5, 0.0, 0.0)}
    table, logits = log_of(1500, 8, tastes=tastes)
    noise = np.random.default_rng(0).normal(size=(len(table), 6)).astype(np.float32)
    found = learned((replace(table, inputs=noise), logits), CONFIG.model_copy(update={"evidence_errors": 2.0}))
    assert found.heads is None
    assert "no head predicts better" in found.report.said


def test_an_input_that_hardly_differs_between_those_shown_tells_nobody_apart() -> None:
    table, logits = log_of(2500, 9)
    rare = np.zeros(len(table), np.float32)
    rare[np.flatnonzero(table.invited)[:12]] = 1  # twelve people, all of whom were invited
    made = replace(table, inputs=np.column_stack([table.inputs, rare]))

    def weight(scale: float) -> float:
        scales = np.array([1, 1, scale])
        found = learn_heads(made, logits, 0.9 * logits - 2, 0.9, scales, CONFIG, log=structlog.get_logger())
        return float(heads_of(found).weights[0, 0, 2])

    assert 0 < weight(0.5) < weight(1e-4) / 2, "as much as it differs between candidates"


def test_few_dismissals_leave_that_head_out(made: Table) -> None:
    found = learned(made, CONFIG.model_copy(update={"least_dismissed": 10**6}))
    heads = heads_of(found)
    assert set(found.report.heads) == {"invited", "accepted"}
    assert heads.powers.tolist() == [0, 1, 1, 0]
    assert not heads.weights[:, HEADS.index("dismissed")].any()


def test_predictions_that_are_worse_than_none_leave_everybody_the_share_that_came() -> None:
    random, m = np.random.default_rng(0), 4000
    odds = random.normal(1.0, 1.0, m)
    outcomes, ones = random.random(m) < 1 / (1 + np.exp(odds)), np.ones(m)
    problem = _Problem(
        odds[:, None], np.arange(m), outcomes, ones, ones, np.zeros(1), np.zeros(m, np.int64), OutcomesConfig()
    )
    slope, level = problem.calibration(odds)
    assert slope == 0
    assert 1 / (1 + np.exp(-level)) == pytest.approx(outcomes.mean(), abs=0.005)


def test_powers_of_the_configuration_order_the_lists(made: Table) -> None:
    table, logits = made
    alone = CONFIG.model_copy(update={"blend": BlendConfig(friendship=1, invited=0, accepted=0, dismissed=0)})
    heads = heads_of(learned(made, alone))
    scores = blend_of(heads.powers, 0.9 * logits - 2, heads.log_odds(table.inputs, logits, "web"))
    assert np.corrcoef(np.argsort(np.argsort(scores)), np.argsort(np.argsort(logits)))[0, 1] > 0.9999


def test_rows_left_out_are_stood_for(made: Table) -> None:
    table, _ = made
    thin, at = table.thinned(30_000, 0)
    assert len(thin) == 30_000
    np.testing.assert_array_equal(thin.inputs, table.inputs[at])
    assert thin.weights.sum() == pytest.approx(len(table))
    assert thin.invited.sum() == table.invited.sum()
    assert thin.dismissed.sum() == table.dismissed.sum()
    assert table.thinned(len(table), 0)[0] is table
    assert found_level(thin) == pytest.approx(found_level(table), abs=0.1)


@pytest.mark.parametrize("most", [20_000, 5_000, 1_000])
def test_more_people_acted_on_than_there_is_room_for_are_drawn_over_all_days(most: int) -> None:
    """A fifth of the people are acted on, and fewer and fewer of those are invited."""
    m, random = 200_000, np.random.default_rng(0)
    acted = random.random(m) < 0.2
    invited = acted & (random.random(m) < np.linspace(0.5, 0.1, m))
    zeros, nobody = np.zeros(m, np.int64), np.zeros(m, dtype=bool)
    inputs, lists = np.arange(m, dtype=np.float32)[:, None], np.arange(m) // 10
    table = OutcomeTable(
        lists, lists, inputs, zeros + 1, zeros, ("web",), nobody, acted, invited, nobody, nobody, np.ones(m)
    )
    thin, at = table.thinned(most, 0)
    assert len(thin) == most
    assert thin.weights.sum() == pytest.approx(m)
    assert thin.weights @ thin.invited / m == pytest.approx(invited.mean(), rel=0.02)
    assert thin.weights @ thin.acted / m == pytest.approx(0.2, rel=0.02)
    # early days, and lists in which many were acted on
    early, busy = at < m // 4, np.bincount(lists, acted)[table.lists[at]] >= 4
    assert thin.weights[early] @ thin.acted[early] / (m / 4) == pytest.approx(0.2, rel=0.15)
    true = acted[np.bincount(lists, acted)[lists] >= 4]
    assert thin.weights[busy] @ thin.acted[busy] / thin.weights[busy].sum() == pytest.approx(true.mean(), rel=0.1)


def test_a_table_in_which_everybody_was_acted_on_is_thinned() -> None:
    table, _ = log_of(300, 10)
    every = replace(table, acted=np.ones(len(table), dtype=bool))
    thin, _ = every.take(every.invited).thinned(100, 0)
    assert len(thin) == 100
    assert thin.weights.sum() == pytest.approx(table.invited.sum())


@pytest.fixture(scope="module")
def thin(made: Table) -> LearnedHeads:
    """Of a fifth of the rows."""
    return learned(made, CONFIG.model_copy(update={"most_rows": 12_000}))


def test_heads_of_a_thinned_log_are_those_of_the_whole(made: Table, found: LearnedHeads, thin: LearnedHeads) -> None:
    whole, part = heads_of(found), heads_of(thin)
    assert found.report.shown == thin.report.shown == len(made[0])
    assert found.report.invited == thin.report.invited, "what there is, not what was drawn"
    for at, name in enumerate(HEADS):
        level = whole.weights[0, at, -1] + whole.weights[0, at, 0]
        assert part.bias[0, at] == pytest.approx(whole.bias[0, at], abs=0.35), name
        assert part.weights[0, at, -1] + part.weights[0, at, 0] == pytest.approx(level, abs=0.25), name
        quality = thin.report.heads[name]
        assert quality.predicted == pytest.approx(quality.came, rel=0.1)
    assert thin.report.heads["invited"].came == pytest.approx(made[0].invited.sum(), rel=0.01)
    assert part.curve == pytest.approx(whole.curve, abs=0.2)


def test_the_order_is_judged_on_whole_lists(made: Table, found: LearnedHeads, thin: LearnedHeads) -> None:
    """The ratio is that of lists, not of what a draw of their rows leaves of them."""
    whole, part = found.report.accepted_ratio, thin.report.accepted_ratio
    assert whole is not None
    assert part is not None
    assert part.value == pytest.approx(whole.value, abs=0.06)
    table, _ = made
    earned = table.accepted & table.invited
    at = table.whole_lists(earned, 2000, 0)
    assert 1900 < len(at) <= 2000
    assert (np.bincount(table.lists[at])[np.unique(table.lists[at])] == 10).all()
    assert set(table.lists[at]) <= set(table.lists[earned])
    assert table.lists[at].max() > table.lists.max() * 0.9
    assert table.lists[at].min() < table.lists.max() * 0.1


def found_level(table: OutcomeTable) -> float:
    """Log-odds of an invitation that a fit without inputs finds."""
    one = np.ones((len(table), 1))
    looked = Examination(ETA, "modelled").of(table.places)
    return float(fit_head(one, table.invited, looked, table.weights, np.zeros(1), np.zeros(1), 100)[0])


def test_what_was_learned_is_read_again(found: LearnedHeads, made: Table, tmp_path: Path) -> None:
    heads = heads_of(found)
    heads.save(tmp_path)
    again = OutcomeHeads.open(tmp_path, made[0].inputs.shape[1])
    assert again is not None
    np.testing.assert_array_equal(again.weights, heads.weights)
