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
