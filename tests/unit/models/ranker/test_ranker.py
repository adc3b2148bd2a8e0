"""Scoring without torch: equal to the trained network, with probabilities, and files that are checked."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import ArtefactError, CorruptRecordError
from models.networks.ranker_head import RankerHead
from models.ranker.product_feature import with_product
from models.ranker.ranker import Ranker, ViewerInputs, list_mass
from models.schema.candidate_sources import Source, names
from models.schema.pair_features import (
    ALLOCATION,
    EXTRA_INPUTS,
    KEPT_FEATURES,
    PAIR_FEATURES,
    extra_input_names,
    extra_inputs,
)
from models.schema.statistic_names import ALL_STATISTICS, LOG_DEGREE, STATISTICS, WIDTHS
from models.system import files
from models.version.candidate_block import Block, quantise
from models.version.towers import Towers
from tests.support.models.ranker_networks import N, People, as_list, block, network, people, saved

POSITION = EXTRA_INPUTS.index("log_position")


def whole(known: People, asked: Block) -> Block:
    """A block as training reads it: with the product of the towers, in floats, and quantised like the others."""
    towers = known.towers
    product = (towers.codes[asked.rows] * towers.scales) @ towers.query(asked.viewer)
    named = np.sign(product) * np.log1p(100 * np.abs(product))
    last = quantise(asked.viewer, asked.rows, asked.sources, named[None].astype(np.float32))
    joined = [np.concatenate([one, other]) for one, other in zip(asked_parts(asked), asked_parts(last), strict=True)]
    return Block(asked.viewer, asked.rows, asked.sources, *joined)


def asked_parts(asked: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return asked.codes, asked.low, asked.high


def of_network(model: RankerHead, known: People, asked: Block) -> np.ndarray:
    """(m,) scores by the network itself, from what training would give it."""
    joined = with_product(known.towers, asked, known.towers.query(asked.viewer))
    with torch.no_grad():
        return model(torch.from_numpy(as_list(joined).pair_inputs(known.statistics)))[0].numpy()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", WIDTHS)
def test_scores_are_those_of_the_network(tmp_path: Path, seed: int, width: int) -> None:
    model = network(seed, width)
    known, asked = people(model, seed), block(seed)
    ranker = Ranker.open(saved(model, tmp_path))
    expected = of_network(model, known, asked)
    assert np.ptp(expected) > 1
    found = ranker.logits(known, asked)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    again = Block.unpack(asked.pack())
    np.testing.assert_array_equal(ranker.logits(known, again), found)


def test_a_head_that_is_linear_has_no_layers_to_compute(tmp_path: Path) -> None:
    model = network(3)
    with torch.no_grad():
        model.last.weight[:] = 0
    known, asked = people(model, 3), block(3)
    expected = of_network(model, known, asked)
    assert np.ptp(expected) > 1
    found = Ranker.open(saved(model, tmp_path)).logits(known, asked)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_product_joins_the_block_on_the_levels_of_the_others(seed: int) -> None:
    known, asked = people(network(0), seed), block(seed)
    expected, found = whole(known, asked), with_product(known.towers, asked, known.towers.query(asked.viewer))
    assert np.abs(found.codes.astype(int) - expected.codes).max() <= 1  # two ways of rounding
    np.testing.assert_array_equal(found.codes[:-1], asked.codes)
    np.testing.assert_allclose(found.low, expected.low, rtol=1e-3)
    np.testing.assert_allclose(found.high, expected.high, rtol=1e-3)
    assert with_product(known.towers, found, known.towers.query(asked.viewer)) is found


def test_another_query_gives_other_scores_and_one_of_another_length_is_refused(tmp_path: Path) -> None:
    model = network(5)
    known, asked, ranker = people(model, 5), block(5), Ranker.open(saved(model, tmp_path))
    own = ViewerInputs.of(known, asked.viewer)
    np.testing.assert_array_equal(ranker.logits(known, asked, own), ranker.logits(known, asked))
    other = replace(own, query=known.towers.query(int(asked.rows[3])))
    assert np.abs(ranker.logits(known, asked, other) - ranker.logits(known, asked)).max() > 0.01
    with pytest.raises(CorruptRecordError, match="dimensions"):
        ranker.logits(known, asked, replace(own, query=own.query[1:]))


def test_towers_of_no_dimension_have_no_product() -> None:
    asked = block(1)
    joined = with_product(Towers.none(N), asked, np.zeros(0, np.float32))
    assert not joined.codes[-1].any()
    assert not joined.values()[-1].any()


def test_scores_are_kept_whatever_is_scored_after_them(tmp_path: Path) -> None:
    model = network(4)
    ranker, known = Ranker.open(saved(model, tmp_path)), people(model, 4)
    asked = [block(seed, m) for seed, m in enumerate((30, 7, 1, 40, 30))]
    alone = [Ranker.open(tmp_path).logits(known, one) for one in asked]
    together = [ranker.logits(known, one) for one in asked]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: [ranker.logits(known, one) for one in asked], range(40)):
            for one, other in zip(alone, found, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_extra_inputs_are_what_they_are_called() -> None:
    statistics = people(network(0), 0).statistics
    common, sources = (
        np.log1p(np.array([3, 0], np.float32)),
        np.array([Source.RANDOM_WALK | Source.POPULAR, 8], np.uint8),
    )
    inputs = extra_inputs(common, statistics[[4, 5]], statistics[3], sources)
    friends = np.expm1(statistics[[3, 4, 5], LOG_DEGREE])
    named = dict(zip(EXTRA_INPUTS, inputs.T, strict=True))
    np.testing.assert_allclose(named["jaccard"], [np.log1p(50 * 3 / (friends[0] + friends[1] - 3)), 0], rtol=1e-4)
    np.testing.assert_allclose(named["log_position"], [0, np.log(2)], rtol=1e-6)
    for at, name in enumerate(STATISTICS):
        np.testing.assert_array_equal(named[f"candidate_{name}"], statistics[[4, 5], at])
    marked = [{name for name in named if name.startswith("source_") and named[name][at]} for at in (0, 1)]
    assert marked == [{f"source_{name}" for name in names(int(bits))} for bits in sources]


def test_the_order_of_the_block_changes_nothing_but_the_position(tmp_path: Path) -> None:
    model = network(2)
    with torch.no_grad():  # the position is an input by design; without its weights, order must not matter at all
        at = 2 * len(PAIR_FEATURES) + POSITION
        model.first.weight[:, at] = 0
        model.past.weight[:, at] = 0
    known, asked = people(model, 2), block(2)
    order = np.random.default_rng(0).permutation(len(asked))
    turned = replace(asked, rows=asked.rows[order], sources=asked.sources[order], codes=asked.codes[:, order])
    ranker = Ranker.open(saved(model, tmp_path))
    for ask in (ranker.logits, lambda tables, one: ranker.scores(tables, one, "web")):
        np.testing.assert_allclose(ask(known, turned), ask(known, asked)[order], atol=1e-5)
    with_position = Ranker.open(saved(network(2), tmp_path))
    assert np.abs(with_position.logits(known, turned) - with_position.logits(known, asked)[order]).max() > 0.01


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_lie_between_0_and_1_and_increase_with_the_scores(tmp_path: Path, seed: int) -> None:
    model = network(seed)
    with torch.no_grad():
        model.last.weight.mul_(0.3)  # float32 has no probability between 1 - 3e-8 and 1
        model.past.weight.mul_(0.3)
    known, asked = people(model, seed), block(seed)
    ranker = Ranker.open(saved(model, tmp_path))
    logits, scores = ranker.logits(known, asked), ranker.scores(known, asked, "web")
    assert scores.dtype == np.float32
    assert ((scores > 0) & (scores < 1)).all()
    assert (np.diff(scores[np.argsort(logits)]) >= 0).all()
    # slope 0.7, level -1, 0.2 by the viewer's degree, -0.1 by the mass of the list
    mass = np.log(np.mean(np.exp(np.sort(logits)[-20:])))
    odds = 0.7 * logits - 1 + 0.2 * known.statistics[asked.viewer, LOG_DEGREE] - 0.1 * mass
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-odds)), rtol=1e-4)


def test_however_far_the_scores_lie_they_stay_probabilities(tmp_path: Path) -> None:
    ranker = Ranker.open(saved(network(0), tmp_path))
    logits = np.array([-3e4, -200, -30, 0, 30, 200, 3e4], np.float32)
    scores = ranker.calibrated(logits, 3.0)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()
    assert ranker.calibrated(logits[:0], 3.0).shape == (0,)


def test_the_mass_of_a_list_is_that_of_its_best_twenty() -> None:
    logits = np.random.default_rng(0).normal(size=50).astype(np.float32)
    assert list_mass(logits) == pytest.approx(np.log(np.exp(np.sort(logits)[-20:]).mean()), rel=1e-5)
    assert list_mass(logits[:3]) == pytest.approx(np.log(np.exp(logits[:3]).mean()), rel=1e-5)
    assert list_mass(logits + 1000) == pytest.approx(list_mass(logits) + 1000, rel=1e-5)


def test_what_another_ranker_reads_is_refused(tmp_path: Path) -> None:
    model = network(1)
    ranker, known, asked = Ranker.open(saved(model, tmp_path)), people(model, 1), block(1)
    fewer = Block(asked.viewer, asked.rows, asked.sources, asked.codes[1:], asked.low[1:], asked.high[1:])
    with pytest.raises(CorruptRecordError, match="number"):
        ranker.logits(known, fewer)
    with pytest.raises(CorruptRecordError, match="number"):
        ranker.logits(known, asked, ViewerInputs(known.statistics[0, 1:], known.towers.query(0)))


def fallback(directory: Path, **changed: Any) -> Path:
    files.write_json(
        directory / "ranker.json", {"kind": "resource_allocation", "calibration": [1.0, -9.0, 0.0, 0.0], **changed}
    )
    return directory


def test_without_weights_resource_allocation_ranks(tmp_path: Path) -> None:
    known, asked = people(network(0), 0), block(0)
    ranker = Ranker.open(fallback(tmp_path))
    logits = ranker.logits(known, asked)
    np.testing.assert_allclose(logits, asked.values()[ALLOCATION], rtol=1e-6)
    np.testing.assert_allclose(ranker.scores(known, asked, "web"), 1 / (1 + np.exp(9 - logits)), rtol=1e-5)


def test_a_viewer_without_friends_gets_users_of_high_degree_first(tmp_path: Path) -> None:
    known, asked = people(network(0), 0), block(0)
    nothing = quantise(asked.viewer, asked.rows, asked.sources, np.zeros((len(KEPT_FEATURES), len(asked)), np.float32))
    scores = Ranker.open(fallback(tmp_path)).scores(known, nothing, "web")
    degrees = known.statistics[asked.rows, LOG_DEGREE]
    assert (np.diff(scores[np.argsort(degrees)]) >= 0).all()
    assert len(np.unique(scores)) > 1


@pytest.mark.parametrize("trained", [True, False])
def test_an_empty_block_has_no_scores(tmp_path: Path, trained: bool) -> None:
    model = network(0)
    ranker = Ranker.open(saved(model, tmp_path) if trained else fallback(tmp_path))
    nobody = quantise(3, np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.zeros((len(KEPT_FEATURES), 0), np.float32))
    assert ranker.scores(people(model, 0), nobody, "web").shape == (0,)


@pytest.mark.parametrize("name", ["ranker.safetensors", "ranker.json"])
def test_missing_truncated_and_altered_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = saved(network(0), tmp_path) / name
    content = path.read_bytes()
    for at in (0, 9, len(content) // 2, len(content) - 2):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for damaged in (content[:at], altered):
            path.write_bytes(damaged)
            with pytest.raises(ArtefactError, match=name):
                Ranker.open(tmp_path)
    path.unlink()
    with pytest.raises(ArtefactError, match=name):
        Ranker.open(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'"resource_allocation"',
        b'{"kind": "resource_allocation"}',
        b'{"kind": "resource_allocation", "calibration": [1, 2]}',
        b'{"kind": "resource_allocation", "calibration": "steep"}',
    ],
)
def test_an_altered_description_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ranker.json").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"ranker\.json"):
        Ranker.open(tmp_path)


def test_weights_for_other_features_are_refused(tmp_path: Path) -> None:
    config = network(0).config.model_copy(update={"pair_features": PAIR_FEATURES[::-1]})
    with pytest.raises(ArtefactError, match="other features"):
        Ranker.open(saved(RankerHead(config), tmp_path))


def test_a_whole_description_of_other_weights_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        saved(network(seed), tmp_path / str(seed))
    (tmp_path / "1" / "ranker.json").write_bytes((tmp_path / "0" / "ranker.json").read_bytes())
    with pytest.raises(ArtefactError, match=r"ranker\.safetensors"):
        Ranker.open(tmp_path / "1")


@pytest.mark.parametrize("seed", range(5))
def test_an_explanation_adds_up_to_the_score_that_is_served(tmp_path: Path, seed: int) -> None:
    model = network(seed)
    ranker, tables, asked = Ranker.open(saved(model, tmp_path)), people(model, seed), block(seed)
    scores = ranker.scores(tables, asked, "web")
    for place in (0, 7, 29):
        told = ranker.explained(tables, asked, place, "web")
        assert told.probability == scores[place]
        assert told.starting_point + sum(told.contributions.values()) + told.residual == pytest.approx(told.log_odds)
        assert abs(told.residual) < 0.02
        assert 1 / (1 + np.exp(-told.log_odds)) == pytest.approx(told.probability, rel=1e-4)
        assert list(told.inputs) == list(told.contributions) == [*PAIR_FEATURES, *EXTRA_INPUTS]
        assert told.inputs["resource_allocation"] == pytest.approx(asked.values()[ALLOCATION, place])
        towers = tables.towers
        product = towers.query(asked.viewer) @ (towers.codes[asked.rows[place]] * towers.scales)
        assert told.tower_product == pytest.approx(float(product), rel=0.05, abs=0.01)  # rounded to a byte


def test_the_fallback_is_explained_by_resource_allocation_alone(tmp_path: Path) -> None:
    model = network(1)
    tables, asked = people(model, 1), block(1)
    ranker = Ranker("resource_allocation", np.array([0.5, -2.0, 0.1, 0.2], np.float32), {}, {})
    told = ranker.explained(tables, asked, 3, "web")
    assert told.probability == ranker.scores(tables, asked, "web")[3]
    assert [name for name, share in told.contributions.items() if share] == ["resource_allocation"]
    assert abs(told.residual) < 1e-5
    assert told.tower_product is None
    whole = with_product(tables.towers, asked, tables.towers.query(asked.viewer))
    assert ranker.explained(tables, whole, 3, "web") == told, "a block that holds the product too"


def test_a_ranker_with_dates_tells_its_inputs_and_reads_no_table_without_them(tmp_path: Path) -> None:
    model, width = network(2, width=len(ALL_STATISTICS)), len(ALL_STATISTICS)
    known, asked = people(model, 2), block(2)
    ranker = Ranker.open(saved(model, tmp_path))
    told = ranker.explained(known, asked, 4, "web")
    assert list(told.inputs) == [*PAIR_FEATURES, *extra_input_names(width)]
    assert told.inputs["candidate_late_10"] == pytest.approx(known.statistics[asked.rows[4], 6])
    assert abs(told.residual) < 0.02
    undated = People(known.towers, known.statistics[:, : len(STATISTICS)])
    with pytest.raises(CorruptRecordError):
        ranker.logits(undated, asked)
