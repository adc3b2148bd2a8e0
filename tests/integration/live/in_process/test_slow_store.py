"""A store that stands still for longer than a read may take, as one that syncs each write does: every write lands."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis

from models.settings import Settings
from tests.support.http.live_requests import event
from tests.support.service import ServiceFactory, ServiceHarness

PATH = "/pymk/events"
TIMEOUT_MS = int(Settings.model_fields["redis_timeout_ms"].default)
STILL_MS = TIMEOUT_MS + 100


class StandingStill:
    """An awaited store that stands still before some of its operations."""

    def __init__(self, store: Any, server: redis.Redis) -> None:
        self._store, self._server = store, server
        self.operations = 0
        """that were begun"""
        self.is_due: Callable[[int], bool] = lambda _: False
        """whether it stands still before the operation of this number, from 0"""

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name in ("durably", "aclose"):
            return operation

        async def call(*arguments: Any, **named: Any) -> Any:
            if self.is_due(self.operations):
                self._server.execute_command("CLIENT", "PAUSE", STILL_MS, "ALL")
            self.operations += 1
            return await operation(*arguments, **named)

        return call


@pytest.fixture
def harness(services: ServiceFactory) -> Any:
    opened = services.start(redis_timeout_ms=TIMEOUT_MS, contacts_key="0" * 32)
    yield opened
    opened.close()


@pytest.fixture
def store(harness: ServiceHarness) -> Any:
    with redis.Redis.from_url(str(harness.settings.redis_url)) as server:
        standing = StandingStill(harness.failing._store, server)
        harness.failing._store = standing  # type: ignore[assignment]
        yield standing
        standing.is_due = lambda _: False
        server.execute_command("CLIENT", "UNPAUSE")


def posted(harness: ServiceHarness) -> dict[str, int]:
    """The events posted, by outcome, as the metrics have them."""
    text = harness.request("GET", "/metrics").text
    return {name: int(count) for name, count in re.findall(r'pymk_events_total\{outcome="(\w+)"\} (\d+)\.0', text)}


WRITES = {
    "events": ("POST", PATH, [event("block", "ann", "dan"), event("click", "ann", "gone")]),
    "a repeated event": ("POST", PATH, [event("block", "ann", "dan", event_id="1")]),
    "a flag": ("PUT", "/pymk/users/ann", {"discoverable": False, "company": "Acme"}),
    "contacts": ("PUT", "/pymk/users/ann/contacts", ["0" * 64]),
    "an erasure": ("DELETE", "/pymk/users/ann", None),
}


@pytest.mark.parametrize("write", WRITES)
def test_whichever_operation_of_a_write_the_store_stands_still_at_it_lands(
    harness: ServiceHarness, store: StandingStill, write: str
) -> None:
    method, path, body = WRITES[write]
    assert harness.request("DELETE", "/pymk/users/gone").status_code == 202
    assert harness.request("POST", PATH, json=WRITES["a repeated event"][2]).status_code == 202
    operations, at = 1, 0
    while at < operations:
        began = store.operations
        store.is_due = lambda number, due=began + at: number == due  # type: ignore[misc]
        answer = harness.request(method, path, json=body)
        assert answer.status_code == 202, f"operation {at} of {write}: {answer.text}"
        operations, at = max(operations, store.operations - began), at + 1
    assert at >= 3


def test_a_list_waits_no_longer_than_it_did(harness: ServiceHarness, store: StandingStill) -> None:
    assert harness.request("GET", "/pymk/recommendations", params={"user_id": "ann"}).status_code == 200
    store.is_due = lambda number, due=store.operations: number == due  # type: ignore[misc]
    assert harness.request("GET", "/pymk/recommendations", params={"user_id": "ann"}).status_code == 503


def test_ten_thousand_events_land_on_a_store_that_stands_still_again_and_again(
    harness: ServiceHarness, store: StandingStill
) -> None:
    store.is_due = lambda number: number % 20 in (7, 12)
    batch = [event("impression", f"v{number % 700}", f"w{number}", event_id=f"{number}") for number in range(10_000)]
    answer = harness.request("POST", PATH, json=batch, headers={"Prefer": "return=representation"}, timeout=120)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 10_000
    assert answer.json()["results"] == ["accepted"] * 10_000
    assert harness.request("POST", PATH, json=batch, timeout=120).json() == {"accepted": 0}
    assert posted(harness) == {"accepted": 10_000, "duplicate": 10_000}


def test_of_a_batch_that_fails_half_way_what_was_written_is_counted(harness: ServiceHarness) -> None:
    batch = [event("impression", f"v{number}", "dan", event_id=f"{number}") for number in range(900)]
    harness.failing.left = 2
    assert harness.request("POST", PATH, json=batch).status_code == 503
    assert posted(harness) == {"accepted": 400}
    assert harness.request("POST", PATH, json=batch).json() == {"accepted": 500}
    assert posted(harness) == {"accepted": 900, "duplicate": 400}
