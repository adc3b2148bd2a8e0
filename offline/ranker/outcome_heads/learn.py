"""Learns the heads from a table of outcomes, and chooses what they read by viewers whom they have not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.ranker.outcome_heads import HEADS, LEAST_SLOPE, OutcomeHeads, blend_of
from offline.evaluation.bootstrap import Interval
from offline.evaluation.outcomes.learned import HeadQuality, LearnedOutcomes
from offline.evaluation.outcomes.reordered import reordered_ratio
from offline.ranker.calibration import fit_curve
from offline.ranker.outcome_heads.config import OutcomesConfig
from offline.ranker.outcome_heads.examination import Examination, examination_of
from offline.ranker.outcome_heads.fit import Doubles, fit_head, log_likelihoods
from offline.ranker.outcome_heads.table import OutcomeTable

LINKS, INPUTS, BY_CONTEXT = "links", "inputs", "inputs by context"
KEPT_SHOWN = 4000
"""people shown of whom the heads keep what was said, at most: 64 kB"""
_FREE = 1e-3
"""pull of intercepts"""


@dataclass(frozen=True)
class LearnedHeads:
    """The heads, None where links alone rank, and what is said of them."""

    heads: OutcomeHeads | None
    report: LearnedOutcomes

    @classmethod
    def nothing(cls, said: str) -> "LearnedHeads":
        """Links alone, and why."""
        return cls(None, LearnedOutcomes(learned=False, said=said))


def learn_heads(
    table: OutcomeTable,
    logits: NDArray[np.floating],
    friendship: NDArray[np.floating],
    slope: float,
    scale: NDArray[np.floating],
    config: OutcomesConfig,
    *,
    log: FilteringBoundLogger,
) -> LearnedHeads:
    """The heads that these outcomes teach, or none where they are too few or say nothing of other viewers.

    `logits` (m,) are the ranker's of each row, `friendship` (m,) its log-odds of a friendship, and `slope` what a unit
    of the logit is worth in them. `scale` (p,) is how much each input differs between candidates: by an input that
    hardly differs between those shown nobody is told apart. The same table gives the same heads.
    """
    # enough of them
    counts = {
        "shown": round(float(table.weights.sum())),
        "viewers": len(np.unique(table.viewers)),
        "invited": int(table.invited.sum()),
        "accepted": int((table.accepted & table.invited).sum()),
        "dismissed": int(table.dismissed.sum()),
    }
    few = _too_few(table, config, counts)
    if few is not None:
        log.info("outcomes_not_learned", **counts, said=few)
        return LearnedHeads(None, LearnedOutcomes(learned=False, said=few, **counts))

    # each head, chosen by viewers held out
    run = _Run(table, logits, friendship, slope, scale, config)
    fitted = {name: run.head(name) for name in HEADS}
    report = LearnedOutcomes(
        learned=False,
        said="",
        **counts,
        eta=run.examination.eta,
        examination=run.examination.how,
        heads={name: one.quality for name, one in fitted.items() if one is not None},
    )
    for name, quality in report.heads.items():
        log.info("outcome_head", head=name, **quality.model_dump())
    informed = [name for name, quality in report.heads.items() if quality.reads != LINKS]
    if not informed:
        said = "for viewers whom they have not seen, no head predicts better than links alone"
        return LearnedHeads(None, report.model_copy(update={"said": f"links alone: {said}"}))

    # one score of them
    heads, ratio = run.joined(fitted)
    said = (
        f"learned from {counts['invited']:,} invitations, {counts['accepted']:,} accepted, and {counts['dismissed']:,} "
        f"dismissals of {counts['shown']:,} people shown to {counts['viewers']:,} viewers"
    )
    powers = dict(zip(("friendship", *HEADS), heads.powers.tolist(), strict=True))
    update = {"learned": True, "said": said, "powers": powers, "accepted_ratio": ratio}
    log.info("outcomes_learned", said=said, accepted_ratio=str(ratio), eta=round(run.examination.eta, 3))
    return LearnedHeads(heads, report.model_copy(update=update))


def _too_few(table: OutcomeTable, config: OutcomesConfig, counts: dict[str, int]) -> str | None:
    """Why links alone rank; None if there are outcomes enough."""
    inviting = len(np.unique(table.viewers[table.invited]))
    wanted = [
        ("invitations", counts["invited"], "least_invited"),
        ("accepted invitations", counts["accepted"], "least_accepted"),
        ("viewers who invited", inviting, "least_viewers"),
    ]
    missing = [
        f"{found:,} {what} of {getattr(config, name):,} (outcomes.{name})"
        for what, found, name in wanted
        if found < getattr(config, name)
    ]
    return f"links alone: there are {', '.join(missing)}" if missing else None


@dataclass(frozen=True)
class _Fitted:
    """A head over the columns of a run: the final weights, calibrated, and log-odds of viewers held out."""

    weights: Doubles
    """(k,) of all columns"""
    held_out: Doubles
    """(m,) log-odds of every row by weights that have not seen its viewer"""
    quality: HeadQuality


class _Run:
    """One table, with its columns: the ranker's logit, an intercept by context, all inputs, all inputs by context."""

    def __init__(
        self,
        table: OutcomeTable,
        logits: NDArray[np.floating],
        friendship: NDArray[np.floating],
        slope: float,
        scale: NDArray[np.floating],
        config: OutcomesConfig,
    ) -> None:
        self.config, self.table = config, table
        self.friendship = friendship.astype(np.float64)
        self.contexts = len(table.context_names)
        # columns, standardised
        read = np.column_stack([table.inputs, logits]).astype(np.float64)
        self.mean = read.mean(axis=0)
        self.scale = np.maximum(read.std(axis=0), np.append(scale, 1e-4))
        read = (read - self.mean) / self.scale
        self.width = read.shape[1]
        own = table.contexts[:, None] == np.arange(self.contexts)
        by_context = [read * own[:, [at]] for at in range(self.contexts)] if self.contexts > 1 else []
        self.columns = np.column_stack([np.ones(len(table)), own, read, *by_context])
        self.links = 1 + self.contexts + self.width - 1
        """the column of the logit"""
        self.prior = slope * self.scale[-1]
        # viewers held out
        random = np.random.default_rng(config.seed)
        part = random.integers(config.folds, size=int(table.viewers.max()) + 1)
        self.part = part[table.viewers]
        self.examination = self._examination(read)
        self.looked = self.examination.of(table.places)

    def _examination(self, read: Doubles) -> Examination:
        table, config = self.table, self.config
        drawn = table.is_uniform
        if int(table.acted[drawn].sum()) >= config.least_drawn:
            return examination_of(table.acted[drawn], table.places[drawn], None, table.weights[drawn])
        return examination_of(table.acted, table.places, read, table.weights, steps=config.steps)

    def head(self, name: str) -> _Fitted | None:
        """The head of this name; None for dismissals, if there are too few."""
        table, config = self.table, self.config
        outcomes = {
            "invited": table.invited,
            "accepted": table.accepted & table.invited,
            "dismissed": table.dismissed,
        }[name]
        if name == "dismissed" and int(outcomes.sum()) < config.least_dismissed:
            return None
        # whoever is invited was looked at
        rows = np.flatnonzero(table.invited) if name == "accepted" else np.arange(len(table))
        looked = np.ones(len(rows)) if name == "accepted" else self.looked[rows]
        start = np.zeros(self.columns.shape[1])
        start[self.links] = self.prior if name == "invited" else 0.0
        start[0] = _log_odds(float(outcomes[rows].mean() / looked.mean()))
        problem = _Problem(self.columns, rows, outcomes[rows], looked, table.weights[rows], start, self.part, config)

        # links alone, and what is better by more than chance for viewers held out
        reads, penalty = LINKS, 1.0
        base = likelihood = problem.held_out_likelihood(self._penalties(reads, penalty))
        for pull in config.penalties:
            found = problem.held_out_likelihood(self._penalties(INPUTS, pull))
            if found.sum() > likelihood.sum():
                reads, penalty, likelihood = INPUTS, pull, found
        if reads == INPUTS and self.contexts > 1:
            found = problem.held_out_likelihood(self._penalties(BY_CONTEXT, penalty))
            if _beats(found - likelihood, table.viewers[rows], config.evidence_errors):
                reads, likelihood = BY_CONTEXT, found
        if reads != LINKS and not _beats(likelihood - base, table.viewers[rows], config.evidence_errors):
            reads, penalty, likelihood = LINKS, 1.0, base

        # calibrated on those held out
        pulls = self._penalties(reads, penalty)
        held_out = problem.held_out(pulls, self.columns)
        curve = problem.calibration(held_out[rows])
        weights = curve[0] * problem.fitted(pulls)
        weights[0] += curve[1]
        quality = HeadQuality(
            outcomes=int(outcomes.sum()),
            reads=reads,
            penalty=penalty,
            gain=float((likelihood - base).sum() / max(outcomes[rows].sum(), 1)),
            predicted=float(table.weights[rows] @ (looked / (1 + np.exp(-curve[0] * held_out[rows] - curve[1])))),
            came=float(outcomes[rows].sum()),
            slope=float(curve[0]),
        )
        return _Fitted(weights, curve[0] * held_out + curve[1], quality)

    def _penalties(self, reads: str, pull: float) -> Doubles:
        """(k,) pull of every column; infinity for those that are not read."""
        pulls = np.full(self.columns.shape[1], np.inf)
        pulls[: 1 + self.contexts], pulls[self.links] = 1.0, 1.0
        pulls[0] = _FREE
        first = 1 + self.contexts
        if reads != LINKS:
            pulls[first : first + self.width - 1] = pull
        if reads == BY_CONTEXT:
            pulls[first + self.width :] = pull * self.config.context_penalty
        return pulls

    def joined(self, fitted: dict[str, _Fitted | None]) -> tuple[OutcomeHeads, Interval | None]:
        """The heads as a version has them, and what their order is worth for viewers held out."""
        blend, table = self.config.blend, self.table
        powers = np.array([blend.friendship, *(getattr(blend, name) for name in HEADS)])
        for at, name in enumerate(HEADS, 1):
            if fitted[name] is None:
                powers[at] = 0.0
        held_out = np.stack(
            [np.zeros(len(table)) if (one := fitted[name]) is None else one.held_out for name in HEADS], axis=1
        )
        blended = blend_of(powers, self.friendship, held_out)
        # the probability of a friendship, of whoever stands as high
        curve = fit_curve(blended[:, None], 1 / (1 + np.exp(-self.friendship)))
        if curve[0] < LEAST_SLOPE:
            curve = np.array([LEAST_SLOPE, self.friendship.mean() - LEAST_SLOPE * blended.mean()], np.float32)
        # weights of the ranker's inputs as they are, context by context
        weights = np.zeros((self.contexts + 1, len(HEADS), self.width))
        bias = np.zeros((self.contexts + 1, len(HEADS)))
        for at, name in enumerate(HEADS):
            if (one := fitted[name]) is not None:
                weights[:, at], bias[:, at] = self._by_context(one.weights)
        heads = OutcomeHeads(
            table.context_names,
            weights.astype(np.float32),
            bias.astype(np.float32),
            powers.astype(np.float32),
            curve.astype(np.float32),
            self.config.among,
            self._kept(held_out),
        )
        ratio = reordered_ratio(
            table.lists,
            table.viewers,
            table.accepted & table.invited,
            self.looked,
            table.places,
            blended,
            self.friendship,
            self.examination.eta,
        )
        return heads, ratio

    def _kept(self, held_out: Doubles) -> NDArray[np.float32]:
        """(k, 1 + heads) what is said of some of those who were shown, by which other powers find their curve."""
        every = np.column_stack([self.friendship, held_out]).astype(np.float32)
        drawn = np.random.default_rng(self.config.seed).permutation(len(every))[:KEPT_SHOWN]
        return every[np.sort(drawn)]

    def _by_context(self, weights: Doubles) -> tuple[Doubles, Doubles]:
        """(contexts + 1, p + 1) weights of inputs and logit, unscaled, and (contexts + 1,) intercepts."""
        first, width = 1 + self.contexts, self.width
        shared, own = weights[first : first + width], weights[first + width :].reshape(-1, width)
        rows = np.tile(shared, (self.contexts + 1, 1))
        rows[: len(own)] += own
        unscaled = rows / self.scale
        intercepts = weights[0] + np.append(weights[1:first], 0.0) - unscaled @ self.mean
        return unscaled, intercepts


