"""Candidates on graphs with obvious lists: rows, sources and order, and which a limit drops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.candidates.config import CandidateConfig
from models.candidates.generator import CandidateGenerator
from models.candidates.inputs import CandidateInputs
from models.errors import ArtefactError
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.graph import Graph
from models.ranker.product_feature import with_product
from models.schema.candidate_sources import NIGHTLY, Source
from models.schema.pair_features import (
    COMMON,
    DEFAULT_PRERANK_WEIGHTS,
    EMBEDDING,
    KEPT_FEATURES,
    PAIR_FEATURES,
    PRODUCT,
)
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    MultiColumn,
    Profiles,
)
from models.system import memory_budget
from models.version.candidate_block import Block
from models.version.towers import Towers
from tests.support.tables import coded_profiles

FRIENDS, WALK, PATHS, NEAR, SAME, POPULAR, OF_LATE = NIGHTLY
FOUND_BY_STEPS = FRIENDS | WALK
EVERY_WAY = FRIENDS | WALK | PATHS


class Looked:
    """The nearest by embedding, by brute force and, where products are equal, by row."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings

    def nearest(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int32]:
        found = np.full((len(rows), count), -1, np.int32)
        for at, row in enumerate(rows):
            products = self._embeddings @ self._embeddings[row]
            others = [one for one in np.argsort(-products, kind="stable") if one != row and products[one] > 0]
            found[at, : len(others[:count])] = others[:count]
        return found


NOT_DATED = np.zeros(0, np.float32)


def candidate_inputs(
    graph: Graph,
    *,
    known: Sequence[tuple[int, int]] = (),
    hidden: Sequence[int] = (),
    columns: dict[str, Column] | None = None,
    embeddings: NDArray[np.float32] | None = None,
    prerank_weights: NDArray[np.float32] = DEFAULT_PRERANK_WEIGHTS,
    late: NDArray[np.float32] = NOT_DATED,
    towers: Towers | None = None,
) -> CandidateInputs:
    n = graph.n
    suggestible = np.ones(n, np.bool_)
    suggestible[list(hidden)] = False
    return CandidateInputs(
        graph=graph,
        known=Graph.from_directed(n, [a for a, _ in known], [b for _, b in known]),
        suggestible=suggestible,
        spectral=np.zeros((n, 1), np.float32),
        eigenvalues=np.ones(1, np.float32),
        towers=Towers.none(n) if towers is None else towers,
        profiles=ProfileMap.zero(0, 1, 1 if embeddings is None else embeddings.shape[1]),
        embeddings=np.zeros((n, 1), np.float32) if embeddings is None else embeddings,
        profile_affinity=fit_profile_affinity(coded_profiles(Profiles(n, columns or {})), graph),
        prerank_weights=prerank_weights,
        late=late,
    )


def blocks(inputs: CandidateInputs, threads: int = 1, **config: float) -> list[Block]:
    generator = CandidateGenerator(
        inputs, Looked(inputs.embeddings), CandidateConfig(**{"least": 0, **config}), threads
    )
    return list(generator.pools(np.arange(inputs.graph.n)).blocks())


def found(inputs: CandidateInputs, row: int, **config: float) -> dict[int, Source]:
    """Rows of a user's candidates and how each was found, best first."""
    block = blocks(inputs, **config)[row]
    return {int(one): Source(int(bits)) for one, bits in zip(block.rows, block.sources, strict=True)}


def two_cliques() -> Graph:
    """Rows 0 to 3 all friends, and rows 4 to 7; 3 and 4 are the bridge."""
    pairs = [(a, b) for clique in (range(4), range(4, 8)) for a in clique for b in clique if a < b] + [(3, 4)]
    return Graph.from_pairs(8, *np.array(pairs).T)


def star(leaves: int) -> Graph:
    return Graph.from_pairs(leaves + 1, np.zeros(leaves, int), np.arange(1, leaves + 1))


def path(n: int) -> Graph:
    return Graph.from_pairs(n, np.arange(n - 1), np.arange(1, n))


