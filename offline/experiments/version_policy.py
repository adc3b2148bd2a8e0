"""What another version would have earned in lists that were drawn: its ranking as a policy on the log.

Only lists all of whose places were drawn say anything of people whom the served version does not favour: those of the
uniform share, and of a Plackett-Luce draw that leaves no first places. Only lists given out after the version's cut
count: before, whoever became a friend since is no candidate of the version any more.

The version's list of a viewer is its block by falling score, without people whom its hard rules leave out, and whom
the viewer had invited, dismissed, blocked or reported in an earlier list of the log, or been invited or blocked by. The
soft rules are applied but for fatigue and exposure. A policy that draws its lists gives each of its people a
probability in each place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.errors import PymkError
from offline.experiments.off_policy import Estimate, Slates, estimate
from offline.experiments.policy import NO_DRAWS, Draws, in_words

PAGE = 20
"""places within which diversity counts"""
PLACES = 10
"""positions that are judged, at most a page"""
REWARDS = ("clicked", "invited", "accepted")
LEAST_LISTS = 20
_FOLDS = 2
_REFUSING = ("invited", "dismissed", "blocked", "reported")

Floats = NDArray[np.float64]


class ScoredCandidates(NamedTuple):
    """A viewer's candidates in a version, best first."""

    user_ids: Sequence[str]
    scores: Floats
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
    """The drawn lists (s,) of a log, with k places each; "" where a list is shorter."""

    viewers: list[str]
    candidates: list[list[str]]
    propensities: Floats
    """(s, k), 0 where a list is shorter"""
    rewards: Mapping[str, Floats]
    targets: Floats
    """(s, k) the probability of the logged person in this place under the policy"""
    logged_scores: Floats
    """(s, k) the version's score of the logged person; NaN if not among its candidates"""
    own_scores: Floats
    """(s, k, m) of those whom the policy may put there; 0 if there are fewer than m"""
    own_shares: Floats
    """(s, k, m) their probabilities, whose sum is 1; 0 where the policy shows nobody"""


def evaluate_version(
    version: str,
    outcomes: pl.DataFrame,
    scores: VersionScores,
    places: int = PLACES,
    draws: Draws = NO_DRAWS,
    changed: Mapping[str, Any] | None = None,
) -> VersionEstimate:
    """What a version would have earned in the drawn lists of the outcomes, which begin at its cut.

    `changed` are the settings that its `scores` and `draws` follow from, for the report. Raises PymkError that says
    what to do if too few lists were drawn.
    """
    drawn = _drawn_lists(outcomes)
    logged = _logged(drawn, outcomes, scores, places, draws)
    if len(logged.viewers) < LEAST_LISTS:
        raise PymkError(
            f"{len(logged.viewers)} lists since the cut of {version} were drawn in all of their places, and at least "
            f"{LEAST_LISTS} are needed: set PYMK_EXPLORATION_UNIFORM_SHARE to draw a share of the lists"
        )
    _, numbers = np.unique(np.array(logged.viewers), return_inverse=True)
    # where the policy shows nobody it earns nothing, whoever was logged there
    propensities = np.where(logged.own_shares.any(axis=2), logged.propensities, 0.0)
    found = {}
    for reward, values in logged.rewards.items():
        predicted, expected = _models(logged, values, numbers)
        slates = Slates(numbers.astype(np.int64), values, propensities, logged.targets, predicted, expected)
        found[reward] = estimate(slates)
    settings = dict(changed or {})
    return VersionEstimate(version=version, settings=settings, lists=len(logged.viewers), places=places, outcomes=found)


