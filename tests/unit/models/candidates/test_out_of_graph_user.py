"""Out-of-graph users: existing users with changed friends, and new users known by their profile alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from models.candidates.config import CandidateConfig, IndexConfig
from models.candidates.generator import CandidateGenerator, IndexNearest
from models.candidates.index_build import build_index
from models.candidates.inputs import CandidateInputs, profile_values
from models.candidates.out_of_graph_user import NO_ROW
from models.candidates.user_builder import OutOfGraphUserBuilder
from models.features.inductive import ProfileMap, shrink_towards_profile
from models.features.profile_affinity import fit_profile_affinity
from models.features.profile_codes import ProfileCoder
from models.features.spectral import spectral_embedding
from models.features.towers import TowerShape, closed_form_towers
from models.features.user_statistics import dated_statistics, late_of, user_statistics
from models.graph import Graph
from models.ranker.fresh_block import FreshBlocks
from models.ranker.product_feature import with_product
from models.schema.candidate_sources import Source
from models.schema.pair_features import (
    ALLOCATION,
    COMMON,
    DEFAULT_PRERANK_WEIGHTS,
    KEPT_FEATURES,
    PAGERANK,
    PRODUCT,
    PROFILE_AFFINITY,
    THREE_HOPS,
)
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from models.schema.statistic_names import ALL_STATISTICS, FIRST_AGE, LAST_AGE, LATE_10, STATISTICS

N = 60
NOTHING = np.zeros(0, np.int32)
TEAMS = np.arange(N, dtype=np.int32) // 20


def profiles() -> Profiles:
    """Three teams of twenty, and in each a club of every second in_club."""
    in_club = np.arange(N) % 2 == 0
    clubs = MultiColumn(np.concatenate([[0], np.cumsum(in_club)]), TEAMS[in_club], ["art", "bowls", "chess"])
    return Profiles(N, {"club": clubs, "team": CategoricalColumn(TEAMS, ["ants", "bees", "cats"])})


def network(seed: int = 0) -> Graph:
    """Friendships mostly inside a team."""
    random = np.random.default_rng(seed)
    a, b = np.triu_indices(N, 1)
    likely = np.where(TEAMS[a] == TEAMS[b], 0.5, 0.02)
    drawn = random.random(len(a)) < likely
    return Graph.from_pairs(N, a[drawn], b[drawn])


def candidate_inputs(graph: Graph) -> tuple[CandidateInputs, ProfileCoder]:
    profile = profiles()
    coder = ProfileCoder.fit(profile)
    profile_affinity = fit_profile_affinity(coder.coded(profile), graph)
    spectral = spectral_embedding(graph)
    embeddings = np.eye(3, dtype=np.float32)[TEAMS]
    values, coordinates = profile_values(profile_affinity), spectral.coordinates()
    fitted = ProfileMap.fit(values, coordinates, embeddings, graph.degrees)
    coordinates, embeddings = shrink_towards_profile(fitted, values, coordinates, embeddings, graph.degrees)
    land = CandidateInputs(
        graph=graph,
        known=Graph.from_directed(N, [], []),
        suggestible=np.ones(N, np.bool_),
        spectral=coordinates,
        eigenvalues=spectral.values,
        towers=closed_form_towers(coordinates, spectral.values, TowerShape()),
        embeddings=embeddings,
        profiles=fitted,
        profile_affinity=profile_affinity,
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
    )
    return land, coder


def nearest_of(land: CandidateInputs) -> IndexNearest:
    """Nearest neighbours by the embeddings of these inputs; the files of the index go as soon as it is mapped."""
    with TemporaryDirectory() as directory:
        index = build_index(land.embeddings, IndexConfig(threads=1), Path(directory) / "index")
    return IndexNearest(index)


class Served:
    """Candidate inputs with their generator and builder."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.land, coder = candidate_inputs(graph)
        self.generator = CandidateGenerator(self.land, nearest_of(self.land), CandidateConfig(least=0), 1)
        self.builder = OutOfGraphUserBuilder(None, self.land, coder)  # type: ignore[arg-type]

    def new_user(self, profile: dict[str, object], friends: Sequence[int] = ()) -> tuple[list[int], np.ndarray]:
        """Candidates in the order of the block, and their features (F, m)."""
        user = self.builder.new_user(profile, np.array(sorted(friends), np.int32), NOTHING)
        block = self.generator.out_of_graph_block(user)
        assert block.viewer == NO_ROW
        return block.rows.tolist(), block.values()


@pytest.fixture(scope="module")
def served() -> Served:
    return Served(network())


def test_an_existing_user_with_the_same_friends_gets_the_features_of_the_night(served: Served) -> None:
    for row in range(0, N, 7):
        friends = served.graph.neighbours(row)
        user = served.builder.existing_user(row, friends, NOTHING)
        live, night = served.generator.out_of_graph_block(user), served.generator.block(row)
        assert live.viewer == row
        assert not set(live.rows.tolist()) & {row, *friends.tolist()}
        both = sorted(set(live.rows.tolist()) & set(night.rows.tolist()))
        assert len(both) > 15

        def of(block: object, rows: list[int] = both) -> np.ndarray:
            at = {one: place for place, one in enumerate(block.rows.tolist())}  # type: ignore[attr-defined]
            return block.values()[:, [at[one] for one in rows]]  # type: ignore[attr-defined]

        np.testing.assert_allclose(of(live), of(night), atol=0.08)  # two roundings to a byte