def test_two_cliques_and_a_bridge() -> None:
    inputs = candidate_inputs(two_cliques())
    beyond = WALK | PATHS
    for row in range(3):  # the other end of the bridge first: three mutual friends do not count, 3 is the only one
        assert found(inputs, row) == {4: EVERY_WAY, 5: beyond, 6: beyond, 7: beyond}
        assert next(iter(found(inputs, row))) == 4
    assert found(inputs, 3) == {5: EVERY_WAY, 6: EVERY_WAY, 7: EVERY_WAY}
    assert found(inputs, 4) == {0: EVERY_WAY, 1: EVERY_WAY, 2: EVERY_WAY}
    assert found(inputs, 7) == {3: EVERY_WAY, 0: beyond, 1: beyond, 2: beyond}


def test_a_star_suggests_every_leaf_to_every_other_and_no_user_to_its_centre() -> None:
    inputs = candidate_inputs(star(5))
    assert found(inputs, 0) == {}
    for leaf in range(1, 6):
        assert found(inputs, leaf) == dict.fromkeys({1, 2, 3, 4, 5} - {leaf}, FOUND_BY_STEPS)


def test_a_path_suggests_the_next_but_one_first() -> None:
    inputs = candidate_inputs(path(5))
    assert list(found(inputs, 0).items()) == [(2, FOUND_BY_STEPS), (3, WALK | PATHS), (4, WALK)]
    assert found(inputs, 2) == {0: FOUND_BY_STEPS, 4: FOUND_BY_STEPS}
    assert list(found(inputs, 1).items()) == [(3, FOUND_BY_STEPS), (4, WALK | PATHS)]


def test_isolated_users_get_popular_users_and_are_never_suggested() -> None:
    graph = Graph.from_pairs(8, [1, 1, 1, 2], [2, 3, 4, 3])  # 0, 5, 6 and 7 have no friends
    inputs = candidate_inputs(graph)
    assert found(inputs, 0, least=3) == dict.fromkeys([1, 2, 3], POPULAR)
    assert all(not {0, 5, 6, 7} & set(found(inputs, row, least=8)) for row in range(8))


def test_popular_users_only_fill_short_lists_and_only_then_have_the_bit() -> None:
    graph = Graph.from_pairs(9, [0, 1, 3, 3, 3, 3, 3], [1, 2, 4, 5, 6, 7, 8])
    assert found(candidate_inputs(graph), 0, least=2) == {2: FOUND_BY_STEPS, 3: POPULAR}
    assert found(candidate_inputs(graph), 0, least=1) == {2: FOUND_BY_STEPS}


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_any_friendship_no_candidate_is_found(n: int) -> None:
    inputs = candidate_inputs(Graph.from_pairs(n, [], []))
    assert [len(block) for block in blocks(inputs, least=100)] == [0] * n


def test_no_users() -> None:
    generator = CandidateGenerator(
        candidate_inputs(star(3)), Looked(np.zeros((4, 1), np.float32)), CandidateConfig(), 2
    )
    assert list(generator.pools(np.zeros(0, np.int64)).blocks()) == []
    assert list(generator.batches(np.zeros(0, np.int64))) == []


def test_a_small_budget_of_memory_makes_smaller_batches_with_the_same_candidates() -> None:
    n = 100
    embeddings = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    generator = CandidateGenerator(candidate_inputs(star(n - 1)), Looked(embeddings), CandidateConfig(), 2)
    rows = np.arange(n)
    (whole,) = generator.batches(rows)
    memory_budget.limit(1)
    try:
        parts = list(generator.batches(rows))
    finally:
        memory_budget.limit(None)
    assert [len(part.users) for part in parts] == [32, 32, 32, 4]
    made = [block.pack() for part in parts for block in part.blocks()]
    assert made == [block.pack() for block in whole.blocks()]


