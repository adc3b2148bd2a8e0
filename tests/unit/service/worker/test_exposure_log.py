"""Filing lists: each once, whatever dies when; nothing of erased people; losses are counted."""

import datetime
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.errors import PymkError
from models.live_state.flag_change import FlagChange
from models.live_state.visibility import append_change_blocking
from models.outcomes.exposure_files import MERGED_AT, ExposureFiles
from models.outcomes.exposure_record import Batch, ListHead, PackedPeople, pack_list
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.protocol import STREAM_START
from models.system import files
from models.system.clock import now_us
from models.version.tables import Tables
from service.worker.exposure_gaps import MOST_PROCESSES, ExposureGaps
from service.worker.exposure_log import FILED, MISSING, NO_VERSION, UNREADABLE, ExposureLogWorker
from tests.support.memory_store import MemoryStore
from tests.support.stores import Killed
from tests.support.versions import PEOPLE, MakeVersion

KEYS = Keys("pymk")
AT = now_us()


class LogBench:
    """A home with a version of eight people, a log, and workers that file it."""

    def __init__(self, home: Path, version: str) -> None:
        self.home, self.version, self.store = home, version, MemoryStore()
        self.tables = Tables.open(home / "versions" / version / "tables")
        self.recorded = 0

    def worker(self, store: Any = None, home: Path | None = None) -> ExposureLogWorker:
        return ExposureLogWorker(
            store or self.store,
            KEYS,
            home or self.home,
            30,
            lambda version: self.tables if version == self.version else None,
            lambda: True,
        )

    def log(self, *viewers: str, version: str = "", rows: tuple[int, ...] = (4, 5)) -> None:
        """Logs a list of two people for each viewer, in one batch."""
        n = len(rows)
        columns = np.array(rows, "<u4").tobytes() + np.linspace(0.9, 0.5, n, dtype="<f4").tobytes() + bytes([1] * n)
        records = []
        for viewer in viewers:
            head = ListHead(AT, f"r{self.recorded}", version or self.version, "web", viewer, "cold_start", {})
            records.append(pack_list(head, PackedPeople(n, 0, b"", columns)))
            self.recorded += 1
        batch = Batch(7, self.recorded - len(viewers), records)
        assert self.store.stream_offer(KEYS.exposure_log, [batch.pack()], 1000, 60) == 1

    def filed(self) -> list[tuple[str, str]]:
        return [(request, who) for request, who in ExposureFiles(self.home).scan()[["request_id", "candidate"]].rows()]


@pytest.fixture
def place(tmp_path: Path, make_version: MakeVersion) -> LogBench:
    return LogBench(tmp_path, make_version(tmp_path))


def expected(lists: int) -> list[tuple[str, str]]:
    return [(f"r{number}", PEOPLE[row]) for number in range(lists) for row in (4, 5)]


def test_lists_are_filed_by_day_and_leave_the_store(place: LogBench) -> None:
    place.log("ann", "bea")
    place.log("cid")
    worker = place.worker()
    assert worker.run_once() == 2
    assert place.filed() == expected(3)
    assert place.store.stream_length(KEYS.exposure_log) == 0
    assert worker.run_once() == 0
    days = [path.name for path in (place.home / "outcomes").iterdir() if path.is_dir()]
    assert days == [f"day={datetime.datetime.now(datetime.UTC).date().isoformat()}"]
    assert +worker.lists == {FILED: 3}


class DyingStore:
    """A store whose client dies before or after its n-th call of an operation that changes something."""

    def __init__(self, store: MemoryStore, at: int, *, after: bool) -> None:
        self._store, self._at, self._after, self.calls = store, at, after, 0

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name not in ("set", "compare_and_set", "stream_trim"):
            return operation

        def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls != self._at:
                return operation(*arguments)
            if self._after:
                operation(*arguments)
            raise Killed

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_worker_that_is_killed_files_nothing_twice_and_misses_no_gap(place: LogBench, at: int, after: bool) -> None:
    place.log("ann")
    place.worker().run_once()
    place.recorded += 3  # lost before they came here
    place.log("bea")
    place.log("cid")
    killed = place.worker(DyingStore(place.store, at, after=after))
    with suppress(Killed):
        killed.run_once()
    place.recorded += 4
    place.log("dan")
    worker = place.worker()
    while worker.run_once():
        pass
    filed = [request for request, who in place.filed() if who == PEOPLE[4]]
    assert filed == ["r0", "r4", "r5", "r10"]
    # what a worker had noted and did not show before it died is lost with its figures, and nothing else
    assert killed.lists[MISSING] in (0, 3)
    assert worker.lists[MISSING] == 7 - (3 if _is_noted(killed, at, after=after) else 0)


