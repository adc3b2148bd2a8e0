"""What another order of the people shown would have earned."""

import numpy as np
import pytest

from offline.evaluation.outcomes.reordered import ranked, reordered_ratio

LISTS = np.array([0, 0, 0, 1, 1, 1])
PLACES = np.array([1, 2, 3, 1, 2, 3])


def test_people_stand_in_the_places_of_their_own_list_by_score() -> None:
    scores = np.array([0.1, 0.9, 0.5, 3.0, 1.0, 2.0])
    np.testing.assert_array_equal(ranked(LISTS, scores, PLACES), [3, 1, 2, 1, 3, 2])
    later = np.array([11, 12, 13, 1, 2, 3])  # a page further down
    np.testing.assert_array_equal(ranked(LISTS, scores, later), [13, 11, 12, 1, 3, 2])
    np.testing.assert_array_equal(ranked(LISTS, np.zeros(6), PLACES), PLACES)
    turned = np.array([5, 2, 0, 1, 4, 3])
    np.testing.assert_array_equal(
        ranked(LISTS[turned], scores[turned], PLACES[turned]), np.array([3, 1, 2, 1, 3, 2])[turned]
    )


def test_what_stands_higher_is_looked_at_more() -> None:
    earned = np.array([False, False, True, False, False, False])
    up, as_shown = np.array([0, 0, 1, 0, 0, 0.0]), -PLACES.astype(float)
    found = reordered_ratio(LISTS, LISTS, earned, PLACES**-1.0, PLACES, up, as_shown, 1.0)
    assert found is not None
    assert found.value == pytest.approx(3.0)  # from place 3 to place 1
    back = reordered_ratio(LISTS, LISTS, earned, PLACES**-1.0, PLACES, as_shown, up, 1.0)
    assert back is not None
    assert back.value == pytest.approx(1 / 3)
    assert reordered_ratio(LISTS, LISTS, np.zeros(6, bool), PLACES**-1.0, PLACES, up, as_shown, 1.0) is None


def test_the_estimate_is_what_the_other_order_earns() -> None:
    random, n = np.random.default_rng(0), 30_000
    worth = random.random((n, 5)) * 0.4
    shown, other = np.argsort(random.random((n, 5)), axis=1), np.argsort(-worth, axis=1)
    eta, places = 0.7, np.arange(1, 6)
    truth = [(np.take_along_axis(worth, order, 1) * places**-eta).sum() for order in (other, shown)]
    in_place = np.take_along_axis(worth, shown, 1)
    earned = random.random((n, 5)) < in_place * places**-eta
    lists, flat = np.repeat(np.arange(n), 5), np.tile(places, n)
    found = reordered_ratio(
        lists, lists // 3, earned.ravel(), flat**-eta, flat, in_place.ravel(), -flat.astype(float), eta
    )
    assert found is not None
    assert found.low < truth[0] / truth[1] < found.high
    assert found.high - found.low < 0.1
