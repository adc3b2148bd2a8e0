"""The guardrails of a canary: what its viewers' lists came to, compared with those of all others, at any time.

Each is a test that may be looked at after every list (models.experiments.always_valid): a good canary fails any one of
them at any look with a probability of at most ALPHA. Shares of requests and acts per list are compared with a bound by
a likelihood ratio, means by an interval. A viewer asks many times, so errors are those of sums over buckets of viewers,
and counts are worth less by as much as they vary more between buckets than by chance.
"""

from collections.abc import Iterator
from math import exp, hypot, log, sqrt

import numpy as np

from models.arrays import Float64s
from models.experiments.always_valid import evidence_above, evidence_fewer, evidence_more, mixture_widths, rate_of
from models.publishing.canary_counts import (
    BOUNDS_MS,
    CANARY,
    CONTROL,
    DISMISSED,
    ERRORS,
    INVITED,
    LISTS,
    PLACE,
    PLACE_SQUARES,
    POOR,
    REQUESTS,
    SCORE,
    SCORE_SQUARES,
    SCORED,
    Counts,
)
from models.publishing.canary_record import Guardrail, Verdict

ALPHA = 0.002
"""probability with which a good canary fails one guardrail in one step"""
LEAST = 40
"""lists of each side from which a guardrail is judged"""
NARROWEST = 100.0
"""lists of the canary at which the intervals of means are narrowest"""
MORE_ERRORS = 0.005
MORE_POOR = 0.005
MORE_SLOW = 0.01
"""by how much of all requests the canary may have more of these"""
SLOWER, SLOWER_MS = 2.0, 10.0
"""a list of the canary is slow if it takes so many times the 99th percentile of the others, and so many ms more"""
FEWER_INVITED, MORE_DISMISSED = 0.75, 1.25
"""the canary's viewers may invite, or dismiss, per list this many times what the others do"""
SCORE_FACTOR = 2.0
"""the odds that lists show may differ by this factor"""
FURTHER_BACK = 0.25
"""the first people of the canary's lists may be so much further back among their candidates, of which 1 is all"""


def judged(counts: Counts) -> list[Guardrail]:
    """The verdict of every guardrail on these counts."""
    return list(_guardrails(counts))


def lists_of(counts: Counts) -> dict[str, int]:
    """Lists given out, by side."""
    lists = counts.sums[:, :, LISTS].sum(axis=1)
    return {"control": round(float(lists[CONTROL])), "canary": round(float(lists[CANARY]))}


def _guardrails(counts: Counts) -> Iterator[Guardrail]:
    yield _opened(counts)
    yield _share(counts, "errors", ERRORS, REQUESTS, MORE_ERRORS, "requests that failed")
    yield _share(counts, "empty_answers", POOR, LISTS, MORE_POOR, "lists that are empty or not of its own candidates")
    yield _slow(counts)
    yield _scores(counts)
    yield _order(counts)
    yield _per_list(counts, "dismissals", DISMISSED, MORE_DISMISSED, "people dismissed, blocked or reported per list")
    yield _per_list(counts, "invitations", INVITED, FEWER_INVITED, "people invited per list")


CANDIDATES = "candidates"
"""the guardrail that is judged wherever both versions can be opened"""


def missing_candidates(without_control: int, of_control: int, without: int, of: int) -> Guardrail:
    """Whether more of some people of the canary have no candidates than of some people of the active version."""
    what = "people without candidates when it started"
    if min(of_control, of) < LEAST:
        return waiting(CANDIDATES, what)
    bound = _bound(without_control, of_control, MORE_POOR)
    verdict: Verdict = "failed" if evidence_above(without, of, bound) > log(1 / ALPHA) else "ok"
    said = f"{what}: {without / of:.2%} of {of:,}, in the active version {without_control / of_control:.2%}"
    return Guardrail(
        name=CANDIDATES,
        verdict=verdict,
        canary=without / of,
        control=without_control / of_control,
        limit=bound,
        sentence=f"{said}; more than {bound:.2%} fails",
    )


def _opened(counts: Counts) -> Guardrail:
    if counts.fault is None:
        return Guardrail(name="opened", verdict="ok", sentence="every process that reports serves it")
    return Guardrail(name="opened", verdict="failed", sentence=f"a process does not serve it: {counts.fault}")


