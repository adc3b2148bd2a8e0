"""Live state in the memory of one process, under a clock that a test sets."""

import pytest

from models.store.keys import Keys
from tests.support.clock import Clock
from tests.support.memory_store import AsyncMemoryStore, MemoryStore


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(memory: MemoryStore) -> AsyncMemoryStore:
    return AsyncMemoryStore(memory)


@pytest.fixture
def keys() -> Keys:
    return Keys("t")
