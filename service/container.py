"""The long-lived parts of the application: built in one place when it starts, closed in reverse when it ends."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from models.errors import StoreError
from models.publishing import serving_processes
from models.setting_texts import RateLimit
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore
from models.store.timed_store import timed
from models.version.local_versions import Versions
from service.metrics import Metrics
from service.ranking.rerank import RerankSettings
from service.recommend.answering import Answering
from service.recommend.behind.cache_writer import CacheWriter
from service.recommend.behind.exposure_log import ExposureLog
from service.recommend.online import OnlineRecommender
from service.recommend.shown_profiles import ShownProfiles
from service.recommend.viewer_loader import ViewerLoader
from service.state.backlog import BacklogWatch
from service.state.experiments import ArmsOfViewers, FollowedExperiments
from service.state.live_state import LiveState
from service.state.live_sync import LiveSync
from service.state.served_version import OpenScorer, VersionOpener
from service.state.turns import Turns
from service.state.version_watcher import ServedVersions
from service.web.auth import Access
from service.web.compression import Compression
from service.web.draining import Draining
from service.web.rate_limits import RateLimiter

ADMIN_THREADS = 4
"""calls of administrators at a time; more of them wait"""


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
    exposure_log: ExposureLog
    admin_threads: ThreadPoolExecutor
    """for calls of administrators, which may wait for minutes: versions are opened in the default threads"""
    draining: Draining
    backlog: BacklogWatch
    experiments: FollowedExperiments
    contact_turns: Turns
    """by user: their contacts are written by one request at a time"""


@asynccontextmanager
async def open_store_clients(settings: Settings) -> AsyncIterator[Stores]:
    """Opens the store that the settings name."""
    async with AsyncExitStack() as closing:
        requests = await open_async(settings)
        closing.push_async_callback(requests.aclose)
        threads = open_sync(settings)
        closing.callback(threads.close)
        yield Stores(requests, threads)


async def _find_former(store: SyncStore, keys: Keys) -> None:
    """Notes in the background which processes of former releases live: a walk over all keys of the store."""
    with suppress(StoreError):  # whoever needs to know looks then
        await asyncio.to_thread(serving_processes.find_former, store, keys=keys)


@asynccontextmanager
async def build(settings: Settings, open_stores: StoreOpener, open_scorer: OpenScorer) -> AsyncIterator[Container]:
    """Builds and starts every part; at the end of the context all are closed, the last one first.

    Starts without an active version and, unless the store is embedded, without a store that answers.
    """
    async with AsyncExitStack() as closing:
        # the store, and the version that is served from it
        stores = await closing.enter_async_context(open_stores(settings))
        keys, disk, metrics = Keys(settings.namespace), Versions(settings.home), Metrics()
        closing.callback(metrics.close)
        stores = Stores(timed(stores.requests, metrics.store.bounds, metrics.store.series), stores.threads)
        admin_threads = ThreadPoolExecutor(ADMIN_THREADS, "admin")
        closing.callback(admin_threads.shutdown, wait=False, cancel_futures=True)
        opener = VersionOpener(stores.threads, disk, keys, open_scorer, RerankSettings.of(settings))
        name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(3)}"
        state = LiveState(settings.forbidden_days)
        arms = ArmsOfViewers(settings)
        versions = ServedVersions(
            stores.requests,
            keys,
            opener,
            metrics,
            name,
            preload_users=lambda: state.hidden.people(0),
            prepare=arms.prepare,
            keep=arms.keep,
        )
        closing.push_async_callback(versions.aclose)
        # live state, the cache writer, and what answers from them
        cache_writer = CacheWriter(stores.requests, keys, metrics, settings.ranked_ttl_s)
        closing.push_async_callback(cache_writer.aclose)
        exposure_log = ExposureLog(
            stores.requests, keys, metrics, share=settings.exposure_share, most_mb=settings.exposure_log_mb
        )
        closing.push_async_callback(exposure_log.aclose)
        access = Access(settings.keys, _rate_limiter(settings, stores.requests, keys, metrics))
        loader = ViewerLoader(state, keys, lambda reason, _: metrics.degraded.labels(reason).inc())
        live_sync = LiveSync(stores.requests, keys, state, metrics, versions.cuts, loader.damaged)
        closing.push_async_callback(live_sync.aclose)
        deadline_s = settings.redis_timeout_ms / 1000
        answering = Answering(keys, loader, cache_writer, state)
        recommender = OnlineRecommender(stores.requests, keys, live_sync, loader, answering, deadline_s, arms)
        profiles = ShownProfiles(stores.requests, keys, live_sync, loader.degrade, deadline_s)
        experiments = FollowedExperiments(stores.requests, keys, arms, metrics, lambda: versions.open)
        closing.push_async_callback(experiments.aclose)
        backlog = BacklogWatch(stores.requests, keys, metrics)
        closing.push_async_callback(backlog.aclose)
        # start
        await versions.start()
        finding = asyncio.create_task(_find_former(stores.threads, keys), name="former-processes")
        closing.callback(finding.cancel)
        await live_sync.start()
        if versions.active is not None:
            state.catch_up(versions.active)
        await experiments.start()
        cache_writer.start()
        exposure_log.start()
        backlog.start()
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
            exposure_log,
            admin_threads,
            Draining(settings.drain_s),
            backlog,
            experiments,
            Turns(),
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