def test_the_known_the_hidden_and_friends_are_never_found() -> None:
    graph = Graph.from_pairs(6, [0, 0, 0, 0, 0], [1, 2, 3, 4, 5])
    everybody = np.ones((6, 1), np.float32)
    inputs = candidate_inputs(
        graph,
        known=[(1, 2)],
        hidden=[4],
        embeddings=everybody,
        columns={"team": CategoricalColumn(np.zeros(6, np.int32), ["a"])},
    )
    assert set(found(inputs, 1, least=6)) == {3, 5}
    assert set(found(inputs, 2, least=6)) == {1, 3, 5}  # what is forbidden to one is not forbidden to the other
    assert set(found(inputs, 4, least=6)) == {1, 2, 3, 5}  # hidden users still get candidates
    assert found(inputs, 0, least=6) == {}


def test_two_mutual_friends_come_before_one_whatever_the_weights() -> None:
    # 0 knows 1, 2 and 3. 1 and 2 are much connected and both know 4; 3 knows only 0 and 5
    crowd = np.arange(6, 46)
    graph = Graph.from_pairs(
        46,
        np.concatenate([[0, 0, 0, 1, 2, 3], np.full(20, 1), np.full(20, 2)]),
        np.concatenate([[1, 2, 3, 4, 4, 5], crowd]),
    )
    inputs = candidate_inputs(graph)
    only = {"walks": 0, "three_hops": 0, "nearest": 0}
    assert set(found(inputs, 0, friends_of_friends=1, **only)) == {4}
    assert set(found(inputs, 0, friends_of_friends=2, **only)) == {4, 5}


def test_one_mutual_friend_counts_the_more_the_fewer_friends_that_one_has() -> None:
    # 0 knows 1 to 4, who have 40, 60, 80 and 100 others each
    sizes = np.array([100, 60, 80, 40])
    starts = 5 + np.cumsum([0, *sizes])
    hubs = np.repeat(np.arange(1, 5), sizes)
    graph = Graph.from_pairs(
        int(starts[-1]),
        np.concatenate([np.zeros(4, int), hubs]),
        np.concatenate([np.arange(1, 5), np.arange(5, starts[-1])]),
    )
    rows = set(found(candidate_inputs(graph), 0, friends_of_friends=100, walks=0, three_hops=0, nearest=0))
    assert rows == {*range(starts[3], starts[4]), *range(starts[1], starts[2])}


@pytest.mark.parametrize("source", ["friends_of_friends", "walks", "three_hops", "nearest"])
@pytest.mark.parametrize("limit", [0, 1, 7, 1000])
def test_each_source_gives_at_most_what_it_may_between_equals_too(source: str, limit: int) -> None:
    # 0 to 9 know 30 and all of 10 to 19; 10 knows 20 to 29 too, and 20 knows 31 to 39. 20 to 29 are near 0
    first = np.concatenate([np.repeat(np.arange(10), 10), np.arange(10), np.full(10, 10), np.full(9, 20)])
    second = np.concatenate([np.tile(np.arange(10, 20), 10), np.full(10, 30), np.arange(20, 30), np.arange(31, 40)])
    embeddings = np.zeros((40, 1), np.float32)
    embeddings[[0, *range(20, 30)]] = 1
    inputs = candidate_inputs(Graph.from_pairs(40, first, second), embeddings=embeddings)
    there = {"friends_of_friends": 19, "walks": 28, "three_hops": 9, "nearest": 10}[source]
    limits = dict.fromkeys(["friends_of_friends", "walks", "three_hops", "nearest"], 0) | {source: limit}
    assert len(found(inputs, 0, **limits)) == min(limit, there)


def test_at_most_the_limit_is_kept() -> None:
    inputs = candidate_inputs(star(50))
    assert [len(found(inputs, 1, kept=kept)) for kept in (1, 48, 49, 50)] == [1, 48, 49, 49]


def test_ties_at_a_limit_fall_otherwise_for_another_viewer() -> None:
    inputs = candidate_inputs(star(200))
    cut = [tuple(sorted(found(inputs, leaf, friends_of_friends=20, walks=0))) for leaf in (1, 2, 3)]
    assert len(set(cut)) == 3
    assert max(max(rows) for rows in cut) > 100 > min(min(rows) for rows in cut)


