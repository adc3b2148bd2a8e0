"""The whole service around a few people: the real store, worker and nights, in one process and in milliseconds.

A night is the real snapshot, candidates and publication with weights that are ready: those of an encoder before any
training, whose embeddings begin as the graph's coordinates.
"""

import asyncio
import gc
import itertools
import os
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx2
import pytest
import structlog

from models.candidate_refresh.generator import open_generator
from models.candidate_refresh.replay import no_replay, replaying
from models.candidates.ann_index import IndexConfig
from models.candidates.ann_index_builder import build_index_here
from models.candidates.generator import DEFAULT_PRERANK_WEIGHTS
from models.erasure.purge import purge_once
from models.errors import StoreUnavailableError
from models.features.profile_encoder import ProfileEncoder
from models.live_state.erased_ids import read_erased
from models.networks.graphsage import GraphSage, GraphSageConfig
from models.publishing.publish import activate, publish, rollback
from models.schema.candidate_sources import Source
from models.schema.pair_features import PAIR_FEATURES
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.embedded.client import EmbeddedServer
from models.store.keys import SHARDS, Keys
from models.store.protocol import AsyncStore, SyncStore
from models.system import files
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from offline.features.graph_features import SpectralReference, compute_graph_features
from offline.features.temporal_graph import friendships, user_history
from offline.night.build_version import make_version
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle, Training
from offline.snapshot.live_events import LiveEvents, read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot
from service.app import create_app
from service.container import Container, Stores
from service.worker.worker import OpenGenerator, Worker

FORBIDDEN_DAYS = 90
CONFIG = NightConfig(index=IndexConfig(threads=1))
UNFROZEN_EVERY = 20
"""sequences; a collection of everything costs as much as one of them"""


class Killed(BaseException):
    """What a process says that is no more."""


class Mortal:
    """A blocking store whose client is killed around an operation."""

    def __init__(self, store: SyncStore) -> None:
        self._store = store
        self.left: int | None = None
        """operations until then; None: it lives"""
        self.is_done = False
        """whether the last operation is still carried out"""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self.left is None:
                return method(*arguments, **named)
            self.left -= 1
            if self.left < 0 and not self.is_done:
                raise Killed
            answer = method(*arguments, **named)
            if self.left < 0:
                raise Killed
            return answer

        return call


class Failing:
    """An awaited store one of whose commits goes wrong."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self.left: int | None = None
        """commits before it; None: all go well"""
        self.is_done = False
        """whether that commit is carried out, and only its answer lost"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commits: Any) -> list[bool]:
        if self.left is None or not commits:
            return await self._store.commit(commits)
        self.left -= 1
        if self.left >= 0:
            return await self._store.commit(commits)
        self.left = None
        if self.is_done:
            await self._store.commit(commits)
        raise StoreUnavailableError("The connection is lost.")


