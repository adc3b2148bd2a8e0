"""What another version would have earned in lists that were drawn: its ranking as a policy on the log.

Only lists all of whose places were drawn say anything of people whom the served version does not favour: those of the
uniform share, and of a Plackett-Luce draw that leaves no first places. Only lists given out after the version's cut
count: before, whoever became a friend since is no candidate of the version any more.

The version's list of a viewer is its block by falling score, without people whom the viewer had invited, dismissed,
blocked or reported in an earlier list of the log. Its soft rules are not applied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.errors import PymkError
from offline.experiments.off_policy import Estimate, Slates, estimate

PLACES = 10
"""positions that are judged"""
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


class VersionScores(Protocol):
    """Scores the candidates of viewers with one version."""

    def __call__(self, viewer: str, context: str) -> ScoredCandidates | None:
        """None: the version has no candidates of the viewer."""
        ...


class VersionEstimate(BaseModel):
    """What a version would have earned per list, by outcome."""

    model_config = ConfigDict(frozen=True)

    version: str
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
    targets: list[list[str]]
    """the version's people in these places"""
    logged_scores: Floats
    """(s, k) the version's score of the logged person; NaN if not among its candidates"""
    target_scores: Floats
    """(s, k) of its own person; NaN if it has fewer"""


def evaluate_version(
    version: str, outcomes: pl.DataFrame, scores: VersionScores, places: int = PLACES
) -> VersionEstimate:
    """What a version would have earned in the drawn lists of the outcomes, which begin at its cut.

    Raises PymkError that says what to do if too few lists were drawn.
    """
    drawn = _drawn_lists(outcomes)
    logged = _logged(drawn, outcomes, scores, places)
    if len(logged.viewers) < LEAST_LISTS:
        raise PymkError(
            f"{len(logged.viewers)} lists since the cut of {version} were drawn in all of their places, and at least "
            f"{LEAST_LISTS} are needed: set PYMK_EXPLORATION_UNIFORM_SHARE to draw a share of the lists"
        )
    _, numbers = np.unique(np.array(logged.viewers), return_inverse=True)
    agrees = np.array(
        [
            [a == b and a != "" for a, b in zip(own, others, strict=True)]
            for own, others in zip(logged.candidates, logged.targets, strict=True)
        ],
        dtype=np.float64,
    )
    found = {}
    for reward, values in logged.rewards.items():
        predicted, expected = _models(logged, values, numbers)
        slates = Slates(numbers.astype(np.int64), values, logged.propensities, agrees, predicted, expected)
        found[reward] = estimate(slates)
    return VersionEstimate(version=version, lists=len(logged.viewers), places=places, outcomes=found)


def _drawn_lists(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The first pages of lists all of whose places were drawn, by list and position."""
    lists = ["request_id", "viewer", "context"]
    first = outcomes.filter(pl.col("offset") == 0).sort(*lists, "position")
    return first.filter((pl.col("propensity") < 1).all().over(lists))


def _logged(drawn: pl.DataFrame, outcomes: pl.DataFrame, scores: VersionScores, places: int) -> _Logged:
    refused = _refusals(outcomes)
    viewers, candidates, targets = list[str](), list[list[str]](), list[list[str]]()
    kept, own_scores, target_scores = [], list[list[float]](), list[list[float]]()
    for rows in drawn.partition_by("request_id", "viewer", "context", maintain_order=True):
        viewer, at = str(rows["viewer"][0]), rows["at"][0]
        scored = scores(viewer, str(rows["context"][0]))
        if scored is None:
            continue
        before = {other for when, other in refused.get(viewer, ()) if when < at}
        ranked = [
            (one, score)
            for one, score in zip(scored.user_ids, scored.scores.tolist(), strict=True)
            if one not in before
        ]
        by_id = dict(ranked)
        shown = rows["candidate"].to_list()[:places]
        viewers.append(viewer)
        kept.append(rows.head(places))
        candidates.append(_padded(shown, places, ""))
        targets.append(_padded([one for one, _ in ranked[:places]], places, ""))
        own_scores.append(_padded([by_id.get(one, np.nan) for one in shown], places, np.nan))
        target_scores.append(_padded([score for _, score in ranked[:places]], places, np.nan))

    def column(name: str) -> Floats:
        values = [_padded(rows[name].cast(pl.Float64).to_list(), places, 0.0) for rows in kept]
        return np.array(values, dtype=np.float64).reshape(-1, places)

    shape = (-1, places)
    return _Logged(
        viewers,
        candidates,
        column("propensity"),
        {name: column(name) for name in REWARDS},
        targets,
        np.array(own_scores, dtype=np.float64).reshape(shape),
        np.array(target_scores, dtype=np.float64).reshape(shape),
    )


def _refusals(outcomes: pl.DataFrame) -> dict[str, list[tuple[object, str]]]:
    """By viewer, when and whom the viewer invited, dismissed, blocked or reported."""
    found: dict[str, list[tuple[object, str]]] = {}
    acted = outcomes.filter(pl.any_horizontal(*_REFUSING)).select("viewer", "at", "candidate")
    for viewer, at, candidate in acted.iter_rows():
        found.setdefault(viewer, []).append((at, candidate))
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
        expected[here] = model(_inputs(logged.target_scores)[here])
    has_target = np.array([[one != "" for one in some] for some in logged.targets])
    return predicted * filled, expected * (has_target & filled)


def _inputs(scores: Floats) -> Floats:
    """(s, k, 3): log-odds of the score, 0 if there is none; whether there is none; the logarithm of the position."""
    clipped = np.clip(np.nan_to_num(scores, nan=0.5), 1e-6, 1 - 1e-6)
    positions = np.broadcast_to(np.log(np.arange(1, scores.shape[1] + 1)), scores.shape)
    return np.stack([np.log(clipped / (1 - clipped)), np.isnan(scores).astype(np.float64), positions], axis=2)


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
    yield f"{found.version} on {found.lists} drawn lists since its cut; per list, in its first {found.places} places:"
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