def test_users_of_the_same_rare_value_are_found_and_of_a_common_one_only_with_few_friends() -> None:
    n = 30
    graph = Graph.from_pairs(n, np.arange(10, 29), np.arange(11, 30))  # a path; 0 to 9 have no friends
    team = np.full(n, 1, np.int32)  # "many" but for five
    team[[0, 1, 10, 11, 20]] = 0
    inputs = candidate_inputs(graph, columns={"team": CategoricalColumn(team, ["few", "many"])})
    only = {"friends_of_friends": 0, "walks": 0, "three_hops": 0, "rare_group": 5, "few_friends": 2, "nearest": 0}
    assert found(inputs, 0, **only) == dict.fromkeys([1, 10, 11, 20], SAME)
    assert found(inputs, 20, **only) == dict.fromkeys([0, 1, 10, 11], SAME)
    assert found(inputs, 15, **only) == {}
    assert set(found(inputs, 2, group_members=4, **only)) == {
        12,
        13,
        14,
        15,
    }  # the best connected, in the order of rows
    assert set(found(inputs, 2, group_members=0, **only)) == set()


def test_sets_make_groups_too() -> None:
    graph = Graph.from_pairs(5, [3], [4])
    clubs = MultiColumn(np.array([0, 2, 3, 4, 4, 4]), np.array([0, 1, 1, 0], np.int32), ["chess", "golf"])
    inputs = candidate_inputs(graph, columns={"clubs": clubs})
    assert found(inputs, 0) == {1: SAME, 2: SAME}
    assert found(inputs, 1) == {0: SAME}


def test_the_nearest_by_embedding_are_found_and_compared() -> None:
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float32)
    inputs = candidate_inputs(Graph.from_pairs(4, [], []), embeddings=embeddings)
    block = blocks(inputs, nearest=2)[0]
    assert block.rows.tolist() == [1, 3]
    assert set(block.sources.tolist()) == {NEAR}
    np.testing.assert_allclose(block.values()[EMBEDDING], [0.8, 0.6], atol=1e-6)


def test_the_best_by_pre_ranking_are_kept_in_its_order() -> None:
    weights = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
    weights[COMMON] = 1
    graph = Graph.from_pairs(7, [0, 0, 0, 1, 2, 3, 1, 2, 1], [1, 2, 3, 4, 4, 4, 5, 5, 6])
    assert list(found(candidate_inputs(graph, prerank_weights=weights), 0)) == [4, 5, 6]
    assert list(found(candidate_inputs(graph, prerank_weights=weights), 0, kept=2)) == [4, 5]
    weights[COMMON] = -1
    assert list(found(candidate_inputs(graph, prerank_weights=weights), 0)) == [6, 5, 4]
    weights[:] = 0
    weights[-1] = 1  # by the candidate's friends: 4 has three, 5 two, 6 one
    assert list(found(candidate_inputs(graph, prerank_weights=weights), 0)) == [4, 5, 6]


def test_features_are_what_their_names_say() -> None:
    block = blocks(candidate_inputs(two_cliques()))[0]
    values = dict(zip(KEPT_FEATURES, block.values(), strict=True))
    assert block.rows[0] == 4
    # one mutual friend, who has four
    assert values["common_neighbours"][0] == pytest.approx(np.log(2))
    assert values["resource_allocation"][0] == pytest.approx(np.log1p(1000 / 4), rel=1e-5)
    # two paths of three friendships, 0-1-3-4 and 0-2-3-4, by friends who have three and four; 0 has three, 4 four
    assert values["three_hops"][0] == pytest.approx(np.log1p(1e4 * 2 / np.sqrt(3 * 4) / np.sqrt(3 * 4)), rel=1e-5)
    assert (values["common_neighbours"][1:] == 0).all()
    assert (block.values()[EMBEDDING] == 0).all()


def towers(vectors: Sequence[Sequence[float]]) -> Towers:
    """Vectors of whole numbers up to 127, and queries twice as long."""
    codes = np.array(vectors, np.int8)
    ones = np.ones(codes.shape[1], np.float32)
    return Towers(codes, ones, 2 * ones, ones)


