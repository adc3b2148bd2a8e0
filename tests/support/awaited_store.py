"""A store through which one test class exercises both ports."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from models.store.protocol import AsyncStore, SyncStore


class AwaitedStore:
    """All operations of a SyncStore, awaited; those that AsyncStore has go through `awaited` if it is given."""

    def __init__(self, store: SyncStore, awaited: AsyncStore | None = None) -> None:
        self._store, self._awaited = store, awaited

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if hasattr(self._awaited, name):
            return getattr(self._awaited, name)  # type: ignore[no-any-return]

        async def call(*arguments: Any) -> Any:
            return getattr(self._store, name)(*arguments)

        return call

    async def scan(self, prefix: str) -> AsyncIterator[str]:
        for key in self._store.scan(prefix):
            yield key

    async def aclose(self) -> None:
        if self._awaited is not None:
            await self._awaited.aclose()
        self._store.close()
