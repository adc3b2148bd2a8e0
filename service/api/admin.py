"""The routes that list versions and switch between them."""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel

from models.candidate_refresh.replay import Replay, replaying
from models.publishing import canary, canary_ending, publish, serving_processes
from models.publishing.approvals import approval
from models.publishing.audit import Actor, AuditEntry, read_audit
from models.publishing.canary_record import Canary, CanaryReport, told_report
from models.publishing.catalogue import Entry, catalogue
from models.publishing.decisions import read_decisions
from models.publishing.night_runs import NightRun, read_runs
from models.publishing.pointer import ActivePointer
from models.setting_texts import parse_share
from models.version.manifest import VERSION_PATTERN
from service.api.dependencies import MAY_ADMINISTER, AppContainer, record_of
from service.api.openapi import problems
from service.container import Container
from service.web.problems import ProblemError, invalid

REPLAY_S = FOLLOW_S = serving_processes.WAIT_S / 2
"""how long a switch waits for a worker to replay the events since, and then for the processes to follow"""

_Answer = TypeVar("_Answer")

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[MAY_ADMINISTER])


class VersionsAnswer(BaseModel):
    """The published versions, newest first."""

    versions: list[Entry]


class SwitchAnswer(BaseModel):
    """The active version, and which live processes do not serve it yet."""

    version: str
    activated_at: AwareDatetime
    behind: dict[str, str]
    """by process the version that it still serves, "" for none; empty after all have followed"""


class CanaryAnswer(BaseModel):
    """A version that a share of the viewers is served from, and which live processes do not serve it yet."""

    version: str
    control: str
    """the active version, which all others are served from"""
    share: float
    """of the viewers, 0 to 1"""
    started_at: AwareDatetime
    behind: list[str]
    """processes; empty after all have followed"""


class ApprovalAnswer(SwitchAnswer):
    """As of a switch. Where a share of the viewers is tried first, `version` is the one that all others are served."""

    canary: CanaryAnswer | None = None
    """the version that was approved, if it is tried first (PYMK_CANARY)"""


class CanaryState(BaseModel):
    """How the canary does, or how the last one ended."""

    report: CanaryReport | None
    """null: there never was one"""


class AbortAnswer(BaseModel):
    """A version that was the canary, and which live processes still serve it."""

    version: str
    behind: list[str]


class RejectionAnswer(BaseModel):
    """A version that was rejected, and is removed."""

    version: str
    state: Literal["rejected"] = "rejected"


class NightsAnswer(BaseModel):
    """The runs of the nightly job, newest first."""

    nights: list[NightRun]


class AuditAnswer(BaseModel):
    """The audit trail, newest first."""

    entries: list[AuditEntry]


Note = Annotated[str | None, Query(max_length=1000, description="Why; kept in the audit trail.")]


class DriftCheckAnswer(BaseModel):
    """One check of the monitor."""

    name: str
    group: str
    value: float
    threshold: float
    """from which on the verdict is alarm; of a check that only warns, warn"""
    verdict: Literal["ok", "warn", "alarm"]
    sentence: str
    """what moved and by how much"""


class DriftAnswer(BaseModel):
    """How the data of the latest night, or of the latest pymk monitor, differ from the version active then."""

    version: str | None = None
    """that was compared with"""
    at: AwareDatetime | None = None
    retrain: bool = False
    """whether a check gives alarm"""
    checks: list[DriftCheckAnswer] = []
    note: str | None = None


@router.get("/versions", responses=problems(401, 403, 503))
async def versions(container: AppContainer) -> VersionsAnswer:
    """Every version on this host's disk or in the store."""
    entries = await _in_thread(container, catalogue, container.stores.threads, container.disk, keys=container.keys)
    return VersionsAnswer(versions=entries)


@router.get("/drift", responses=problems(401, 403, 503))
async def drift(container: AppContainer) -> DriftAnswer:
    """The latest report on drift of a night or of pymk monitor; without checks if there is none yet."""
    store, keys = container.stores.threads, container.keys
    content = await _in_thread(container, store.get, keys.drift)
    return DriftAnswer() if content is None else DriftAnswer.model_validate_json(content)


