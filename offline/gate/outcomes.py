"""Checks of what a night learned from outcomes: the features in the log, and invitations accepted and friendships found
over links alone.
"""

from offline.evaluation.gate_check import GateCheck
from offline.evaluation.outcomes.learned import LEAST_PARITY, LearnedOutcomes
from offline.evaluation.report import RATIO_LIMIT, Report
from offline.gate.config import GateConfig

PARITY = "feature_parity"
ACCEPTED = "accepted_against_links"
FRIENDSHIPS = "recall_against_links"


def outcome_checks(report: Report, config: GateConfig) -> list[GateCheck]:
    """The checks of a report's outcomes; skipped, with the reason, if links alone rank."""
    learned = report.outcomes
    if learned is None or not learned.learned:
        said = "no outcomes were looked at" if learned is None else learned.said
        return [_parity(learned), *(GateCheck.skipped(name, said) for name in (ACCEPTED, FRIENDSHIPS))]
    checks = [_parity(learned)]
    if (ratio := learned.accepted_ratio) is None:
        checks.append(GateCheck.skipped(ACCEPTED, "no invitation from a list was accepted"))
    else:
        checks.append(
            GateCheck.judged(
                ACCEPTED,
                refused=ratio.high < 1,
                value=ratio.value,
                threshold=1.0,
                sentence=f"lists as they were shown would have {ratio} times the accepted invitations in the order of "
                f"the score that they have by links alone, for viewers whom the heads have not seen",
            )
        )
    if report.users < config.least_judged or (kept := report.friendships_kept) is None:
        checks.append(GateCheck.skipped(FRIENDSHIPS, "too few held-out friendships to compare lists by"))
    else:
        least = config.least_friendships_kept
        checks.append(
            GateCheck.judged(
                FRIENDSHIPS,
                refused=kept.high < least,
                value=kept.value,
                threshold=least,
                sentence=f"recall@{RATIO_LIMIT} of held-out friendships is {kept} times that of links alone "
                f"(gate.least_friendships_kept wants {least:g})",
            )
        )
    return checks


def _parity(learned: LearnedOutcomes | None) -> GateCheck:
    """Whether logged features are those that the night finds. It refuses heads; links alone learned nothing of them."""
    parity = None if learned is None else learned.parity
    if learned is None or parity is None:
        return GateCheck.skipped(PARITY, "no logged list of a version on this host to compare features with")
    if not parity.agrees and not learned.learned:
        value, said = round(parity.share, 6), f"{parity.said}, so that links alone rank"
        return GateCheck(name=PARITY, verdict="skipped", value=value, threshold=LEAST_PARITY, sentence=said)
    return GateCheck.judged(
        PARITY, refused=not parity.agrees, value=parity.share, threshold=LEAST_PARITY, sentence=parity.said
    )