def test_the_product_of_the_towers_decides_the_order_and_stays_out_of_the_block() -> None:
    weights = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
    weights[PRODUCT] = 1
    graph = Graph.from_pairs(5, [0, 0, 1, 1, 1], [1, 2, 2, 3, 4])
    inputs = candidate_inputs(graph, prerank_weights=weights, towers=towers([[1, 0], [9, 9], [9, 9], [-3, 5], [2, 7]]))
    pools = CandidateGenerator(inputs, Looked(inputs.embeddings), CandidateConfig(least=0), 1).pools(np.array([0]))
    assert pools.rows[0, :2].tolist() == [4, 3]
    assert pools.values[0, PRODUCT, :2] == pytest.approx([np.log1p(100 * 4), -np.log1p(100 * 6)], rel=1e-3)
    kept, whole = next(pools.blocks()), next(pools.blocks(len(PAIR_FEATURES)))
    assert kept.codes.shape == (len(KEPT_FEATURES), 2)
    np.testing.assert_array_equal(whole.codes[:-1], kept.codes)
    # scoring computes it again from the table
    scored = with_product(inputs.towers, kept, inputs.towers.query(0))
    np.testing.assert_array_equal(scored.codes, whole.codes)
    np.testing.assert_allclose(scored.low, whole.low, rtol=1e-6)
    np.testing.assert_allclose(scored.high, whole.high, rtol=1e-6)


def test_saved_inputs_give_the_same_candidates(tmp_path: Path) -> None:
    team = CategoricalColumn(np.arange(8, dtype=np.int32) % 3, ["a", "b", "c"])
    clubs = MultiColumn(np.arange(9), np.arange(8, dtype=np.int32) % 2, ["chess", "golf"])
    vectors = np.random.default_rng(0).random((8, 3)).astype(np.float32)
    inputs = candidate_inputs(two_cliques(), columns={"clubs": clubs, "team": team}, embeddings=vectors)
    inputs.save(tmp_path)
    opened = CandidateInputs.open(tmp_path, inputs.graph, inputs.known, inputs.suggestible, inputs.towers)
    assert [one.pack() for one in blocks(opened)] == [one.pack() for one in blocks(inputs)]
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 6 + len(inputs.profile_affinity)
    for path in paths:
        content = path.read_bytes()
        for damaged in (content[:-1], content[: len(content) // 2], b"", None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(ArtefactError, match=path.name.replace(".", r"\.")):
                CandidateInputs.open(tmp_path, inputs.graph, inputs.known, inputs.suggestible, inputs.towers)
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["spectral", "embeddings", "affinity_codes", "affinity_points", "affinity_set_indptr"])
def test_inputs_of_other_users_are_refused(tmp_path: Path, name: str) -> None:
    inputs = candidate_inputs(two_cliques())
    inputs.save(tmp_path)
    path = tmp_path / f"{name}.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ArtefactError, match=name):
        CandidateInputs.open(tmp_path, inputs.graph, inputs.known, inputs.suggestible, inputs.towers)


def test_who_made_friends_of_late_is_a_candidate_of_everybody_the_latest_first() -> None:
    late = np.zeros(12, np.float32)
    late[[9, 10, 11]] = np.log1p([1, 5, 3])
    graph = Graph.from_pairs(12, [0, 1, 9, 10, 10, 11], [1, 2, 10, 11, 8, 9])
    inputs = candidate_inputs(graph, hidden=[11], late=late)
    before = found(candidate_inputs(graph, hidden=[11]), 0)
    after = found(inputs, 0)
    assert set(after) == {*before, 9, 10}
    assert all(OF_LATE in after[row] for row in (9, 10))
    assert not any(OF_LATE in bits for row, bits in after.items() if row not in (9, 10))
    assert [row for row in after if row in (9, 10)] == [10, 9]
    assert set(found(inputs, 0, popular_of_late=1)) == {*before, 10}
    assert set(found(inputs, 0, popular_of_late=0)) == set(before)
    assert 10 not in found(inputs, 9), "a friend is none"