def _drawn_lists(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The first pages of lists all of whose places were drawn, by list and position."""
    lists = ["request_id", "viewer", "context"]
    first = outcomes.filter(pl.col("offset") == 0).sort(*lists, "position")
    return first.filter((pl.col("propensity") < 1).all().over(lists))


def _logged(drawn: pl.DataFrame, outcomes: pl.DataFrame, scores: VersionScores, places: int, draws: Draws) -> _Logged:
    refused = _refusals(outcomes)
    viewers, candidates, targets = list[str](), list[list[str]](), list[Floats]()
    kept, logged_scores, own_scores, own_shares = [], list[list[float]](), list[Floats](), list[Floats]()
    for rows in drawn.partition_by("request_id", "viewer", "context", maintain_order=True):
        viewer, at = str(rows["viewer"][0]), rows["at"][0]
        scored = scores(viewer, str(rows["context"][0]))
        if scored is None:
            continue
        before = {other for when, other in refused.get(viewer, ()) if when < at}
        kept_at = np.array([at for at, one in enumerate(scored.user_ids) if one not in before], dtype=np.intp)
        ranked = kept_at[in_pages(scored.groups[kept_at], scored.most, draws.best if draws.is_on else places)]
        by_id = {scored.user_ids[at]: float(scored.scores[at]) for at in kept_at.tolist()}
        shown = rows["candidate"].to_list()[:places]
        viewers.append(viewer)
        kept.append(rows.head(places))
        candidates.append(_padded(shown, places, ""))
        logged_scores.append(_padded([by_id.get(one, np.nan) for one in shown], places, np.nan))
        # whom the policy puts in these places
        eligible = len(kept_at) if scored.eligible is None else int((kept_at < scored.eligible).sum())
        their = scored.scores[ranked]
        shares = draws.shares(their, eligible, places) if draws.is_on else np.eye(places, len(ranked))
        shares[scored.places :] = 0
        at_id = {scored.user_ids[at]: place for place, at in enumerate(ranked.tolist())}
        target = [shares[place, at_id[one]] if one in at_id else 0.0 for place, one in enumerate(shown)]
        targets.append(np.array(_padded(target, places, 0.0)))
        if draws.is_on:
            own_scores.append(_wide(np.tile(their, (places, 1)), draws.best))
            own_shares.append(_wide(shares, draws.best))
        else:
            own_scores.append(_wide(their[None, :places], places).T)
            own_shares.append(shares.sum(axis=1)[:, None])

    def column(name: str) -> Floats:
        values = [_padded(rows[name].cast(pl.Float64).to_list(), places, 0.0) for rows in kept]
        return np.array(values, dtype=np.float64).reshape(-1, places)

    shape, wide = (-1, places), (-1, places, draws.best if draws.is_on else 1)
    return _Logged(
        viewers,
        candidates,
        column("propensity"),
        {name: column(name) for name in REWARDS},
        np.array(targets, dtype=np.float64).reshape(shape),
        np.array(logged_scores, dtype=np.float64).reshape(shape),
        np.array(own_scores, dtype=np.float64).reshape(wide),
        np.array(own_shares, dtype=np.float64).reshape(wide),
    )


def _wide(values: Floats, most: int) -> Floats:
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


def _refusals(outcomes: pl.DataFrame) -> dict[str, list[tuple[object, str]]]:
    """By viewer, when and whom the viewer invited, dismissed, blocked or reported, or was invited or blocked by."""
    found: dict[str, list[tuple[object, str]]] = {}
    acted = outcomes.filter(pl.any_horizontal(*_REFUSING)).select("viewer", "at", "candidate")
    for viewer, at, candidate in acted.iter_rows():
        found.setdefault(viewer, []).append((at, candidate))
    both = outcomes.filter(pl.any_horizontal("invited", "blocked")).select("viewer", "at", "candidate")
    for viewer, at, candidate in both.iter_rows():
        found.setdefault(candidate, []).append((at, viewer))
    return found


def _models(logged: _Logged, values: Floats, viewers: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """(s, k) the modelled outcome of the logged people and of the version's own, in their places.

    A logistic regression on the version's score and the position, trained on the other half of the viewers.
    """
    fold = viewers % _FOLDS
    filled = logged.propensities > 0
    predicted, expected = np.zeros_like(values), np.zeros_like(values)
    for one in range(_FOLDS):
        here, there = fold == one, (fold != one)[:, None] & filled
        model = _fitted(_inputs(logged.logged_scores)[there], values[there])
        predicted[here] = model(_inputs(logged.logged_scores)[here])
        shares = logged.own_shares[here]
        expected[here] = (model(_inputs(logged.own_scores)[here]) * shares).sum(axis=2)
    return predicted * filled, expected * filled


def _inputs(scores: Floats) -> Floats:
    """(s, k, ..., 3) of scores (s, k, ...): log-odds of the score, 0 if there is none; whether there is none; the
    logarithm of the position.
    """
    clipped = np.clip(np.nan_to_num(scores, nan=0.5), 1e-6, 1 - 1e-6)
    logarithms = np.log(np.arange(1, scores.shape[1] + 1)).reshape(-1, *[1] * (scores.ndim - 2))
    positions = np.broadcast_to(logarithms, scores.shape)
    return np.stack([np.log(clipped / (1 - clipped)), np.isnan(scores).astype(np.float64), positions], axis=-1)


class _Model(Protocol):
    def __call__(self, inputs: Floats) -> Floats: ...


def _fitted(inputs: Floats, values: Floats) -> _Model:
    """A model of the outcome; the mean, if all outcomes are the same or there are none."""
    if len(np.unique(values)) < 2:
        mean = float(values.mean()) if len(values) else 0.0
        return lambda some: np.full(some.shape[:-1], mean)
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(inputs, values)
    return lambda some: np.asarray(fitted.predict_proba(some.reshape(-1, some.shape[-1]))[:, 1]).reshape(
        some.shape[:-1]
    )


def _padded(values: Sequence[object], places: int, filler: object) -> list:  # type: ignore[type-arg]
    return [*values, *[filler] * (places - len(values))]


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
        f"  overlap: worth {overlap.effective:.0f} of {overlap.slates} lists where it is thinnest, "
        f"mean weight {overlap.mean_weight:.2f}, largest {overlap.largest_weight:.1f}"
    )
