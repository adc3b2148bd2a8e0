"""The answers to failed requests: RFC 9457 problem documents, and which error gets which status."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import orjson

from models.errors import (
    CorruptRecordError,
    PymkError,
    StoreError,
    UsageError,
    VersionError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""seconds that a client waits after a 503, for load or an absent store"""


class Kind(StrEnum):
    """What went wrong, for machines: the last part of the `type` of a problem document."""

    BAD_REQUEST = "bad-request"
    """not a request of HTTP/1.1, or one without the one Host that it needs"""
    KEY_REFUSED = "key-refused"
    """no key, or one that is not known"""
    SCOPE_MISSING = "scope-missing"
    """the key lacks the scope of the route"""
    FOREIGN_ORIGIN = "foreign-origin"
    """without keys: a page of another site, or a name of this host that is not the loopback's"""
    NOT_FOUND = "not-found"
    """no such route, user, version or receipt"""
    METHOD_NOT_ALLOWED = "method-not-allowed"
    """the route answers other methods, which `Allow` names"""
    REQUEST_TIMEOUT = "request-timeout"
    """the head or the body did not arrive in time"""
    CONFLICT = "conflict"
    """the version cannot be switched to"""
    BODY_TOO_LARGE = "body-too-large"
    """the body, or what it unpacks to, is larger than PYMK_MAX_BODY_BYTES"""
    URI_TOO_LONG = "uri-too-long"
    """the request line alone is longer than PYMK_MAX_HEAD_BYTES"""
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    """the body is said to be something else than JSON, or packed otherwise than with gzip"""
    INVALID_REQUEST = "invalid-request"
    """parameters or parts of the body are wrong; `errors` names them"""
    RATE_LIMITED = "rate-limited"
    """the key or the address asked more often than PYMK_RATE_LIMITS allows"""
    HEAD_TOO_LARGE = "head-too-large"
    """more header fields or bytes than PYMK_MAX_HEADERS and PYMK_MAX_HEAD_BYTES"""
    INTERNAL_ERROR = "internal-error"
    """a fault of the service; its log has the request id"""
    OVERLOADED = "overloaded"
    """more requests, bodies or connections in progress than the service takes"""
    STORE_UNAVAILABLE = "store-unavailable"
    """the store does not answer in time, or refuses"""
    RECORD_DAMAGED = "record-damaged"
    """what is stored of this user does not read back; `pymk doctor --repair` rebuilds it"""
    UNAVAILABLE = "unavailable"
    """nothing is published yet, or the service is not ready; `detail` says which"""

    @property
    def uri(self) -> str:
        """The `type` of its problem documents."""
        return f"urn:pymk:problem:{self.value}"


KIND_OF = {
    HTTPStatus.BAD_REQUEST: Kind.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED: Kind.KEY_REFUSED,
    HTTPStatus.FORBIDDEN: Kind.SCOPE_MISSING,
    HTTPStatus.NOT_FOUND: Kind.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Kind.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT: Kind.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT: Kind.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Kind.BODY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG: Kind.URI_TOO_LONG,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Kind.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY: Kind.INVALID_REQUEST,
    HTTPStatus.TOO_MANY_REQUESTS: Kind.RATE_LIMITED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Kind.HEAD_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR: Kind.INTERNAL_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE: Kind.UNAVAILABLE,
}
"""the kind of a problem that names none"""

STATUS_BY_KIND = {kind: status for status, kind in KIND_OF.items()} | {
    Kind.FOREIGN_ORIGIN: HTTPStatus.FORBIDDEN,
    Kind.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.STORE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.RECORD_DAMAGED: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""the status that each kind of problem comes with"""

STATUS_OF: tuple[tuple[type[PymkError], HTTPStatus], ...] = (
    (VersionError, HTTPStatus.CONFLICT),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
"""the first class that fits decides; anything else is a fault of the service: 500 without its message"""


class ProblemError(PymkError):
    """A request that cannot be answered, with the content of its problem document.

    `members` are added to the standard ones of the document, `headers` to the answer; `logged` is in the log line
    alone. `kind` defaults to that of the status.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        logged: str | None = None,
        kind: Kind | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind or KIND_OF.get(status)
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        self.logged = logged

    def body(self, request_id: str) -> bytes:
        """The problem document."""
        return orjson.dumps(
            {
                "type": self.kind.uri if self.kind else "about:blank",
                "title": self.status.phrase,
                "status": self.status.value,
                "detail": self.detail,
                "request_id": request_id,
                **self.members,
            }
        )


def invalid(parameter: str, detail: str, place: str = "query") -> ProblemError:
    """422 for one parameter, with what is allowed."""
    return invalid_all([(parameter, place, detail)])


def invalid_all(faults: Sequence[tuple[str, str, str]]) -> ProblemError:
    """422 for (parameter, place, what is allowed) of every fault found."""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "; ".join(f"{parameter}: {detail}" if parameter else detail for parameter, _, detail in faults),
        members={"errors": [{"parameter": name, "in": place, "detail": detail} for name, place, detail in faults]},
    )


def unavailable(
    detail: str, *, logged: str | None = None, kind: Kind = Kind.UNAVAILABLE, **members: Any
) -> ProblemError:
    """503 with the seconds after which to try again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return ProblemError(status, detail, members=members, headers=headers, logged=logged, kind=kind)


def damaged(
    error: CorruptRecordError, detail: str = "the record of this user does not read back", **members: Any
) -> ProblemError:
    """503 for what cannot be answered until an operator has repaired a record."""
    return unavailable(detail, logged=str(error), kind=Kind.RECORD_DAMAGED, **members)


def overloaded(detail: str) -> ProblemError:
    """503 for more work than the service takes at once."""
    return unavailable(detail, kind=Kind.OVERLOADED, served="unavailable")


def too_large() -> ProblemError:
    """413 with the setting that limits a body."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than this service accepts (PYMK_MAX_BODY_BYTES)"
    )


def of_error(error: Exception) -> ProblemError:
    """The problem of an error; it shows neither the message of an unexpected error nor the address of the store."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, StoreError):
        return unavailable(error.public_message, logged=str(error), kind=Kind.STORE_UNAVAILABLE)
    if isinstance(error, CorruptRecordError):
        return damaged(error, "a stored record that this answer needs does not read back")
    for kind, status in STATUS_OF:
        if isinstance(error, kind):
            return ProblemError(status, str(error))
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong in the service; its log has the request id"
    )
