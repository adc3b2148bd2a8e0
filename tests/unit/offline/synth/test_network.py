"""Synthetic networks are consistent: no friendship before joining, twice, or with oneself."""

import numpy as np
import pytest

from models.errors import UsageError
from models.schema.columns import user_id_fault
from models.schema.event_kinds import EventKind
from offline.synth import calendar
from offline.synth.arguments import checked_mean
from offline.synth.network import Network, generate
from offline.synth.people import KINDS

USERS, MEAN = 1500, 16.0


@pytest.fixture(scope="module")
def network() -> Network:
    return generate(USERS, MEAN, seed=3)


def keys(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.minimum(a, b).astype(np.int64) * USERS + np.maximum(a, b)


def pairs(friendships: np.ndarray) -> np.ndarray:
    return keys(friendships[:, 0], friendships[:, 1])


def joined(network: Network) -> np.ndarray:
    return network.users["created_at"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("s").to_numpy()


def test_density_is_as_requested(network: Network) -> None:
    assert len(network.connections) == round(USERS * MEAN / 2)
    share = len(network.held_out) / (len(network.connections) + len(network.held_out))
    assert 0.05 < share < 0.10


def test_no_friendship_with_oneself_or_twice(network: Network) -> None:
    everything = np.concatenate([network.connections, network.held_out])
    assert (everything[:, 0] != everything[:, 1]).all()
    assert len(np.unique(pairs(everything))) == len(everything)


def test_friendships_begin_after_both_have_joined_and_in_order(network: Network) -> None:
    for friendships in (network.connections, network.held_out):
        first, second, at = friendships.T
        assert (at >= np.maximum(joined(network)[first], joined(network)[second])).all()
        assert (np.diff(at) >= 0).all()
    assert network.connections[0, 2] >= calendar.START
    assert network.connections[-1, 2] < calendar.CUT <= network.held_out[0, 2]
    assert network.held_out[-1, 2] < calendar.END
    assert joined(network).max() < calendar.CUT


def test_activity_grows(network: Network) -> None:
    span = calendar.CUT - calendar.START
    quarter = (network.connections[:, 2] - calendar.START) * 4 // span
    first, *_, last = np.bincount(quarter, minlength=4)
    assert last > 1.5 * first


def test_hidden_people_make_no_friends_after_the_cut(network: Network) -> None:
    open_to = (network.users["active"] & network.users["discoverable"]).to_numpy()
    assert not open_to.all()
    assert open_to[network.held_out[:, :2]].all()


def test_most_friendships_close_a_triangle_of_their_time(network: Network) -> None:
    friends: list[set[int]] = [set() for _ in range(USERS)]
    closed = []
    for a, b in network.connections[:, :2].tolist():
        closed.append(bool(friends[a] & friends[b]))
        friends[a].add(b)
        friends[b].add(a)
    later = [bool(friends[a] & friends[b]) for a, b in network.held_out[:, :2].tolist()]
    assert 0.5 < np.mean(closed[len(closed) // 2 :]) < 0.95
    assert 0.5 < np.mean(later) < 0.95


def test_ids_are_unique_and_allowed_and_profiles_have_gaps(network: Network) -> None:
    ids = network.users["user_id"].to_list()
    assert len(set(ids)) == USERS
    for user_id in ids:
        assert user_id_fault(user_id) is None
    gaps = network.users.select(*KINDS).null_count().row(0)
    assert all(0 < gap < 0.5 * USERS for gap in gaps)
    flags = network.users.select("discoverable", "active", "connections_visible").mean().row(0)
    assert all(0.96 < share < 1.0 for share in flags)


def test_schools_and_companies_have_heavy_tails(network: Network) -> None:
    for column, times in (("company", 4), ("interests", 4)):
        sizes = network.users[column].drop_nulls().str.split("|").explode().value_counts()["count"]
        assert sizes.max() > times * sizes.median()


def test_interactions_agree_with_the_friendships(network: Network) -> None:
    log = network.interactions
    key = keys(log.viewer, log.other)
    connected, later = np.unique(pairs(network.connections)), np.unique(pairs(network.held_out))

    def of(*kinds: EventKind) -> np.ndarray:
        return np.unique(key[np.isin(log.kind, [kind.value for kind in kinds])])

    assert np.isin(of(EventKind.ACCEPT, EventKind.CONNECT), connected).all()
    forbidding = of(EventKind.DISMISS, EventKind.BLOCK, EventKind.REPORT, EventKind.DECLINE, EventKind.DISCONNECT)
    assert len(forbidding)
    assert not np.isin(forbidding, connected).any()
    lifted = of(EventKind.ACCEPT, EventKind.DECLINE, EventKind.WITHDRAW)
    pending = np.setdiff1d(of(EventKind.INVITE), lifted)
    assert len(pending)
    assert not np.isin(pending, connected).any()
    assert not np.isin(np.union1d(forbidding, of(EventKind.INVITE)), later).any()


def test_interactions_are_possible_and_in_order(network: Network) -> None:
    log = network.interactions
    assert (log.viewer != log.other).all()
    assert (log.at >= np.maximum(joined(network)[log.viewer], joined(network)[log.other])).all()
    assert (np.diff(log.at) >= 0).all()
    assert log.at.max() < calendar.CUT
    assert set(log.kind.tolist()) <= {kind.value for kind in EventKind}
    counts = np.bincount(log.kind, minlength=len(EventKind))
    assert counts[EventKind.IMPRESSION] > counts[EventKind.CLICK] > counts[EventKind.DISMISS] > counts[EventKind.BLOCK]


def test_nothing_is_lifted_or_answered_that_was_not_done_before(network: Network) -> None:
    before = {
        EventKind.UNDISMISS: EventKind.DISMISS,
        EventKind.UNBLOCK: EventKind.BLOCK,
        EventKind.WITHDRAW: EventKind.INVITE,
        EventKind.ACCEPT: EventKind.INVITE,
        EventKind.DECLINE: EventKind.INVITE,
    }
    log, done, answered = network.interactions, set(), 0
    for viewer, other, kind in zip(log.viewer.tolist(), log.other.tolist(), log.kind.tolist(), strict=True):
        done.add((viewer, other, kind))
        if kind in before:
            answered += 1
            doer, done_to = (other, viewer) if kind in (EventKind.ACCEPT, EventKind.DECLINE) else (viewer, other)
            assert (doer, done_to, before[EventKind(kind)]) in done
    assert answered > 100


@pytest.mark.parametrize(("users", "mean"), [(1, None), (2, None), (5, None), (5, 4.0), (3, 0.1), (40, 39.0)])
def test_tiny_and_full_networks(users: int, mean: float | None) -> None:
    network = generate(users, mean, seed=1)
    assert len(network.users) == users
    everything = np.concatenate([network.connections, network.held_out])
    assert len({(min(a, b), max(a, b)) for a, b in everything[:, :2].tolist()}) == len(everything)
    assert len(everything) <= users * (users - 1) // 2
    if mean is not None:
        assert len(network.connections) >= 0.8 * round(users * mean / 2)


def test_a_seed_decides_everything() -> None:
    one, same, other = (generate(200, 8.0, seed=seed) for seed in (5, 5, 6))
    assert one.users.equals(same.users)
    assert np.array_equal(one.connections, same.connections)
    assert np.array_equal(one.held_out, same.held_out)
    assert np.array_equal(one.interactions.at, same.interactions.at)
    assert not np.array_equal(one.connections, other.connections)


@pytest.mark.parametrize(
    ("users", "mean"), [(0, None), (-3, None), (10, 0.0), (10, -1.0), (10, 9.5), (10, float("nan")), (1, 1.0)]
)
def test_impossible_sizes_are_refused(users: int, mean: float | None) -> None:
    with pytest.raises(UsageError):
        checked_mean(users, mean)
    with pytest.raises(UsageError):
        generate(users, mean)
