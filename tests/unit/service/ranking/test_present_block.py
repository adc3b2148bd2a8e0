"""A block is brought up to date with friends made since, and the query with all that changed, before any worker."""

from dataclasses import replace

import numpy as np
import pytest

from models.live_state.edges import Direction
from models.live_state.user_record import LiveRecord
from models.ranker.ranker import ViewerInputs
from models.schema.event_kinds import EventKind
from models.schema.pair_features import ALLOCATION, COMMON, KEPT_FEATURES, PAIR_FEATURES
from models.schema.statistic_names import LOG_DEGREE, STATISTICS
from models.schema.vocabulary import Row, UserId
from models.version.candidate_block import Block, quantise
from models.version.towers import Towers
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import ViewerState, from_record
from tests.support.api import FirstFeature
from tests.support.tables import tables_in_memory

PEOPLE = [UserId(name) for name in "abcdefgh"]
PAIRS = [(0, 1), (1, 2), (1, 3), (4, 5), (4, 6), (5, 6), (6, 7)]
"""a knows b, who knows c and d; e, f and g know each other, and g knows h"""
ANN = Row(0)
STRANGERS = np.array([2, 3, 5, 6, 7], np.uint32)


@pytest.fixture
def ranking() -> Ranking:
    random = np.random.default_rng(0)
    codes = random.integers(-100, 101, (8, 3)).astype(np.int8)
    tables = tables_in_memory(PEOPLE, PAIRS)
    degrees = tables.graph.degrees
    statistics = np.zeros((8, len(STATISTICS)), np.float32)
    statistics[:, LOG_DEGREE] = np.log1p(degrees)
    towers = Towers(codes, *np.full((3, 3), 0.1, np.float32))
    return Ranking(
        replace(tables, towers=towers, statistics=statistics), FirstFeature(), RerankSettings(Diversity("company", 5))
    )


def block(made_at: int = 0) -> Block:
    values = np.zeros((len(KEPT_FEATURES), len(STRANGERS)), np.float32)
    values[COMMON, :2] = np.log1p(1)
    values[ALLOCATION, :2] = np.log1p(1000 / 3)
    return replace(quantise(0, STRANGERS, np.ones(5, np.uint8), values), made_at=made_at)


def state(ranking: Ranking, *events: tuple[str, EventKind, int], row: Row | None = ANN) -> ViewerState:
    record = LiveRecord()
    for other, kind, timestamp_us in events:
        record.apply(other, Direction.OUT, kind, timestamp_us)
    return from_record(LiveRecord.unpack(record.pack()), ranking.tables, row, cut=0, refused_after=0)


def present(ranking: Ranking, kept: Block, viewer: Viewer) -> Block:
    return ranking.reader.read(kept, viewer).block


def counts(found: Block) -> dict[int, int]:
    values = np.rint(np.expm1(found.values()[COMMON])).astype(int)
    return {int(row): int(count) for row, count in zip(found.rows, values, strict=True)}


def test_the_friends_of_a_new_friend_share_her_at_once(ranking: Ranking) -> None:
    viewer = Viewer(PEOPLE[0], Row(0), state(ranking, ("e", EventKind.CONNECT, 5)))
    found = present(ranking, block(), viewer)
    assert found.codes.shape == (len(PAIR_FEATURES), 5)
    assert counts(found) == {2: 1, 3: 1, 5: 1, 6: 1, 7: 0}
    allocation = dict(zip(found.rows.tolist(), np.expm1(found.values()[ALLOCATION]) / 1000, strict=True))
    assert allocation[5] == pytest.approx(1 / 2, rel=0.05), "e knows two people"
    assert allocation[2] == pytest.approx(1 / 3, rel=0.05)
    assert present(ranking, found, viewer) is found


def test_a_block_that_knows_the_friend_stays_as_it_is(ranking: Ranking) -> None:
    events = ("e", EventKind.CONNECT, 5), ("g", EventKind.CONNECT, 9)
    viewer = Viewer(PEOPLE[0], Row(0), state(ranking, *events))
    known = block(made_at=9)
    assert present(ranking, known, viewer) is known
    assert counts(present(ranking, block(made_at=5), viewer)) == {2: 1, 3: 1, 5: 1, 6: 0, 7: 1}, "only g is news"
    assert Block.unpack(known.pack()).made_at == 9
    assert Block.unpack(block().pack()).made_at == 0
    assert len(known.pack()) == len(block().pack()) + 8


@pytest.mark.parametrize("kind", [EventKind.INVITE, EventKind.DISMISS, EventKind.BLOCK, EventKind.VIEW])
def test_other_events_change_no_block(ranking: Ranking, kind: EventKind) -> None:
    viewer = Viewer(PEOPLE[0], Row(0), state(ranking, ("e", kind, 5)))
    kept = block()
    assert present(ranking, kept, viewer) is kept
    assert ranking.reader.inputs(viewer) is None
    assert present(ranking, kept, Viewer(PEOPLE[0], Row(0))) is kept


def test_a_friend_who_was_made_and_lost_again_changes_nothing(ranking: Ranking) -> None:
    view = state(ranking, ("e", EventKind.CONNECT, 5), ("e", EventKind.DISCONNECT, 6))
    viewer, kept = Viewer(PEOPLE[0], Row(0), view), block()
    assert present(ranking, kept, viewer) is kept
    assert ranking.reader.inputs(viewer) is None


def test_the_query_has_the_friends_of_this_moment(ranking: Ranking) -> None:
    tables = ranking.tables
    towers, graph = tables.towers, tables.graph
    made = ranking.reader.inputs(Viewer(PEOPLE[0], Row(0), state(ranking, ("e", EventKind.ACCEPT, 5))))
    assert made is not None
    np.testing.assert_allclose(made.query, towers.query(0) + towers.fold_in(graph, np.array([4])), rtol=1e-6)
    assert made.statistics[LOG_DEGREE] == pytest.approx(np.log1p(2))
    lost = ranking.reader.inputs(Viewer(PEOPLE[0], Row(0), state(ranking, ("b", EventKind.DISCONNECT, 5))))
    assert lost is not None
    np.testing.assert_allclose(lost.query, towers.query(0) - towers.fold_in(graph, np.array([1])), rtol=1e-6)
    assert lost.statistics[LOG_DEGREE] == 0


def test_a_newcomer_has_her_new_friends_too(ranking: Ranking) -> None:
    known = ViewerInputs(ranking.tables.statistics[1], np.array([0.5, -1, 2], np.float32))
    view = state(ranking, ("b", EventKind.CONNECT, 5), ("e", EventKind.CONNECT, 8), row=None)
    viewer = Viewer(UserId("zoe"), None, view, True, None, known)
    kept = block(made_at=8)
    assert present(ranking, kept, viewer) is kept
    assert counts(present(ranking, block(made_at=5), viewer)) == {2: 1, 3: 1, 5: 1, 6: 1, 7: 0}
    inputs = ranking.reader.inputs(viewer, np.array([4], np.int32))
    assert inputs is not None
    towers = ranking.tables.towers
    np.testing.assert_allclose(inputs.query, known.query + towers.fold_in(ranking.tables.graph, np.array([4])))
