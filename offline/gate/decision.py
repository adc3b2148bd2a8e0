"""The gate's verdict on all checks together."""

from collections.abc import Sequence

import structlog

from models.errors import GateRefusedError
from offline.evaluation.gate_check import GateCheck

OVERRIDE = "publish it all the same with --force"


def refusals(checks: Sequence[GateCheck]) -> list[GateCheck]:
    """The checks that refuse a version."""
    return [check for check in checks if check.verdict == "refused"]


def decide(checks: Sequence[GateCheck], *, force: bool) -> bool:
    """Logs each check; returns whether a refusal was overridden.

    Raises GateRefusedError that names every check which refuses and says how to publish all the same, unless `force`.
    """
    log = structlog.get_logger(__name__)
    for check in checks:
        told = check.model_dump(exclude={"sentence", "name"}, exclude_none=True)
        log.info("gate_check", check=check.name, said=check.sentence, **told)
    refused = refusals(checks)
    if not refused:
        return False
    said = "; ".join(check.sentence for check in refused)
    if not force:
        raise GateRefusedError(f"the quality gate refused to publish: {said}; {OVERRIDE}")
    log.warning("gate_overridden", checks=[check.name for check in refused], refusal=said)
    return True
