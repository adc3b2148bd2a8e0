"""A home with a version of four cliques, and a worker whose rounds a test runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.candidate_refresh.generator import VersionGenerator, open_generator
from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.version.local_versions import Versions
from offline.night.config import NightConfig
from offline.night.nightly import Night
from tests.support.memory_store import MemoryStore
from tests.support.worker import KEYS, WorkerHarness, make_worker, write_cliques


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version of the cliques, not published; not to be changed."""
    data, home = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("home")
    write_cliques(data)
    Night(data=data, home=home, store=MemoryStore(), keys=KEYS, config=NightConfig()).run()
    return home


@pytest.fixture(scope="session")
def generator(prepared: Path) -> VersionGenerator:
    """The candidate generator of that version."""
    return open_generator(Versions(prepared).path(Versions(prepared).ids()[0]))


@pytest.fixture
def harness(prepared: Path, generator: VersionGenerator, tmp_path: Path) -> Iterator[WorkerHarness]:
    """A home in which that version is published, with an idle worker."""
    shutil.copytree(prepared / "versions", tmp_path / "versions")
    store = open_sync(Settings(home=tmp_path))
    versions = Versions(tmp_path)
    publish(versions.path(versions.ids()[0]), store, versions, keys=KEYS)
    harness = WorkerHarness(tmp_path, store, make_worker(tmp_path, store, generator))
    harness.work()
    yield harness
    store.close()
