"""Many requests about one person at the same time, to one service and to two: all are accepted and in effect."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import httpx2
import pytest

from models.contacts.record import ContactRecord
from models.live_state.erased_ids import read_erased
from models.live_state.erasure_receipts import read_open
from models.live_state.user_record import LiveRecord
from tests.support.contacts import of
from tests.support.service import ServiceFactory, ServiceHarness

Request = tuple[str, str, Any]
"""method, path, body"""
DELETE = ("DELETE", "/pymk/users/ann", None)


@pytest.fixture(params=[1, 2], ids=["one-service", "two-services"])
def crowd(services: ServiceFactory, request: pytest.FixtureRequest) -> Iterator[list[ServiceHarness]]:
    harness = services.start()
    with ExitStack() as stack:
        others = [stack.enter_context(services.beside(harness)) for _ in range(request.param - 1)]
        yield [harness, *others]
    harness.close()


def at_once(crowd: list[ServiceHarness], requests: list[Request]) -> list[httpx2.Response]:
    """The answers to requests that are all sent at the same time, to the services in turn."""

    async def send() -> list[httpx2.Response]:
        clients = zip(cycle(crowd), requests, strict=False)
        sent = [one.arequest(method, path, json=body, timeout=60) for one, (method, path, body) in clients]
        return await asyncio.gather(*sent)

    return crowd[0].runner.run(send())


def statuses(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_a_hundred_deletes_of_one_person_have_one_receipt(crowd: list[ServiceHarness]) -> None:
    harness = crowd[0]
    answers = at_once(crowd, [DELETE] * 100)
    assert statuses(answers) == {202: 100}
    (receipt,) = {answer.json()["receipt"] for answer in answers}
    assert harness.request("GET", f"/pymk/erasures/{receipt}").json()["state"] == "hidden"
    assert harness.request("DELETE", "/pymk/users/ann").json() == {"receipt": receipt}
    (erasure,) = read_open(harness.store, harness.keys).values()
    assert erasure.timestamps_us == (LiveRecord.unpack(harness.store.get(harness.keys.live("ann"))).erased,)


def test_a_hundred_deletes_of_nobody_leave_an_id_unknown(crowd: list[ServiceHarness]) -> None:
    harness = crowd[0]
    answers = at_once(crowd, [("DELETE", "/pymk/users/nobody", None)] * 100)
    assert statuses(answers) == {202: 100}
    harness.continue_erasures()
    (erasure,) = read_open(harness.store, harness.keys).values()
    assert len(erasure.timestamps_us) == 1
    assert not erasure.is_known, "so that nothing is left of it after the next night"


def test_registering_and_deleting_one_person_at_the_same_time(crowd: list[ServiceHarness]) -> None:
    harness = crowd[0]
    put = ("PUT", "/pymk/users/ann", {"discoverable": True, "active": True})
    answers = at_once(crowd, [put, DELETE] * 50)
    assert statuses(answers) == {202: 100}
    receipts = {answer.json()["receipt"] for answer in answers if "receipt" in answer.json()}
    record = LiveRecord.unpack(harness.store.get(harness.keys.live("ann")))
    (erasure,) = read_open(harness.store, harness.keys).values()
    assert {int(receipt[32:], 16) for receipt in receipts} == {*erasure.timestamps_us}
    assert record.erased == erasure.timestamp_us == read_erased(harness.store, harness.keys).timestamp_us("ann")
    for receipt in receipts:
        assert harness.request("GET", f"/pymk/erasures/{receipt}").json()["state"] == "hidden"


def test_a_hundred_address_books_of_one_person(crowd: list[ServiceHarness]) -> None:
    harness = crowd[0]
    uploads = [("PUT", "/pymk/users/ann/contacts", {"contacts": of(f"friend-{number}")}) for number in range(50)]
    names = [("PUT", "/pymk/users/ann/contacts", {"own": of(f"ann-{number}")}) for number in range(50)]
    answers = at_once(crowd, [one for pair in zip(uploads, names, strict=True) for one in pair])
    assert statuses(answers) == {202: 100}
    record = ContactRecord.unpack(harness.store.get(harness.keys.contacts("ann")))
    assert (len(record.contacts), len(record.own)) == (1, 1), "none has undone the other kind"
    assert record.tested == 100, "each counts as new, own addresses too: they tell who has whom as well"


def test_address_books_beside_deletes(crowd: list[ServiceHarness]) -> None:
    uploads = [("PUT", "/pymk/users/ann/contacts", {"contacts": of(f"friend-{number}")}) for number in range(50)]
    found = statuses(at_once(crowd, [one for upload in uploads for one in (upload, DELETE)]))
    assert found.keys() == {202, 404}, "an upload before the DELETE, or one after it"
    assert crowd[0].store.get(crowd[0].keys.contacts("ann")) is None