@router.post("/versions/{version}/activate", responses=problems(401, 403, 404, 409, 422, 503))
async def activate(
    version: Annotated[str, Path(pattern=VERSION_PATTERN)],
    container: AppContainer,
    request: Request,
    note: Note = None,
    share: Annotated[
        str | None,
        Query(
            max_length=20,
            description="`5%`: serve only so many viewers from it, as a canary. `GET /admin/canary` says how it does.",
        ),
    ] = None,
) -> SwitchAnswer | CanaryAnswer:
    """Serve another version. Answers once every live process serves it, or after 5 seconds with those that do not."""
    by = _actor(request, note)
    wanted = 1.0 if share is None else _share(share)

    def find() -> None:
        store, keys = container.stores.threads, container.keys
        if all(entry.version != version for entry in catalogue(store, container.disk, keys=keys)):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"version {version} is neither on disk nor in the store")

    def begin() -> Canary:
        find()
        return canary.start_canary(
            container.stores.threads,
            container.disk,
            version,
            wanted,
            keys=container.keys,
            by=by,
            replay=_replay_by_worker(container),
        )

    def switch() -> ActivePointer:
        find()
        store, keys = container.stores.threads, container.keys
        return publish.activate(
            store,
            container.disk,
            version,
            keys=keys,
            superseded_ttl_s=container.settings.superseded_ttl_s,
            replay=_replay_by_worker(container),
            by=by,
        )

    if wanted < 1:
        return await _canary_answer(container, await _in_thread(container, begin))
    return await _wait(container, await _in_thread(container, switch))


@router.get("/canary", responses=problems(401, 403, 503))
async def canary_state(container: AppContainer) -> CanaryState:
    """The latest report on the canary: its share, its guardrails, and how it ended if it did."""
    return CanaryState(report=await _in_thread(container, told_report, container.stores.threads, container.keys))


@router.post("/canary/promote", responses=problems(401, 403, 409, 422, 503))
async def promote_canary(container: AppContainer, request: Request, note: Note = None) -> SwitchAnswer:
    """Serve everybody from the canary, which ends it. Answers as activate does."""
    by = _actor(request, note)

    def switch() -> ActivePointer:
        ttl_s = container.settings.superseded_ttl_s
        store, keys = container.stores.threads, container.keys
        return canary_ending.promote_canary(store, container.disk, keys=keys, by=by, superseded_ttl_s=ttl_s)

    return await _wait(container, await _in_thread(container, switch))


@router.post("/canary/abort", responses=problems(401, 403, 409, 422, 503))
async def abort_canary(container: AppContainer, request: Request, note: Note = None) -> AbortAnswer:
    """Serve everybody from the active version again, which ends the canary."""
    by = _actor(request, note)

    def end() -> str:
        ttl_s = container.settings.superseded_ttl_s
        store, keys = container.stores.threads, container.keys
        return canary_ending.end_canary(store, container.disk, "aborted", keys=keys, by=by, superseded_ttl_s=ttl_s)

    version = await _in_thread(container, end)
    return AbortAnswer(version=version, behind=await _tried(container, ""))


@router.post("/versions/{version}/approve", responses=problems(401, 403, 404, 409, 422, 503))
async def approve_version(
    version: Annotated[str, Path(pattern=VERSION_PATTERN)], container: AppContainer, request: Request, note: Note = None
) -> ApprovalAnswer:
    """Publish a version that waits for an approval, once. Answers as activate does; `canary` if it begins as that."""
    by = _actor(request, note)

    def decide() -> ActivePointer | Canary:
        _find_decided(container, version)
        return approval.approve(
            container.stores.threads,
            container.disk,
            version,
            keys=container.keys,
            by=by,
            canary_share=container.settings.canary_share,
            superseded_ttl_s=container.settings.superseded_ttl_s,
            replay=_replay_by_worker(container),
        )

    served = await _in_thread(container, decide)
    if not isinstance(served, Canary):
        return ApprovalAnswer(**(await _wait(container, served)).model_dump())
    tried = await _canary_answer(container, served)
    control = ActivePointer(version=served.control, activated_at=served.control_at or served.started_at)
    return ApprovalAnswer(**(await _wait(container, control)).model_dump(), canary=tried)


