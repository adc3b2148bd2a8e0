"""The quality gate decides whether a version may be published."""

from models.errors import GateRefusedError
from offline.evaluation.bootstrap import Interval
from offline.evaluation.report import Ratio, Report

LEAST_USERS = 50
"""fewest evaluated users for the gate to compare; below, no difference can be told from noise"""


def check(report: Report, previous: Ratio | None = None) -> str:
    """Returns one line with the grounds for passing a version.

    `previous` is the ratio of the active version. Raises GateRefusedError if recall@20 or NDCG@20 is clearly below
    resource allocation's (the ratio's interval ends below 1), or its ratio is clearly below the active version's (its
    interval ends before that one's begins), or, where friendships have dates, either is clearly below that of a
    baseline that knows them.
    """
    if report.users < LEAST_USERS:
        return f"too few users to compare: {report.users} have a held-out friendship, {LEAST_USERS} are needed"
    if report.ratio is None:
        return "nothing to compare with: resource allocation found none of the held-out friendships"
    grounds = []
    for metric, ratio, before in _metrics(report.ratio, previous):
        if ratio.high < 1:
            raise GateRefusedError(
                f"the quality gate refused to publish: {metric} is {ratio} times that of resource allocation, "
                f"over {report.users} users; publish it all the same with --force"
            )
        if before is not None and ratio.high < before.low:
            raise GateRefusedError(
                f"the quality gate refused to publish: {metric} is {ratio} times that of resource allocation, but "
                f"{before} in the active version, over {report.users} users; publish it all the same with --force"
            )
        grounds.append(f"{metric} {ratio}" + ("" if before is None else f" after {before}"))
    for method, ratio_of_late in report.recency.items():
        for metric, ratio, _ in _metrics(ratio_of_late, None):
            if ratio.high < 1:
                raise GateRefusedError(
                    f"the quality gate refused to publish: {metric} is {ratio} times that of "
                    f"{method.replace('_', ' ')}, over {report.users} users; publish it all the same with --force"
                )
    return f"times resource allocation over {report.users} users: {', '.join(grounds)}"


def _metrics(ratio: Ratio, previous: Ratio | None) -> list[tuple[str, Interval, Interval | None]]:
    return [
        ("recall@20", ratio.recall, None if previous is None else previous.recall),
        ("NDCG@20", ratio.ndcg, None if previous is None else previous.ndcg),
    ]