def _share(counts: Counts, name: str, of: int, among: int, more: float, what: str) -> Guardrail:
    """Whether more than so much more of the canary's requests are of a kind than of the others'."""
    hits, requests = counts.sums[:, :, of], counts.sums[:, :, among]
    total, n = hits.sum(axis=1), requests.sum(axis=1)
    if n.min() < LEAST:
        return waiting(name, what)
    return _bounded(name, what, hits, requests, _bound(float(total[CONTROL]), float(n[CONTROL]), more))


def _bounded(name: str, what: str, hits: Float64s, requests: Float64s, bound: float) -> Guardrail:
    """The verdict on a share of the canary and a bound; (2, BUCKETS) hits and requests."""
    total, n = hits.sum(axis=1), requests.sum(axis=1)
    shares = total / n
    worth = 1 / _design_effect(hits[CANARY], requests[CANARY])
    evidence = evidence_above(float(total[CANARY]) * worth, float(n[CANARY]) * worth, bound)
    verdict: Verdict = "failed" if evidence > log(1 / ALPHA) else "ok"
    said = f"{what}: {shares[CANARY]:.2%}, of the others {shares[CONTROL]:.2%}; more than {bound:.2%} fails"
    return Guardrail(
        name=name,
        verdict=verdict,
        canary=float(shares[CANARY]),
        control=float(shares[CONTROL]),
        limit=bound,
        sentence=said,
    )


def _bound(hits: float, requests: float, more: float) -> float:
    """The share of the others, two standard errors above what was seen of them, and what the canary may have more."""
    share = (hits + 1) / (requests + 2)
    return min(share + 2 * sqrt(share * (1 - share) / requests) + more, 0.99)


def _slow(counts: Counts) -> Guardrail:
    """Whether more than so many of the canary's lists are slower than nearly all of the others'."""
    what = "99th percentile of the time of lists ranked afresh"
    times, n = counts.times, counts.times.sum(axis=1)
    if n.min() < LEAST:
        return waiting("p99", what)
    p99 = [_quantile_ms(of, 0.99) for of in times]
    limit = max(SLOWER * p99[CONTROL], p99[CONTROL] + SLOWER_MS)
    slow = times[:, np.searchsorted(BOUNDS_MS, limit) + 1 :].sum(axis=1)
    bound = _bound(float(slow[CONTROL]), float(n[CONTROL]), MORE_SLOW)
    evidence = evidence_above(float(slow[CANARY]), float(n[CANARY]), bound)
    said = (
        f"{what}: {p99[CANARY]:.1f} ms, of the others {p99[CONTROL]:.1f} ms; {slow[CANARY] / n[CANARY]:.2%} of its "
        f"lists take longer than {limit:.1f} ms, and more than {bound:.2%} fails"
    )
    verdict: Verdict = "failed" if evidence > log(1 / ALPHA) else "ok"
    return Guardrail(name="p99", verdict=verdict, canary=p99[CANARY], control=p99[CONTROL], limit=limit, sentence=said)


def _scores(counts: Counts) -> Guardrail:
    """Whether lists show other probabilities: those of a wrong calibration."""
    what = "mean odds of the first people of lists"
    if counts.sums[:, :, SCORED].sum(axis=1).min() < LEAST:
        return waiting("scores", what)
    means, width = _means(counts, SCORE, SCORE_SQUARES)
    moved = abs(float(means[CANARY] - means[CONTROL]))
    odds = np.exp(means)
    allowed = log(SCORE_FACTOR)
    direction = 1 if means[CANARY] > means[CONTROL] else -1
    return Guardrail(
        name="scores",
        verdict="failed" if moved - width > allowed else "ok",
        canary=float(odds[CANARY]),
        control=float(odds[CONTROL]),
        limit=float(odds[CONTROL] * exp(direction * allowed)),
        sentence=f"{what}: {odds[CANARY]:.4f}, of the others {odds[CONTROL]:.4f}, a factor of {exp(moved):.2f}; "
        f"{SCORE_FACTOR:g} beyond chance fails",
    )


def _order(counts: Counts) -> Guardrail:
    """Whether lists begin with people whom candidate generation put far back, as a ranking turned upside down does."""
    what = "mean place of the first people of lists among their candidates as generated, of 1"
    if counts.sums[:, :, SCORED].sum(axis=1).min() < LEAST:
        return waiting("order", what)
    means, width = _means(counts, PLACE, PLACE_SQUARES)
    limit = float(means[CONTROL]) + FURTHER_BACK
    return Guardrail(
        name="order",
        verdict="failed" if float(means[CANARY]) - width > limit else "ok",
        canary=float(means[CANARY]),
        control=float(means[CONTROL]),
        limit=limit,
        sentence=f"{what}: {means[CANARY]:.3f}, of the others {means[CONTROL]:.3f}; more than {limit:.3f} beyond "
        "chance fails",
    )


