"""What tests of live state send to a service, and ask of it."""

from typing import Any

from tests.support.service import ServiceHarness


def event(kind: str, user_id: str, other_id: str, **more: Any) -> dict[str, Any]:
    """An event as it is posted."""
    return {"kind": kind, "user_id": user_id, "other_id": other_id, **more}


def shown(harness: ServiceHarness, viewer: str) -> set[str]:
    """The ids of the people in a viewer's list."""
    answer = harness.request("GET", "/pymk/recommendations", params={"user_id": viewer, "limit": 100})
    assert answer.status_code == 200, answer.text
    return {entry["user_id"] for entry in answer.json()["recommendations"]}
