"""What another version would have earned in lists that were drawn: its ranking as a policy on the log.

Only lists all of whose judged places were drawn say anything of people whom the served version does not favour: those
of the uniform share, and of a Plackett-Luce draw that leaves no first places (offline.experiments.drawn_lists). Only
lists given out after the version's cut count: before, whoever became a friend since is no candidate of the version any
more.

The version's list of a viewer is its block by falling score, without people whom its hard rules leave out, and whom
the viewer had invited, dismissed, blocked or reported since the cut, or been invited or blocked by. The soft rules are
applied but for fatigue and exposure. A policy that draws its lists gives each of its people a probability in each
place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.arrays import Float64s
from models.errors import PymkError
from offline.experiments.drawn_lists import DrawnList, DrawnLists, Refusals, drawn_lists, draws_of, refusals
from offline.experiments.off_policy import LEAST_VIEWERS, Estimate, Slates, estimate
from offline.experiments.policy import NO_DRAWS, Draws, in_words

PAGE = 20
"""places within which diversity counts"""
PLACES = 10
"""positions that are judged, at most a page"""
REWARDS = ("clicked", "invited", "accepted")
LEAST_LISTS = 20
_FOLDS = 2


class ScoredCandidates(NamedTuple):
    """A viewer's candidates in a version, best first."""

    user_ids: Sequence[str]
    scores: Float64s
    """(m,) probabilities"""
    groups: NDArray[np.int64]
    """(m,) values of the column of diversity, -1 for none"""
    most: int = PAGE
    """people of one value on a page"""
    eligible: int | None = None
    """people who may be drawn, the first ones; None: all"""
    places: int = PAGE
    """people that a list of the context shows at most"""


class VersionScores(Protocol):
    """Scores the candidates of viewers with one version."""

    def __call__(self, viewer: str, context: str) -> ScoredCandidates | None:
        """None: the version has no candidates of the viewer."""
        ...


class VersionEstimate(BaseModel):
    """What a version would have earned per list, by outcome."""

    model_config = ConfigDict(frozen=True)

    version: str
    settings: dict[str, Any] = {}
    """those that differ from the installation's"""
    lists: int
    """drawn lists since its cut, which were used"""
    places: int
    outcomes: dict[str, Estimate]
    """per list, over its first places"""


@dataclass(frozen=True, slots=True)
class _Logged:
    """The drawn lists (s,) of a log, with k places each."""

    propensities: Float64s
    """(s, k), 0 where a list is shorter"""
    rewards: Mapping[str, Float64s]
    targets: Float64s
    """(s, k) the probability of the logged person in this place under the policy"""
    logged_scores: Float64s
    """(s, k) the version's score of the logged person; NaN if not among its candidates"""
    own_scores: Float64s
    """(s, k, m) of those whom the policy may put there; 0 if there are fewer than m"""
    own_shares: Float64s
    """(s, k, m) their probabilities, whose sum is 1; 0 where the policy shows nobody"""


def evaluate_version(
    version: str,
    outcomes: pl.DataFrame,
    scores: VersionScores,
    places: int = PLACES,
    draws: Draws = NO_DRAWS,
    changed: Mapping[str, Any] | None = None,
    *,
    since: int = 0,
    events: pl.DataFrame | None = None,
    hold_minutes: float = 0.0,
) -> VersionEstimate:
    """What a version would have earned in the drawn lists of the outcomes, which begin at its cut.

    Lists given out from `since` (microseconds) on are judged; whom viewers had refused is of all outcomes, and of the
    `events` since the cut where they are given. Within spans of `hold_minutes` a viewer's lists are one draw. `changed`
    are the settings that its `scores` and `draws` follow from, for the report. Raises PymkError that says what to do if
    too few lists were drawn, or of too few viewers.
    """
    judged = outcomes.filter(pl.col("at").dt.epoch("us") >= since)
    found = drawn_lists(judged, places, REWARDS)
    kept = [one for one in found.lists if scores(one.viewer, one.context) is not None]
    if len(kept) < LEAST_LISTS:
        raise PymkError(_too_few(version, found, len(kept)))
    viewers, numbers = np.unique(np.array([one.viewer for one in kept]), return_inverse=True)
    if len(viewers) < LEAST_VIEWERS:
        raise PymkError(
            f"the {len(kept)} drawn lists since the cut of {version} are of {len(viewers)} viewers, and at least "
            f"{LEAST_VIEWERS} are needed: what a few do says little of all"
        )
    logged = _logged(kept, refusals(outcomes, events), scores, found.places, draws)
    # where the policy shows nobody it earns nothing, whoever was logged there
    propensities = np.where(logged.own_shares.any(axis=2), logged.propensities, 0.0)
    whole, drawn = np.array([not one.has_hole for one in kept]), draws_of(kept, hold_minutes)
    estimates = {}
    for reward, values in logged.rewards.items():
        predicted, expected = _models(logged, values, numbers)
        slates = Slates(
            numbers.astype(np.int64), values, propensities, logged.targets, predicted, expected, drawn, whole
        )
        estimates[reward] = estimate(slates)
    return VersionEstimate(
        version=version, settings=dict(changed or {}), lists=len(kept), places=found.places, outcomes=estimates
    )


