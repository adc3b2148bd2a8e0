"""The whole service around a few people, in one process: the real store, worker and publication, untrained nights."""

import asyncio
import gc
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx2

from models.candidate_refresh.generator import open_generator
from models.candidate_refresh.replay import no_replay, replaying
from models.erasure.purge import purge_once
from models.live_state.compaction import sweep
from models.live_state.erased_ids import read_erased
from models.live_state.retention import read_watermark_blocking
from models.live_state.timestamps import draw_cut
from models.publishing.publish import activate, publish, rollback
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import SHARDS, Keys
from models.store.protocol import AsyncStore, SyncStore
from models.system.clock import MICROSECONDS, now_us
from models.version.local_versions import Versions
from offline.night.model_bundle import ModelBundle
from offline.snapshot.live_events import read_live_events
from service.app import create_app
from service.container import Container, Stores
from service.worker.worker import OpenGenerator, Worker
from tests.support.clock import clock_ahead
from tests.support.nights import FORBIDDEN_DAYS, make_untrained_night
from tests.support.stores import FailingCommits, KillableStore, Killed

DRAWN: tuple[dict[str, Any], ...] = (
    {},
    {
        "exploration_temperature": 2.0,
        "exploration_fixed": 1,
        "exploration_uniform_share": 0.3,
        "exploration_boost": 2.0,
    },
)
"""settings of exploration, in turn"""
DRAWN_ALWAYS = os.environ.get("PYMK_DRAWN_ALWAYS") == "1"
"""whether every service draws its lists, for a run that is about nothing else"""
UNFREEZE_EVERY = 20
"""services; a full collection costs as much as one sequence"""


