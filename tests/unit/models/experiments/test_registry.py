"""The record of experiments in the store."""

import pytest

from models.errors import CorruptRecordError, UsageError
from models.experiments import registry
from models.store.keys import Keys
from tests.support.experiments.arms import two_arms
from tests.support.memory_store import MemoryStore

KEYS = Keys("test")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def start(store: MemoryStore, *arguments: str, **settings: object) -> None:
    experiment = two_arms(*arguments, **settings)  # type: ignore[arg-type]
    registry.start(store, experiment, keys=KEYS, versions=("v2", "v1"))


def test_what_was_started_is_read_back_and_never_expires(store: MemoryStore) -> None:
    start(store, fatigue_limit=3, context_limits={"email": [5, 0.1]})
    (run,) = registry.read(store, keys=KEYS).running
    assert run.experiment == two_arms(fatigue_limit=3, context_limits={"email": [5, 0.1]})
    assert run.experiment.control.overrides == {}
    assert store.ttl_s(KEYS.experiments) is None


def test_a_stopped_one_stays_in_the_record(store: MemoryStore) -> None:
    start(store, fatigue_limit=3)
    registry.stop(store, "short", keys=KEYS)
    found = registry.read(store, keys=KEYS)
    assert found.running == ()
    (run,) = found.runs
    assert run.stopped_at is not None
    assert run.stopped_at > run.started_at
    with pytest.raises(UsageError, match="was stopped at"):
        registry.stop(store, "short", keys=KEYS)


def test_a_name_is_used_once(store: MemoryStore) -> None:
    start(store, fatigue_limit=3)
    registry.stop(store, "short", keys=KEYS)
    with pytest.raises(UsageError, match="there is an experiment short already"):
        start(store, fatigue_limit=3)


@pytest.mark.parametrize(
    "drawn", [{"exploration_temperature": 1.0}, {"exploration_uniform_share": 0.1}, {"exploration_boost": 2.0}]
)
def test_a_holdout_needs_arms_that_are_not_drawn(store: MemoryStore, drawn: dict[str, float]) -> None:
    experiment = two_arms(holdout=0.1, fatigue_limit=3, **drawn)
    with pytest.raises(UsageError, match=f"holdout needs arms without {next(iter(drawn))}: in a list that is drawn"):
        registry.start(store, experiment, keys=KEYS, versions=())
    # beside another one
    start(store, "drawing", salt="d", **drawn)
    registry.start(store, two_arms("plain", fatigue_limit=3), keys=KEYS, versions=())
    holding = two_arms("holding", holdout=0.1, fatigue_factor=0.5)
    with pytest.raises(UsageError, match=f"one has a holdout and one changes {next(iter(drawn))}"):
        registry.start(store, holding, keys=KEYS, versions=())
    registry.stop(store, "drawing", keys=KEYS)
    registry.start(store, holding, keys=KEYS, versions=())
    with pytest.raises(UsageError, match="pymk experiment stop holding"):
        start(store, "drawing-again", salt="e", **drawn)


def test_two_that_change_one_setting_do_not_run_together(store: MemoryStore) -> None:
    start(store, "one", fatigue_limit=3, diversity_most=2)
    with pytest.raises(UsageError, match="experiment one runs and changes fatigue_limit too"):
        start(store, "two", fatigue_limit=4)
    start(store, "three", fatigue_factor=0.8)
    registry.stop(store, "one", keys=KEYS)
    start(store, "two", fatigue_limit=4)
    assert [run.name for run in registry.read(store, keys=KEYS).running] == ["three", "two"]


def test_a_version_must_be_one_of_the_two_that_are_served(store: MemoryStore) -> None:
    start(store, version="v1")
    with pytest.raises(UsageError, match="version v0 is neither the active version"):
        start(store, "other", version="v0")


def test_a_name_that_is_wrong_by_a_letter_is_said(store: MemoryStore) -> None:
    start(store, fatigue_limit=3)
    with pytest.raises(UsageError, match="did you mean short"):
        registry.stop(store, "shrt", keys=KEYS)


def test_the_oldest_stopped_ones_are_forgotten(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MOST_STOPPED", 2)
    for at in range(4):
        start(store, f"e{at}", fatigue_limit=3)
        registry.stop(store, f"e{at}", keys=KEYS)
    start(store, "last", fatigue_limit=3)
    assert [run.name for run in registry.read(store, keys=KEYS).runs] == ["e2", "e3", "last"]


def test_who_writes_at_the_same_time_loses_nothing(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    swap, raced = store.compare_and_set, []

    def racing(key: str, expected: bytes | None, value: bytes) -> bool:
        if not raced:
            raced.append(True)
            start(store, "first", fatigue_factor=0.5)
        return swap(key, expected, value)

    monkeypatch.setattr(store, "compare_and_set", racing)
    start(store, "second", fatigue_limit=3)
    assert [run.name for run in registry.read(store, keys=KEYS).running] == ["first", "second"]


def test_a_damaged_record_is_said(store: MemoryStore) -> None:
    store.set(KEYS.experiments, b'{"runs": [{}]}')
    with pytest.raises(CorruptRecordError, match="record of experiments"):
        registry.read(store, keys=KEYS)