def test_a_new_friend_brings_their_friends(served: Served) -> None:
    row = 0
    friends = served.graph.neighbours(row)
    new = next(other for other in range(40, N) if other not in friends)
    theirs = set(served.graph.neighbours(new).tolist()) - set(friends.tolist()) - {row}
    more = np.sort(np.append(friends, new)).astype(np.int32)
    block = served.generator.out_of_graph_block(served.builder.existing_user(row, more, NOTHING))
    common = dict(zip(block.rows.tolist(), block.values()[COMMON], strict=True))
    assert new not in common
    assert all(common[other] > 0 for other in theirs)
    fewer = served.generator.out_of_graph_block(served.builder.existing_user(row, friends[:1], NOTHING))
    through = set(served.graph.neighbours(int(friends[0])).tolist())
    found = {one for one, value in zip(fewer.rows.tolist(), fewer.values()[COMMON], strict=True) if value > 0}
    assert found == through - {row, int(friends[0])}


def test_users_who_must_not_be_shown_are_not_candidates(served: Served) -> None:
    friends = served.graph.neighbours(3)
    free = served.generator.out_of_graph_block(served.builder.existing_user(3, friends, NOTHING))
    known = np.sort(free.rows[:5].astype(np.int32))
    hidden = served.generator.out_of_graph_block(served.builder.existing_user(3, friends, known))
    assert not set(hidden.rows.tolist()) & set(known.tolist())
    again = served.generator.out_of_graph_block(served.builder.existing_user(3, friends, NOTHING))
    assert again.pack() == free.pack()  # one user leaves nothing behind for the next


def test_a_new_user_with_a_profile_finds_their_team(served: Served) -> None:
    for code, team in enumerate(("ants", "bees", "cats")):
        rows, values = served.new_user({"team": team, "club": [["art"], ["bowls"], ["chess"]][code]})
        assert (TEAMS[rows[:12]] == code).all()
        assert not values[COMMON].any()
        own = values[PROFILE_AFFINITY][TEAMS[rows] == code]
        others = values[PROFILE_AFFINITY][TEAMS[rows] != code]
        assert not len(others) or own.min() > others.max()


def test_unknown_values_and_columns_are_ignored(served: Served) -> None:
    nothing, _ = served.new_user({})
    odd, values = served.new_user({"team": "dogs", "club": "no list", "shoe size": 41})
    assert odd == nothing
    assert not values[PROFILE_AFFINITY].any()


def test_three_friends_outweigh_the_profile(served: Served) -> None:
    bees = [row for row in range(20, 40) if served.graph.degrees[row] > 3][:3]
    rows, values = served.new_user({"team": "ants"}, bees)
    assert not set(bees) & set(rows)
    mutual = [row for row, value in zip(rows, values[COMMON], strict=True) if value > 0]
    assert mutual
    assert np.mean(TEAMS[mutual] == 1) > 0.8


def test_the_statistics_of_an_out_of_graph_user_are_those_of_the_night() -> None:
    graph, row = network(1), 11
    friends = graph.neighbours(row)
    served = Served(graph.without(np.full(len(friends), row), friends))
    user = served.builder.new_user({"team": "ants"}, friends, NOTHING)
    counted = user_statistics(graph, np.ones(N, np.float32))[row]
    found = served.builder.statistics(user)
    np.testing.assert_allclose(found[:2], counted[:2], rtol=1e-5)
    assert found[2] == pytest.approx(counted[2], abs=0.1)  # the friends do not count the user yet
    alone = served.builder.statistics(served.builder.new_user({}, NOTHING, NOTHING))
    assert alone[:3].tolist() == [0, 0, 0]


def test_a_friend_without_friends_is_harmless() -> None:
    graph = network(2)
    friends = graph.neighbours(5)
    lonely = Served(graph.without(np.full(len(friends), 5), friends))
    rows, values = lonely.new_user({"team": "ants"}, [5])
    assert rows
    assert np.isfinite(values).all()


def test_features_are_all_there(served: Served) -> None:
    _, values = served.new_user({"team": "ants"}, [0, 2])
    assert values.shape[0] == len(KEPT_FEATURES)
    assert np.isfinite(values).all()


