"""The service on the store in memory, with a version of eight people or none."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray

from models.live_state.visibility import FlagChange, append_change_blocking
from models.publishing.publish import publish
from models.ranker.attribution import Explanation
from models.ranker.ranker import ViewerInputs
from models.schema.columns import FLAG_COLUMNS
from models.settings import Settings
from models.store import error_mapping
from models.store.keys import Keys
from models.store.memory import AsyncMemoryStore, MemoryStore
from models.system import logs
from models.system.clock import now_us
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.app import create_app
from service.container import Container, Stores

PATIENCE_S = 5.0
STORE = error_mapping.StoreAddress("The store at /srv/pymk/store")


class FirstFeature:
    """Scores a candidate by its first pair feature, which is 0 to 3 in the version of eight people."""

    def scores(
        self, tables: Tables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = block.values()[0] / np.float32(4)
        return scores

    def explained(
        self, tables: Tables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        scores = self.scores(tables, block, context)
        log_odds, mean = (float(np.log(one / (1 - one))) for one in (max(scores[place], 1e-6), scores.mean()))
        read = {"common_neighbours": float(block.values()[0, place])}
        moved = {"common_neighbours": log_odds - mean}
        return Explanation(log_odds, log_odds, float(scores[place]), mean, read, moved, 0.0, None)


class Unplugged(AsyncMemoryStore):
    """A store that can be cut off."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.is_cut_off = False

    async def get(self, key: str) -> bytes | None:
        self._check()
        return await super().get(key)

    async def get_many(self, keys: Any) -> list[bytes | None]:
        self._check()
        return await super().get_many(keys)

    async def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.is_cut_off:
            raise STORE.failure(TimeoutError())


@dataclass
class Place:
    """A running service and everything behind it."""

    app: FastAPI
    client: httpx2.AsyncClient
    parts: Container
    store: MemoryStore
    requests: Unplugged
    home: Path
    make_version: Callable[..., str]
    keys: Keys = field(default_factory=lambda: Keys("pymk"))

    def publish(self, **changed: Any) -> str:
        version = self.make_version(self.home, **changed)
        versions = Versions(self.home)
        publish(versions.path(version), self.store, versions, keys=self.keys)
        return version

    async def serving(self, version: str) -> None:
        """Returns once the service serves the version."""
        deadline = time.monotonic() + PATIENCE_S
        while (active := self.parts.versions.active) is None or active.version != version:
            assert time.monotonic() < deadline, "the version was not taken up"
            await anyio.sleep(0.01)

    def flag(self, user_id: str, **flags: bool) -> None:
        """Acknowledges a change of flags, by the names of their columns."""
        change = FlagChange(user_id, now_us(), {FLAG_COLUMNS[name]: value for name, value in flags.items()})
        append_change_blocking(self.store, self.keys, change)

    async def post(self, *events: tuple[str, str, str] | dict[str, Any]) -> None:
        """Has events acknowledged, each (kind, user_id, other_id) or whole."""
        names = ("kind", "user_id", "other_id")
        body = [one if isinstance(one, dict) else dict(zip(names, one, strict=True)) for one in events]
        answer = await self.client.post("/pymk/events", json=body)
        assert answer.status_code == 202, answer.text

    async def put(self, user_id: str, **columns: Any) -> None:
        """Has a profile change acknowledged."""
        answer = await self.client.put(f"/pymk/users/{quote(user_id, safe='')}", json=columns)
        assert answer.status_code == 202, answer.text

    async def recommended(self, user_id: str, *, fresh: bool = False, **query: Any) -> dict[str, Any]:
        """The body of a list; what it leaves to be written is written before this returns."""
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        answer = await self.client.get("/pymk/recommendations", params={"user_id": user_id, **query}, headers=headers)
        assert answer.status_code == 200, answer.text
        await self.parts.cache_writer.flush()
        body: dict[str, Any] = answer.json()
        return body


OpenPlace = Callable[..., Any]


@pytest.fixture
def open_place(tmp_path: Path, make_version: Callable[..., str]) -> OpenPlace:
    """Opens a service with these settings, something published unless told: `async with open_place() as place`."""

    @asynccontextmanager
    async def opened(*, published: bool = True, **settings: Any) -> AsyncIterator[Place]:
        logs.configure(json=True)
        store = MemoryStore()
        if published:
            versions = Versions(tmp_path)
            publish(versions.path(make_version(tmp_path)), store, versions, keys=Keys("pymk"))
        requests = Unplugged(store)

        @asynccontextmanager
        async def stores(_: Settings) -> AsyncIterator[Stores]:
            yield Stores(requests, store)

        app = create_app(
            Settings(home=tmp_path, **settings), open_stores=stores, open_scorer=lambda directory: FirstFeature()
        )
        async with AsyncExitStack() as closing:
            await closing.enter_async_context(app.router.lifespan_context(app))
            client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service")
            await closing.enter_async_context(client)
            yield Place(app, client, app.state.container, store, requests, tmp_path, make_version)

    return opened


@pytest.fixture
async def place(open_place: OpenPlace) -> AsyncIterator[Place]:
    """A service that serves a version of eight people."""
    async with open_place() as opened:
        yield opened
