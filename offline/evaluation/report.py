"""The report of an evaluation: the metrics of each method's lists on held-out friendships."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ArtefactError
from models.graph import Graph
from models.publishing.night_runs import StepRun
from models.system import files
from offline.evaluation import metrics
from offline.evaluation.baselines import BASELINES, DATED_BASELINES, RESOURCE_ALLOCATION
from offline.evaluation.bootstrap import RESAMPLES, Interval, interval, ratio_interval, resampled_means
from offline.evaluation.calibration import Calibration
from offline.evaluation.drift_check import DriftReport
from offline.evaluation.exposure import Exposure, GroupReport
from offline.evaluation.gate_check import GateCheck
from offline.evaluation.negatives import PairQuality
from offline.evaluation.newcomers.profile_answers import ProfileAnswers
from offline.evaluation.outcomes.learned import LearnedOutcomes

FILE_NAME = "report.json"
SYSTEM = "system"
LIMITS = (5, 20, 50)
RATIO_LIMIT = 20
WITHOUT_TOWERS = "without towers"
PRODUCT_ALONE = "tower product alone"
"""parts of the system, in `ablation` and `parts`"""
COMPARED = (*BASELINES, *DATED_BASELINES)
"""the baselines over which the system's means are given"""
_METRICS = {"recall": metrics.recall, "ndcg": metrics.ndcg, "mrr": metrics.mrr, "hit": metrics.hit_rate}


_DIFFERENCES = (metrics.recall, metrics.ndcg)


class Quality(BaseModel):
    """Means over users of one method's lists, cut at one limit."""

    model_config = ConfigDict(frozen=True)

    recall: Interval
    ndcg: Interval
    mrr: Interval
    hit: Interval


class Ratio(BaseModel):
    """The system's mean over resource allocation's, at 20 positions."""

    model_config = ConfigDict(frozen=True)

    recall: Interval
    ndcg: Interval


class Difference(BaseModel):
    """The mean of a paired difference of the system's lists and others, at 20 positions."""

    model_config = ConfigDict(frozen=True)

    recall: Interval
    ndcg: Interval

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the NDCG excludes 0."""
        return self.ndcg.low > 0 or self.ndcg.high < 0


class Pool(BaseModel):
    """The candidates that the system ranks."""

    model_config = ConfigDict(frozen=True)

    recall: Interval
    """mean over users of the share of held-out friends among the candidates"""

    size: float
    """mean candidates of a user"""


class Slice(BaseModel):
    """The evaluated users of one kind, at 20 positions."""

    model_config = ConfigDict(frozen=True)

    users: int
    methods: dict[str, Quality]
    """empty if there is no such user"""


class Promised(BaseModel):
    """What the probabilities of shown candidates promise, and what came.

    Over people drawn whether or not they made a friend; with dates over those who made one, as training calibrates.
    """

    model_config = ConfigDict(frozen=True)

    pairs: int
    """shown candidates"""

    promised: float
    """sum of their probabilities"""

    came: float
    """held-out friendships among them, times the weight"""

    weight: float
    """friendships that a held-out one represents"""


class Retraining(BaseModel):
    """What a night's training changed: lists of the same people with the weights before and after, at 20 positions."""

    model_config = ConfigDict(frozen=True)

    reason: str
    """why the night trained"""

    warm: dict[str, bool]
    """by `encoder` and `ranker` whether it began with the weights before"""

    before: Quality | None = None
    """None if nobody was evaluated, or the weights before do not read this dataset"""

    after: Quality | None = None

    gain: Difference | None = None
    """after less before, paired by user"""


