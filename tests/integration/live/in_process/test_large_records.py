"""Requests that concern a person whose live record is large: none of them reads all of it on the event loop."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from models.live_state import journal
from models.live_state.record_excerpt import LARGE_BYTES
from models.live_state.user_record import LiveRecord
from models.store.protocol import AsyncStore
from tests.support.http.live_requests import event
from tests.support.service import ServiceFactory, ServiceHarness

PATH = "/pymk/events"
FANS = 6_000
MOST_ENTRIES = 500
"""entries of a journal that may be read on the event loop: less than a millisecond"""


@pytest.fixture
def harness(services: ServiceFactory) -> Any:
    opened = services.start(contacts_key="0" * 32)
    yield opened
    opened.close()


def dismiss_many(harness: ServiceHarness) -> None:
    batch = [event("dismiss", "ann", f"fan-{number:05}") for number in range(FANS)]
    assert harness.request("POST", PATH, json=batch, timeout=120).json() == {"accepted": FANS}
    assert harness.runner.run(length_of(harness.failing, harness.keys.live("ann"))) > LARGE_BYTES


async def length_of(store: AsyncStore, key: str) -> int:
    return len(await store.get(key) or b"")


def listed(harness: ServiceHarness, viewer: str) -> set[str]:
    answer = harness.request("GET", "/pymk/recommendations", params={"user_id": viewer, "limit": 100})
    assert answer.status_code == 200, answer.text
    return {entry["user_id"] for entry in answer.json()["recommendations"]}


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read on the thread of the event loop that costs with the length of a record."""
    found: list[str] = []
    unpack, entries = LiveRecord.unpack, journal.entries
    loop = threading.current_thread()

    def unpacked(packed: bytes | None) -> LiveRecord:
        if packed is not None and len(packed) > LARGE_BYTES and threading.current_thread() is loop:
            found.append("a large record is unpacked")
        return unpack(packed)

    def read(packed: bytes, start: int = 0) -> Any:
        if threading.current_thread() is loop and len(packed) - start > 12 * MOST_ENTRIES:
            found.append("a long journal is read")
        return entries(packed, start)

    monkeypatch.setattr(LiveRecord, "unpack", unpacked)
    monkeypatch.setattr(journal, "entries", read)
    return found


Asked = Callable[[ServiceHarness], Any]

ROUTES: dict[str, tuple[Asked, Any]] = {
    "a repeated event of two": (
        lambda h: h.request("POST", PATH, json=[event("connect", "ann", "cid", event_id="1")]).json(),
        {"accepted": 0},
    ),
    "an event": (lambda h: h.request("POST", PATH, json=[event("block", "dan", "ann")]).json(), {"accepted": 1}),
    "a flag": (lambda h: h.request("PUT", "/pymk/users/ann", json={"discoverable": True}).json(), {"accepted": 1}),
    "a column": (lambda h: h.request("PUT", "/pymk/users/ann", json={"company": "Acme"}).json(), {"accepted": 1}),
    "a profile": (lambda h: h.request("GET", "/pymk/users/ann").status_code, 200),
    "why": (lambda h: h.request("GET", "/pymk/users/ann/why/fan-00000").status_code, 404),
    "why a dismissed one": (lambda h: h.request("GET", "/pymk/users/ann/why/eva").json()["rules"][-1], "dismissed"),
    "why she": (lambda h: h.request("GET", "/pymk/users/eva/why/ann").status_code, 200),
    "contacts": (
        lambda h: h.request("PUT", "/pymk/users/ann/contacts", json=["0" * 64]).json(),
        {"contacts": 1, "own": 0},
    ),
    "no contacts": (
        lambda h: h.request("PUT", "/pymk/users/ann/contacts", json=[]).json(),
        {"contacts": 0, "own": 0},
    ),
    "her list": (lambda h: "dan" in listed(h, "ann"), False),
    "lists of several": (
        lambda h: len(h.request("POST", "/pymk/recommendations", json={"user_ids": ["ann", "cid"]}).json()["lists"]),
        2,
    ),
}


@pytest.mark.parametrize("is_merged", [False, True], ids=["journal", "base"])
def test_no_route_reads_a_large_record_on_the_event_loop(
    harness: ServiceHarness, on_the_loop: list[str], is_merged: bool
) -> None:
    dismiss_many(harness)
    harness.request("POST", PATH, json=[event("connect", "ann", "cid", event_id="1"), event("dismiss", "ann", "eva")])
    if is_merged:
        harness.merge_records()
    on_the_loop.clear()
    for name, (asked, answer) in ROUTES.items():
        assert asked(harness) == answer, name
        assert on_the_loop == [], name


def test_nor_does_an_erasure_or_what_follows_one(harness: ServiceHarness, on_the_loop: list[str]) -> None:
    assert harness.request("DELETE", "/pymk/users/ann").status_code == 202
    harness.request("PUT", "/pymk/users/ann", json={"company": "Acme"})
    dismiss_many(harness)
    on_the_loop.clear()
    assert harness.request("POST", PATH, json=[event("click", "ann", "eva")]).json() == {"accepted": 1}
    assert harness.request("PUT", "/pymk/users/ann/contacts", json=["0" * 64]).status_code == 202
    assert harness.request("DELETE", "/pymk/users/ann").status_code == 202
    assert harness.request("POST", PATH, json=[event("click", "ann", "eva")]).json() == {"accepted": 0}
    assert on_the_loop == []