def _too_few(version: str, found: DrawnLists, kept: int) -> str:
    """Why there are not enough drawn lists, and what to do."""
    said = f"{kept} lists since the cut of {version} were drawn from the first place on, and {LEAST_LISTS} are needed"
    if not found.with_a_draw:
        return (
            f"{said}: set PYMK_EXPLORATION_UNIFORM_SHARE to draw a share of the lists, and run no experiment with a "
            "holdout meanwhile, in whose lists nobody is drawn"
        )
    if not found.lists:
        return (
            f"{said}: the {found.with_a_draw} lists with a draw keep their first places; set "
            "PYMK_EXPLORATION_UNIFORM_SHARE, whose lists are drawn from the first place on, or PYMK_EXPLORATION_FIXED=0"
        )
    if kept < len(found.lists):
        return f"{said}: {len(found.lists) - kept} more are of viewers whom the version has no candidates of"
    return f"{said}: wait for more, or raise PYMK_EXPLORATION_UNIFORM_SHARE"


def _logged(lists: Sequence[DrawnList], refused: Refusals, scores: VersionScores, places: int, draws: Draws) -> _Logged:
    targets, logged_scores = list[list[float]](), list[list[float]]()
    own_scores, own_shares = list[Float64s](), list[Float64s]()
    for one in lists:
        scored = scores(one.viewer, one.context)
        if scored is None:
            raise ValueError(f"the version has no candidates of {one.viewer}")
        before = {other for when, other in refused.get(one.viewer, ()) if when < one.at}
        kept_at = np.array([at for at, who in enumerate(scored.user_ids) if who not in before], dtype=np.intp)
        ranked = kept_at[in_pages(scored.groups[kept_at], scored.most, draws.best if draws.is_on else places)]
        by_id = {scored.user_ids[at]: float(scored.scores[at]) for at in kept_at.tolist()}
        logged_scores.append([by_id.get(who, np.nan) for who in one.candidates])
        # whom the policy puts in these places
        eligible = len(kept_at) if scored.eligible is None else int((kept_at < scored.eligible).sum())
        their = scored.scores[ranked]
        shares = draws.shares(their, eligible, places) if draws.is_on else np.eye(places, len(ranked))
        shares[scored.places :] = 0
        at_id = {scored.user_ids[at]: place for place, at in enumerate(ranked.tolist())}
        targets.append([shares[place, at_id[who]] if who in at_id else 0.0 for place, who in enumerate(one.candidates)])
        if draws.is_on:
            own_scores.append(_wide(np.tile(their, (places, 1)), draws.best))
            own_shares.append(_wide(shares, draws.best))
        else:
            own_scores.append(_wide(their[None, :places], places).T)
            own_shares.append(shares.sum(axis=1)[:, None])
    return _Logged(
        np.array([one.propensities for one in lists]),
        {name: np.array([one.outcomes[name] for one in lists]) for name in REWARDS},
        np.array(targets, dtype=np.float64),
        np.array(logged_scores, dtype=np.float64),
        np.array(own_scores),
        np.array(own_shares),
    )


def _wide(values: Float64s, most: int) -> Float64s:
    """(k, most) of values (k, n), cut off or with zeros."""
    found = np.zeros((len(values), most))
    found[:, : values.shape[1]] = values[:, :most]
    return found