def test_new_friends_are_folded_into_the_query(served: Served) -> None:
    """A user whom the night knew with fewer friends has the query that a night with all of them would give."""
    whole, row = served.graph, 25
    friends = whole.neighbours(row)
    part, new = friends[::2], friends[1::2]
    before = Served(whole.without(np.full(len(new), row), new))
    folded = before.builder.existing_user(row, friends, NOTHING).query
    stale, towers = before.land.towers.query(row), before.land.towers
    vectors = towers.codes.astype(np.float32) * towers.scales
    # the friends' vectors alone tell the query, but for the user's own weight in theirs and for rounding to a byte
    by_friends = towers.fold_in(before.graph, friends)
    assert np.corrcoef(vectors @ folded, vectors @ by_friends)[0, 1] > 0.98
    assert np.linalg.norm(vectors @ folded) > np.linalg.norm(vectors @ stale)
    assert np.abs(before.builder.existing_user(row, part, NOTHING).query - stale).max() == 0
    # lost friends are taken out again
    lost = before.builder.existing_user(row, part[1:], NOTHING).query
    np.testing.assert_allclose(lost, stale - towers.fold_in(before.graph, part[:1]), atol=1e-6)


def test_a_block_with_new_friends_is_nearly_what_the_worker_makes(served: Served) -> None:
    graph, row = served.graph, 25
    friends = graph.neighbours(row)
    known, new = friends[:-3], friends[-3:]
    before = Served(graph.without(np.full(3, row), new))
    query = before.builder.existing_user(row, friends, NOTHING).query
    fresh = FreshBlocks(before.graph, before.land.towers)
    made = fresh.block(before.generator.block(row), new, len(known), query, row)
    worker = before.generator.out_of_graph_block(before.builder.existing_user(row, friends, NOTHING))
    worker = with_product(before.land.towers, worker, query)
    theirs = {int(one): values for one, values in zip(worker.rows, worker.values().T, strict=True)}
    found = {int(one): values for one, values in zip(made.rows, made.values().T, strict=True)}
    both = sorted(theirs.keys() & found.keys())
    assert len(both) > 20
    live, night = np.array([found[one] for one in both]), np.array([theirs[one] for one in both])
    for feature in (COMMON, ALLOCATION, PRODUCT):
        np.testing.assert_allclose(live[:, feature], night[:, feature], atol=0.06)  # two roundings to a byte
    np.testing.assert_allclose(live[:, THREE_HOPS], night[:, THREE_HOPS], atol=0.06)
    np.testing.assert_allclose(live[:, PAGERANK], night[:, PAGERANK], atol=0.1)  # two steps of the new friends' walks
    # in the order of the pre-ranking score, as the worker's
    places = [[one.rows.tolist().index(row) for row in both] for one in (made, worker)]
    assert np.corrcoef(places)[0, 1] > 0.95
    again = fresh.block(before.generator.block(row), new, len(known), query, row)
    assert again.pack() == made.pack()  # nothing is left behind


class Dated:
    """The statistics of a version's tables, with dates."""

    def __init__(self, graph: Graph) -> None:
        a, b = graph.pairs()
        plain = user_statistics(graph, np.ones(graph.n, np.float32))
        self.statistics = np.concatenate([plain, dated_statistics(graph.n, a, b, np.arange(len(a)), len(a))], axis=1)


def test_new_friends_count_as_made_of_late(served: Served) -> None:
    tables = Dated(served.graph)
    land = replace(served.land, late=late_of(tables.statistics))
    builder = OutOfGraphUserBuilder(tables, land, served.builder._coder)  # type: ignore[arg-type]
    row = 5
    before = served.graph.neighbours(row)
    added = np.setdiff1d(np.arange(N), [*before, row])[:3].astype(np.int32)
    found = builder.statistics(builder.existing_user(row, np.union1d(before, added).astype(np.int32), NOTHING))
    assert found.shape == (len(ALL_STATISTICS),)
    assert found[LATE_10] == pytest.approx(np.log1p(np.expm1(tables.statistics[row, LATE_10]) + 3), rel=1e-5)
    assert found[LAST_AGE] == 0
    assert found[FIRST_AGE] == tables.statistics[row, FIRST_AGE]
    same = builder.statistics(builder.existing_user(row, before, NOTHING))
    np.testing.assert_array_equal(same[len(STATISTICS) :], tables.statistics[row, len(STATISTICS) :])
    new = builder.statistics(builder.new_user({}, added, NOTHING))
    assert new[LATE_10] == pytest.approx(np.log(4))
    assert new[LAST_AGE] == new[FIRST_AGE] == 0
    alone = builder.statistics(builder.new_user({}, NOTHING, NOTHING))
    assert alone[len(STATISTICS) :] == pytest.approx([0, 0, 0, 0, np.log1p(1000), 0])


def test_an_appended_row_of_a_version_with_dates_has_its_candidates_of_late(served: Served) -> None:
    late = np.zeros(N, np.float32)
    late[[3, 8]] = 2
    land = replace(served.land, late=late)
    generator = CandidateGenerator(land, nearest_of(land), CandidateConfig(least=0), 1)
    user = served.builder.new_user({}, np.array([0], np.int32), NOTHING)
    block = generator.out_of_graph_block(user)
    of_late = {int(row) for row, bits in zip(block.rows, block.sources, strict=True) if bits & Source.POPULAR_OF_LATE}
    assert of_late == {3, 8} - set(user.friends.tolist())
