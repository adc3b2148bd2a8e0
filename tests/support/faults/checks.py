"""What an operator sees of damage: readiness, a metric, and `pymk doctor`, of a service in this process."""

from models.cli.doctor import _checks
from tests.support.service import ServiceHarness


def warnings(harness: ServiceHarness) -> list[str]:
    """The warnings of readiness, but for what waits for a worker."""
    harness.runner.run(harness.parts.live_sync.refresh())
    answer = harness.request("GET", "/health/ready")
    assert answer.status_code == 200
    return [one for one in answer.json()["warnings"] if "waited" not in one]


def doctor(harness: ServiceHarness, *, repair: bool) -> dict[str, tuple[bool, str]]:
    """By name, whether a check of `pymk doctor` passed, and what it says."""
    found = _checks(harness.settings, harness.store, harness.keys, repair=repair)
    return {check.name: (check.ok, check.detail) for check in found}


def metric(harness: ServiceHarness, name: str) -> float:
    """The value of the first series with this beginning."""
    lines = harness.request("GET", "/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))
