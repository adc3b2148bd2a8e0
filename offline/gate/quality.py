"""Checks of the lists: against the classic baselines and the active version, calibration and exposure."""

from math import sqrt

from offline.evaluation.bootstrap import Interval
from offline.evaluation.gate_check import GateCheck
from offline.evaluation.report import SYSTEM, Ratio, Report
from offline.gate.config import GateConfig

LEAST_EXPECTED = 20.0
"""fewest friendships, promised or found, for probabilities to be compared with outcomes"""
SAME_USERS = 0.2
"""share by which two reports may differ in evaluated users for their exposure to be compared"""


def quality_checks(report: Report, active: Report | None, config: GateConfig) -> list[GateCheck]:
    """The checks of a report; `active` is that of the active version, None if there is none to read.

    A list loses if the 95% interval of its paired ratio lies below 1 in recall@20 or NDCG@20, or, against the active
    version, below the interval of that one's ratio to resource allocation.
    """
    if report.users < config.least_judged:
        few = f"too few users to compare lists by: {report.users} have a held-out friendship, {config.least_judged} are"
        return [GateCheck.skipped("quality", f"{few} needed")]
    checks = []
    for method, ratio in report.against.items():
        checks += _against(method, ratio, report.users)
    if not checks:
        checks.append(GateCheck.skipped("quality", "nothing to compare with: no baseline found a held-out friendship"))
    checks += _against_active(report, active)
    checks += [_calibration(report, config), _exposure(report, active, config)]
    return checks


def _metrics(ratio: Ratio) -> list[tuple[str, Interval]]:
    return [("recall@20", ratio.recall), ("NDCG@20", ratio.ndcg)]


def _against(method: str, ratio: Ratio, users: int) -> list[GateCheck]:
    return [
        GateCheck.judged(
            f"{metric}_against_{method}",
            refused=interval.high < 1,
            value=interval.value,
            threshold=1.0,
            sentence=f"{metric} is {interval} times that of {method.replace('_', ' ')}, over {users} users",
        )
        for metric, interval in _metrics(ratio)
    ]


def _against_active(report: Report, active: Report | None) -> list[GateCheck]:
    name = "quality_against_active_version"
    if active is None or active.ratio is None or report.ratio is None:
        return [GateCheck.skipped(name, "no active version with figures to compare with")]
    return [
        GateCheck.judged(
            f"{metric}_against_active_version",
            refused=now.high < before.low,
            value=now.value,
            threshold=before.low,
            sentence=f"{metric} is {now} times that of resource allocation, and {before} in the active version, over "
            f"{report.users} users",
        )
        for (metric, now), (_, before) in zip(_metrics(report.ratio), _metrics(active.ratio), strict=True)
    ]


def _calibration(report: Report, config: GateConfig) -> GateCheck:
    """Friendships that the probabilities promise over those that came, beyond what chance explains."""
    name, found = "calibration", report.promised
    if found is None or max(found.promised, found.came) < LEAST_EXPECTED:
        return GateCheck.skipped(name, "too few friendships to compare probabilities with")
    # the number that came is a count of events, each of which represents `weight`
    spread = 1.96 * found.weight * sqrt(max(found.came / found.weight, 1))
    low, high = max(found.came - spread, 0.0), found.came + spread
    factor = found.promised / max(found.came, found.weight)
    most = config.most_miscalibrated
    return GateCheck.judged(
        name,
        refused=found.promised > most * high or found.promised * most < low,
        value=factor,
        threshold=most,
        sentence=f"probabilities of {found.pairs} shown candidates promise {found.promised:.0f} friendships, and "
        f"{found.came:.0f} came (a factor of {most:g} either way is allowed)",
    )


def _exposure(report: Report, active: Report | None, config: GateConfig) -> GateCheck:
    name, now = "exposure_gini", report.exposure.get(SYSTEM)
    if now is None:
        return GateCheck.skipped(name, "exposure was not computed")
    before = None if active is None else active.exposure.get(SYSTEM)
    if active is None or before is None or abs(active.users - report.users) > SAME_USERS * active.users:
        said = f"the Gini coefficient of exposure is {now.gini:.3f}; no active version with as many users to compare"
        return GateCheck(name=name, verdict="skipped", value=round(now.gini, 6), sentence=said)
    limit = 1 - config.least_evenness * (1 - before.gini)
    return GateCheck.judged(
        name,
        refused=now.gini > limit,
        value=now.gini,
        threshold=limit,
        sentence=f"the Gini coefficient of exposure is {now.gini:.3f}, and {before.gini:.3f} in the active version",
    )