def in_pages(groups: NDArray[np.int64], most: int, count: int) -> list[int]:
    """Positions of the first `count` of the people (m,), best first, with at most `most` of a group on each page."""
    left, chosen = list(range(len(groups))), list[int]()
    while left and len(chosen) < count:
        page = {left[at] for at in first_page(groups[left], most)}
        chosen += sorted(page)
        left = [at for at in left if at not in page]
    return chosen[:count]


def first_page(groups: NDArray[np.int64], most: int) -> list[int]:
    """Positions of the people (m,), best first, on a first page with at most `most` of a group.

    If all who are left are over the limit, the best of them fill the page.
    """
    counts: dict[int, int] = {}
    chosen: list[int] = []
    for at, group in enumerate(groups.tolist()):
        if len(chosen) == PAGE:
            break
        if group < 0 or counts.get(group, 0) < most:
            counts[group] = counts.get(group, 0) + 1
            chosen.append(at)
    left = [at for at in range(min(len(groups), 2 * PAGE)) if at not in set(chosen)]
    return sorted([*chosen, *left[: PAGE - len(chosen)]])


def _models(logged: _Logged, values: Float64s, viewers: NDArray[np.integer]) -> tuple[Float64s, Float64s]:
    """(s, k) the modelled outcome of the logged people and of the version's own, in their places.

    A logistic regression on the version's score and the position, trained on the other half of the viewers without the
    holes, whose propensity is 1.
    """
    fold = viewers % _FOLDS
    filled, unknown = logged.propensities > 0, logged.propensities >= 1
    predicted, expected = np.zeros_like(values), np.zeros_like(values)
    for one in range(_FOLDS):
        here, there = fold == one, (fold != one)[:, None] & filled & ~unknown
        if not here.any():
            continue
        model = _fitted(_inputs(logged.logged_scores)[there], values[there])
        predicted[here] = model(_inputs(logged.logged_scores)[here])
        shares = logged.own_shares[here]
        expected[here] = (model(_inputs(logged.own_scores)[here]) * shares).sum(axis=2)
    return predicted * filled, expected * filled


def _inputs(scores: Float64s) -> Float64s:
    """(s, k, ..., 3) of scores (s, k, ...): log-odds of the score, 0 if there is none; whether there is none; the
    logarithm of the position.
    """
    clipped = np.clip(np.nan_to_num(scores, nan=0.5), 1e-6, 1 - 1e-6)
    logarithms = np.log(np.arange(1, scores.shape[1] + 1)).reshape(-1, *[1] * (scores.ndim - 2))
    positions = np.broadcast_to(logarithms, scores.shape)
    return np.stack([np.log(clipped / (1 - clipped)), np.isnan(scores).astype(np.float64), positions], axis=-1)


class _Model(Protocol):
    def __call__(self, inputs: Float64s) -> Float64s: ...


def _fitted(inputs: Float64s, values: Float64s) -> _Model:
    """A model of the outcome; the mean, if all outcomes are the same or there are none."""
    if len(np.unique(values)) < 2:
        mean = float(values.mean()) if len(values) else 0.0
        return lambda some: np.full(some.shape[:-1], mean)
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(inputs, values)
    return lambda some: np.asarray(fitted.predict_proba(some.reshape(-1, some.shape[-1]))[:, 1]).reshape(
        some.shape[:-1]
    )


def as_text(found: VersionEstimate) -> Iterator[str]:
    """The estimate for a terminal."""
    yield (
        f"{in_words(found.version, found.settings)} on {found.lists} drawn lists since its cut; per list, in its first "
        f"{found.places} places:"
    )
    for name, one in found.outcomes.items():
        yield f"  {name:9} logged {one.logged}"
        if one.dr is None:
            yield f"  {'':9} no estimate: {one.overlap.refusal}"
            continue
        yield f"  {'':9} doubly robust {one.dr}, IPS {one.ips}, self-normalised {one.snips}"
    overlap = next(iter(found.outcomes.values())).overlap
    yield (
        f"  overlap: {overlap.slates} lists of {overlap.draws} draws and {overlap.viewers} viewers are worth "
        f"{overlap.effective:.0f} draws and {overlap.effective_viewers:.0f} viewers where they are fewest, "
        f"mean weight {overlap.mean_weight:.2f}, largest {overlap.largest_weight:.1f}"
    )
