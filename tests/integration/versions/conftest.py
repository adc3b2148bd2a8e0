"""A home, a store and a namespace for each test of publishing, on the store in memory and on a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from tests.support.memory_store import MemoryStore
from tests.support.versions import MakeVersion, PublishingHarness


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncStore]:
    store = open_sync(Settings(home=tmp_path_factory.mktemp("store")))
    yield store
    store.close()


@pytest.fixture(params=["memory", "embedded"])
def harness(request: pytest.FixtureRequest, tmp_path: Path, make_version: MakeVersion) -> PublishingHarness:
    store = MemoryStore() if request.param == "memory" else request.getfixturevalue("embedded")
    return PublishingHarness(tmp_path, store, Keys(tmp_path.name), make_version)


@pytest.fixture
def embedded_harness(tmp_path: Path, make_version: MakeVersion) -> Iterator[PublishingHarness]:
    """A harness whose store is the embedded one of its home, as the commands open it."""
    store = open_sync(Settings(home=tmp_path))
    yield PublishingHarness(tmp_path, store, Keys("pymk"), make_version)
    store.close()
