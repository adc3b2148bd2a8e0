"""Another version judged by lists that were drawn uniformly, where its true value is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.errors import PymkError
from offline.experiments.policy import Draws
from offline.experiments.version_policy import ScoredCandidates, as_text, evaluate_version, first_page, in_pages
from service.ranking.exploration.draw import Exploration, draw
from service.ranking.kernels.diversity import page_by_page

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
            "at": [START + timedelta(minutes=at // PLACES) for at in range(rows)],
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
    return ScoredCandidates(order, np.linspace(0.9, 0.1, len(order)), np.full(len(order), -1))


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


def frequencies(draws: Draws, order: list[str], eligible: int, lists: int = 40_000) -> np.ndarray:
    """(places, n) how often each person is in each place of lists that are drawn as the service draws them."""
    random = np.random.default_rng(5)
    exploration = Exploration(draws.temperature, draws.fixed, draws.uniform_share, draws.best)
    scores = scores_of(order).scores.astype(np.float32)
    hashes, found = np.arange(BEST, dtype=np.uint32), np.zeros((PLACES, BEST))
    for seed in random.integers(0, 1 << 63, lists).tolist():
        drawn = draw(exploration, seed, scores, hashes, eligible).order[:PLACES]
        found[np.arange(PLACES), drawn] += 1
    return found / lists


@pytest.mark.parametrize(
    ("draws", "eligible"),
    [
        (Draws(temperature=1.0, fixed=1, best=6), BEST),
        (Draws(temperature=0.5, fixed=0, best=5, uniform_share=0.3), 4),
        (Draws(uniform_share=1.0, best=4), BEST),
    ],
)
def test_the_true_value_of_lists_that_are_drawn_is_found(draws: Draws, eligible: int) -> None:
    def scores(viewer: str, context: str) -> ScoredCandidates:
        return scores_of(BEST_LAST)._replace(eligible=eligible)

    drawn = frequencies(draws, BEST_LAST, eligible)
    np.testing.assert_allclose(draws.shares(scores_of(BEST_LAST).scores, eligible, PLACES), drawn, atol=0.01)
    true = float(EXAMINED @ drawn @ [appeal(int(one[1:])) for one in BEST_LAST])
    found = evaluate_version("v", log(8000, seed=3), scores, PLACES, draws, {"exploration_best": draws.best})
    clicked = found.outcomes["clicked"]
    assert clicked.dr is not None
    assert clicked.dr.low < true < clicked.dr.high
    assert clicked.dr.high - clicked.dr.low < 0.15
    assert f"v with exploration_best = {draws.best} on 8000 drawn lists" in "\n".join(as_text(found))


def test_places_that_a_limit_leaves_empty_earn_nothing() -> None:
    def scores(viewer: str, context: str) -> ScoredCandidates:
        return scores_of(BEST_LAST)._replace(places=1)

    clicked = evaluate_version("v", log(8000), scores, PLACES).outcomes["clicked"]
    assert clicked.dr is not None
    assert clicked.dr.low < EXAMINED[0] * appeal(BEST - 1) < clicked.dr.high


def test_the_shares_of_a_place_and_of_a_person_add_up_to_one() -> None:
    scores = np.linspace(0.9, 0.1, 12)
    shares = Draws(temperature=0.7, fixed=2, uniform_share=0.25, best=9).shares(scores, 12, 12)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(shares[9:, 9:], np.eye(3))


def test_pages_are_those_of_the_service() -> None:
    random = np.random.default_rng(2)
    for most in (1, 2, 5):
        groups = random.integers(-1, 6, 90)
        chosen = np.empty(60, np.int32)
        page_by_page(np.arange(90, dtype=np.uint32), groups.astype(np.int32), most, chosen)
        assert in_pages(groups, most, 60) == chosen.tolist()


def test_a_page_has_so_many_of_a_group_and_is_filled() -> None:
    groups = np.array([0, 0, 0, 1, -1, -1, 0])
    assert first_page(groups, 20) == list(range(7))
    assert first_page(groups, 2) == list(range(7)), "too few for a page: nobody is left out"
    many = np.array([0] * 15 + [1] * 30)
    assert first_page(many, 10) == [*range(10), *range(15, 25)]
    assert first_page(np.zeros(30, np.int64), 5) == list(range(20))


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


def test_whom_a_viewer_invited_before_the_lists_that_are_judged_is_no_candidate() -> None:
    """The refusals are of all lists since the cut, whatever lists are judged."""
    outcomes = log(8000, seed=6).with_columns(number=pl.col("request_id").str.slice(1).cast(pl.Int64) % 10)
    invited = (pl.col("number") == 0) & (pl.col("position") == 1)
    outcomes = outcomes.with_columns(
        invited=invited, candidate=pl.when(invited).then(pl.lit("c9")).otherwise("candidate")
    )
    order = ["c9", *BEST_LAST]
    first = outcomes.filter(pl.col("number") == 0)
    late = outcomes.filter(pl.col("number") > 0)
    since = round((START + timedelta(days=60)).timestamp() * 1e6)
    both = pl.concat([first, late.with_columns(pl.col("at") + timedelta(days=60))]).drop("number")
    found = evaluate_version("v", both, lambda viewer, context: scores_of(order), PLACES, since=since)
    clicked = found.outcomes["clicked"]
    assert found.lists == 7200
    assert clicked.overlap.mean_weight == pytest.approx(1, abs=0.1)
    assert clicked.dr is not None
    assert clicked.dr.low < TRUE < clicked.dr.high


def test_invitations_of_no_list_count_too() -> None:
    """Everybody invited c7 by a search, which no list says and the log of events does."""
    outcomes = log(4000)
    viewers = outcomes["viewer"].unique(maintain_order=True).to_list()
    acknowledged = round((START - timedelta(hours=1)).timestamp() * 1e6)
    events = pl.DataFrame({"kind": "invite", "user_id": viewers, "other_id": "c7", "acknowledged": acknowledged})
    shown = outcomes.with_columns(candidate=pl.col("candidate").replace("c7", "x"))
    found = evaluate_version("v", shown, lambda viewer, context: scores_of(BEST_LAST), 1, events=events)
    assert found.outcomes["clicked"].overlap.mean_weight == pytest.approx(1, abs=0.15)
    without = evaluate_version("v", shown, lambda viewer, context: scores_of(BEST_LAST), 1)
    assert without.outcomes["clicked"].overlap.mean_weight == 0


def test_places_below_the_drawn_best_are_not_asked_for() -> None:
    """Lists of six places, of which the first three are drawn: three are judged."""
    outcomes = log(8000)
    rest = outcomes.with_columns(
        position=pl.col("position") + PLACES,
        candidate=pl.format("d{}", "position"),
        propensity=pl.lit(1.0),
        clicked=pl.lit(value=True),
    )
    found = evaluate_version("v", pl.concat([outcomes, rest]), lambda viewer, context: scores_of(BEST_LAST))
    clicked = found.outcomes["clicked"]
    assert (found.lists, found.places) == (8000, PLACES)
    assert clicked.dr is not None
    assert clicked.dr.low < TRUE < clicked.dr.high


def test_lists_that_keep_their_first_places_are_told_so() -> None:
    outcomes = log(100).with_columns(propensity=pl.when(pl.col("position") == 1).then(1.0).otherwise("propensity"))
    with pytest.raises(PymkError, match=r"the 100 lists with a draw keep their first places.*FIXED=0"):
        evaluate_version("v", outcomes, lambda viewer, context: scores_of(BEST_LAST), PLACES)


@pytest.mark.parametrize("viewers", [1, 3, 19])
def test_lists_of_a_few_viewers_are_refused(viewers: int) -> None:
    outcomes = log(3000).with_columns(viewer=pl.format("v{}", pl.col("request_id").hash() % viewers))
    with pytest.raises(PymkError, match=f"are of {viewers} viewers, and at least 20 are needed"):
        evaluate_version("v", outcomes, lambda viewer, context: scores_of(BEST_LAST), PLACES)


def test_a_page_that_is_loaded_again_is_one_draw() -> None:
    """40 draws, each shown 50 times within its half hour."""
    outcomes = log(400).filter(pl.col("request_id").str.ends_with("0"))
    again = pl.concat(
        [outcomes.with_columns(request_id=pl.format("{}-{}", "request_id", pl.lit(at))) for at in range(50)]
    )
    found = evaluate_version("v", again, lambda viewer, context: scores_of(BEST_LAST), PLACES, hold_minutes=30)
    overlap = found.outcomes["clicked"].overlap
    assert (overlap.slates, overlap.draws, overlap.viewers) == (2000, 40, 40)
    assert overlap.effective <= 40
    assert found.outcomes["clicked"].dr is None
    assert "the 40 draws of 2000 logged lists" in str(overlap.refusal)


def test_an_erasure_shifts_nobody() -> None:
    """c0 and c1 are gone from the log: who stood below them keeps the place, and the truth is that of before."""
    outcomes = log(8000, seed=4).filter(~pl.col("candidate").is_in(["c0", "c1"]))
    found = evaluate_version("v", outcomes, lambda viewer, context: scores_of(BEST_LAST), 2)
    clicked = found.outcomes["clicked"]
    assert found.lists >= 7500, "all but those that have nobody left in the first two places"
    assert clicked.overlap.mean_weight == pytest.approx(1, abs=0.1)
    assert clicked.dr is not None
    assert clicked.dr.low < EXAMINED[0] * appeal(7) + EXAMINED[1] * appeal(6) < clicked.dr.high
