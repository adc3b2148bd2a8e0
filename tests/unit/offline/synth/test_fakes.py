"""Planted fakes: only the misfit of friends and profile identifies them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from models.errors import UsageError
from models.graph import Graph
from models.schema.event_kinds import EventKind
from offline.synth.directory import FAKES, write
from offline.synth.fakes import Fake
from offline.synth.network import Network, generate

USERS = 3000


@pytest.fixture(scope="module")
def planted() -> Network:
    return generate(USERS, 16.0, seed=1, fake_share=0.1)


@pytest.fixture(scope="module")
def plain() -> Network:
    return generate(USERS, 16.0, seed=1)


def graph_of(network: Network) -> Graph:
    return Graph.from_pairs(USERS, network.connections[:, 0], network.connections[:, 1])


def test_without_fakes_nothing_is_different(plain: Network) -> None:
    again = generate(USERS, 16.0, seed=1, fake_share=0.0)
    assert np.array_equal(plain.connections, again.connections)
    assert not plain.fakes.any()


def test_profiles_are_those_of_ordinary_people(planted: Network, plain: Network) -> None:
    assert planted.users.equals(plain.users)
    assert np.bincount(planted.fakes).tolist() == [2700, 150, 150]


def test_degrees_are_distributed_alike(planted: Network, plain: Network) -> None:
    degrees, before = graph_of(planted).degrees, graph_of(plain).degrees
    for kind in (Fake.MASS_INVITER, Fake.LINK_FARM):
        mine = degrees[planted.fakes == kind]
        assert ks_2samp(mine, degrees[planted.fakes == Fake.ORDINARY]).pvalue > 0.01
        assert mine.mean() == pytest.approx(before[planted.fakes == kind].mean(), rel=0.15)
    ordinary = planted.fakes == 0
    assert degrees[ordinary].mean() == pytest.approx(before[ordinary].mean(), rel=0.03)


def test_friends_of_fakes_are_strangers_or_their_farm(planted: Network, plain: Network) -> None:
    def shared_city(network: Network, who: np.ndarray) -> float:
        a, b = graph_of(network).pairs()
        city, of = network.communities.city, who[a] ^ who[b]
        return float((city[a] == city[b])[of].mean())

    for kind in (Fake.MASS_INVITER, Fake.LINK_FARM):
        who = planted.fakes == kind
        assert shared_city(planted, who) < 0.5 * shared_city(plain, who)
    farmers = np.flatnonzero(planted.fakes == Fake.LINK_FARM)
    a, b = graph_of(planted).pairs()
    inside = np.isin(a, farmers) & np.isin(b, farmers)
    touching = np.isin(a, farmers) | np.isin(b, farmers)
    assert 0.2 < inside.sum() / touching.sum() < 0.5


def test_fakes_invite_in_vain_and_are_declined_more_often(planted: Network) -> None:
    log, fake = planted.interactions, planted.fakes > 0
    invites = np.bincount(log.viewer[log.kind == EventKind.INVITE], minlength=USERS)
    declined = np.bincount(log.other[log.kind == EventKind.DECLINE], minlength=USERS)
    shares = [declined[who].sum() / invites[who].sum() for who in (fake, ~fake)]
    assert shares[0] > 2 * shares[1]
    assert (np.diff(log.at) >= 0).all()
    key = lambda a, b: np.minimum(a, b).astype(np.int64) * USERS + np.maximum(a, b)  # noqa: E731
    answered = log.kind == EventKind.ACCEPT
    pending = (log.kind == EventKind.INVITE) & ~np.isin(
        key(log.viewer, log.other), key(log.viewer[answered], log.other[answered])
    )
    known = np.concatenate([planted.connections, planted.held_out])
    assert not np.isin(key(log.viewer[pending], log.other[pending]), key(known[:, 0], known[:, 1])).any()


def test_friendships_are_distinct_and_in_order(planted: Network) -> None:
    made = planted.connections
    assert (np.diff(made[:, 2]) >= 0).all()
    assert (made[:, 0] != made[:, 1]).all()
    assert len(graph_of(planted).indices) == 2 * len(made)
    assert not (planted.fakes[planted.held_out[:, :2]] > 0).any(), "nobody is to foresee a fake"


def test_a_file_names_the_fakes(planted: Network, plain: Network, tmp_path: Path) -> None:
    write(planted, tmp_path / "data")
    named = pl.read_csv(tmp_path / "data" / FAKES)
    assert named["kind"].value_counts(sort=True)["count"].to_list() == [150, 150]
    assert named["user_id"].to_list() == planted.users["user_id"].gather(np.flatnonzero(planted.fakes)).to_list()
    write(plain, tmp_path / "data")
    assert not (tmp_path / "data" / FAKES).exists()


def test_a_share_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="share of fakes"):
        generate(50, 4.0, fake_share=1.0)


def test_fakes_alone_still_make_a_network() -> None:
    assert len(generate(8, 2.0, seed=0, fake_share=0.9).fakes) == 8
