"""Counting who was shown: each impression once, of the last day alone, whatever becomes of the archive's files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Entry, Event
from models.experiments import registry
from models.live_state.exposure import Exposed
from models.live_state.seldom_shown import SeldomShown
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import Vocabulary
from models.store.keys import Keys, shard_of
from models.system.clock import HOUR_US
from service.worker.exposure import SELDOM_US, ExposureWorker
from tests.support.experiments.arms import two_arms
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
NOW = 1_790_000_000_000_000
PEOPLE = Vocabulary.from_ids(["ann", "bea", "cid"])


class WorkerBench:
    """A home with an archive, and a worker that tells of whoever was shown more than twice."""

    def __init__(self, home: Path) -> None:
        self.home, self.store, self.now = home, MemoryStore(), NOW
        self.vocabulary, self.mine, self.written = PEOPLE, True, 0
        self.worker = self.another()

    def another(self) -> ExposureWorker:
        return ExposureWorker(
            self.store, KEYS, self.home, 2, lambda: self.vocabulary, lambda: self.mine, clock=lambda: self.now
        )

    def shown(self, *people: str, viewer: str = "zoe", kind: EventKind = EventKind.IMPRESSION, at: int = NOW) -> None:
        entries = []
        for person in people:
            self.written += 1
            event = Event(kind, viewer, person, request_id="r", context="web", position=self.written)
            entry = Entry.of(event, at, at)
            entries.append((f"{self.written}-0", entry.encode()))
        Archive(self.home, segment_bytes=300).append(shard_of(viewer), entries)

    def told(self) -> set[str]:
        self.worker.run_once()
        return set(Exposed.unpack(self.store.get(KEYS.exposure)).people)


@pytest.fixture
def place(tmp_path: Path) -> WorkerBench:
    return WorkerBench(tmp_path)


def test_who_is_shown_more_often_than_the_limit_is_told(place: WorkerBench) -> None:
    place.shown("ann", "ann", "bea", viewer="x")
    assert place.told() == set()
    place.shown("ann", viewer="y")
    assert place.told() == {"ann"}
    assert place.told() == {"ann"}, "and counted once"
    place.shown("bea", viewer="y")
    assert place.told() == {"ann"}


def test_only_impressions_count(place: WorkerBench) -> None:
    place.shown("ann", "ann", "ann", kind=EventKind.CLICK)
    assert place.told() == set()


def test_a_worker_that_begins_reads_the_day_again(place: WorkerBench) -> None:
    for _ in range(3):
        place.shown("ann")  # a segment each
    place.worker = place.another()
    assert place.told() == {"ann"}


def test_after_a_day_it_is_forgotten(place: WorkerBench) -> None:
    place.shown("ann", "ann", "ann")
    assert place.told() == {"ann"}
    place.now += 25 * HOUR_US
    assert place.told() == set()


def test_who_was_taken_out_of_the_archive_moves_nothing(place: WorkerBench) -> None:
    place.shown("bea", "ann", "ann")
    assert place.told() == set()
    Archive(place.home).rewrite({"bea": NOW})
    place.shown("cid", "cid")
    assert place.told() == set()
    place.shown("ann")
    assert place.told() == {"ann"}


def test_another_version_knows_the_same_people_by_other_rows(
    place: WorkerBench, make_tables: Callable[..., object]
) -> None:
    place.shown("bea", "bea", "cid")
    place.worker.run_once()
    place.vocabulary = Vocabulary.from_ids(["aaa", "bea", "cid", "dan"])
    place.shown("bea", "cid")
    assert place.told() == {"bea"}


def test_one_worker_counts_at_a_time(place: WorkerBench) -> None:
    place.mine = False
    place.shown("ann", "ann", "ann")
    assert place.told() == set()
    place.mine = True
    assert place.told() == {"ann"}


def test_a_profile_that_reads_like_an_impression_is_none(place: WorkerBench) -> None:
    put = Entry("profile", "x", NOW, columns={"kind": "impression"})
    Archive(place.home).append(shard_of("x"), [("1-0", put.encode())])
    place.written = 1
    place.shown("ann", "ann", "ann", viewer="x")
    assert place.told() == {"ann"}


def test_who_is_hardly_shown_is_told_if_somebody_wants_to_know(place: WorkerBench) -> None:
    place.shown("ann", "ann", "bea", viewer="x")
    place.told()
    assert place.store.get(KEYS.seldom_shown) is None
    worker = ExposureWorker(
        place.store, KEYS, place.home, 2, lambda: PEOPLE, lambda: True, clock=lambda: place.now, seldom=2, favours=True
    )
    worker.run_once()
    table = SeldomShown.unpack(place.store.get(KEYS.seldom_shown))
    assert table.vocabulary == PEOPLE.digest
    assert table.rows.tolist() == [False, True, True]


def test_who_is_hardly_shown_is_told_while_an_arm_favours_them(place: WorkerBench) -> None:
    place.shown("ann", "ann", "bea", viewer="x")
    place.told()
    registry.start(place.store, two_arms("plain", fatigue_limit=3), keys=KEYS, versions=())
    place.now += SELDOM_US
    place.told()
    assert place.store.get(KEYS.seldom_shown) is None
    registry.start(place.store, two_arms("bold", exploration_boost=3.0), keys=KEYS, versions=())
    place.now += SELDOM_US
    place.told()
    assert SeldomShown.unpack(place.store.get(KEYS.seldom_shown)).rows.sum() > 0
    registry.stop(place.store, "bold", keys=KEYS)
    place.store.delete([KEYS.seldom_shown])
    place.now += SELDOM_US
    place.told()
    assert place.store.get(KEYS.seldom_shown) is None
    place.store.set(KEYS.experiments, b"damaged")
    place.now += SELDOM_US
    place.told()
