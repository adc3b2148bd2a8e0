"""Learns the heads from a table of outcomes, and chooses what they read by viewers whom they have not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.arrays import Float64s
from models.ranker.outcome_heads import HEADS, LEAST_SLOPE, OutcomeHeads, blend_of
from offline.evaluation.bootstrap import Interval
from offline.evaluation.outcomes.learned import HeadQuality, LearnedOutcomes
from offline.evaluation.outcomes.reordered import reordered_ratio
from offline.ranker.calibration import fit_curve
from offline.ranker.outcome_heads.config import OutcomesConfig
from offline.ranker.outcome_heads.examination import Examination, examination_of
from offline.ranker.outcome_heads.fit import fit_head, log_likelihoods
from offline.ranker.outcome_heads.table import OutcomeTable

LINKS, INPUTS, BY_CONTEXT = "links", "inputs", "inputs by context"
AT_ONCE = 16_384
"""rows whose columns are made at once, beside those that are fitted"""
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
    hardly differs between those shown nobody is told apart. `table` has whole lists: above `most_rows` a draw of
    its rows is fitted, and the lists with an accepted invitation are judged whole. The same table gives the same heads.
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

    weights: Float64s
    """(k,) of all columns"""
    folds: Float64s
    """(folds, k) weights that have not seen one part of the viewers each, calibrated"""
    quality: HeadQuality


class _Run:
    """The rows that are fitted, with their columns: an intercept, one by context, all inputs and the ranker's logit,
    and these by context.
    """

    def __init__(
        self,
        table: OutcomeTable,
        logits: NDArray[np.floating],
        friendship: NDArray[np.floating],
        slope: float,
        scale: NDArray[np.floating],
        config: OutcomesConfig,
    ) -> None:
        self.config, self.every, self.logits_of_every, self.friendship_of_every = config, table, logits, friendship
        # viewers held out
        random = np.random.default_rng(config.seed)
        self.part_of_viewer = random.integers(config.folds, size=int(table.viewers.max()) + 1)
        # the rows that are fitted
        table, at = table.thinned(config.most_rows, config.seed)
        self.table, self.part = table, self.part_of_viewer[table.viewers]
        self.friendship = friendship[at].astype(np.float64)
        self.contexts = len(table.context_names)
        # columns, standardised
        read = np.column_stack([table.inputs, logits[at]]).astype(np.float64)
        self.mean = np.average(read, axis=0, weights=table.weights)
        spread = np.sqrt(np.average((read - self.mean) ** 2, axis=0, weights=table.weights))
        self.scale = np.maximum(spread, np.append(scale, 1e-4))
        self.width = read.shape[1]
        self.columns = self._columns(read, table.contexts)
        self.links = 1 + self.contexts + self.width - 1
        """the column of the logit"""
        self.prior = slope * self.scale[-1]
        self.examination = self._examination()
        self.looked = self.examination.of(table.places)

    def _columns(self, read: Float64s, contexts: NDArray[np.int64]) -> Float64s:
        """(n, k) columns of rows with these inputs and logits (n, p + 1) in these contexts (n,)."""
        read = (read - self.mean) / self.scale
        own = contexts[:, None] == np.arange(self.contexts)
        by_context = [read * own[:, [at]] for at in range(self.contexts)] if self.contexts > 1 else []
        return np.column_stack([np.ones(len(read)), own, read, *by_context])

    def _examination(self) -> Examination:
        table, every, config = self.table, self.every, self.config
        drawn = every.is_uniform
        if int(every.acted[drawn].sum()) >= config.least_drawn:  # all of them: no inputs are read
            of_lists = every.of_lists()[drawn]
            return examination_of(every.acted[drawn], every.places[drawn], of_lists, every.weights[drawn], "uniform")
        read = self.columns[:, 1 : self.links + 1]
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
        weights = table.weights[rows]
        came = float(weights @ outcomes[rows])
        start[0] = _log_odds(came / float(weights @ looked))
        problem = _Problem(self.columns, rows, outcomes[rows], looked, weights, start, self.part, config)

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
        folds = problem.folds(pulls)
        held_out = problem.held_out(folds)
        curve = problem.calibration(held_out)
        both = curve[0] * np.vstack([folds, problem.fitted(pulls)])
        both[:, 0] += curve[1]
        quality = HeadQuality(
            outcomes=int(outcomes.sum()),
            reads=reads,
            penalty=penalty,
            gain=float((likelihood - base).sum() / max(came, 1)),
            predicted=float(weights @ (looked / (1 + np.exp(-curve[0] * held_out - curve[1])))),
            came=came,
            slope=float(curve[0]),
        )
        return _Fitted(both[-1], both[:-1], quality)

    def _penalties(self, reads: str, pull: float) -> Float64s:
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
        blend = self.config.blend
        powers = np.array([blend.friendship, *(getattr(blend, name) for name in HEADS)])
        for at, name in enumerate(HEADS, 1):
            if fitted[name] is None:
                powers[at] = 0.0
        held_out, counts = _held_out(fitted, self.columns, self.part), self.table.weights
        blended = blend_of(powers, self.friendship, held_out)
        # the probability of a friendship, of whoever stands as high
        curve = fit_curve(blended[:, None], 1 / (1 + np.exp(-self.friendship)), counts)
        if curve[0] < LEAST_SLOPE:
            level = np.average(self.friendship - LEAST_SLOPE * blended, weights=counts)
            curve = np.array([LEAST_SLOPE, level], np.float32)
        # weights of the ranker's inputs as they are, context by context
        weights = np.zeros((self.contexts + 1, len(HEADS), self.width))
        bias = np.zeros((self.contexts + 1, len(HEADS)))
        for at, name in enumerate(HEADS):
            if (one := fitted[name]) is not None:
                weights[:, at], bias[:, at] = self._by_context(one.weights)
        heads = OutcomeHeads(
            self.table.context_names,
            weights.astype(np.float32),
            bias.astype(np.float32),
            powers.astype(np.float32),
            curve.astype(np.float32),
            self.config.among,
            self._kept(held_out),
        )
        return heads, self._reordered(fitted, powers)

    def _reordered(self, fitted: dict[str, _Fitted | None], powers: Float64s) -> Interval | None:
        """What the order of these powers is worth: over whole lists, those in which anything was earned."""
        earned, config = self.every.accepted & self.every.invited, self.config
        at = self.every.whole_lists(earned, config.most_rows, config.seed)
        table, friendship = self.every.take(at), self.friendship_of_every[at].astype(np.float64)
        part = self.part_of_viewer[table.viewers]
        held_out = np.empty((len(table), len(HEADS)))
        for start in range(0, len(table), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            read = np.column_stack([table.inputs[some], self.logits_of_every[at[some]]]).astype(np.float64)
            held_out[some] = _held_out(fitted, self._columns(read, table.contexts[some]), part[some])
        return reordered_ratio(
            table.lists,
            table.viewers,
            earned[at],
            self.examination.of(table.places),
            table.places,
            blend_of(powers, friendship, held_out),
            friendship,
            self.examination.eta,
        )

    def _kept(self, held_out: Float64s) -> NDArray[np.float32]:
        """(k, 1 + heads) what is said of some of those who were shown, by which other powers find their curve."""
        every, ends = np.column_stack([self.friendship, held_out]).astype(np.float32), np.cumsum(self.table.weights)
        size = min(len(every), KEPT_SHOWN)
        # one of each k-th part of those shown, whom the rows stand for
        points = (np.arange(size) + np.random.default_rng(self.config.seed).random(size)) * (ends[-1] / size)
        return np.asarray(every[np.minimum(np.searchsorted(ends, points, side="right"), len(every) - 1)])

    def _by_context(self, weights: Float64s) -> tuple[Float64s, Float64s]:
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
        columns: Float64s,
        rows: NDArray[np.int64],
        outcomes: NDArray[np.bool_],
        looked: Float64s,
        weights: Float64s,
        start: Float64s,
        part: NDArray[np.int64],
        config: OutcomesConfig,
    ) -> None:
        self.columns, self.rows, self.outcomes, self.looked, self.weights = columns, rows, outcomes, looked, weights
        self.start, self.part, self.config = start, part, config

    def fitted(self, pulls: Float64s, without: int | None = None) -> Float64s:
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

    def folds(self, pulls: Float64s) -> Float64s:
        """(folds, k) weights, each learned without one part of the viewers."""
        return np.stack([self.fitted(pulls, part) for part in range(self.config.folds)])

    def held_out(self, folds: Float64s) -> Float64s:
        """(n,) log-odds of this head's rows, by weights that have not seen their viewers."""
        return _log_odds_of(folds, self.columns, self.part)[self.rows]

    def held_out_likelihood(self, pulls: Float64s) -> Float64s:
        """(n,) log-likelihood of this head's rows, by weights that have not seen their viewers."""
        return self.weights * log_likelihoods(self.held_out(self.folds(pulls)), self.outcomes, self.looked)

    def calibration(self, odds: Float64s) -> Float64s:
        """(2,) slope and level that turn log-odds (m,) of rows held out into calibrated ones."""
        columns, start = np.column_stack([odds, np.ones(len(odds))]), np.array([1.0, 0.0])
        pulls = np.array([1.0, _FREE])
        found = fit_head(columns, self.outcomes, self.looked, self.weights, pulls, start, self.config.steps)
        if found[0] < 0:  # they say less than nothing: everybody has the same, at a level of its own
            level = (self.outcomes, self.looked, self.weights, pulls[1:], start[1:], self.config.steps)
            return np.array([0.0, *fit_head(columns[:, 1:], *level)])
        return found


