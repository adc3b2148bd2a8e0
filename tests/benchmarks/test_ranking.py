"""The steps between a block and the JSON of a list, each measured alone and held to a plainer way to the same end."""

import json
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from models.schema.columns import Flag
from models.version.candidate_block import Block
from service.ranking.filters import (
    RULES_OF_PAIR,
    FilterMasks,
    Rule,
    apply_filters,
    name_of,
)
from service.ranking.pipeline import Ranking
from service.ranking.ranked_list import RankedList
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer

pytestmark = pytest.mark.benchmark(group="steps", warmup=True, min_rounds=1000)

TOLERANCE = 2e-4
"""of a logit: the order of the sums differs"""


def reranked(ranking: Ranking, block: Block, viewer: Viewer) -> RankedList:
    """The 20 of a block, after all rules."""
    passing, _ = ranking.filter(ranking.score(ranking.reader.read(block, viewer), "web", Trace()), viewer, Trace())
    listed = ranking.rerank(passing, "web", 20, viewer, Trace())
    assert listed is not None
    return listed


def test_ranking(benchmark: Any, world: Any, each_block: "cycle[Block]", network: Any, logits_of: Any) -> None:
    scores = benchmark(lambda: world.ranker.scores(world.tables, next(each_block), "web"))
    assert len(scores) == 1000
    for block in world.blocks[:8]:
        mine, theirs = world.ranker.logits(world.tables, block), logits_of(network, block)
        assert mine == pytest.approx(theirs, abs=TOLERANCE, rel=1e-4)
        best = np.argsort(-theirs)[:20]
        apart = np.append(np.diff(theirs[best]) < -2 * TOLERANCE, True)
        if apart.all():
            assert np.argsort(-mine)[:20].tolist() == best.tolist()


def test_rules(benchmark: Any, world: Any, each_block: "cycle[Block]") -> None:
    verdicts = FilterMasks(world.tables)
    prepared = cycle([(block.viewer, block.rows) for block in world.blocks])

    def judged() -> dict[str, int]:
        return apply_filters(verdicts.of(*next(prepared), world.tables.flags)).dropped

    benchmark(judged)
    tables, dropped = world.tables, 0
    for block in world.blocks:
        friends = set(tables.graph.neighbours(block.viewer).tolist())
        start, barred = tables.forbidden.indptr[block.viewer], tables.forbidden.neighbours(block.viewer)
        kinds = tables.forbidden_kinds[start : start + len(barred)]
        never = dict(zip(barred.tolist(), RULES_OF_PAIR[kinds].tolist(), strict=True))
        for row, verdict in zip(block.rows.tolist(), verdicts.of(block.viewer, block.rows, tables.flags), strict=True):
            flags = int(tables.flags[row])
            wanted = Rule.CONNECTED * (row in friends) | never.get(row, 0)
            wanted |= Rule.SELF * (row == block.viewer)
            wanted |= Rule.UNDISCOVERABLE * (not flags & Flag.DISCOVERABLE)
            wanted |= Rule.INACTIVE * (not flags & Flag.ACTIVE)
            assert int(verdict) == wanted
            dropped += bool(wanted)
    assert dropped > len(world.blocks), "there is something to drop in most blocks"
    assert name_of(Rule.CONNECTED) == "connected"


def test_block(benchmark: Any, world: Any) -> None:
    records = cycle(world.records)
    block = benchmark(lambda: Block.unpack(next(records)))
    assert len(block) == 1000
    assert all(Block.unpack(record).pack() == record for record in world.records)


def test_json(benchmark: Any, world: Any) -> None:
    ranking = Ranking(world.tables, world.ranker, RerankSettings(Diversity("company", 5)))
    viewers = [Viewer("", block.viewer) for block in world.blocks]
    lists = [reranked(ranking, block, viewer) for block, viewer in zip(world.blocks, viewers, strict=True)]
    turn = cycle(zip(lists, viewers, strict=True))

    def encoded(listed: RankedList, viewer: Viewer) -> bytes:
        return ranking.encode(listed, viewer, ranking.friends(viewer)).text

    benchmark(lambda: encoded(*next(turn)))
    vocabulary = world.tables.vocabulary
    for listed, viewer in zip(lists, viewers, strict=True):
        shown = json.loads(b"[%b]" % encoded(listed, viewer))
        assert [one["user_id"] for one in shown] == [vocabulary.user_id(row) for row in listed.rows.tolist()]
        assert [one["score"] for one in shown] == pytest.approx(listed.scores.tolist(), abs=1e-4)
        assert [one["position"] for one in shown] == list(range(1, 21))
        for one, row in zip(shown, listed.rows.tolist(), strict=True):
            mutual = np.intersect1d(world.tables.graph.neighbours(listed.viewer), world.tables.graph.neighbours(row))
            told = [reason for reason in one["reasons"] if reason["code"] == "mutual_connections"]
            shown_count = told[0]["count"] if told else 0
            visible = (world.tables.flags[mutual] & (Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE)) == (
                Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE
            )
            assert shown_count <= int(visible.sum())


def test_from_block_to_json(benchmark: Any, world: Any) -> None:
    ranking, records = (
        Ranking(world.tables, world.ranker, RerankSettings(Diversity("company", 5))),
        cycle(world.records),
    )

    def ranked() -> bytes:
        block = Block.unpack(next(records))
        viewer = Viewer("", block.viewer)
        return ranking.encode(reranked(ranking, block, viewer), viewer, ranking.friends(viewer)).text

    assert len(json.loads(b"[%b]" % benchmark(ranked))) == 20
