"""What the application is made of: built in one place when it starts, closed in reverse when it ends."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.version.local_versions import Versions
from service.metrics import Metrics
from service.ranking.rerank import RerankSettings
from service.recommend.cache_writer import CacheWriter
from service.recommend.online import OnlineRecommender
from service.state.live_state import LiveState
from service.state.live_sync import LiveSync
from service.state.served_version import OpenScorer, VersionOpener
from service.state.version_watcher import ServedVersions
from service.web.auth import Access


@dataclass(frozen=True, slots=True)
class Stores:
    """The two faces of one store: awaited for requests, blocking for what runs in a thread."""

    requests: AsyncStore
    threads: SyncStore


StoreOpener = Callable[[Settings], AbstractAsyncContextManager[Stores]]
"""opens the store, and closes it when the context ends"""


@dataclass(frozen=True, slots=True)
class Parts:
    """The living parts of one application."""

    settings: Settings
    stores: Stores
    keys: Keys
    disk: Versions
    access: Access
    metrics: Metrics
    versions: ServedVersions
    following: LiveSync
    recommender: OnlineRecommender
    behind: CacheWriter


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The store that the settings name."""
    async with AsyncExitStack() as closing:
        requests = await open_async(settings)
        closing.push_async_callback(requests.aclose)
        threads = open_sync(settings)
        closing.callback(threads.close)
        yield Stores(requests, threads)


@asynccontextmanager
async def built(settings: Settings, open_stores: StoreOpener, open_scorer: OpenScorer) -> AsyncIterator[Parts]:
    """Every part, started; at the end of the context all are closed, the last one first.

    Starts without an active version and, but for the embedded one, without a store that answers.
    """
    async with AsyncExitStack() as closing:
        stores = await closing.enter_async_context(open_stores(settings))
        keys, disk, metrics = Keys(settings.namespace), Versions(settings.home), Metrics()
        opener = VersionOpener(stores.threads, disk, keys, open_scorer, RerankSettings.of(settings))
        name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(3)}"
        state = LiveState(settings.forbidden_days)
        versions = ServedVersions(
            stores.requests, keys, opener, metrics, name, preload_users=lambda: state.hidden.people(0)
        )
        closing.push_async_callback(versions.aclose)
        behind = CacheWriter(stores.requests, keys, metrics, settings.ranked_ttl_s)
        closing.push_async_callback(behind.aclose)
        following = LiveSync(stores.requests, keys, state, metrics)
        closing.push_async_callback(following.aclose)
        access = Access(settings.keys)
        recommender = OnlineRecommender(
            stores.requests, keys, following, behind, metrics, settings.redis_timeout_ms / 1000
        )
        await versions.start()
        await following.start()
        if versions.active is not None:
            state.catch_up(versions.active)
        behind.start()
        yield Parts(settings, stores, keys, disk, access, metrics, versions, following, recommender, behind)