def _held_out(fitted: dict[str, _Fitted | None], columns: Float64s, part: NDArray[np.int64]) -> Float64s:
    """(n, heads) log-odds of rows with these columns (n, k), by weights that have not seen their viewers, who are in
    these parts (n,); 0 for a head that there is not.
    """
    found = [None if (one := fitted[name]) is None else _log_odds_of(one.folds, columns, part) for name in HEADS]
    return np.stack([np.zeros(len(columns)) if odds is None else odds for odds in found], axis=1)


def _log_odds_of(folds: Float64s, columns: Float64s, part: NDArray[np.int64]) -> Float64s:
    """(n,) the product of each row of columns (n, k) with the weights `folds` (folds, k) of its part (n,)."""
    found = np.empty(len(columns))
    for at, weights in enumerate(folds):
        own = part == at
        found[own] = columns[own] @ weights
    return found


def _beats(gains: Float64s, viewers: NDArray[np.int64], errors: float) -> bool:
    """Whether gains (m,) are above 0 by this many standard errors of their sum over viewers (m,)."""
    _, which = np.unique(viewers, return_inverse=True)
    of_viewer = np.bincount(which, gains)
    return bool(of_viewer.sum() > errors * np.sqrt((of_viewer**2).sum()))


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return float(np.log(share / (1 - share)))
