"""Cold starts that show the same people again and again make room for others."""

import numpy as np

from models.cold_start.spread import HELD, LEAST_PEOPLE, PLACES, Spread

N = 1000
ROWS = np.arange(N, dtype=np.uint32)
SHARES = np.linspace(0.9, 0.1, N).astype(np.float32)


def best(shares: np.ndarray) -> set[int]:
    return set(np.argsort(-shares, kind="stable")[:PLACES].tolist())


def test_the_first_viewer_sees_the_best_and_later_ones_others_too() -> None:
    spread, seen = Spread(N), set[int]()
    assert best(spread.shares("first", ROWS, SHARES)) == set(range(PLACES))
    for viewer in range(40):
        seen |= best(spread.shares(viewer, ROWS, SHARES))
    assert len(seen) > 5 * PLACES


def test_who_asks_again_sees_the_same() -> None:
    spread = Spread(N)
    first = spread.shares("ann", ROWS, SHARES)
    for viewer in range(HELD - 1):
        spread.shares(viewer, ROWS, SHARES)
    assert np.array_equal(spread.shares("ann", ROWS, SHARES), first)


def test_a_far_better_candidate_stays_in_front() -> None:
    spread, shares = Spread(N), np.full(N, 1e-6, np.float32)
    shares[7] = 0.9
    for viewer in range(30):
        assert int(np.argmax(spread.shares(viewer, ROWS, shares))) == 7


def test_what_was_shown_fades() -> None:
    spread = Spread(N, strength=1.0)
    spread.shares("ann", ROWS[:PLACES], SHARES[:PLACES])
    others = np.arange(PLACES, N, dtype=np.uint32)
    for viewer in range(1000):
        spread.shares(viewer, others, SHARES[PLACES:])
    assert np.allclose(spread.shares("zoe", ROWS[:PLACES], SHARES[:PLACES]), SHARES[:PLACES], rtol=1e-3)


def test_in_a_small_network_nothing_is_spread() -> None:
    spread = Spread(LEAST_PEOPLE - 1)
    rows, shares = ROWS[: LEAST_PEOPLE - 1], SHARES[: LEAST_PEOPLE - 1]
    for viewer in range(5):
        assert np.array_equal(spread.shares(viewer, rows, shares), shares)


def test_prices_move_people_and_leave_the_order_of_those_shown_as_often() -> None:
    spread = Spread(N)
    for viewer in range(20):
        lowered = spread.shares(viewer, ROWS, SHARES)
        assert (lowered > 0).all()
    never = np.flatnonzero(spread.shares("other", ROWS[-300:], SHARES[-300:]))
    assert len(never) == 300
    late = lowered[-300:]
    assert (np.diff(late) < 0).all(), "nobody of these was shown"
    assert (lowered[:PLACES] < SHARES[:PLACES]).all()


def test_nothing_known_of_anybody_changes_nothing() -> None:
    spread = Spread(N)
    assert not spread.shares("ann", ROWS, np.zeros(N, np.float32)).any()
    assert len(spread.shares("bea", ROWS[:0], SHARES[:0])) == 0


def test_the_less_is_known_of_a_viewer_the_less_is_moved() -> None:
    spread = Spread(N)
    for viewer in range(20):
        spread.shares(viewer, ROWS, SHARES)
    lowered = [spread.shares(("new", columns), ROWS[:PLACES], SHARES[:PLACES], columns).mean() for columns in range(5)]
    assert lowered[0] > lowered[1] > lowered[2] > lowered[3]
    assert lowered[0] < SHARES[:PLACES].mean()
