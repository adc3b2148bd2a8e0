"""A version of eight people as a process serves it, and what its loader reports."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.publishing.publish import publish
from models.schema.event_kinds import FORBIDDEN_DAYS
from models.store.keys import Keys
from models.version.local_versions import Versions
from service.ranking.rerank import Diversity, RerankSettings
from service.recommend.viewer_loader import ViewerLoader
from service.state.live_state import LiveState
from service.state.served_version import ServedVersion, VersionOpener
from tests.support.api import FirstFeature
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")


@pytest.fixture
def memory() -> MemoryStore:
    """A store for records."""
    return MemoryStore()


@pytest.fixture
def served(memory: MemoryStore, tmp_path: Path, make_version: Callable[..., str]) -> ServedVersion:
    """The version, whose blocks are in the store."""
    versions, version = Versions(tmp_path), make_version()
    publish(versions.path(version), memory, versions, keys=KEYS)
    settings = RerankSettings(Diversity("company", 5))
    return VersionOpener(memory, versions, KEYS, lambda _: FirstFeature(), settings).open(version)


@pytest.fixture
def faults() -> list[str]:
    """What the loader reported, in order."""
    return []


@pytest.fixture
def loader(faults: list[str]) -> ViewerLoader:
    """A loader over live state that knows nothing."""
    return ViewerLoader(LiveState(FORBIDDEN_DAYS), KEYS, lambda reason, _: faults.append(reason))
