"""Checks of what came of lists against what a version keeps of it.

Acceptance and calibration give alarm where they fall, for then the ranker does not know any more whom people want. What
training does not cure only warns: how lists are served, an estimate whose outcomes are not in, a promise that is too
small. Errors are those of shares over viewers, whose lists depend on each other.
"""

from collections.abc import Iterator
from math import sqrt

from scipy.stats import norm

from offline.evaluation.drift_check import DriftCheck
from offline.monitor.compare_data import SHARE_WARN, Z_ALARM, Z_WARN
from offline.monitor.distributions import ALMOST_NEVER, SELDOM
from offline.monitor.outcome_reference import OutcomeReference, ServedReference, ShownReference
from offline.monitor.outcomes import KINDS, LEAST_VIEWERS, TENTHS

ACCEPTANCE_WARN, ACCEPTANCE_ALARM = 0.2, 0.35
"""relative fall of the share accepted, and of accepted to promised"""
MODEST_WARN = 0.5
"""relative rise of accepted to promised"""
ESTIMATE_WARN = 0.25
"""relative change of the mean probability"""
LEAST_EXPECTED = 10
"""acceptances that are to be expected where they are compared"""
LEAST_LISTS = 100
Z_TENTH_WARN, Z_TENTH_ALARM = (float(norm.isf(chance / 2 / TENTHS)) for chance in (SELDOM, ALMOST_NEVER))
"""as Z_WARN and Z_ALARM, of the most extreme of ten"""
NOTHING_KEPT = (
    "outcomes were not compared: the version keeps nothing of what came of lists, since none was recorded before its "
    "night or its release did not"
)
TOO_FEW = "acceptance was not compared: too few outcomes before the night of the version, or since"
TITLES = {"stale": "of the previous version", "cold_start": "of a cold start", "empty": "empty"}
"""by the way of serving, what such lists are"""


def compare_outcomes(then: OutcomeReference, now: OutcomeReference, waiting: ShownReference | None) -> list[DriftCheck]:
    """Every check; `now` is of lists that `then` has not (offline.monitor.outcomes.later_outcomes), and `waiting` of
    those whose window is open.
    """
    return [*_acceptance(then, now), *_calibration(then, now), *_estimate(then, waiting), *_answers(then, now)]


def note_of(then: OutcomeReference | None, checks: list[DriftCheck]) -> str | None:
    """What a report says of outcomes that were not compared."""
    if then is None:
        return NOTHING_KEPT
    names = {check.name.partition("_")[0] for check in checks if check.group == "outcomes"}
    return None if names & {"acceptance", "calibration"} else TOO_FEW


def _acceptance(then: OutcomeReference, now: OutcomeReference) -> Iterator[DriftCheck]:
    """By source, and of the tenth of the probabilities that fell most for its size."""
    for name, before in then.sources.items():
        after = now.sources.get(name)
        error = None if after is None else _error(before, after)
        if after is not None and error is not None:
            yield DriftCheck.of(
                f"acceptance_{name}",
                "outcomes",
                _fall(before.acceptance, after.acceptance),
                warn=max(ACCEPTANCE_WARN, Z_WARN * error),
                alarm=max(ACCEPTANCE_ALARM, Z_ALARM * error),
                sentence=f"{after.acceptance:.2%} of the people whom source {name} found accepted an invite, and "
                f"{before.acceptance:.2%} did: {_changed(before.acceptance, after.acceptance)}",
            )
    checks = []
    for at, (one, other) in enumerate(zip(then.deciles, now.deciles, strict=False), 1):
        error = None if one is None or other is None else _error(one, other)
        if one is not None and other is not None and error is not None:
            checks.append(
                DriftCheck.of(
                    "acceptance_by_score",
                    "outcomes",
                    _fall(one.acceptance, other.acceptance),
                    warn=max(ACCEPTANCE_WARN, Z_TENTH_WARN * error),
                    alarm=max(ACCEPTANCE_ALARM, Z_TENTH_ALARM * error),
                    sentence=f"of ten parts by probability, lowest first, part {at} moved most: "
                    f"{other.acceptance:.2%} of its people accepted an invite, and {one.acceptance:.2%} did: "
                    f"{_changed(one.acceptance, other.acceptance)}",
                )
            )
    if checks:
        yield max(checks, key=lambda check: check.value / check.threshold)