class _Problem:
    """One head's rows, and its fits with and without a part of the viewers."""

    def __init__(
        self,
        columns: Doubles,
        rows: NDArray[np.int64],
        outcomes: NDArray[np.bool_],
        looked: Doubles,
        weights: Doubles,
        start: Doubles,
        part: NDArray[np.int64],
        config: OutcomesConfig,
    ) -> None:
        self.columns, self.rows, self.outcomes, self.looked, self.weights = columns, rows, outcomes, looked, weights
        self.start, self.part, self.config = start, part, config

    def fitted(self, pulls: Doubles, without: int | None = None) -> Doubles:
        """(k,) weights, learned without a part of the viewers if one is given."""
        at = np.arange(len(self.rows)) if without is None else np.flatnonzero(self.part[self.rows] != without)
        used = np.flatnonzero(np.isfinite(pulls))
        weights = self.start.copy()
        weights[used] = fit_head(
            self.columns[np.ix_(self.rows[at], used)],
            self.outcomes[at],
            self.looked[at],
            self.weights[at],
            pulls[used],
            self.start[used],
            self.config.steps,
        )
        return weights

    def held_out(self, pulls: Doubles, columns: Doubles) -> Doubles:
        """(n,) log-odds of every row of `columns` (n, k), by weights that have not seen its viewer."""
        found = np.empty(len(columns))
        for part in range(self.config.folds):
            own = self.part == part
            found[own] = columns[own] @ self.fitted(pulls, part)
        return found

    def held_out_likelihood(self, pulls: Doubles) -> Doubles:
        """(m,) log-likelihood of this head's rows, by weights that have not seen their viewers."""
        odds = self.held_out(pulls, self.columns)[self.rows]
        return self.weights * log_likelihoods(odds, self.outcomes, self.looked)

    def calibration(self, odds: Doubles) -> Doubles:
        """(2,) slope and level that turn log-odds (m,) of rows held out into calibrated ones."""
        columns, start = np.column_stack([odds, np.ones(len(odds))]), np.array([1.0, 0.0])
        pulls = np.array([1.0, _FREE])
        found = fit_head(columns, self.outcomes, self.looked, self.weights, pulls, start, self.config.steps)
        return np.array([max(found[0], 0.0), found[1]])


def _beats(gains: Doubles, viewers: NDArray[np.int64], errors: float) -> bool:
    """Whether gains (m,) are above 0 by this many standard errors of their sum over viewers (m,)."""
    _, which = np.unique(viewers, return_inverse=True)
    of_viewer = np.bincount(which, gains)
    return bool(of_viewer.sum() > errors * np.sqrt((of_viewer**2).sum()))


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return float(np.log(share / (1 - share)))
