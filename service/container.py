"""The long-lived parts of the application: built in one place when it starts, closed in reverse when it ends."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from models.settings import RateLimit, Settings
from models.store.connect import open_async, open_sync
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.version.local_versions import Versions
from service.metrics import Metrics
from service.ranking.rerank import RerankSettings
from service.recommend.answering import Answering
from service.recommend.cache_writer import CacheWriter
from service.recommend.online import OnlineRecommender
from service.recommend.shown_profiles import ShownProfiles
from service.recommend.viewer_loader import ViewerLoader
from service.state.live_state import LiveState
from service.state.live_sync import LiveSync
from service.state.served_version import OpenScorer, VersionOpener
from service.state.version_watcher import ServedVersions
from service.web.auth import Access
from service.web.compression import Compression
from service.web.rate_limits import RateLimiter


@dataclass(frozen=True, slots=True)
class Stores:
    """The two clients of one store: asynchronous for requests, blocking for what runs in a thread."""

    requests: AsyncStore
    threads: SyncStore


StoreOpener = Callable[[Settings], AbstractAsyncContextManager[Stores]]
"""opens the store, and closes it when the context ends"""


@dataclass(frozen=True, slots=True)
class Container:
    """The long-lived parts of one application."""

    settings: Settings
    stores: Stores
    keys: Keys
    disk: Versions
    access: Access
    metrics: Metrics
    versions: ServedVersions
    live_sync: LiveSync
    loader: ViewerLoader
    answering: Answering
    recommender: OnlineRecommender
    profiles: ShownProfiles
    compression: Compression
    cache_writer: CacheWriter


@asynccontextmanager
async def open_store_clients(settings: Settings) -> AsyncIterator[Stores]:
    """Opens the store that the settings name."""
    async with AsyncExitStack() as closing:
        requests = await open_async(settings)
        closing.push_async_callback(requests.aclose)
        threads = open_sync(settings)
        closing.callback(threads.close)
        yield Stores(requests, threads)


@asynccontextmanager
async def build(settings: Settings, open_stores: StoreOpener, open_scorer: OpenScorer) -> AsyncIterator[Container]:
    """Builds and starts every part; at the end of the context all are closed, the last one first.

    Starts without an active version and, unless the store is embedded, without a store that answers.
    """
    async with AsyncExitStack() as closing:
        # the store, and the version that is served from it
        stores = await closing.enter_async_context(open_stores(settings))
        keys, disk, metrics = Keys(settings.namespace), Versions(settings.home), Metrics()
        opener = VersionOpener(stores.threads, disk, keys, open_scorer, RerankSettings.of(settings))
        name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(3)}"
        state = LiveState(settings.forbidden_days)
        versions = ServedVersions(
            stores.requests, keys, opener, metrics, name, preload_users=lambda: state.hidden.people(0)
        )
        closing.push_async_callback(versions.aclose)
        # live state, the cache writer, and what answers from them
        cache_writer = CacheWriter(stores.requests, keys, metrics, settings.ranked_ttl_s)
        closing.push_async_callback(cache_writer.aclose)
        live_sync = LiveSync(stores.requests, keys, state, metrics)
        closing.push_async_callback(live_sync.aclose)
        access = Access(settings.keys, _rate_limiter(settings, stores.requests, keys, metrics))
        loader = ViewerLoader(state, keys, lambda reason, _: metrics.degraded.labels(reason).inc())
        answering = Answering(keys, loader, cache_writer)
        recommender = OnlineRecommender(stores.requests, keys, live_sync, answering, settings.redis_timeout_ms / 1000)
        profiles = ShownProfiles(stores.requests, keys, live_sync, loader.degrade, settings.redis_timeout_ms / 1000)
        # start
        await versions.start()
        await live_sync.start()
        if versions.active is not None:
            state.catch_up(versions.active)
        cache_writer.start()
        yield Container(
            settings,
            stores,
            keys,
            disk,
            access,
            metrics,
            versions,
            live_sync,
            loader,
            answering,
            recommender,
            profiles,
            Compression(settings.compress_above_bytes),
            cache_writer,
        )


def _rate_limiter(settings: Settings, store: AsyncStore, keys: Keys, metrics: Metrics) -> RateLimiter | None:
    """The limiter of the settings; None if nothing is limited."""
    if not settings.rate_limits:
        return None

    async def take(bucket: str, limit: RateLimit) -> float:
        return await store.token_take(keys.rate(bucket), limit.rate, limit.burst)

    return RateLimiter(
        settings.rate_limits,
        metrics,
        by_address=settings.rate_by == "address",
        shared=take if settings.rate_shared else None,
    )