def _means(counts: Counts, of: int, squares: int) -> tuple[Float64s, float]:
    """(2,) means over the lists scored afresh, by arm, and the half width of the interval of their difference."""
    sums = counts.sums
    n = sums[:, :, SCORED].sum(axis=1)
    means = sums[:, :, of].sum(axis=1) / n
    spread = sums[:, :, squares].sum(axis=1) / n - means**2
    errors = [
        max(_error(sums[arm, :, of], sums[arm, :, SCORED]), sqrt(max(spread[arm], 0.0) / n[arm])) for arm in (0, 1)
    ]
    return means, _width(hypot(*errors), float(n[CANARY]))


def _per_list(counts: Counts, name: str, of: int, factor: float, what: str) -> Guardrail:
    """Whether viewers act per list more (a factor above 1), or less, than this many times as often as the others.

    The others' rate is taken two standard errors to the safe side, so that it may be told from one that is 0 so far
    whether the canary's is higher, but not whether it is lower.
    """
    acted, lists = counts.sums[:, :, of], counts.sums[:, :, LISTS]
    total, n = acted.sum(axis=1), lists.sum(axis=1)
    if n.min() < LEAST or (factor < 1 and not total[CONTROL]):
        return waiting(name, what)
    rates = total / n
    # how much acts come in bursts is told by both sides: a side with hardly any acts does not show it
    effects = [_burstiness(acted[arm], lists[arm]) for arm in (CONTROL, CANARY)]
    error = sqrt((total[CONTROL] + 1) * effects[CONTROL]) / n[CONTROL]
    worth = 1 / max(effects)
    if factor > 1:
        limit = factor * (float(total[CONTROL] + 1) / float(n[CONTROL]) + 2 * error)
        evidence = evidence_more(float(total[CANARY]) * worth, limit * float(n[CANARY]) * worth)
    else:
        limit = factor * max(float(rates[CONTROL]) - 2 * error, 0.0)
        evidence = evidence_fewer(float(total[CANARY]) * worth, limit * float(n[CANARY]) * worth)
    side = "more" if factor > 1 else "fewer"
    return Guardrail(
        name=name,
        verdict="failed" if evidence > log(1 / ALPHA) else "ok",
        canary=float(rates[CANARY]),
        control=float(rates[CONTROL]),
        limit=limit,
        sentence=f"{what}: {rates[CANARY]:.3g}, of the others {rates[CONTROL]:.3g}; {side} than {limit:.3g} beyond "
        "chance fails",
    )


def waiting(name: str, what: str) -> Guardrail:
    return Guardrail(name=name, verdict="waiting", sentence=f"{what}: too few yet to judge by")


def _error(values: Float64s, units: Float64s) -> float:
    """Standard error of the ratio of two sums over buckets, by how its residuals vary between them (linearised)."""
    residuals = values - values.sum() / units.sum() * units
    used = int((units > 0).sum())
    if used < 2:
        return 0.0
    return float(sqrt(used / (used - 1) * float(residuals @ residuals)) / units.sum())


def _design_effect(hits: Float64s, requests: Float64s) -> float:
    """How many times as much a share varies as by chance alone, since its requests are of fewer viewers; at least 1."""
    n = float(requests.sum())
    share = float(hits.sum() + 1) / (n + 2)
    return max(1.0, _error(hits, requests) ** 2 / (share * (1 - share) / n))


def _burstiness(acts: Float64s, lists: Float64s) -> float:
    """How many times as much a count of acts varies as by chance alone, since some viewers act often; at least 1.

    All acts of a side whose lists are in one bucket are worth one.
    """
    total = float(acts.sum())
    if (lists > 0).sum() < 2:
        return max(1.0, total)
    return max(1.0, (_error(acts, lists) * float(lists.sum())) ** 2 / (total + 1))


def _width(error: float, lists: float) -> float:
    """Half width of the interval of a difference of means."""
    information = np.array([1 / max(error, 1e-12) ** 2])
    rate = rate_of(float(information[0]) * NARROWEST / lists, ALPHA)
    return float(mixture_widths(np.array([error]), information, rate, ALPHA)[0])


def _quantile_ms(counts: Float64s, share: float) -> float:
    """The upper bound of the bucket of a quantile of a histogram of times."""
    at = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
    return BOUNDS_MS[min(at, len(BOUNDS_MS) - 1)]
