"""A thousand lists, each against the trained network in torch and rules told in sets: the fast way answers the same."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.networks import checkpoint
from models.ranker.ranker import MASS_OF
from models.schema.columns import Flag
from models.schema.statistic_names import LOG_DEGREE
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from service.ranking.kernels.sorting import mixed
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.tie_break import id_hashes
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.query import Query

VIEWERS = 1000
PLACES = 20
MOST = 5
"""of one company on a page"""
TOLERANCE = 2e-4
"""of a logit: the order of the sums differs"""


@pytest.fixture(scope="module")
def blocks(world: Any) -> list[Block]:
    """The blocks of the viewers."""
    held = Blocks.open(world.directory / "blocks", world.tables.n)
    rows = np.random.default_rng(1).choice(held.rows(), VIEWERS, replace=False).tolist()
    return [Block.unpack(held.record(row)) for row in rows]


def allowed(tables: Any, block: Block) -> np.ndarray:
    """(m,) bool: whom no rule forbids, told in sets."""
    friends = set(tables.graph.neighbours(block.viewer).tolist())
    never = set(tables.forbidden.neighbours(block.viewer).tolist())
    shown = Flag.DISCOVERABLE | Flag.ACTIVE
    out = friends | never | {block.viewer}
    return np.array([row not in out and (int(tables.flags[row]) & shown) == shown for row in block.rows.tolist()])


def page(order: list[int], companies: list[int]) -> list[int]:
    """The first places of an order: at most MOST of one company, filled up with whom that put aside."""
    chosen: list[int] = []
    waiting: list[int] = []
    taken: Counter[int] = Counter()
    for place in order:
        company = companies[place]
        if company >= 0 and taken[company] == MOST:
            waiting.append(place)
            continue
        taken[company] += 1
        chosen.append(place)
        if len(chosen) == PLACES:
            break
    chosen += waiting[: PLACES - len(chosen)]
    return sorted(chosen, key=order.index)


def reference(
    model: Any, logits: np.ndarray, tables: Any, hashes: np.ndarray, block: Block
) -> tuple[list[int], np.ndarray, bool]:
    """Rows of the list, their scores, and whether the sums could have come out in no other order."""
    found = logits.astype(np.float64)
    edges = mixed(hashes[[block.viewer]].astype(np.uint64) << np.uint64(32) | hashes[block.rows])
    passing = np.flatnonzero(allowed(tables, block))
    order = sorted(passing.tolist(), key=lambda place: (-found[place], edges[place]))
    companies = tables.categorical_codes[:, tables.categorical_columns.index("company")]
    chosen = page(order, companies[block.rows].tolist())
    last = order.index(chosen[-1]) + 2
    apart = bool((np.diff(found[order[:last]]) < -2 * TOLERANCE).all())
    slope, level, by_degree, by_mass = model.calibration.numpy().astype(np.float64)
    mass = np.log(np.exp(np.sort(found)[-MASS_OF:]).mean())
    odds = slope * found[chosen] + level + by_degree * tables.statistics[block.viewer, LOG_DEGREE] + by_mass * mass
    return block.rows[chosen].tolist(), 1 / (1 + np.exp(-odds)), apart


def fail(reason: str, error: Exception) -> None:
    raise error


def served(world: Any, ranking: Ranking, block: Block) -> tuple[list[str], list[float]]:
    """Ids and scores of the list as it is answered."""
    version: Any = SimpleNamespace(version="v", ranking=ranking, tables=world.tables, arms={})
    viewer = Viewer(world.tables.vocabulary.user_id(block.viewer), block.viewer)
    query = Query(viewer.user_id, PLACES, "web")
    answer = responses.from_block(query, version, viewer, block, Trace(), fail, cacheable=True)
    assert answer is not None
    shown = json.loads(b"[%b]" % answer.entries)
    return [one["user_id"] for one in shown], [one["score"] for one in shown]


def test_a_thousand_lists_are_those_of_the_network(
    world: Any, network: Any, logits_of: Any, blocks: list[Block]
) -> None:
    ranking = Ranking(world.tables, world.ranker, RerankSettings(Diversity("company", MOST)))
    vocabulary, hashes = world.tables.vocabulary, id_hashes(world.tables.vocabulary)
    certain = 0
    for block in blocks:
        rows, scores, apart = reference(network, logits_of(network, block), world.tables, hashes, block)
        ids, answered = served(world, ranking, block)
        assert len(ids) == len(set(ids)) == PLACES
        np.testing.assert_allclose(answered, scores, atol=1e-4, rtol=1e-3)
        if apart:
            assert ids == [vocabulary.user_id(row) for row in rows]
            certain += 1
    assert certain > 0.8 * VIEWERS, "most lists leave no doubt about their order"


def test_lists_of_another_network_are_others(
    world: Any, network: Any, logits_of: Any, blocks: list[Block], tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / "ranker", network, network.config, {})
    other: Any = checkpoint.load(tmp_path / "ranker").model
    with torch.no_grad():
        other.second.weight[0] += 0.5
    hashes = id_hashes(world.tables.vocabulary)
    by_one, by_other = (
        [reference(model, logits_of(model, block), world.tables, hashes, block)[0] for block in blocks[:50]]
        for model in (network, other)
    )
    changed = sum(one != another for one, another in zip(by_one, by_other, strict=True))
    assert changed > 25, "a unit that says something else is seen in the lists"
