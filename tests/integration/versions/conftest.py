"""A home, a store and a namespace for each test of publishing, on the store in memory and on a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.publishing.pointer import read_pointer
from models.publishing.publish import activate, publish, rollback
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.memory import MemoryStore
from models.store.protocol import SyncStore
from models.version.local_versions import Versions


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncStore]:
    store = open_sync(Settings(home=tmp_path_factory.mktemp("store")))
    yield store
    store.close()


class Place:
    """A home, a store and the namespace of one test."""

    def __init__(self, home: Path, store: SyncStore, namespace: str, make: Callable[..., str]) -> None:
        self.store = store
        self.versions = Versions(home)
        self.keys = Keys(namespace)
        self.make = make

    def publish(self, store: SyncStore | None = None, version: str | None = None) -> str:
        version = version or self.make()
        publish(self.versions.path(version), store or self.store, self.versions, keys=self.keys)
        return version

    def activate(self, version: str, store: SyncStore | None = None) -> None:
        activate(store or self.store, self.versions, version, keys=self.keys)

    def rollback(self) -> str:
        return rollback(self.store, self.versions, keys=self.keys).version

    @property
    def active(self) -> str | None:
        pointer = read_pointer(self.store, keys=self.keys)
        return pointer and pointer.version

    def of_version(self, version: str) -> set[str]:
        """Its keys, ranked lists left out."""
        found = set(self.store.scan(self.keys.version(version)))
        return {key for key in found if not key.startswith(self.keys.ranked_lists(version))}

    def never_expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is None for key in keys)

    def expires(self, version: str) -> bool:
        keys = self.of_version(version)
        return len(keys) > 7 and all(self.store.ttl_s(key) is not None for key in keys)


@pytest.fixture(params=["memory", "embedded"])
def place(request: pytest.FixtureRequest, tmp_path: Path, make_version: Callable[..., str]) -> Place:
    store = MemoryStore() if request.param == "memory" else request.getfixturevalue("embedded")
    return Place(tmp_path, store, tmp_path.name, make_version)


@pytest.fixture
def real_place(tmp_path: Path, make_version: Callable[..., str]) -> Iterator[Place]:
    """A place whose store is the embedded one of its home, as the commands open it."""
    store = open_sync(Settings(home=tmp_path))
    yield Place(tmp_path, store, "pymk", make_version)
    store.close()
