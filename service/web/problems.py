"""The answers to failed requests: RFC 9457 problem documents, and which error gets which status."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from models.errors import (
    PymkError,
    StoreError,
    UsageError,
    VersionError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""seconds that a client waits after a 503, for load or an absent store"""

STATUS_OF: tuple[tuple[type[PymkError], HTTPStatus], ...] = (
    (VersionError, HTTPStatus.CONFLICT),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
"""the first class that fits decides; anything else is a fault of the service: 500 without its message"""


class ProblemError(PymkError):
    """A request that cannot be answered, with the content of its problem document.

    `members` are added to the standard ones of the document, `headers` to the answer; `logged` is in the log line
    alone.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        logged: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        self.logged = logged

    def body(self, request_id: str) -> bytes:
        """The problem document."""
        return orjson.dumps(
            {
                "type": "about:blank",
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


def unavailable(detail: str, *, logged: str | None = None, **members: Any) -> ProblemError:
    """503 with the seconds after which to try again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, members=members, headers=headers, logged=logged)


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
        return unavailable(error.public_message, logged=str(error))
    for kind, status in STATUS_OF:
        if isinstance(error, kind):
            return ProblemError(status, str(error))
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong in the service; its log has the request id"
    )
