"""What a service process says of the store's clock and of the version it serves, and that it forgets who was hidden."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.live_state.retention import raise_watermark
from tests.support.service import ServiceFactory, ServiceHarness

CLICK = [{"kind": "click", "user_id": "ann", "other_id": "dan"}]


@pytest.fixture
def harness(services: ServiceFactory) -> Iterator[ServiceHarness]:
    harness = services.start()
    following = harness.parts.versions._task
    assert following is not None
    following.cancel()  # a test says when the pointer is read
    yield harness
    harness.close()


def samples(harness: ServiceHarness, name: str) -> dict[str, float]:
    """The values of a metric by its label, "" if it has none."""
    text = harness.request("GET", "/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return {"".join(one.labels.values()): one.value for one in families[name].samples}


def skew_warnings(harness: ServiceHarness) -> list[str]:
    harness.runner.run(harness.parts.live_sync.refresh())
    found: list[str] = harness.request("GET", "/health/ready").json()["warnings"]
    return [warning for warning in found if "ahead of the clock" in warning]


def test_a_clock_that_is_ahead_elsewhere_is_a_warning_and_a_metric(harness: ServiceHarness) -> None:
    harness.request("POST", "/pymk/events", json=CLICK)
    assert skew_warnings(harness) == []
    assert samples(harness, "pymk_clock_ahead_seconds")[""] < 2
    harness.service_ahead_h = 2  # another process, whose clock is so
    harness.request("POST", "/pymk/events", json=CLICK)
    harness.service_ahead_h = 0
    (warning,) = skew_warnings(harness)
    ahead_s = samples(harness, "pymk_clock_ahead_seconds")[""]
    assert 7100 < ahead_s <= 7200
    assert f"{ahead_s:.0f} s ahead of the clock of this process" in warning


def test_the_version_that_is_served_is_a_metric_with_its_time(harness: ServiceHarness) -> None:
    (version,) = harness.versions.ids()
    assert samples(harness, "pymk_version_info") == {version: 1}
    (published,) = samples(harness, "pymk_version_published_timestamp_seconds").values()
    assert time.time() - 600 < published <= time.time()
    later = harness.night()
    harness.publish(later, replayed=True)
    assert samples(harness, "pymk_version_info") == {version: 1}, "what is served, not what is published"
    harness.follow()
    assert samples(harness, "pymk_version_info") == {later: 1}
    assert samples(harness, "pymk_version_published_timestamp_seconds")[later] > published


@pytest.mark.parametrize(
    ("method", "person", "body"), [("PUT", "bob", {"discoverable": False}), ("DELETE", "eva", None)]
)
def test_a_process_forgets_the_hidden_and_erased_once_its_versions_have_them(
    harness: ServiceHarness, method: str, person: str, body: dict[str, bool] | None
) -> None:
    state = harness.parts.live_sync.state
    harness.request(method, f"/pymk/users/{person}", **({} if body is None else {"json": body}))
    harness.request("GET", "/pymk/recommendations", params={"user_id": "ann"})
    assert len(state.hidden) == len(state._changed) == 1
    for left in (1, 0):  # the version before, which does not have it, is open until the second night
        version = harness.night()
        harness.publish(version, replayed=True)
        harness.follow()
        # as a publication does once no version from before is kept
        raise_watermark(harness.store, harness.keys, harness.versions.manifest(version).cut_us)
        harness.runner.run(harness.parts.live_sync.refresh())
        assert (len(state.hidden), len(state._changed)) == (left, left)
    answer = harness.request("GET", "/pymk/recommendations", params={"user_id": "ann", "limit": 100})
    assert person not in {entry["user_id"] for entry in answer.json()["recommendations"]}
