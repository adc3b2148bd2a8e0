"""Soft rules: whom they move, that they shorten nothing, and that the beginning of a list says when it is too short."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.live_state.exposure import Exposed
from models.setting_texts import ContextLimit
from models.settings import Settings
from models.version.tables import Tables
from service.ranking.ranked_list import RankedList
from service.ranking.rerank import (
    Diversity,
    Fatigue,
    Reranker,
    RerankSettings,
    Suspicious,
)
from service.ranking.user_flags import UserFlags
from service.ranking.viewer_state import ViewerState

MakeTables = Callable[..., Tables]
UNKNOWN = np.zeros(0, np.int32)
OFF = RerankSettings(Diversity("none", 5))


@pytest.fixture(scope="module")
def tables(make_tables: MakeTables) -> Tables:
    return make_tables([f"p{at:03}" for at in range(40)], [], categories={"company": ["Acme"] * 10 + [None] * 30})


def view(shown: dict[int, int]) -> ViewerState:
    rows = np.array(sorted(shown), np.int32)
    times = np.array([shown[row] for row in sorted(shown)], np.float32)
    return ViewerState(1, 0, UNKNOWN, np.zeros(0, np.uint8), UNKNOWN, rows, times)


def ranked(scores: list[float]) -> RankedList:
    rows = np.arange(len(scores), dtype=np.uint32)
    return RankedList(0, rows, np.array(scores, np.float32), np.ones(len(scores), np.uint8))


def placed(
    tables: Tables, settings: RerankSettings, listed: RankedList, places: int = 20, **changed: object
) -> RankedList:
    now = UserFlags(tables)
    now.expose(Exposed.of(1, changed.get("exposed", [])))  # type: ignore[arg-type]
    context, own = str(changed.get("context", "web")), changed.get("view")
    moved: dict[str, int] = changed.get("moved", {})  # type: ignore[assignment]
    found = Reranker(tables, settings).rerank(listed, context, places, own, now, moved)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_without_anything_to_say_nothing_moves(tables: Tables) -> None:
    found = placed(tables, OFF, ranked([0.5, 0.5, 0.25]), 2)
    assert (found.rows.tolist(), found.scores.tolist()) == ([0, 1], [0.5, 0.5])


def test_the_score_falls_with_each_showing(tables: Tables) -> None:
    settings = replace(OFF, fatigue=Fatigue(0.5, 10))
    found = placed(tables, settings, ranked([1.0, 0.75, 0.5]), view=view({0: 1, 1: 2, 39: 5}))
    assert (found.rows.tolist(), found.scores.tolist()) == ([0, 2, 1], [0.5, 0.5, 0.1875])


def test_after_so_many_showings_somebody_comes_last_and_no_list_is_shortened(tables: Tables) -> None:
    settings, moved = replace(OFF, fatigue=Fatigue(0.99, 3)), {}
    found = placed(tables, settings, ranked([1.0, 0.5, 0.25]), view=view({0: 3, 1: 2}), moved=moved)
    assert found.rows.tolist() == [1, 2, 0]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert moved == {"fatigue": 1}


def test_who_was_shown_to_everybody_too_often_comes_last(tables: Tables) -> None:
    moved: dict[str, int] = {}
    found = placed(tables, OFF, ranked([1.0, 0.5, 0.25]), exposed=["p000", "p001", "nobody"], moved=moved)
    assert (found.rows.tolist(), moved) == ([2, 0, 1], {"exposure": 2})
    assert found.scores.tolist() == [0.25, 0.25, 0.25]


def test_a_context_has_its_own_limits(tables: Tables) -> None:
    settings = replace(OFF, contexts={"email": ContextLimit(2, 0.3)})
    scores, moved = ranked([1.0, 0.5, 0.4, 0.2]), {}
    assert placed(tables, settings, scores, context="email", moved=moved).rows.tolist() == [0, 1]
    assert moved == {"context": 1}
    assert len(placed(tables, settings, scores, context="web")) == 4


SUSPICION = np.array([0.2, 0.995, 0.5, 1.0] + [0.0] * 36, np.float16)


def test_suspicious_accounts_stay_where_they_are_while_the_rule_is_off(tables: Tables) -> None:
    told, moved = replace(tables, suspicion=SUSPICION), {}
    listed = ranked([1.0, 0.5, 0.4, 0.2])
    found, without = placed(told, OFF, listed, moved=moved), placed(tables, OFF, listed)
    assert (found.rows.tolist(), found.scores.tolist()) == (without.rows.tolist(), without.scores.tolist())
    assert moved == {}
    settings = RerankSettings.of(Settings())
    assert settings.suspicious == Suspicious()
    assert not settings.suspicious.is_on


def test_suspicious_accounts_come_last_or_not_at_all(tables: Tables) -> None:
    told, listed = replace(tables, suspicion=SUSPICION), ranked([1.0, 0.5, 0.4, 0.2])
    for drop, rows in ((False, [0, 2, 1, 3]), (True, [0, 2])):
        settings, moved = replace(OFF, suspicious=Suspicious(0.99, drop)), {}
        assert placed(told, settings, listed, moved=moved).rows.tolist() == rows
        assert moved == {"suspicious": 2}
        assert placed(tables, settings, listed).rows.tolist() == [0, 1, 2, 3], "a version that says nothing"
    strict = replace(OFF, suspicious=Suspicious(0.1, drop=True), contexts={"email": ContextLimit(9, 0.3)})
    assert placed(told, strict, ranked([1.0] * 4 + [0.5, 0.2]), context="email").rows.tolist() == [4]


def test_an_operator_turns_the_rule_on() -> None:
    assert Suspicious.of(Settings(suspicious="demote")) == Suspicious(0.99, drop=False)
    assert Suspicious.of(Settings(suspicious="drop", suspicious_above=0.5)) == Suspicious(0.5, drop=True)
    with pytest.raises(ValidationError, match="suspicious"):
        Settings(suspicious="hide")  # type: ignore[arg-type]


def test_settings_that_differ_have_another_identity() -> None:
    variants = [OFF, replace(OFF, fatigue=Fatigue(0.9, 3)), replace(OFF, contexts={"web": ContextLimit(3)})]
    variants += [replace(OFF, suspicious=Suspicious(0.9, drop)) for drop in (False, True)]
    assert len({one.identity for one in variants}) == 5
    assert OFF.identity == RerankSettings(Diversity("none", 5)).identity


@given(st.data())
def test_the_beginning_of_a_list_answers_what_the_whole_does_or_nothing(tables: Tables, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    levels = data.draw(st.sampled_from([2, 8, 1000]))
    scores = sorted(data.draw(st.lists(st.integers(0, levels), min_size=n, max_size=n)), reverse=True)
    whole = ranked([score / levels for score in scores])
    order = np.array(data.draw(st.permutations(range(40)))[:n], np.uint32)
    whole = RankedList(0, order, whole.scores, whole.sources)
    kept, places = data.draw(st.integers(1, n)), data.draw(st.integers(1, 30))
    settings = RerankSettings(
        Diversity("company", data.draw(st.integers(1, 6))),
        Fatigue(data.draw(st.sampled_from([1.0, 0.7])), data.draw(st.integers(1, 4))),
        {"web": ContextLimit(data.draw(st.integers(1, 30)), data.draw(st.sampled_from([0.0, 0.3])))},
        data.draw(st.sampled_from([Suspicious(), Suspicious(0.9), Suspicious(0.9, drop=True)])),
    )
    suspects = np.array(data.draw(st.lists(st.booleans(), min_size=40, max_size=40)), np.float16)
    left_out = suspects[order] > 0 if settings.suspicious.drop else np.zeros(n, bool)
    shown = view(data.draw(st.dictionaries(st.integers(0, 39), st.integers(1, 5), max_size=10)))
    now = UserFlags(tables)
    now.expose(Exposed.of(1, [f"p{at:03}" for at in data.draw(st.sets(st.integers(0, 39), max_size=8))]))
    rules = Reranker(replace(tables, suspicion=suspects), settings)
    wanted = rules.rerank(whole, "web", places, shown, now, {})
    assert wanted is not None
    assert wanted.scores.tolist() == sorted(wanted.scores.tolist(), reverse=True)
    if not settings.contexts["web"].least_score:
        assert len(wanted) == min(n - left_out.sum(), places, settings.contexts["web"].most), (
            "a soft rule never shortens a list"
        )
    first = replace(whole.at(np.arange(kept, dtype=np.int32)), is_whole=kept == n)
    found = rules.rerank(first, "web", places, shown, now, {}, None if kept == n else first.scores[-1])
    if found is not None:
        assert found.rows.tolist() == wanted.rows.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()
    assert found is not None or kept < n
