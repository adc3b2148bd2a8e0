"""Lists of a treatment in which people who are held out keep the control's places."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.live_state.exposure import Exposed
from models.setting_texts import ContextLimit
from models.version.tables import Tables
from service.ranking.ranked_list import RankedList
from service.ranking.rerank import Diversity, Fatigue, Reranker, RerankSettings
from service.ranking.user_flags import UserFlags
from service.ranking.viewer_state import ViewerState
from service.state.holdout import HoldoutReranker

MakeTables = Callable[..., Tables]
OFF = RerankSettings(Diversity("none", 5))
TIRING = RerankSettings(Diversity("none", 5), Fatigue(0.1, 100))
N = 12


@pytest.fixture(scope="module")
def tables(make_tables: MakeTables) -> Tables:
    return make_tables([f"p{at:03}" for at in range(N)], [])


def shown_once(*rows: int) -> ViewerState:
    unknown = np.zeros(0, np.int32)
    times = np.ones(len(rows), np.float32)
    return ViewerState(1, 0, unknown, np.zeros(0, np.uint8), unknown, np.array(rows, np.int32), times)


def listed(people: int = N) -> RankedList:
    rows = np.arange(people, dtype=np.uint32)
    scores = np.linspace(0.9, 0.1, people).astype(np.float32)
    return RankedList(0, rows, scores, np.ones(people, np.uint8))


def mask(*rows: int) -> NDArray[np.bool_]:
    return np.isin(np.arange(N), rows)


def rows_of(
    tables: Tables, treatment: RerankSettings, held: NDArray[np.bool_], view: ViewerState, places: int = N
) -> list[int]:
    flags = UserFlags(tables)
    flags.expose(Exposed.of(1, []))
    reranker = HoldoutReranker(Reranker(tables, treatment), Reranker(tables, OFF), held)
    found = reranker.rerank(listed(), "web", places, view, flags, {})
    assert found is not None
    assert (np.diff(found.scores) <= 0).all()
    return [int(row) for row in found.rows]


def test_with_nobody_held_out_the_list_is_the_treatments(tables: Tables) -> None:
    view = shown_once(0, 1)
    assert rows_of(tables, TIRING, mask(), view)[-2:] == [0, 1]


def test_who_is_held_out_stands_where_the_control_has_them(tables: Tables) -> None:
    """The treatment tires of 0 and 1; 1 is held out and stays second, and 0 goes to the end."""
    found = rows_of(tables, TIRING, mask(1), shown_once(0, 1))
    assert found == [2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]


def test_with_everybody_held_out_the_list_is_the_controls(tables: Tables) -> None:
    assert rows_of(tables, TIRING, mask(*range(N)), shown_once(0, 1, 2)) == list(range(N))


def test_a_shorter_treatment_stays_shorter(tables: Tables) -> None:
    short = RerankSettings(Diversity("none", 5), contexts={"web": ContextLimit(3)})
    assert rows_of(tables, short, mask(1, 5), shown_once()) == [0, 1, 2]


def test_people_whom_the_treatment_drops_leave_no_gap(tables: Tables) -> None:
    strict = RerankSettings(Diversity("none", 5), contexts={"web": ContextLimit(N, 0.75)})
    assert rows_of(tables, strict, mask(1, 8), shown_once()) == [0, 1, 2, 8]


@given(st.sets(st.integers(0, N - 1)), st.sets(st.integers(0, N - 1)), st.integers(1, N))
def test_nobody_is_lost_or_shown_twice(tables: Tables, held: set[int], tired: set[int], places: int) -> None:
    found = rows_of(tables, TIRING, mask(*held), shown_once(*sorted(tired)), places)
    assert len(found) == len(set(found)) == places
    assert [row for row in found if row in held] == [row for row in range(places) if row in held]


def test_a_list_that_may_lack_somebody_is_refused_like_the_controls(tables: Tables) -> None:
    flags = UserFlags(tables)
    reranker = HoldoutReranker(Reranker(tables, TIRING), Reranker(tables, OFF), mask(1))
    view = shown_once(0, 2)
    assert reranker.rerank(listed(), "web", 11, view, flags, {}, np.float32(0.1)) is None
    assert reranker.rerank(listed(), "web", 5, view, flags, {}, np.float32(0.1)) is not None


def test_lists_of_another_holdout_or_rule_are_other_lists(tables: Tables) -> None:
    tiring, off = Reranker(tables, TIRING), Reranker(tables, OFF)
    identities = {
        HoldoutReranker(tiring, off, mask(1)).identity,
        HoldoutReranker(tiring, off, mask(2)).identity,
        HoldoutReranker(off, tiring, mask(1)).identity,
        tiring.identity,
        off.identity,
    }
    assert len(identities) == 5
