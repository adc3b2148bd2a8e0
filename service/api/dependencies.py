"""What ordinary routes depend on: the container of the application, a key's scope, a user id in the path."""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from models.schema.columns import user_id_fault
from models.schema.vocabulary import UserId
from service.container import Container
from service.state.served_version import ServedVersion
from service.web.auth import ADMIN, READ, WRITE
from service.web.problems import invalid, unavailable
from service.web.record import RECORD, Record

_bearer = HTTPBearer(auto_error=False, description="A key of PYMK_KEYS; not needed if none is configured.")


def container_of(request: Request) -> Container:
    """The container of the application."""
    container: Container = request.app.state.container
    return container


AppContainer = Annotated[Container, Depends(container_of)]


async def _may_read(
    request: Request, container: AppContainer, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    await container.access.admit(record_of(request), READ)


async def _may_administer(
    request: Request, container: AppContainer, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    await container.access.admit(record_of(request), ADMIN)


async def _may_write(
    request: Request, container: AppContainer, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    await container.access.admit(record_of(request), WRITE)


MAY_READ = Depends(_may_read)
MAY_WRITE = Depends(_may_write)
MAY_ADMINISTER = Depends(_may_administer)
SCOPES = ((MAY_READ, READ), (MAY_WRITE, WRITE), (MAY_ADMINISTER, ADMIN))
"""by dependency of a route, the scope that it asks for"""


def record_of(request: Request) -> Record:
    """The Record of the request."""
    record: Record = request.scope[RECORD]
    return record


async def _served(container: AppContainer) -> ServedVersion:
    version = container.versions.active
    if version is None:
        raise unavailable("no version is active yet; pymk nightly DATA publishes one")
    return version


Served = Annotated[ServedVersion, Depends(_served)]
"""the active version, one for the whole request; 503 while there is none"""


async def _path_user(
    request: Request, user_id: Annotated[str, Path(description="A user id, percent-encoded, `/` included.")]
) -> UserId:
    """The id of one encoded path segment."""
    record_of(request).user_id = decoded = _decoded("user_id", user_id)
    return UserId(decoded)


async def _path_other(
    other_id: Annotated[str, Path(description="Another user's id, percent-encoded, `/` included.")],
) -> UserId:
    """The id of the segment that names the other of a pair."""
    return _decoded("other_id", other_id)


def _decoded(parameter: str, segment: str) -> UserId:
    """The id that a segment of a path encodes. Raises ProblemError 422 if it is not a valid id."""
    try:
        decoded = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise invalid(parameter, "must be UTF-8, percent-encoded", "path") from error
    if fault := user_id_fault(decoded):
        raise invalid(parameter, f"{fault}; it must be 1-128 bytes without control characters", "path")
    return UserId(decoded)


PathUser = Annotated[UserId, Depends(_path_user)]
PathOther = Annotated[UserId, Depends(_path_other)]