@router.post("/versions/{version}/reject", responses=problems(401, 403, 404, 409, 422, 503))
async def reject_version(
    version: Annotated[str, Path(pattern=VERSION_PATTERN)], container: AppContainer, request: Request, note: Note = None
) -> RejectionAnswer:
    """Remove a version that waits for an approval, once; what is served does not change."""
    by = _actor(request, note)

    def decide() -> None:
        _find_decided(container, version)
        approval.reject(container.stores.threads, container.disk, version, keys=container.keys, by=by)

    await _in_thread(container, decide)
    return RejectionAnswer(version=version)


@router.get("/nights", responses=problems(401, 403, 503))
async def nights(container: AppContainer) -> NightsAnswer:
    """The run of the nightly job at work, and the latest ones before, each with its steps; newest first."""
    return NightsAnswer(nights=await _in_thread(container, read_runs, container.stores.threads, container.keys))


@router.get("/audit", responses=problems(401, 403, 422, 503))
async def audit(container: AppContainer, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> AuditAnswer:
    """Who published, activated, rolled back, approved, rejected or forced which version, when and why; newest first."""
    entries = await _in_thread(container, read_audit, container.stores.threads, container.keys)
    return AuditAnswer(entries=entries[:limit])


@router.post("/rollback", responses=problems(401, 403, 409, 422, 503))
async def rollback(container: AppContainer, request: Request, note: Note = None) -> SwitchAnswer:
    """Serve the version that was active before; twice goes two back. Answers as activate does."""
    by = _actor(request, note)

    def switch() -> ActivePointer:
        return publish.rollback(
            container.stores.threads,
            container.disk,
            keys=container.keys,
            superseded_ttl_s=container.settings.superseded_ttl_s,
            replay=_replay_by_worker(container),
            by=by,
        )

    return await _wait(container, await _in_thread(container, switch))


def _actor(request: Request, note: str | None = None) -> Actor:
    """Who asks, for the audit trail: the name of the key, as the log has it."""
    record = record_of(request)
    return Actor(f"key {record.key}" if record.key else "HTTP without a key", note)


def _find_decided(container: Container, version: str) -> None:
    """Raises ProblemError 404 if a version neither waits nor was decided on, nor is anywhere."""
    store, keys = container.stores.threads, container.keys
    if version not in read_decisions(store, keys) and all(
        entry.version != version for entry in catalogue(store, container.disk, keys=keys)
    ):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"version {version} is neither on disk nor in the store")


def _share(text: str) -> float:
    """The share of a query parameter. Raises ProblemError 422."""
    try:
        return parse_share(text)
    except ValueError as error:
        raise invalid("share", str(error)) from error


async def _canary_answer(container: Container, begun: Canary) -> CanaryAnswer:
    """What became the canary, once every live process serves it, or those that do not by then."""
    version, behind = begun.version, await _tried(container, begun.version)
    return CanaryAnswer(
        version=version, control=begun.control, share=begun.share, started_at=begun.started_at, behind=behind
    )


async def _tried(container: Container, version: str) -> list[str]:
    """Waits until every live process serves the canary, "" until none does; returns those that do not by then."""
    store, keys = container.stores.threads, container.keys
    return await _in_thread(container, serving_processes.wait_until_tried, store, version, keys=keys, wait_s=FOLLOW_S)


async def _in_thread(container: Container, call: Callable[..., _Answer], *arguments: Any, **named: Any) -> _Answer:
    """What a blocking call returns that runs in a thread of the administrators."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(container.admin_threads, partial(call, *arguments, **named))


def _replay_by_worker(container: Container) -> Replay:
    """The replay of the events after a version's cut, by a worker: the service loads no numeric libraries."""
    days, contexts = container.settings.forbidden_days, container.settings.all_contexts
    return replaying(
        container.stores.threads, container.disk, container.keys, days, contexts, open_here=False, wait_s=REPLAY_S
    )


async def _wait(container: Container, pointer: ActivePointer) -> SwitchAnswer:
    """Waits until every live process serves the version of a pointer, at most FOLLOW_S."""
    behind = await _in_thread(
        container,
        serving_processes.wait_until_served,
        container.stores.threads,
        pointer.version,
        keys=container.keys,
        wait_s=FOLLOW_S,
    )
    return SwitchAnswer(version=pointer.version, activated_at=pointer.activated_at, behind=behind)
