"""Live state in the memory of one process, under a clock that tests turn."""

import pytest

from models.store.keys import Keys
from models.store.memory import AsyncMemoryStore, MemoryStore

NOW = 1_790_000_000_000_000


class Clock:
    """Microseconds since 1970 that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


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
