"""The routes for monitoring: is the process alive, can it serve, what has it counted."""

import structlog
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from models.errors import StoreError
from service.api.dependencies import AppContainer
from service.api.openapi import problems
from service.container import Container
from service.web.problems import unavailable

FULL = 0.8
"""share of the store's memory above which readiness warns"""

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


@router.get("/health/live")
async def live() -> Live:
    """Whether the process answers at all: restart it if it does not."""
    return Live()


@router.get("/health/ready", responses=problems(503))
async def ready(container: AppContainer) -> Ready:
    """Whether lists can be served: the store is reachable and a version active. A 503 names each part too."""
    parts = {"store": await _store(container), "version": _version(container)}
    if all(part.ok for part in parts.values()):
        return Ready(parts=parts, warnings=[*await _warnings(container), *await _waiting(container)])
    faults = "; ".join(f"{name}: {part.detail}" for name, part in parts.items() if not part.ok)
    raise unavailable(faults, parts={name: part.model_dump() for name, part in parts.items()})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(container: AppContainer) -> Response:
    """Counters and histograms for Prometheus."""
    return Response(container.metrics.text(), media_type=CONTENT_TYPE_LATEST)


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
    warnings = []
    if container.settings.redis_url is not None and not info.append_only:
        warnings.append(
            "the store does not persist every write (appendonly is no): if it stops, what was acknowledged since its "
            "last snapshot is lost, or everything if it makes none; set appendonly yes, with appendfsync always "
            "(nothing is lost) or everysec (a second is lost if the host fails)"
        )
    if container.settings.redis_url is not None and info.eviction_policy.startswith("allkeys"):
        warnings.append(
            f"the store evicts anything ({info.eviction_policy}): set maxmemory-policy volatile-lru or noeviction"
        )
    limit = info.memory_limit_bytes
    if limit and info.memory_used_bytes >= FULL * limit:
        share = 100 * info.memory_used_bytes / limit
        warnings.append(f"the store is {share:.0f}% full: when it is full it refuses events, and answers are 503")
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
