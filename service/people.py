"""The routes that tell what a version knows."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel

from models.block import Block
from models.errors import CorruptRecordError
from service.documentation import problems
from service.guard import MAY_ADMINISTER, MAY_READ, AppParts, PathOther, PathUser, Served, record_of
from service.lists import read_block
from service.parts import Parts
from service.problems import ProblemError, invalid
from service.recommendations import CONTEXTS
from service.served_version import ServedVersion
from service.why import Pair, why
from service.why_answer import WhyAnswer

router = APIRouter(prefix="/pymk", tags=["people"])


class VersionAnswer(BaseModel):
    """What is served."""

    version: str
    published_at: AwareDatetime | None
    activated_at: AwareDatetime | None
    created_at: AwareDatetime
    cut: AwareDatetime
    """the last event it knows"""
    users: int
    connections: int
    ranker: dict[str, Any]
    forced: bool
    """published against the quality gate's word"""
    package_version: str
    git_commit: str | None


@router.get("/version", dependencies=[MAY_READ], responses=problems(401, 403, 503))
async def version(served: Served, parts: AppParts) -> VersionAnswer:
    """The version that is served, and what it was made of."""
    return VersionAnswer.model_validate(
        {**served.manifest.model_dump(), "activated_at": parts.versions.activated_at, "version": served.version}
    )


@router.get("/users/{user_id}", dependencies=[MAY_READ], responses=problems(401, 403, 404, 422, 503))
async def profile(user_id: PathUser, served: Served) -> dict[str, Any]:
    """The stored profile of a user: an object of column and value."""
    row = served.tables.vocabulary.row(user_id)
    if row is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no user of this id is known")
    return served.tables.profile(row)


@router.get(
    "/users/{user_id}/why/{other_id}", dependencies=[MAY_ADMINISTER], responses=problems(401, 403, 404, 422, 503)
)
async def why_of(
    user_id: PathUser,
    other_id: PathOther,
    request: Request,
    served: Served,
    parts: AppParts,
    context: str = CONTEXTS[0],
) -> WhyAnswer:
    """Why the other is, or is not, suggested to the user: sources, features, contributions, score and rules."""
    if context not in (known := {*CONTEXTS, *parts.settings.contexts}):
        raise invalid("context", f"must be one of {', '.join(sorted(known))}")
    viewer, other = served.tables.vocabulary.row(user_id), served.tables.vocabulary.row(other_id)
    if viewer is None or other is None:
        parameter = "user_id" if viewer is None else "other_id"
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"no user of this id is known ({parameter})", members={"parameter": parameter}
        )
    block = await _block(parts, served, viewer)
    return why(served, Pair(user_id, other_id, viewer, other), block, context, record_of(request).request_id)


async def _block(parts: Parts, served: ServedVersion, viewer: int) -> Block | None:
    """The viewer's candidates, or None; a block that does not read back counts as none."""
    record = await parts.stores.requests.get(parts.keys.block(served.version, viewer))
    try:
        return read_block(record, viewer) if record is not None else None
    except CorruptRecordError:
        parts.metrics.degraded.labels("corrupt_block").inc()
        return None
