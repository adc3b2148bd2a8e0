"""Another version judged by lists that were drawn uniformly, where its true value is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.errors import PymkError
from offline.experiments.version_policy import ScoredCandidates, as_text, evaluate_version

BEST, PLACES = 8, 3
EXAMINED = np.array([1.0, 0.7, 0.5])
START = datetime(2026, 11, 1, tzinfo=UTC)


def appeal(candidate: int) -> float:
    """How likely a candidate is clicked once seen: the later ones more."""
    return 0.05 + 0.05 * candidate


def log(lists: int, *, drawn: bool = True, seed: int = 0) -> pl.DataFrame:
    """Lists of three of eight people, in a uniform order; each viewer has ten of them."""
    random = np.random.default_rng(seed)
    shown = np.argsort(random.random((lists, BEST)), axis=1)[:, :PLACES]
    clicked = random.random((lists, PLACES)) < EXAMINED * (0.05 + 0.05 * shown)
    rows = lists * PLACES
    never = np.zeros(rows, dtype=bool)
    return pl.DataFrame(
        {
            "request_id": np.repeat([f"r{at}" for at in range(lists)], PLACES),
            "at": np.repeat([START + timedelta(minutes=at) for at in range(lists)], PLACES),
            "viewer": np.repeat([f"v{at // 10}" for at in range(lists)], PLACES),
            "context": ["web"] * rows,
            "candidate": [f"c{one}" for one in shown.ravel().tolist()],
            "position": np.tile(np.arange(1, PLACES + 1), lists),
            "offset": np.zeros(rows, dtype=np.int64),
            "propensity": np.full(rows, 1 / BEST if drawn else 1.0),
            "clicked": clicked.ravel(),
            **dict.fromkeys(("invited", "accepted", "dismissed", "blocked", "reported"), never),
        }
    )


def scores_of(order: list[str]) -> ScoredCandidates:
    return ScoredCandidates(order, np.linspace(0.9, 0.1, len(order)))


BEST_LAST = [f"c{one}" for one in range(BEST - 1, -1, -1)]
TRUE = float(sum(EXAMINED[at] * appeal(BEST - 1 - at) for at in range(PLACES)))


def test_the_true_value_of_another_order_is_found() -> None:
    found = evaluate_version("v", log(8000), lambda viewer, context: scores_of(BEST_LAST), PLACES)
    clicked = found.outcomes["clicked"]
    assert found.lists == 8000
    assert clicked.dr is not None
    assert clicked.dr.low < TRUE < clicked.dr.high
    assert clicked.dr.high - clicked.dr.low < 0.15
    assert clicked.logged.high < TRUE
    assert clicked.overlap.effective == pytest.approx(1000, rel=0.15)
    assert "doubly robust" in "\n".join(as_text(found))


def test_its_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(40):
        found = evaluate_version("v", log(2000, seed=seed), lambda viewer, context: scores_of(BEST_LAST), PLACES)
        dr = found.outcomes["clicked"].dr
        assert dr is not None
        hits += dr.low <= TRUE <= dr.high
    assert hits >= 34


def test_a_version_whose_people_were_never_shown_gets_no_figure() -> None:
    found = evaluate_version("v", log(3000), lambda viewer, context: scores_of(["x", "y", "z"]), PLACES)
    assert all(one.dr is None and one.overlap.refusal for one in found.outcomes.values())
    assert "no estimate: at position 1" in "\n".join(as_text(found))


def test_a_version_that_shows_others_in_some_places_gets_none_either() -> None:
    found = evaluate_version("v", log(8000), lambda viewer, context: scores_of(["c7", "x", "c6"]), PLACES)
    assert found.outcomes["clicked"].dr is None


def test_lists_that_were_not_drawn_say_nothing() -> None:
    with pytest.raises(PymkError, match="PYMK_EXPLORATION_UNIFORM_SHARE"):
        evaluate_version("v", log(500, drawn=False), lambda viewer, context: scores_of(BEST_LAST), PLACES)


def test_viewers_whom_the_version_has_no_candidates_of_are_left_out() -> None:
    def some(viewer: str, context: str) -> ScoredCandidates | None:
        return None if viewer == "v0" else scores_of(BEST_LAST)

    assert evaluate_version("v", log(1000), some, PLACES).lists == 990


def test_whoever_was_invited_is_no_candidate_of_later_lists() -> None:
    """Every viewer invites c7, the only candidate of the version, in the first of ten lists."""
    outcomes = log(4000).with_columns(number=pl.col("request_id").str.slice(1).cast(pl.Int64))
    first = outcomes.with_columns(
        invited=(pl.col("number") % 10 == 0) & (pl.col("position") == 1), candidate=pl.lit("c7")
    )
    others = outcomes.filter(pl.col("number") % 10 > 0)
    both = pl.concat([first.filter(pl.col("number") % 10 == 0), others]).drop("number")
    kept = evaluate_version("v", both, lambda viewer, context: scores_of(["c7"]), 1)
    without = both.with_columns(invited=False)
    shown = evaluate_version("v", without, lambda viewer, context: scores_of(["c7"]), 1)
    assert kept.outcomes["clicked"].overlap.effective < 0.6 * shown.outcomes["clicked"].overlap.effective
