"""What is recorded of a run and its steps, what is tried again, and what a run that goes on knows of before."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.errors import DatasetError, DiskFullError, GateRefusedError, StoreUnavailableError
from models.publishing.night_runs import MOST, STALE_S, NightRun, read_runs, write_run
from models.store.keys import Keys
from offline.steps.config import RetryConfig
from offline.steps.recorder import Recorder
from offline.steps.usage import Usage
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")


def run_of(name: str = "20260101T000000Z-0a1b2c", **changed: object) -> NightRun:
    now = datetime.now(UTC)
    fields = {"run": name, "data": "/data", "host": "h", "started_at": now, "seen_at": now, **changed}
    return NightRun.model_validate(fields)


class Waits:
    """Counts the waits and does not wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def recorder(directory: Path, store: MemoryStore, waits: Waits | None = None) -> Recorder:
    return Recorder(store, KEYS, directory / "steps.json", run_of(), RetryConfig(), waits or Waits())


def stored(store: MemoryStore) -> NightRun:
    return read_runs(store, KEYS)[0]


def test_a_run_and_its_steps_are_recorded_while_they_work(tmp_path: Path) -> None:
    store = MemoryStore()
    record = recorder(tmp_path, store)

    def work() -> str:
        (step,) = stored(store).steps
        assert (stored(store).state, step.name, step.state, step.ended_at) == ("running", "snapshot", "running", None)
        return "four"

    with record.running():
        assert record.step("snapshot", work, len) == "four"
        record.trained("there are no former weights")
        record.ended("published")
    found = stored(store)
    (step,) = found.steps
    assert (found.state, found.trained) == ("published", "there are no former weights")
    assert (step.state, step.rows, step.tries, step.error) == ("done", 4, 1, None)
    assert step.seconds is not None
    assert step.seconds >= 0
    assert step.peak_mb is not None
    assert step.peak_mb > 10
    assert found.ended_at is not None
    assert step.ended_at is not None
    assert found.started_at <= step.started_at <= step.ended_at <= found.ended_at


@pytest.mark.parametrize(
    ("error", "tries", "waits"),
    [
        (StoreUnavailableError("the store does not answer"), 4, [5, 15, 45]),
        (DiskFullError("the disk is full"), 2, [5]),
        (DatasetError("line 3 is wrong"), 1, []),
        (RuntimeError("a fault"), 1, []),
    ],
    ids=["store", "disk", "input", "fault"],
)
def test_what_passes_is_tried_again_and_nothing_else(
    tmp_path: Path, error: Exception, tries: int, waits: list[float]
) -> None:
    store, waited, calls = MemoryStore(), Waits(), []

    def fail() -> str:
        calls.append(1)
        raise error

    record = recorder(tmp_path, store, waited)
    with pytest.raises(type(error)), record.running():
        record.step("publish", fail, len)
    assert (len(calls), waited.seconds) == (tries, waits)
    found = stored(store)
    assert (found.state, found.error) == ("failed", str(error))
    assert (found.steps[0].state, found.steps[0].tries, found.steps[0].error) == ("failed", tries, str(error))


def test_a_store_that_is_away_for_a_while_costs_tries_and_not_the_run(tmp_path: Path) -> None:
    store, waited, away = MemoryStore(), Waits(), [2]

    def publish() -> str:
        if away[0]:
            away[0] -= 1
            raise StoreUnavailableError("the store does not answer")
        return "done"

    record = recorder(tmp_path, store, waited)
    with record.running():
        assert record.step("publish", publish, lambda _: 7) == "done"
        record.ended("published")
    (step,) = stored(store).steps
    assert (step.state, step.tries, step.error) == ("done", 3, "the store does not answer")


def test_a_store_without_answer_stops_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    def fail(*_: object) -> None:
        raise StoreUnavailableError("the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(store, "fields_set", fail)
        record = recorder(tmp_path, store)
        with record.running():
            record.step("snapshot", lambda: "x", len)
    assert not read_runs(store, KEYS)
    record.ended("published")
    assert [step.name for step in stored(store).steps] == ["snapshot"]


def test_a_refusal_of_the_gate_is_no_failure(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(GateRefusedError), recorder(tmp_path, store).running():
        raise GateRefusedError("the quality gate refused to publish: it is bad")
    assert (stored(store).state, stored(store).error) == (
        "refused",
        "the quality gate refused to publish: it is bad",
    )


def test_a_run_that_goes_on_keeps_what_was_done_and_begins_again_with_the_rest(tmp_path: Path) -> None:
    store = MemoryStore()
    first = recorder(tmp_path, store)
    first.step("snapshot", lambda: "four", len)
    with pytest.raises(KeyboardInterrupt):
        first.step("training", lambda: (_ for _ in ()).throw(KeyboardInterrupt), lambda _: None)
    second = recorder(tmp_path, store)
    calls: list[str] = []
    with second.running():
        second.step("snapshot", lambda: calls.append("read") or "x", len, is_done=True)
        second.step("training", lambda: "trained", len)
        second.ended("published")
    found = stored(store)
    assert calls == ["read"], "its result is read all the same"
    assert [(step.name, step.state, step.rows) for step in found.steps] == [
        ("snapshot", "done", 4),
        ("training", "done", 7),
    ]
    assert found.resumed == 1


def test_a_run_that_is_not_heard_of_was_stopped(tmp_path: Path) -> None:
    store = MemoryStore()
    write_run(store, KEYS, run_of(seen_at=datetime.now(UTC) - timedelta(seconds=STALE_S + 1)))
    assert [run.state for run in read_runs(store, KEYS)] == ["stopped"]
    write_run(store, KEYS, run_of())
    assert [run.state for run in read_runs(store, KEYS)] == ["running"]
    store.fields_set(KEYS.nights, {"20260102T000000Z-000000": b"damaged"})
    assert len(read_runs(store, KEYS)) == 1


def test_the_latest_runs_are_kept() -> None:
    store = MemoryStore()
    for number in range(MOST + 5):
        write_run(store, KEYS, run_of(f"20260101T{number:06}Z-0a1b2c"))
    names = [run.run for run in read_runs(store, KEYS)]
    assert len(names) == MOST
    assert names == sorted(names, reverse=True)
    assert names[0].startswith(f"20260101T{MOST + 4:06}Z")


def test_what_takes_the_time_of_a_step_is_told_apart() -> None:
    before = Usage.begin()
    until = time.process_time() + 0.45  # threads of the process may take some of it
    while time.process_time() < until:
        pass
    seconds, peak, bound = Usage.now().since(before)
    assert seconds >= 0.4
    assert peak > 10
    assert bound in {"processors", "one processor", "waiting"}, "a busy machine gives less than a processor"
    before = Usage.begin()
    time.sleep(0.3)
    assert Usage.now().since(before)[2] == "waiting"
    before = Usage.begin()
    subprocess.run([sys.executable, "-c", "x = bytearray(200 << 20)"], check=True)
    assert Usage.now().since(before)[1] >= 200
