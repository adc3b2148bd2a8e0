"""The routes that read and change profiles, and describe the served version."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel

from models.errors import CorruptRecordError
from models.event_log.write_profile import write_profile
from models.schema.columns import ALL_FLAGS, Flag
from models.schema.profile_validation import (
    LARGEST_NUMBER,
    LONGEST_TEXT,
    LONGEST_VALUE,
    MOST_MEMBERS,
    ProfileFaultError,
    checked_columns,
)
from models.schema.vocabulary import UserId
from service.api.dependencies import (
    MAY_READ,
    MAY_WRITE,
    AppContainer,
    PathUser,
    Served,
)
from service.api.events import write_wait_s
from service.api.openapi import problems
from service.api.request_body import documented, json_object
from service.state.current_profile import current_profile
from service.state.served_version import ServedVersion
from service.web.problems import ProblemError, damaged, invalid_all

MOST_NAMED = 20
"""faults of a body that an answer names at most"""

router = APIRouter(prefix="/pymk", tags=["people"])


class VersionAnswer(BaseModel):
    """The served version."""

    version: str
    published_at: AwareDatetime | None
    activated_at: AwareDatetime | None
    created_at: AwareDatetime
    cut: AwareDatetime
    """the time of the last event that it knows"""
    users: int
    connections: int
    ranker: dict[str, Any]
    forced: bool
    """published although the quality gate refused it"""
    package_version: str
    git_commit: str | None


@router.get("/version", dependencies=[MAY_READ], responses=problems(401, 403, 503))
async def version(served: Served, container: AppContainer) -> VersionAnswer:
    """The served version, and what it was made of."""
    return VersionAnswer.model_validate(
        {**served.manifest.model_dump(), "activated_at": container.versions.activated_at, "version": served.version}
    )


class PutAnswer(BaseModel):
    """A profile change that was written."""

    accepted: int
    """columns that the body names"""


_COLUMNS = {
    "type": "object",
    "description": "Column and value. Only the columns named change; null clears one.",
    "additionalProperties": {
        "anyOf": [
            {
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST_TEXT,
                "description": f'A category or a name of up to {LONGEST_VALUE} characters, a text, a place "lat,lon", '
                "a timestamp. Control characters are refused, but for line ends and tabs in a text.",
            },
            {
                "type": "number",
                "minimum": -LARGEST_NUMBER,
                "maximum": LARGEST_NUMBER,
                "description": "A number, or a timestamp in epoch seconds.",
            },
            {"type": "boolean", "description": "discoverable, active, connections_visible."},
            {
                "type": "array",
                "maxItems": MOST_MEMBERS,
                "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE},
                "description": "A set of values; an empty one clears.",
            },
            {"type": "null"},
        ]
    },
    "example": {"name": "Ann", "company": "Acme", "schools": ["Elm"], "home": "52.5,13.4", "discoverable": True},
}


@router.get("/users/{user_id}", dependencies=[MAY_READ], responses=problems(401, 403, 404, 422, 503))
async def profile(user_id: PathUser, served: Served, container: AppContainer) -> dict[str, Any]:
    """The stored profile of a user, with what was put since: an object of column and value."""
    try:
        person = await current_profile(container.stores.requests, container.keys, served, user_id)
    except CorruptRecordError as error:
        container.loader.damaged.add(user_id)
        raise damaged(error, "the profile of this user does not read back") from error
    if person is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no user of this id is known")
    return dict(person.profile)


@router.put(
    "/users/{user_id}",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[MAY_WRITE],
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra=documented(_COLUMNS),
)
async def put(user_id: PathUser, request: Request, served: Served, container: AppContainer) -> PutAnswer:
    """Create or change a profile. Only the columns named change; null clears one; an unknown column is refused.

    `discoverable`, `active` and `connections_visible` apply to every answer from then on. After an erasure this
    registers a new user of the id.
    """
    body = await json_object(request)
    try:
        columns = checked_columns(body, served.tables.column_kinds)
    except ProfileFaultError as error:
        faults = islice(error.faults.items(), MOST_NAMED)
        raise invalid_all([(column, "body", fault) for column, fault in faults]) from error
    row = served.tables.vocabulary.row(user_id)
    cut = 0 if row is None else served.manifest.cut_us
    base = _shown_by_all(user_id, [served, *container.versions.open])
    store, keys = container.stores.requests, container.keys
    await store.durably(
        lambda: write_profile(
            store,
            keys,
            user_id,
            columns,
            after=container.live_sync.after,
            base=base,
            cut=cut,
        ),
        write_wait_s(container),
    )
    return PutAnswer(accepted=len(columns))


def _shown_by_all(user_id: UserId, versions: Sequence[ServedVersion]) -> Flag:
    """The flags that a user has in every version, the canary among them, that lists may be of; all if none has them."""
    flags = ALL_FLAGS
    for version in versions:
        if (row := version.tables.vocabulary.row(user_id)) is not None:
            flags &= Flag(int(version.tables.flags[row]))
    return flags
