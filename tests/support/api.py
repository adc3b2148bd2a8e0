"""The service on the store in memory, with a version of eight people or none, asked over HTTP without a socket."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from models.live_state.flag_change import FlagChange
from models.live_state.visibility import append_change_blocking
from models.publishing.publish import publish
from models.ranker.attribution import Explanation
from models.ranker.outcome_heads import Blend
from models.ranker.ranker import PersonTables, ViewerInputs
from models.schema.columns import FLAG_COLUMNS
from models.schema.vocabulary import UserId
from models.settings import Settings
from models.store.keys import Keys
from models.system import logs
from models.system.clock import now_us
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from service.app import create_app
from service.container import Container, Stores
from tests.support.memory_store import MemoryStore
from tests.support.stores import DisconnectableStore
from tests.support.versions import MakeVersion

TIMEOUT_S = 5.0


class FirstFeature:
    """Scores a candidate by its first pair feature, which is 0 to 3 in the version of eight people; with other powers
    of heads of outcomes the lowest come first.
    """

    def __init__(self, *, is_blended: bool = False) -> None:
        self._is_blended = is_blended

    def blended(self, powers: Blend) -> "FirstFeature":
        return FirstFeature(is_blended=True)

    def scores(
        self, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = block.values()[0] / np.float32(4)
        return np.float32(0.9) - scores if self._is_blended else scores

    def explained(
        self, tables: PersonTables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        scores = self.scores(tables, block, context)
        log_odds, mean = (float(np.log(one / (1 - one))) for one in (max(scores[place], 1e-6), scores.mean()))
        read = {"common_neighbours": float(block.values()[0, place])}
        moved = {"common_neighbours": log_odds - mean}
        return Explanation(log_odds, log_odds, float(scores[place]), mean, read, moved, 0.0, None)


@dataclass
class ApiHarness:
    """A running service and its parts."""

    app: FastAPI
    client: httpx2.AsyncClient
    parts: Container
    store: MemoryStore
    requests: DisconnectableStore
    home: Path
    make_version: MakeVersion
    keys: Keys = field(default_factory=lambda: Keys("pymk"))

    def publish(self, **changed: Any) -> str:
        version = self.make_version(self.home, **changed)
        versions = Versions(self.home)
        publish(versions.path(version), self.store, versions, keys=self.keys)
        return version

    async def serving(self, version: str) -> None:
        """Returns once the service serves the version."""
        deadline = time.monotonic() + TIMEOUT_S
        while (active := self.parts.versions.active) is None or active.version != version:
            assert time.monotonic() < deadline, "the version is not served"
            await anyio.sleep(0.01)

    def flag(self, user_id: str, **flags: bool) -> None:
        """Writes a change of flags, by the names of their columns."""
        change = FlagChange(UserId(user_id), now_us(), {FLAG_COLUMNS[name]: value for name, value in flags.items()})
        append_change_blocking(self.store, self.keys, change)

    async def post(self, *events: tuple[str, str, str] | dict[str, Any]) -> None:
        """Posts events, each (kind, user_id, other_id) or a whole body; asserts that they are accepted."""
        names = ("kind", "user_id", "other_id")
        body = [one if isinstance(one, dict) else dict(zip(names, one, strict=True)) for one in events]
        answer = await self.client.post("/pymk/events", json=body)
        assert answer.status_code == 202, answer.text

    async def put(self, user_id: str, **columns: Any) -> None:
        """Puts a profile change; asserts that it is accepted."""
        answer = await self.client.put(f"/pymk/users/{quote(user_id, safe='')}", json=columns)
        assert answer.status_code == 202, answer.text

    async def recommended(self, user_id: str, *, fresh: bool = False, **query: Any) -> dict[str, Any]:
        """Returns the body of a list, after what was to be written behind it is written."""
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        answer = await self.client.get("/pymk/recommendations", params={"user_id": user_id, **query}, headers=headers)
        assert answer.status_code == 200, answer.text
        await self.parts.cache_writer.flush()
        body: dict[str, Any] = answer.json()
        return body


def application(
    home: Path, make_version: MakeVersion, *, published: bool = True, **settings: Any
) -> tuple[FastAPI, MemoryStore, DisconnectableStore]:
    """An application, not started yet, in a home with these settings, and its store."""
    logs.configure(json=True)
    store = MemoryStore()
    if published:
        versions = Versions(home)
        publish(versions.path(make_version(home)), store, versions, keys=Keys("pymk"))
    requests = DisconnectableStore(store)

    @asynccontextmanager
    async def stores(_: Settings) -> AsyncIterator[Stores]:
        yield Stores(requests, store)

    app = create_app(Settings(home=home, **settings), open_stores=stores, open_scorer=lambda directory: FirstFeature())
    return app, store, requests


@asynccontextmanager
async def open_service(
    home: Path, make_version: MakeVersion, *, published: bool = True, **settings: Any
) -> AsyncIterator[ApiHarness]:
    """A service in a home with these settings, which serves a version unless `published` is False."""
    app, store, requests = application(home, make_version, published=published, **settings)
    async with AsyncExitStack() as closing:
        await closing.enter_async_context(app.router.lifespan_context(app))
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
        await closing.enter_async_context(client)
        yield ApiHarness(app, client, app.state.container, store, requests, home, make_version)