def _calibration(then: OutcomeReference, now: OutcomeReference) -> Iterator[DriftCheck]:
    """Whether the shown probabilities promise as much for each acceptance as they did."""
    before, after = then.scored, now.scored
    if before is None or after is None or not before.promised or not after.promised:
        return
    error = _error(before, after, of_promised=True)
    if error is None:
        return
    moved = after.calibration / before.calibration - 1
    said = (
        f"of 100 friendships that probabilities promised {100 * after.calibration:.3g} came of invites, and "
        f"{100 * before.calibration:.3g} did: {_changed(before.calibration, after.calibration)}"
    )
    warn = max(ACCEPTANCE_WARN, Z_WARN * error)
    if moved > 0:
        warn = max(MODEST_WARN, warn)
        yield DriftCheck.warning("calibration", "outcomes", moved, warn=warn, sentence=said)
    else:
        alarm = max(ACCEPTANCE_ALARM, Z_ALARM * error)
        yield DriftCheck.of("calibration", "outcomes", -moved, warn=warn, alarm=alarm, sentence=said)


def _estimate(then: OutcomeReference, waiting: ShownReference | None) -> Iterator[DriftCheck]:
    """What is to be accepted of the lists whose outcomes are not in, if the probabilities promise as they did."""
    before = then.scored
    if before is None or waiting is None or not before.promised:
        return
    estimate = waiting.mean * before.calibration
    error = sqrt((before.promised_error / before.mean) ** 2 + (waiting.promised_error / before.mean) ** 2)
    yield DriftCheck.warning(
        "estimated_acceptance",
        "outcomes",
        abs(waiting.mean / before.mean - 1),
        warn=max(ESTIMATE_WARN, Z_WARN * error),
        sentence=f"by their probabilities {estimate:.2%} of the people in lists whose outcomes are not in yet will "
        f"accept an invite, and {before.acceptance:.2%} did: {_changed(before.acceptance, estimate)}",
    )


def _answers(then: OutcomeReference, now: OutcomeReference) -> Iterator[DriftCheck]:
    """Whether more lists are not of the viewer's own candidates."""
    if min(then.lists, now.lists) < LEAST_LISTS or min(then.viewers, now.viewers) < LEAST_VIEWERS:
        return
    for kind in KINDS:
        one, other = (of.served.get(kind, ServedReference(lists=0)) for of in (then, now))
        first, second = one.lists / then.lists, other.lists / now.lists
        share = (one.lists + other.lists) / (then.lists + now.lists)
        spread = max(one.spread, other.spread) * max(share * (1 - share), 1e-4)
        error = sqrt(spread * (1 / then.lists + 1 / now.lists))
        yield DriftCheck.warning(
            f"answers_{kind}",
            "outcomes",
            max(second - first, 0.0),
            warn=max(SHARE_WARN, Z_WARN * error),
            sentence=f"{second:.1%} of the lists are {TITLES[kind]}, and {first:.1%} were",
        )


def _error(before: ShownReference, after: ShownReference, *, of_promised: bool = False) -> float | None:
    """The standard error of the relative change of acceptance, or of accepted to promised, where nothing changed.

    None if too few acceptances are to be expected.
    """
    if of_promised:
        expected, spread = after.promised * before.calibration, max(before.promised_spread, after.promised_spread)
    else:
        expected, spread = after.shown * before.acceptance, max(before.spread, after.spread)
    if expected < LEAST_EXPECTED or not before.accepted:
        return None
    return sqrt(spread * (1 / before.accepted + 1 / expected))


def _fall(before: float, after: float) -> float:
    return max(1 - after / before, 0.0)


def _changed(before: float, after: float) -> str:
    change = after / before - 1
    return f"{abs(change):.0%} {'more' if change > 0 else 'less'}"
