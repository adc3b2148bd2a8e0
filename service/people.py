"""The routes that tell what a version knows."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from service.documentation import problems
from service.guard import MAY_READ, AppParts, PathUser, Served
from service.problems import ProblemError

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