@dataclass
class ServiceHarness:
    """A home with a published version, the service in this process, and a worker whose rounds a test runs."""

    runner: asyncio.Runner
    settings: Settings
    data: Path
    bundle: ModelBundle
    closing: AsyncExitStack
    worker_store: KillableStore
    store: SyncStore
    failing: FailingCommits
    client: httpx2.AsyncClient
    parts: Container
    generators: OpenGenerator
    """shared by one worker and the next: both open the same files"""
    worker: Worker
    nights: int = 0
    service_ahead_h: float = 0.0
    worker_ahead_h: float = 0.0

    @property
    def keys(self) -> Keys:
        return self.parts.keys

    @property
    def versions(self) -> Versions:
        return Versions(self.settings.home)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        with clock_ahead(self.service_ahead_h):
            return self.runner.run(self.arequest(method, path, **options))

    async def arequest(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self.client.request(method, path, **options)

    def flush(self) -> None:
        """Has the lists written that wait to be cached."""
        self.runner.run(self.parts.cache_writer.flush())

    def follow(self) -> None:
        """Has the service read the pointer to the active version."""
        self.runner.run(self.parts.versions._follow())

    def work(self, rounds: int) -> None:
        """Runs the worker, at a time when the leases of a killed one have expired."""
        with clock_ahead(self.worker_ahead_h):
            for _ in range(rounds):
                self.worker.log.run_once()
                self.worker.run_once(time.time() + 30)

    def kill_worker(self, operations: int, *, is_done: bool) -> None:
        """Kills the worker in one of its next operations, and starts another whose leases are free."""
        self.worker_store.left, self.worker_store.is_done = operations, is_done
        try:
            self.work(2)
        except Killed:
            pass
        finally:
            self.worker_store.left = None
        self.store.delete(self.keys.log_lease(shard) for shard in range(SHARDS))
        self.store.fields_delete(self.keys.workers, list(self.store.fields(self.keys.workers)))
        self.worker = worker_of(self.settings, self.worker_store, self.generators)

    def continue_erasures(self) -> None:
        """Consumes the log, files the lists that were given out, and runs the erasures as far as they can."""
        self.work(1)
        with clock_ahead(self.worker_ahead_h):
            self.worker.exposure_log.run_once()
            purge_once(self.store, self.keys, self.versions)

    def merge_records(self) -> None:
        """Merges all live records, as the worker does after a night."""
        watermark = read_watermark_blocking(self.store, self.keys)
        with clock_ahead(self.worker_ahead_h):
            sweep(self.store, self.keys, watermark=watermark, now=now_us())

    def evict(self) -> int:
        """Deletes every key that expires, as a full store may; returns how many there were."""
        namespace = f"{self.settings.namespace}:"
        return self.store.delete([key for key in self.store.scan(namespace) if self.store.ttl_s(key) is not None])

    def night(self, ahead_h: int = 0) -> str:
        """Makes a version of the dataset and every acknowledged event without publishing it; returns its id.

        Its clock is so many hours ahead of that of the service.
        """
        self.nights += 1
        cut = draw_cut(self.store, self.keys, now=now_us() + ahead_h * 3600 * MICROSECONDS)
        live = read_live_events(self.settings.home, self.store, self.keys, cut=cut)
        erased = read_erased(self.store, self.keys)
        return make_untrained_night(
            self.data, self.versions, self.nights, live, lambda s: self.bundle.without(erased, s.profiles)
        )

    def publish(self, version: str, *, replayed: bool) -> None:
        """Raises PymkError if it is refused."""
        replay = self._replay() if replayed else no_replay
        publish(self.versions.path(version), self.store, self.versions, keys=self.keys, replay=replay)

    def activate(self, version: str, *, replayed: bool) -> None:
        """Raises PymkError if it is refused."""
        replay = self._replay() if replayed else no_replay
        activate(self.store, self.versions, version, keys=self.keys, replay=replay)

    def roll_back(self, *, replayed: bool) -> None:
        """Raises PymkError if it is refused."""
        replay = self._replay() if replayed else no_replay
        rollback(self.store, self.versions, keys=self.keys, replay=replay)

    def _replay(self) -> Any:
        return replaying(self.store, self.versions, self.keys, FORBIDDEN_DAYS)

    def close(self) -> None:
        self.runner.run(self.closing.aclose())
        self.store.delete(list(self.store.scan(f"{self.settings.namespace}:")))
        self.store.close()
        shutil.rmtree(self.settings.home, ignore_errors=True)  # another thread may be deleting files in it


def worker_of(settings: Settings, store: Any, generators: OpenGenerator) -> Worker:
    return Worker(
        store,
        Versions(settings.home),
        Keys(settings.namespace),
        generators,
        name=f"worker-{time.monotonic_ns()}",
        stop=threading.Event(),
        superseded_ttl_s=600,
        forbidden_days=FORBIDDEN_DAYS,
        exposure_limit=1000,
    )


@dataclass(frozen=True)
class ServiceFactory:
    """Starts services, each in a home of its own, from one dataset and one version."""

    runner: asyncio.Runner
    data: Path
    prepared: Path
    """a home with one version, not published"""
    address: str
    """of the store"""
    started: Iterator[int] = field(default_factory=itertools.count)

    def start(self, **more: Any) -> ServiceHarness:
        """Publishes the version in a new home and serves it; every second service draws its lists, or every one.

        `more` are settings besides.
        """
        number = next(self.started)
        if number % UNFREEZE_EVERY == 0:
            gc.unfreeze()  # each service freezes what it holds, and the collector would never look at it again
        home = Path(tempfile.mkdtemp(dir=self.prepared.parent))
        shutil.copytree(self.prepared, home, copy_function=os.link, dirs_exist_ok=True)
        namespace = f"s{time.monotonic_ns()}"
        chosen = {"redis_timeout_ms": 5000, **DRAWN[1 if DRAWN_ALWAYS else number % 2], **more}
        settings = Settings(home=home, redis_url=self.address, namespace=namespace, **chosen)
        store, versions = open_sync(settings), Versions(home)
        (version,) = versions.ids()
        publish(versions.path(version), store, versions, keys=Keys(namespace))
        bundle = ModelBundle.open(versions.path(version))
        return self.runner.run(self._serve(settings, store, bundle))

    @contextmanager
    def beside(self, harness: ServiceHarness) -> Iterator[ServiceHarness]:
        """A second service on the home and the store of another one, with clients of its own."""
        with closing(open_sync(harness.settings)) as store:
            second = self.runner.run(self._serve(harness.settings, store, harness.bundle))
            yield second
            self.runner.run(second.closing.aclose())

    async def _serve(self, settings: Settings, store: SyncStore, bundle: ModelBundle) -> ServiceHarness:
        stack = AsyncExitStack()
        failing = FailingCommits(await stack.enter_async_context(_opened(settings)))

        @asynccontextmanager
        async def stores(_: Settings) -> AsyncIterator[Stores]:
            yield Stores(cast("AsyncStore", failing), store)

        app = create_app(settings, open_stores=stores)
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
        await stack.enter_async_context(client)
        killable, parts = KillableStore(store), app.state.container
        generators = cache(open_generator)
        worker = worker_of(settings, killable, generators)
        return ServiceHarness(
            self.runner,
            settings,
            self.data,
            bundle,
            stack,
            killable,
            store,
            failing,
            client,
            parts,
            generators,
            worker,
        )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[AsyncStore]:
    store = await open_async(settings)
    try:
        yield store
    finally:
        await store.aclose()