@dataclass
class Whole:
    """A home with a published version, the service in this process, and a worker whose turns a test calls."""

    runner: asyncio.Runner
    settings: Settings
    data: Path
    learnt: ModelBundle
    closing: AsyncExitStack
    worker_store: Mortal
    store: SyncStore
    failing: Failing
    client: httpx2.AsyncClient
    parts: Container
    makers: OpenGenerator
    """shared by one worker and the next, who would open the same files"""
    worker: Worker
    nights: int = 0

    @property
    def keys(self) -> Keys:
        return self.parts.keys

    @property
    def versions(self) -> Versions:
        return Versions(self.settings.home)

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.runner.run(self.asked(method, path, **options))

    async def asked(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self.client.request(method, path, **options)

    def flush(self) -> None:
        """Has lists written that are to be kept."""
        self.runner.run(self.parts.cache_writer.flush())

    def follow(self) -> None:
        """Has the service look which version is active."""
        self.runner.run(self.parts.versions._follow())

    def work(self, turns: int) -> None:
        for _ in range(turns):
            self.worker.log.run_once()
            self.worker.run_once(time.time() + 30)  # whoever died with a person at hand has lost her by then

    def kill_worker(self, operations: int, *, is_done: bool) -> None:
        """Kills the worker in one of its next operations; another follows when its leases have lapsed."""
        self.worker_store.left, self.worker_store.is_done = operations, is_done
        try:
            self.work(2)
        except Killed:
            pass
        finally:
            self.worker_store.left = None
        self.store.delete(self.keys.mending(shard) for shard in range(SHARDS))
        self.store.fields_delete(self.keys.workers, list(self.store.fields(self.keys.workers)))
        self.worker = worker_of(self.settings, self.worker_store, self.makers)

    def erase_further(self) -> None:
        """Works off the log, and has the erasures taken as far as they go."""
        self.work(1)
        purge_once(self.store, self.keys, self.versions, settle_us=0)

    def night(self) -> str:
        """A version of the dataset and all that was acknowledged, not published yet."""
        self.nights += 1
        live = read_live_events(self.settings.home, self.store, self.keys, cut=now_us())
        erased = read_erased(self.store, self.keys)
        return made_night(
            self.data, self.versions, self.nights, live, lambda s: self.learnt.without(erased, s.profiles)
        )

    def publish(self, version: str, *, replayed: bool) -> None:
        """Raises PymkError where it is refused."""
        replay = self._replay() if replayed else no_replay
        publish(self.versions.path(version), self.store, self.versions, keys=self.keys, replay=replay)

    def activate(self, version: str, *, replayed: bool) -> None:
        """Raises PymkError where it is refused."""
        replay = self._replay() if replayed else no_replay
        activate(self.store, self.versions, version, keys=self.keys, replay=replay)

    def roll_back(self, *, replayed: bool) -> None:
        """Raises PymkError where it is refused."""
        replay = self._replay() if replayed else no_replay
        rollback(self.store, self.versions, keys=self.keys, replay=replay)

    def _replay(self) -> Any:
        return replaying(self.store, self.versions, self.keys, FORBIDDEN_DAYS)

    def close(self) -> None:
        self.runner.run(self.closing.aclose())
        self.store.delete(list(self.store.scan(f"{self.settings.namespace}:")))
        self.store.close()
        shutil.rmtree(self.settings.home, ignore_errors=True)  # a sweep may be at it in another thread


def worker_of(settings: Settings, store: Any, makers: OpenGenerator) -> Worker:
    return Worker(
        store,
        Versions(settings.home),
        Keys(settings.namespace),
        makers,
        name=f"worker-{time.monotonic_ns()}",
        stop=threading.Event(),
        superseded_ttl_s=600,
        forbidden_days=FORBIDDEN_DAYS,
        exposure_limit=1000,
    )


def made_night(
    data: Path, versions: Versions, number: int, live: LiveEvents | None, weights: Callable[[Snapshot], ModelBundle]
) -> str:
    """The steps of a night between its beginning and its publication, but for those that learn and judge."""
    started = datetime.now(UTC)
    version = f"{started:%Y%m%dT%H%M%SZ}-{number:06x}"
    taken = versions.directory.parent / f"snapshot-{version}"
    write_snapshot(data, taken, started_at=started, live=live, forbidden_days=FORBIDDEN_DAYS)
    snapshot = Snapshot.open(taken)
    learnt, whole = weights(snapshot), friendships(snapshot)
    people = user_history(snapshot, learnt.encoder).before(snapshot.cut + 1, whole)
    with versions.staging(version) as directory:
        learnt.save(directory)
        make_version(snapshot, whole, people, learnt, directory, CONFIG, build_index_here)
        files.write_json(directory / "report.json", {})
        manifest = Manifest(
            version=version,
            created_at=started,
            cut=datetime.fromtimestamp(snapshot.cut, UTC),
            live_cut=snapshot.live_cut,
            erasures=snapshot.description.erasures,
            users=snapshot.n,
            connections=whole.count,
            vocabulary=snapshot.vocabulary.digest,
            pair_features=PAIR_FEATURES,
            sources=tuple(source.name.lower() for source in Source if source.name),
            ranker={"kind": "resource_allocation"},
            metrics={},
        )
        manifest.with_files(directory).write(directory)
    shutil.rmtree(taken)
    return version


def ready_weights(snapshot: Snapshot) -> ModelBundle:
    """Weights as they are before any training."""
    encoder, whole = ProfileEncoder.fit(snapshot.profiles, None), friendships(snapshot)
    around = compute_graph_features(whole.graph, user_history(snapshot, encoder).before(snapshot.cut + 1, whole))
    shape = GraphSageConfig(
        inputs=around.inputs.shape[1],
        hidden=8,
        outputs=16,
        structural_columns=(around.structural.start, around.structural.stop),
        carried_columns=(around.carried.start, around.carried.stop),
    )
    count = whole.count
    training = Training(trained_at=datetime.now(UTC), users=snapshot.n, connections=count)
    spectral = SpectralReference.of(around).spectral
    return ModelBundle(
        encoder, GraphSage(shape).eval(), None, DEFAULT_PRERANK_WEIGHTS, spectral, snapshot.vocabulary, training
    )


@dataclass(frozen=True)
class Beginnings:
    """What every sequence begins with."""

    runner: asyncio.Runner
    data: Path
    made: Path
    """a home with one version, not published"""
    address: str
    """of the store"""
    begun: Iterator[int] = field(default_factory=itertools.count)

    def begin(self) -> Whole:
        """A home of its own, published and served."""
        if next(self.begun) % UNFROZEN_EVERY == 0:
            gc.unfreeze()  # each service that starts means to stay, and the collector would leave it alone for good
        home = Path(tempfile.mkdtemp(dir=self.made.parent))
        shutil.copytree(self.made, home, copy_function=os.link, dirs_exist_ok=True)
        namespace = f"s{time.monotonic_ns()}"
        settings = Settings(home=home, redis_url=self.address, namespace=namespace, redis_timeout_ms=5000)
        store, versions = open_sync(settings), Versions(home)
        (version,) = versions.ids()
        publish(versions.path(version), store, versions, keys=Keys(namespace))
        learnt = ModelBundle.open(versions.path(version))
        return self.runner.run(self._served(settings, store, learnt))

    async def _served(self, settings: Settings, store: SyncStore, learnt: ModelBundle) -> Whole:
        closing = AsyncExitStack()
        failing = Failing(await closing.enter_async_context(_awaited(settings)))

        @asynccontextmanager
        async def stores(_: Settings) -> AsyncIterator[Stores]:
            yield Stores(cast("AsyncStore", failing), store)

        app = create_app(settings, open_stores=stores)
        await closing.enter_async_context(app.router.lifespan_context(app))
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service")
        await closing.enter_async_context(client)
        mortal, parts = Mortal(store), app.state.container
        makers = cache(open_generator)
        worker = worker_of(settings, mortal, makers)
        return Whole(
            self.runner, settings, self.data, learnt, closing, mortal, store, failing, client, parts, makers, worker
        )


@asynccontextmanager
async def _awaited(settings: Settings) -> AsyncIterator[AsyncStore]:
    store = await open_async(settings)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture(scope="session")
def beginnings(network: Any) -> Iterator[Beginnings]:
    """A dataset, a version of it, a server and a loop, for all the sequences of a process."""
    memory = Path("/dev/shm")  # noqa: S108 - what a sequence leaves behind on a disk is not looked at
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        root = Path(place)
        data, made = root / "data", root / "made"
        data.mkdir()
        made.mkdir()
        network.write(data)
        made_night(data, Versions(made), 0, LiveEvents(now_us()), ready_weights)
        server = EmbeddedServer(root / "store")
        with asyncio.Runner() as runner:
            yield Beginnings(runner, data, made, f"unix://{quote(str(server.socket_path))}")
        server.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Without the log lines of thousands of sequences; those of any other test are its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()