def _is_noted(killed: ExposureLogWorker, at: int, *, after: bool) -> bool:
    """Whether the worker that died had noted how far it was: its second call after the first trim."""
    return (at, after) >= (2, True)


def test_a_gap_is_counted_over_a_restart_of_the_worker(place: LogBench) -> None:
    place.log("ann")
    assert place.worker().run_once() == 1
    place.recorded += 5
    place.log("bea")
    worker = place.worker()
    worker.run_once()
    assert worker.lists == {FILED: 1, MISSING: 5, UNREADABLE: 0, NO_VERSION: 0}


def test_what_is_filed_is_not_missing_after_rounds_without_lists(place: LogBench) -> None:
    place.log("ann")
    place.worker().run_once()
    for _ in range(50):
        place.log("bea")
    with suppress(Killed):
        place.worker(DyingStore(place.store, 2, after=False)).run_once()  # the file is in place, and not counted
    worker = place.worker()
    assert (worker.run_once(), worker.run_once()) == (0, 0)
    place.recorded += 2
    place.log("dan")
    worker.run_once()
    assert worker.lists[MISSING] == 2


def test_a_worker_that_takes_turns_with_another_counts_no_gap_that_is_none(place: LogBench) -> None:
    first, second = place.worker(), place.worker()
    for worker in (first, second, first, second):
        place.log("ann", "bea")
        assert worker.run_once() == 1
    assert first.lists[MISSING] == second.lists[MISSING] == 0


def test_the_first_lists_of_a_process_may_be_missing_too(place: LogBench) -> None:
    place.log("ann")
    place.worker().run_once()
    place.store.stream_offer(KEYS.exposure_log, [Batch(8, 6, []).pack()], 1000, 60)
    worker = place.worker()
    worker.run_once()
    assert worker.lists[MISSING] == 6
    # a log that an earlier release followed says nothing of the processes that were before
    place.store.delete([KEYS.exposures_counted])
    place.store.stream_offer(KEYS.exposure_log, [Batch(9, 6, []).pack()], 1000, 60)
    worker = place.worker()
    worker.run_once()
    assert worker.lists[MISSING] == 0
    place.store.set(KEYS.exposures_counted, b"damaged")
    place.store.stream_offer(KEYS.exposure_log, [Batch(9, 8, []).pack()], 1000, 60)
    worker = place.worker()
    worker.run_once()
    assert worker.lists[MISSING] == 0


def test_only_so_many_processes_are_known() -> None:
    gaps = ExposureGaps(whole=True)
    for process in range(MOST_PROCESSES + 1):
        assert gaps.follow(f"{process + 1}-0", Batch(process, 0, [b"x"])) == 0
    assert len(gaps.recorded) == MOST_PROCESSES
    assert ExposureGaps.of(gaps.pack(), "0-0") == gaps
    assert gaps.follow("2000-0", Batch(0, 9, [])) == 0, "it was forgotten"
    assert gaps.follow("2000-1", Batch(5, 9, [])) == 8


@pytest.mark.parametrize("writes", [1, 2])
def test_a_worker_that_is_killed_while_it_writes_or_merges_files_nothing_twice(
    place: LogBench, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MERGED_AT):
        place.log("ann")
        if number < MERGED_AT - 1:
            place.worker().run_once()
    done, sync = 0, files.sync_directory

    def killed(directory: Path) -> None:
        nonlocal done
        sync(directory)
        done += 1
        if done == writes:  # the file is in place, and nobody was told
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_directory", killed)
        with pytest.raises(Killed):
            place.worker().run_once()
    place.log("bea")
    worker = place.worker()
    while worker.run_once():
        pass
    assert sorted(place.filed()) == sorted(expected(MERGED_AT + 1))


