"""Scores with heads of outcomes: served in one pass as they are defined, explained, and kept in checked files."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import ArtefactError
from models.networks.ranker_head import RankerHead
from models.ranker.outcome_heads import DESCRIPTION, HEADS, LEAST_SLOPE, WEIGHTS, OutcomeHeads, blend_of, curve_of
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker, ViewerInputs, list_mass
from models.schema.statistic_names import LOG_DEGREE, WIDTHS
from models.setting_texts import BLENDED
from models.version.candidate_block import Block
from offline.ranker.calibration import fit_curve
from tests.support.models.ranker_networks import People, as_list, block, network, people, saved

CONTEXTS = ("email", "web")
AMONG = 12
"""of 30 candidates"""


def heads_of(model: RankerHead, seed: int, powers: tuple[float, ...] = (0.3, 1.0, 0.8, 0.5)) -> OutcomeHeads:
    random = np.random.default_rng(seed)
    inputs = len(model.mean)
    weights = random.normal(0, 0.05, (len(CONTEXTS) + 1, len(HEADS), inputs + 1)).astype(np.float32)
    bias = random.normal(0, 0.5, weights.shape[:2]).astype(np.float32)
    return OutcomeHeads(CONTEXTS, weights, bias, np.array(powers, np.float32), np.array([0.8, -0.3], np.float32), AMONG)


def as_defined(model: RankerHead, heads: OutcomeHeads, known: People, asked: Block, context: str) -> np.ndarray:
    """(m,) scores by the network, the calibration and the formula of the blend, in double precision."""
    read = as_list(with_product(known.towers, asked, known.towers.query(asked.viewer))).pair_inputs(known.statistics)
    with torch.no_grad():
        logits = model(torch.from_numpy(read))[0].numpy()
    slope, level, by_degree, by_mass = model.calibration.tolist()
    friendship = slope * logits + level + by_mass * list_mass(logits)
    friendship += by_degree * known.statistics[asked.viewer, LOG_DEGREE]
    at = {"email": 0, "web": 1}.get(context, 2)
    odds = read[0].astype(np.float64) @ heads.weights[at, :, :-1].T + logits[:, None] * heads.weights[at, :, -1]
    invited, accepted, dismissed = (1 / (1 + np.exp(-one)) for one in (odds + heads.bias[at]).T)
    friends = 1 / (1 + np.exp(-friendship))
    f, i, c, d = heads.powers.tolist()
    s = f * np.log(friends) + i * np.log(invited) + c * np.log(accepted) + d * np.log(1 - dismissed)
    s -= 10 * np.maximum(np.sort(friendship)[-AMONG] - friendship, 0)
    return np.asarray(1 / (1 + np.exp(-(heads.curve[0] * s + heads.curve[1]))))


@pytest.mark.parametrize("context", ["email", "web", "a context that the night did not know"])
@pytest.mark.parametrize(("seed", "width"), [(0, WIDTHS[0]), (1, WIDTHS[1]), (2, WIDTHS[0])])
def test_served_scores_are_those_of_the_definition(tmp_path: Path, seed: int, width: int, context: str) -> None:
    model = network(seed, width)
    if seed == 2:
        with torch.no_grad():
            model.last.weight[:] = 0  # a ranker without layers
    known, asked, heads = people(model, seed), block(seed), heads_of(model, seed)
    heads.save(saved(model, tmp_path))
    expected = as_defined(model, heads, known, asked, context)
    assert np.ptp(expected) > 0.02
    ranker = Ranker.open(tmp_path)
    found = ranker.scores(known, asked, context)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)
    own = ViewerInputs.of(known, asked.viewer)
    np.testing.assert_array_equal(ranker.scores(known, asked, context, own), found)


def test_contexts_have_weights_of_their_own(tmp_path: Path) -> None:
    model = network(4)
    heads_of(model, 4).save(saved(model, tmp_path))
    known, asked, ranker = people(model, 4), block(4), Ranker.open(tmp_path)
    every = [ranker.scores(known, asked, context) for context in (*CONTEXTS, "other")]
    assert min(np.abs(one - other).max() for one, other in pairwise(every)) > 0.01


def test_without_heads_scores_are_those_of_links_to_the_bit(tmp_path: Path) -> None:
    model = network(5)
    known, asked, alone = people(model, 5), block(5), Ranker.open(saved(model, tmp_path))
    links = alone.scores(known, asked, "web")
    heads_of(model, 5).save(tmp_path)
    ranker = Ranker.open(tmp_path)
    assert np.abs(ranker.scores(known, asked, "web") - links).max() > 0.01
    np.testing.assert_array_equal(ranker.with_outcomes(None).scores(known, asked, "web"), links)
    np.testing.assert_array_equal(ranker.logits(known, asked), alone.logits(known, asked))
    again = alone.with_outcomes(heads_of(model, 5))
    np.testing.assert_array_equal(again.scores(known, asked, "web"), ranker.scores(known, asked, "web"))
    assert alone.outcomes is None


def test_plain_heads_leave_the_scores_of_links(tmp_path: Path) -> None:
    model = network(6)
    known, asked, alone = people(model, 6), block(6), Ranker.open(saved(model, tmp_path))
    plain = alone.with_outcomes(OutcomeHeads.plain(alone.inputs))
    links = alone.scores(known, asked, "web").astype(np.float64)
    of_log = np.log(links)  # a power of one of the probability, as log-odds
    np.testing.assert_allclose(plain.scores(known, asked, "web"), 1 / (1 + np.exp(-of_log)), rtol=1e-4)


def test_nobody_has_no_scores(tmp_path: Path) -> None:
    model = network(6)
    heads_of(model, 6).save(saved(model, tmp_path))
    nobody = block(6, 1)
    nobody = replace(nobody, rows=nobody.rows[:0], sources=nobody.sources[:0], codes=nobody.codes[:, :0])
    assert Ranker.open(tmp_path).scores(people(model, 6), nobody, "web").shape == (0,)


def test_whoever_is_not_among_the_best_by_links_stays_behind_in_their_order(tmp_path: Path) -> None:
    model = network(3)
    heads_of(model, 3).save(saved(model, tmp_path))
    known, asked, ranker = people(model, 3), block(3), Ranker.open(tmp_path)
    logits, scores = ranker.logits(known, asked), ranker.scores(known, asked, "web")
    order = np.argsort(-logits)
    far = order[AMONG:][logits[order[AMONG:]] < logits[order[AMONG - 1]] - 1]
    assert len(far) > 5
    assert scores[far].max() < scores[order[:AMONG]].min()
    few = replace(heads_of(model, 3), among=len(asked))
    assert (ranker.with_outcomes(few).scores(known, asked, "web") >= scores - 1e-6).all()


@pytest.mark.parametrize("context", ["email", "elsewhere"])
@pytest.mark.parametrize("seed", range(3))
def test_what_the_inputs_contribute_adds_up_to_the_score(tmp_path: Path, seed: int, context: str) -> None:
    model = network(seed)
    known, asked = people(model, seed), block(seed)
    heads_of(model, seed).save(saved(model, tmp_path))
    ranker = Ranker.open(tmp_path)
    scores = ranker.scores(known, asked, context)
    for place in (0, 11, 29):
        told = ranker.explained(known, asked, place, context)
        assert told.probability == scores[place]
        assert 1 / (1 + np.exp(-told.log_odds)) == pytest.approx(told.probability, rel=1e-3)
        assert told.starting_point + sum(told.contributions.values()) + told.residual == pytest.approx(told.log_odds)
        assert abs(told.residual) < 0.05 + 0.01 * abs(told.log_odds)
    links = ranker.with_outcomes(None).explained(known, asked, 0, context)
    assert (
        max(
            abs(links.contributions[name] - ranker.explained(known, asked, 0, context).contributions[name])
            for name in links.contributions
        )
        > 0.01
    )


def test_heads_are_read_again_as_they_were_kept(tmp_path: Path) -> None:
    model = network(7)
    kept = with_shown(heads_of(model, 7))
    kept.save(tmp_path)
    again = OutcomeHeads.open(tmp_path, len(model.mean))
    assert again is not None
    assert again.contexts == kept.contexts
    for name in ("weights", "bias", "powers", "curve", "shown"):
        np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
    assert OutcomeHeads.open(tmp_path / "nothing", 3) is None


def with_shown(heads: OutcomeHeads, seed: int = 0) -> OutcomeHeads:
    """The heads, with what they say of 3,000 people, and the curve of their powers."""
    random = np.random.default_rng(seed)
    shown = random.normal([-2, -1, 0, -3], [1.5, 1, 0.7, 0.5], (3000, 1 + len(HEADS)))
    shown[:, 1:] += 0.4 * shown[:, :1]
    curve = curve_of(blend_of(heads.powers, shown[:, 0], shown[:, 1:]), shown[:, 0])
    return replace(heads, shown=shown.astype(np.float32), curve=curve)


OTHERS = {"friendship": 0.0, "accepted": 2.5}


@pytest.mark.parametrize("context", ["email", "elsewhere"])
def test_other_powers_are_served_as_they_are_defined(tmp_path: Path, context: str) -> None:
    model = network(11)
    heads = with_shown(heads_of(model, 11))
    heads.save(saved(model, tmp_path))
    known, asked, ranker = people(model, 11), block(11), Ranker.open(tmp_path)
    before = ranker.scores(known, asked, context)
    other = ranker.blended(tuple(sorted(OTHERS.items())))
    expected = as_defined(model, heads.with_powers(OTHERS), known, asked, context)
    np.testing.assert_allclose(other.scores(known, asked, context), expected, rtol=2e-4, atol=1e-6)
    assert np.abs(expected - before).max() > 0.01
    np.testing.assert_array_equal(ranker.scores(known, asked, context), before)
    assert ranker.blended(tuple(sorted(OTHERS.items()))).outcomes is other.outcomes, "found once"
    told = other.explained(known, asked, 3, context)
    assert told.probability == other.scores(known, asked, context)[3]


def test_a_ranker_without_heads_has_no_blend(tmp_path: Path) -> None:
    ranker = Ranker.open(saved(network(12), tmp_path))
    assert ranker.blended((("accepted", 2.0),)) is ranker


def test_the_score_stays_a_probability_of_friendship_under_other_powers() -> None:
    heads = with_shown(heads_of(network(13), 13))
    other = heads.with_powers(OTHERS)
    np.testing.assert_array_equal(other.powers, np.array([0, 1, 2.5, 0.5], np.float32))
    shown = heads.shown.astype(np.float64)
    friends = 1 / (1 + np.exp(-shown[:, 0]))
    log_odds = other.curve[0] * blend_of(other.powers, shown[:, 0], shown[:, 1:]) + other.curve[1]
    scores = 1 / (1 + np.exp(-log_odds))
    order = np.argsort(scores)
    for part in np.array_split(order, 3):
        assert scores[part].mean() == pytest.approx(friends[part].mean(), rel=0.15)
    assert heads.with_powers(dict(zip(BLENDED, heads.powers.tolist(), strict=True))) is heads


def test_the_curve_is_that_of_the_night() -> None:
    heads = with_shown(heads_of(network(14), 14))
    shown = heads.shown.astype(np.float64)
    blended = blend_of(heads.powers, shown[:, 0], shown[:, 1:])
    night = fit_curve(blended[:, None], 1 / (1 + np.exp(-shown[:, 0])))
    np.testing.assert_allclose(curve_of(blended, shown[:, 0]), night, rtol=1e-3)
    assert curve_of(-blended, shown[:, 0])[0] == pytest.approx(LEAST_SLOPE), "the order is never turned"


def test_a_head_that_the_night_left_out_stays_out_and_nobody_is_ranked_by_nothing() -> None:
    heads = with_shown(heads_of(network(15), 15))
    heads.weights[:, 2], heads.bias[:, 2] = 0, 0
    assert heads.with_powers({"dismissed": 3.0, "invited": 2.0}).powers[3] == 0
    assert heads.with_powers(dict.fromkeys(BLENDED, 0.0)) is heads


def test_heads_of_an_earlier_release_keep_their_curve(tmp_path: Path) -> None:
    kept = heads_of(network(16), 16)
    kept.save(tmp_path)
    again = OutcomeHeads.open(tmp_path, len(network(16).mean))
    assert again is not None
    assert len(again.shown) == 0
    np.testing.assert_array_equal(again.with_powers(OTHERS).curve, kept.curve)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("fault", ["shorter", "altered"])
def test_damaged_heads_are_named(tmp_path: Path, name: str, fault: str) -> None:
    model = network(8)
    heads_of(model, 8).save(saved(model, tmp_path))
    content = (tmp_path / name).read_bytes()
    at = content.index(b"email") if name == DESCRIPTION else len(content) - 2
    changed = content[:-9] if fault == "shorter" else content[:at] + b"E" + content[at + 1 :]
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(ArtefactError, match=name):
        Ranker.open(tmp_path)


def test_heads_of_another_ranker_are_refused(tmp_path: Path) -> None:
    heads_of(network(9, WIDTHS[1]), 9).save(saved(network(9), tmp_path))
    with pytest.raises(ArtefactError, match="run pymk nightly again"):
        Ranker.open(tmp_path)
