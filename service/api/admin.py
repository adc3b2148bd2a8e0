"""The routes that list versions and switch between them."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel

from models.candidate_refresh.replay import Replay, replaying
from models.publishing import publish, serving_processes
from models.publishing.catalogue import Entry, catalogue
from models.publishing.pointer import ActivePointer
from models.version.manifest import VERSION_PATTERN
from service.api.dependencies import MAY_ADMINISTER, AppParts
from service.api.openapi import problems
from service.container import Parts
from service.web.problems import ProblemError

REPLAY_S = FOLLOW_S = serving_processes.WAIT_S / 2
"""how long a switch waits for a worker to replay what happened since, and then for the processes to follow"""

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[MAY_ADMINISTER])


class VersionsAnswer(BaseModel):
    """What is published, newest first."""

    versions: list[Entry]


class SwitchAnswer(BaseModel):
    """What is active now, and which live processes do not serve it yet."""

    version: str
    activated_at: AwareDatetime
    behind: dict[str, str]
    """by process the version that it still serves, "" for none; empty once all have followed"""


@router.get("/versions", responses=problems(401, 403, 503))
async def versions(parts: AppParts) -> VersionsAnswer:
    """Every version on this host's disk or in the store."""
    found = await asyncio.to_thread(catalogue, parts.stores.threads, parts.disk, keys=parts.keys)
    return VersionsAnswer(versions=found)


@router.post("/versions/{version}/activate", responses=problems(401, 403, 404, 409, 422, 503))
async def activate(version: Annotated[str, Path(pattern=VERSION_PATTERN)], parts: AppParts) -> SwitchAnswer:
    """Serve another version. Answers once every live process serves it, or after 5 seconds with those that do not."""

    def switch() -> ActivePointer:
        store, keys = parts.stores.threads, parts.keys
        if all(entry.version != version for entry in catalogue(store, parts.disk, keys=keys)):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"version {version} is neither on disk nor in the store")
        return publish.activate(
            store,
            parts.disk,
            version,
            keys=keys,
            superseded_ttl_s=parts.settings.superseded_ttl_s,
            replay=_replay_by_worker(parts),
        )

    return await _followed(parts, await asyncio.to_thread(switch))


@router.post("/rollback", responses=problems(401, 403, 409, 503))
async def rollback(parts: AppParts) -> SwitchAnswer:
    """Serve the version that was active before; twice goes two back. Answers as activate does."""

    def switch() -> ActivePointer:
        return publish.rollback(
            parts.stores.threads,
            parts.disk,
            keys=parts.keys,
            superseded_ttl_s=parts.settings.superseded_ttl_s,
            replay=_replay_by_worker(parts),
        )

    return await _followed(parts, await asyncio.to_thread(switch))


def _replay_by_worker(parts: Parts) -> Replay:
    """What happened after a version's cut is replayed by a worker: the service has no numeric libraries."""
    days, contexts = parts.settings.forbidden_days, parts.settings.surfaces
    return replaying(parts.stores.threads, parts.disk, parts.keys, days, contexts, open_here=False, wait_s=REPLAY_S)


async def _followed(parts: Parts, pointer: ActivePointer) -> SwitchAnswer:
    behind = await asyncio.to_thread(
        serving_processes.wait_until_served, parts.stores.threads, pointer.version, keys=parts.keys, wait_s=FOLLOW_S
    )
    return SwitchAnswer(version=pointer.version, activated_at=pointer.activated_at, behind=behind)
