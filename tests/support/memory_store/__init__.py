"""The store in the memory of one process: the test double, and the reference for what the servers answer."""

from tests.support.memory_store.awaited import AsyncMemoryStore
from tests.support.memory_store.blocking import MemoryStore

__all__ = ["AsyncMemoryStore", "MemoryStore"]
