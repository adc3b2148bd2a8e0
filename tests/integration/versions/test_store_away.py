"""A night whose store is away at each place where it is asked: it tries again, and publishes once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import StoreUnavailableError
from models.publishing.audit import read_audit
from models.publishing.night_runs import read_runs
from offline.night.config import NightConfig
from offline.steps.config import RetryConfig
from tests.support.memory_store import MemoryStore
from tests.support.nights import KEYS, NightHarness

FAST = RetryConfig(first_wait_s=0)


class AwayStore(MemoryStore):
    """A store that answers nothing for some calls, from the n-th call of the night on."""

    def __init__(self, at: int, calls: int) -> None:
        super().__init__()
        self.at, self.left, self.calls_made = at, calls, 0


def _failing(name: str) -> Callable[..., Any]:
    """The operation of this name, which fails while the store is away."""
    operation = getattr(MemoryStore, name)

    def called(store: AwayStore, *arguments: Any, **named: Any) -> Any:
        store.calls_made += 1
        if store.calls_made >= store.at and store.left:
            store.left -= 1
            raise StoreUnavailableError("the store does not answer")
        return operation(store, *arguments, **named)

    return called


for _name in ("get", "get_many", "set", "set_many", "fields", "fields_get", "stream_read", "compare_and_set", "ping"):
    setattr(AwayStore, _name, _failing(_name))


def night(home: Path, data: Path, config: NightConfig, store: MemoryStore) -> NightHarness:
    return NightHarness(home, data, config.model_copy(update={"retry": FAST}), store)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_network: Path, small_night: Path) -> int:
    """How often a night asks its store."""
    store = AwayStore(at=1 << 30, calls=0)
    night(tmp_path_factory.mktemp("home"), small_network, NightConfig.read(small_night), store).night()
    return store.calls_made


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 0.85, 0.95])
def test_a_store_that_was_away_is_asked_again_and_nothing_happens_twice(
    undisturbed: int, tmp_path: Path, small_network: Path, small_night: Path, share: float
) -> None:
    store = AwayStore(at=int(share * undisturbed) + 1, calls=2)
    harness = night(tmp_path, small_network, NightConfig.read(small_night), store)
    made = harness.night()
    assert not store.left, "it was away"
    assert harness.active == made.version
    assert harness.versions.ids() == [made.version]
    assert [entry.what for entry in read_audit(store, KEYS)] == ["published"]
    (run,) = read_runs(store, KEYS)
    assert (run.run, run.state) == (made.version, "published")
    assert all(step.state == "done" for step in run.steps)
    assert not (harness.home / "night").exists()


def test_a_store_that_stays_away_ends_the_night_which_goes_on_later(
    tmp_path: Path, small_network: Path, small_night: Path
) -> None:
    store = AwayStore(at=1 << 30, calls=0)
    harness = night(tmp_path, small_network, NightConfig.read(small_night), store)
    store.at, store.left = 1, 1000
    with pytest.raises(StoreUnavailableError):
        harness.night()
    store.left = 0
    assert harness.active is None
    assert harness.night().version == harness.active