def test_many_small_files_become_one(place: LogBench) -> None:
    for _ in range(MERGED_AT + 1):
        place.log("ann", "bea")
        place.worker().run_once()
    assert len(list((place.home / "outcomes").glob("*/*.parquet"))) == 2
    assert place.filed() == expected(2 * MERGED_AT + 2)


def test_what_is_missing_damaged_or_of_a_lost_version_is_counted(place: LogBench) -> None:
    place.log("ann")
    place.recorded += 5  # recorded by the service, and lost on the way
    place.log("bea")
    place.log("cid", version="20200101T000000Z-000000")
    place.log("dan", rows=(4, 900))
    place.store.stream_offer(KEYS.exposure_log, [b"\1damaged"], 1000, 60)
    place.store.stream_offer(KEYS.exposure_log, [Batch(8, 0, [b"short"]).pack()], 1000, 60)
    worker = place.worker()
    worker.run_once()
    assert worker.lists == {FILED: 2, MISSING: 5, NO_VERSION: 2, UNREADABLE: 2}
    assert len(place.filed()) == 4


def test_who_was_erased_since_is_not_filed(place: LogBench) -> None:
    place.log("ann", "bea")
    append_change_blocking(place.store, KEYS, FlagChange(UserId("bea"), AT + 1, erased=True))
    append_change_blocking(place.store, KEYS, FlagChange(UserId("eva"), AT + 1, erased=True))
    append_change_blocking(place.store, KEYS, FlagChange(UserId("fay"), AT - 1, erased=True))
    place.worker().run_once()
    assert place.filed() == [("r0", "fay")], "who came back after an earlier erasure stays"


def test_two_homes_do_not_both_file(place: LogBench, tmp_path: Path) -> None:
    place.log("ann")

    class Overtaken:
        def __getattr__(self, name: str) -> Any:
            operation = getattr(place.store, name)

            def call(*arguments: Any) -> Any:
                if name == "compare_and_set":
                    place.worker().run_once()
                return operation(*arguments)

            return call

    with pytest.raises(PymkError, match="PYMK_HOME"):
        place.worker(Overtaken(), tmp_path / "other").run_once()
    assert ExposureFiles(tmp_path / "other").scan().is_empty()
    assert place.filed() == expected(1)


def test_an_erasure_removes_a_person_from_the_files(place: LogBench) -> None:
    place.log("ann", "bea")
    place.worker().run_once()
    place.log("eva", "cid")
    place.worker().run_once()
    exposures = ExposureFiles(place.home)
    assert exposures.forget({"eva": AT - 1}) == 0
    assert exposures.forget({"eva": AT, "bea": AT}) == 6
    assert place.filed() == [("r0", "fay"), ("r3", "fay")]
    for path in (place.home / "outcomes").glob("*/*.parquet"):
        assert b"bea" not in path.read_bytes()
    assert place.worker().run_once() == 0
    assert place.store.stream_read(KEYS.exposure_log, STREAM_START, 9) == []


def test_days_that_are_over_go(place: LogBench) -> None:
    place.log("ann")
    place.worker().run_once()
    (day,) = (place.home / "outcomes").glob("day=*")
    old = day.with_name("day=2020-01-31")
    day.rename(old)
    place.log("bea")
    worker = place.worker()
    worker.run_once()
    worker._tidy()
    assert not old.exists()
    assert place.filed() == [("r1", "eva"), ("r1", "fay")]


def test_since_leaves_out_what_is_older(place: LogBench) -> None:
    place.log("ann")
    place.worker().run_once()
    assert len(ExposureFiles(place.home).scan(AT)) == 2
    assert ExposureFiles(place.home).scan(AT + 1).is_empty()
    assert ExposureFiles(place.home).scan().schema == pl.Schema(ExposureFiles(place.home).scan(AT + 1).schema)
