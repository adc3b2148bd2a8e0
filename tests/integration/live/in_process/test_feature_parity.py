"""Recorded codes agree with codes that are computed again, over a switch of versions and with the worker's blocks."""

from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from models.event_log.archive.archive import Archive
from models.outcomes.exposure_files import ExposureFiles
from models.store.protocol import STREAM_START
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.outcomes.parity import feature_parity
from offline.snapshot.live_events import read_entries
from service.worker.exposure_log import ExposureLogWorker
from tests.support.contacts import of
from tests.support.nights import FORBIDDEN_DAYS
from tests.support.service import ServiceFactory, ServiceHarness


@pytest.fixture
def harness(services: ServiceFactory) -> Iterator[ServiceHarness]:
    opened = services.start()
    yield opened
    opened.close()


def file_lists(harness: ServiceHarness) -> None:
    harness.runner.run(harness.parts.exposure_log.flush())
    home = harness.settings.home
    worker = ExposureLogWorker(
        harness.store,
        harness.keys,
        home,
        90,
        lambda one: Tables.open(Versions(home).path(one) / "tables"),
        lambda: True,
    )
    while worker.run_once():
        pass


def test_recorded_codes_are_those_that_are_computed_again(harness: ServiceHarness) -> None:
    random = Random(7)
    people = list(harness.parts.versions.active.tables.vocabulary.user_ids())

    def look(*, fresh: bool) -> None:
        for viewer in people:
            headers: dict[str, Any] = {"Cache-Control": "no-cache"} if fresh else {}
            answer = harness.request("GET", "/pymk/recommendations", params={"user_id": viewer}, headers=headers)
            assert answer.status_code == 200
        harness.flush()

    def live(rounds: int) -> None:
        """People act; lists are made before and after the worker has seen it."""
        for _ in range(rounds):
            events = []
            for kind in ("connect", "disconnect", "dismiss", "connect"):
                one, other = random.sample(people, 2)
                events.append({"kind": kind, "user_id": one, "other_id": other})
            assert harness.request("POST", "/pymk/events", json=events).status_code == 202
            look(fresh=random.random() < 0.5)
            harness.work(2)
            look(fresh=False)

    look(fresh=False)
    live(6)
    version = harness.night()
    harness.work(2)
    harness.publish(version, replayed=True)
    harness.follow()
    live(6)
    harness.work(3)
    file_lists(harness)
    exposures = ExposureFiles(harness.settings.home).scan()
    assert exposures["version"].n_unique() == 2
    assert set(exposures["served"]) >= {"ranked", "cache"}
    entries = list(read_entries(Archive(harness.settings.home), harness.store, harness.keys, now_us()))
    parity = feature_parity(exposures, entries, harness.settings.home, forbidden_days=FORBIDDEN_DAYS, most=100_000)
    assert parity.lists > 200
    assert parity.skipped == 0
    assert parity.share is not None
    assert parity.share >= 0.999, parity
    assert harness.store.stream_read(harness.keys.exposure_log, STREAM_START, 1) == []


def test_what_follows_from_contacts_is_not_recorded(harness: ServiceHarness) -> None:
    """Every second viewer has contacts who know people, the others have one of whom nothing follows."""
    tables = harness.parts.versions.active.tables
    people = list(tables.vocabulary.user_ids())
    for number, user_id in enumerate(people):
        friends = tables.graph.neighbours(number).tolist()
        strangers = [one for row, one in enumerate(people) if row != number and row not in friends]
        body = {"own": of(user_id), "contacts": of(*strangers[: 1 if number % 2 else 5])}
        answer = harness.request("PUT", f"/pymk/users/{quote(user_id, safe='')}/contacts", json=body)
        assert answer.status_code == 202
    harness.work(3)
    for headers in ({}, {}, {"Cache-Control": "no-cache"}):
        for viewer in people:
            answer = harness.request("GET", "/pymk/recommendations", params={"user_id": viewer}, headers=headers)
            assert answer.status_code == 200
        harness.flush()
    file_lists(harness)
    exposures = ExposureFiles(harness.settings.home).scan()
    entries = list(read_entries(Archive(harness.settings.home), harness.store, harness.keys, now_us()))
    parity = feature_parity(exposures, entries, harness.settings.home, forbidden_days=FORBIDDEN_DAYS, most=100_000)
    assert "contacts" not in set(exposures["sources"].explode())
    assert parity.lists > parity.skipped > 0, "of lists in which contacts count nothing is recorded to compare"
    assert parity.share == 1
