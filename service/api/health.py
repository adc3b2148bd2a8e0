"""The routes for monitoring: is the process alive, can it serve, what has it counted."""

import structlog
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from models.errors import StoreError
from models.system.clock import MICROSECONDS
from service.api.dependencies import AppContainer
from service.api.openapi import problems
from service.container import Container
from service.web.problems import unavailable

SKEW_S = 2.0
"""how far clocks may differ before readiness warns"""
FULL = 0.8
"""share of the store's memory above which readiness warns"""

POLICIES = ("noeviction", "volatile-lru")
"""the policies of eviction that are documented"""
ALONE_S = 10.0
"""age of what waits above which readiness warns if no worker is live"""
BEHIND_S = 60.0
"""the same if one is"""

router = APIRouter(tags=["operation"])


class Live(BaseModel):
    """The process answers."""

    status: str = "ok"


class Part(BaseModel):
    """One part that serving needs."""

    ok: bool
    detail: str


class Ready(BaseModel):
    """Every part that serving needs, and warnings for the operator while lists are served."""

    status: str = "ready"
    parts: dict[str, Part]
    warnings: list[str] = []


@router.get("/health/live", responses=problems())
async def live() -> Live:
    """Whether the process answers at all: restart it if it does not."""
    return Live()


@router.get("/health/ready", responses=problems(503))
async def ready(container: AppContainer) -> Ready:
    """Whether lists can be served: the store is reachable and a version active. A 503 names each part too."""
    if container.draining.is_draining:
        process = Part(ok=False, detail="draining: it is about to stop")
        raise unavailable("process: draining", parts={"process": process.model_dump()})
    parts = {"store": await _store(container), "version": _version(container)}
    if all(part.ok for part in parts.values()):
        return Ready(parts=parts, warnings=[*await _warnings(container), *await _waiting(container)])
    faults = "; ".join(f"{name}: {part.detail}" for name, part in parts.items() if not part.ok)
    raise unavailable(faults, parts={name: part.model_dump() for name, part in parts.items()})


@router.get("/metrics", response_class=PlainTextResponse, responses=problems())
async def metrics(container: AppContainer) -> Response:
    """Counters and histograms for Prometheus."""
    return Response(await container.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _store(container: Container) -> Part:
    try:
        await container.stores.requests.ping()
    except StoreError as error:
        structlog.get_logger().warning("store_not_ready", error=str(error))
        return Part(ok=False, detail=error.public_message)
    return Part(ok=True, detail="answers")


async def _warnings(container: Container) -> list[str]:
    """What may lose events, or refuse them soon."""
    try:
        info = await container.stores.requests.info()
    except StoreError as error:
        return [f"the state of the store could not be read: {error.public_message}"]
    is_embedded = container.settings.redis_url is None
    warnings = _live_state_warnings(container)
    if not is_embedded and not info.append_only:
        warnings.append(
            "the store does not persist every write (appendonly is no): if it stops, what was acknowledged since its "
            "last snapshot is lost, or everything if it makes none; set appendonly yes, with appendfsync always "
            "(nothing is lost) or everysec (a second is lost if the host fails)"
        )
    if not is_embedded and info.eviction_policy.startswith("allkeys"):
        warnings.append(
            f"the store evicts anything ({info.eviction_policy}): set maxmemory-policy volatile-lru or noeviction"
        )
    elif not is_embedded and info.eviction_policy not in POLICIES:
        warnings.append(
            f"the store evicts by {info.eviction_policy}, with which it was never tried: set maxmemory-policy "
            "volatile-lru or noeviction"
        )
    if not info.appended:
        warnings.append(
            "the store failed to append to its file (aof_last_write_status): it refuses writes, and what it "
            "acknowledged last may be lost if it stops; see its log and the free space of its disk"
        )
    if not info.saved:
        warnings.append("the last snapshot of the store failed (rdb_last_bgsave_status): see its log and its disk")
    if info.refuses_writes:
        warnings.append(
            f"the disk of the embedded store has less than {container.settings.store_min_free_mb} MB free: it refuses "
            "events and answers lists; free some space, or set PYMK_STORE_MIN_FREE_MB"
            if is_embedded
            else "the store refuses writes: no replica is in step (min-replicas-to-write)"
        )
    limit = info.memory_limit_bytes
    if limit and info.memory_used_bytes >= FULL * limit:
        share = 100 * info.memory_used_bytes / limit
        warnings.append(f"the store is {share:.0f}% full: when it is full it refuses events, and answers are 503")
    return warnings


def _live_state_warnings(container: Container) -> list[str]:
    """Damaged and full records, and clocks that disagree."""
    warnings, live_sync = [], container.live_sync
    if live_sync.damaged:
        warnings.append(
            f"the live records or profiles of {live_sync.damaged} users do not read back: these users get no lists, or "
            "lists without what they told of late; pymk doctor names them, and pymk doctor --repair rebuilds them"
        )
    unread = live_sync.unread
    if unread["flag_change"]:
        warnings.append(
            f"{unread['flag_change']} entries of the hidden log do not read back: whom they name counts as hidden, and "
            "whom they do not name may be shown; pymk doctor --repair puts what the event log says in their place"
        )
    if unread["event"]:
        warnings.append(
            f"{unread['event']} entries of the event log do not read back and were set aside, so that the next version "
            "lacks them: pymk doctor names their files, and pymk doctor --repair restores what can be read"
        )
    if unread["erasure"]:
        warnings.append(
            f"{unread['erasure']} records of erasures do not read back, and these erasures stand still: pymk doctor "
            "names them, and pymk doctor --repair rebuilds them"
        )
    if unread["number"]:
        warnings.append(
            f"the numbers under {', '.join(live_sync.damaged_numbers)} in the store do not read back: lists and events "
            "go on, a night may not; pymk doctor --repair mends them"
        )
    if live_sync.full:
        warnings.append(
            f"the live records of {live_sync.full} users are full: what others do to them, blocks included, is in "
            "effect for the others alone until a night includes it, and the answers count such events as full; pymk "
            "doctor names them"
        )
    ahead_s = live_sync.skew_us / MICROSECONDS
    if ahead_s > SKEW_S:
        warnings.append(
            f"the latest timestamp in the store is {ahead_s:.0f} s ahead of the clock of this process: the clock of "
            "another host is ahead, or was; order and effect of changes do not depend on it, their times do"
        )
    return warnings


async def _waiting(container: Container) -> list[str]:
    """What the workers should have done by now."""
    try:
        backlog = await container.backlog.read()
    except StoreError as error:
        return [f"what waits for the workers could not be read: {error.public_message}"]
    nobody = "no worker is live: start pymk worker" if not backlog.live_workers else "the workers are behind"
    limit_s = ALONE_S if not backlog.live_workers else BEHIND_S
    warnings = []
    if backlog.oldest_entry_s > limit_s:
        age = f"{backlog.oldest_entry_s:.0f}"
        warnings.append(f"{nobody}; the oldest entry of the event log has waited {age} seconds to be processed")
    if backlog.oldest_refresh_s > limit_s:
        age = f"{backlog.oldest_refresh_s:.0f}"
        warnings.append(f"{nobody}; the oldest request for new candidates has waited {age} seconds")
    return warnings


def _version(container: Container) -> Part:
    served, fault = container.versions.active, container.versions.fault
    if served is None:
        return Part(ok=False, detail=fault or "none is active yet; pymk nightly DATA publishes one")
    return Part(ok=True, detail=f"{served.version}, but a later one is not: {fault}" if fault else served.version)