class Report(BaseModel):
    """The content of a version's report.json."""

    model_config = ConfigDict(frozen=True)

    users: int = Field(ge=0)
    """evaluated users: those with a held-out friendship"""

    held_out: int = Field(ge=0)
    """held-out friendships, counted once for each evaluated user"""

    resamples: int = RESAMPLES
    """bootstrap resamples behind every interval"""

    methods: dict[str, dict[int, Quality]]
    """by method and limit; empty if no user was evaluated"""

    ratio: Ratio | None = None
    """None if a list of 20 is missing for the system or resource allocation, or resource allocation found nothing"""

    recency: dict[str, Ratio] = {}
    """the system's mean over that of each baseline which knows dates, by its name"""

    against: dict[str, Ratio] = {}
    """the system's mean over that of each baseline which found a held-out friendship, by its name"""

    parts: dict[str, Difference] = {}
    """what the system's lists have over those of the towers' product alone, which nothing trained, and over those of
    the same ranker with the product held at its mean"""

    newcomer_place: Difference | None = None
    """what lists have over the same without their last place, which people who joined since may take
    (PYMK_NEWCOMERS_SHARE); None if it was not compared"""

    pool: Pool | None = None
    """None if only lists were evaluated, as are all fields below"""

    exposure: dict[str, Exposure] = {}
    """by method, at 20 positions"""

    groups: GroupReport | None = None
    """exposure of the groups of PYMK_GROUP_COLUMN in the system's lists, at 20 positions, and the held-out friendships
    among them by time shown; None without such a column"""

    slices: dict[str, Slice] = {}
    """users with few friends"""

    newcomers: ProfileAnswers | None = None
    """cold starts of people as if they came tomorrow, by what they have answered; None without a categorical column"""

    negatives: dict[str, dict[str, PairQuality]] = {}
    """by kind of negatives and method"""

    calibration: Calibration | None = None
    """calibration of the system's probabilities at 20 positions"""

    promised: Promised | None = None
    """the system's probabilities beside what came of them; None if they were not compared"""

    ablation: dict[str, Quality] = {}
    """at 20 positions, by the part that was removed, or that ranked alone"""

    outcomes: LearnedOutcomes | None = None
    """what the night learned from outcomes, or why it did not; None if it did not look"""

    friendships_kept: Interval | None = None
    """where the score reads heads of outcomes: recall at 20 positions in its order over that of links alone, which the
    other figures of lists are of; exposure, groups and promises are those of its order"""

    retraining: Retraining | None = None
    """None if the night kept its weights, or there were none before"""

    absent: dict[str, str] = {}
    """methods that could not run, and the reason"""

    drift: DriftReport | None = None
    """how the night's data and version differ from the version that was active; None for a first version"""

    steps: list[StepRun] = []
    """the steps of the night that were done when the version was written, with times, memory and rows"""

    gate: list[GateCheck] = []
    """every check of the quality gate; empty in the report of an evaluation that publishes nothing"""

    @classmethod
    def read(cls, directory: Path) -> "Report":
        """The report of a version directory. Raises ArtefactError if it is missing or invalid."""
        path = directory / FILE_NAME
        try:
            return cls.model_validate_json(files.read_bytes(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ArtefactError(f"{path} is not an evaluation report: {first['loc']}: {first['msg']}") from error

    def write(self, directory: Path) -> None:
        """Writes report.json, atomically."""
        files.write_bytes(directory / FILE_NAME, self.model_dump_json(indent=2).encode() + b"\n")

    def summary(self) -> dict[str, float]:
        """The figures that a manifest repeats: the system's at 20 positions, and its ratio to resource allocation."""
        found = {"judged_users": float(self.users)}
        quality = self.methods.get(SYSTEM, {}).get(RATIO_LIMIT)
        if quality is not None:
            found |= {"recall@20": quality.recall.value, "ndcg@20": quality.ndcg.value}
        if self.ratio is not None:
            found |= {"ratio": self.ratio.recall.value, "ratio_ndcg": self.ratio.ndcg.value}
        return {name: round(value, 6) for name, value in found.items()}


def hits_of(held_out: Graph, users: NDArray[np.int64], lists: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each position of the lists (U, k) holds a held-out friend of its user (U,); -1 is an empty position."""
    return (lists >= 0) & held_out.contains(users[:, None], lists)


def difference(
    held_out: Graph,
    users: NDArray[np.int64],
    lists: NDArray[np.int32],
    others: NDArray[np.int32],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference | None:
    """What lists (U, k) of `users` have over others, paired by user; None if no user has a held-out friendship."""
    judged = held_out.degrees[users] > 0
    if not judged.any():
        return None
    made = held_out.degrees[users[judged]].astype(np.int64)
    of, other = (hits_of(held_out, users[judged], one[judged]) for one in (lists, others))
    found = [metric(of, made, RATIO_LIMIT) - metric(other, made, RATIO_LIMIT) for metric in _DIFFERENCES]
    table = np.stack(found, axis=1)
    means, resampled = table.mean(axis=0), resampled_means(table, resamples, seed)
    recall, ndcg = (interval(float(means[at]), resampled[:, at]) for at in range(2))
    return Difference(recall=recall, ndcg=ndcg)


def judge_lists(
    held_out: Graph,
    users: NDArray[np.int64],
    lists: dict[str, NDArray[np.int32]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Report:
    """Every method's quality at 5, 20 and 50 positions, up to the length of its lists.

    Only those of `users` (U,) with a held-out friendship count. Each of `lists` is (U, k) int32, best first, -1 for an
    empty position. Every interval uses the same resamples of users, so the ratio's is paired.
    """
    judged = held_out.degrees[users] > 0
    friends_made = held_out.degrees[users[judged]].astype(np.int64)
    if not judged.any():
        return Report(users=0, held_out=0, resamples=resamples, methods={})
    # metrics per user: one column for each (method, limit, metric)
    columns: list[tuple[str, int, str]] = []
    values: list[NDArray[np.float64]] = []
    for name, rows in lists.items():
        hits = hits_of(held_out, users[judged], rows[judged])
        for limit in (limit for limit in LIMITS if limit <= rows.shape[1]):
            for metric, per_user in _METRICS.items():
                columns.append((name, limit, metric))
                values.append(per_user(hits, friends_made, limit))
    # means, and their resamples for the intervals
    table = np.stack(values, axis=1) if values else np.zeros((len(friends_made), 0))
    means, resampled = table.mean(axis=0), resampled_means(table, resamples, seed)
    at = {column: place for place, column in enumerate(columns)}

    def ratio(metric: str, method: str) -> Interval | None:
        one, base = at.get((SYSTEM, RATIO_LIMIT, metric)), at.get((method, RATIO_LIMIT, metric))
        if one is None or base is None:
            return None
        return ratio_interval(float(means[one]), float(means[base]), resampled[:, one], resampled[:, base])

    # the report
    intervals = {column: interval(float(means[place]), resampled[:, place]) for column, place in at.items()}
    methods: dict[str, dict[int, Quality]] = {name: {} for name in lists}
    for name, limit in dict.fromkeys((name, limit) for name, limit, _ in columns):
        methods[name][limit] = Quality(**{metric: intervals[name, limit, metric] for metric in _METRICS})
    ratios = {method: (ratio("recall", method), ratio("ndcg", method)) for method in COMPARED}
    found = {
        method: Ratio(recall=recall, ndcg=ndcg)
        for method, (recall, ndcg) in ratios.items()
        if recall is not None and ndcg is not None
    }
    return Report(
        users=len(friends_made),
        held_out=int(friends_made.sum()),
        resamples=resamples,
        methods=methods,
        ratio=found.get(RESOURCE_ALLOCATION),
        recency={method: ratio for method, ratio in found.items() if method in DATED_BASELINES},
        against=found,
    )
