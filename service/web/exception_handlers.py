"""Exception handlers of ordinary routes: errors become problem documents."""

from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from service.web.problems import (
    MEDIA_TYPE,
    ProblemError,
    invalid_all,
    of_error,
    too_large,
)
from service.web.record import RECORD, Record


async def answer_error(request: Request, error: Exception) -> Response:
    """A PymkError by the status of its class; anything else is a 500."""
    return _response(request, of_error(error))


async def answer_http_error(request: Request, error: Exception) -> Response:
    """A request that routing refuses: no such path or method, or a body too large."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class alone
    status = HTTPStatus(error.status_code)
    detail = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: too_large().detail,
    }.get(status, str(error.detail))
    return _response(request, ProblemError(status, detail, headers=error.headers))


async def answer_validation_error(request: Request, error: Exception) -> Response:
    """Parameters and bodies that FastAPI refused: which part, and what is allowed."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class alone
    faults = []
    for fault in error.errors():
        place, *names = fault["loc"]
        faults.append((".".join(map(str, names)), str(place), str(fault["msg"])))
    return _response(request, invalid_all(faults))


def _response(request: Request, problem: ProblemError) -> Response:
    record: Record = request.scope[RECORD]
    record.refused(problem)
    body = problem.body(record.request_id)
    headers = {"Cache-Control": "private, no-store", **problem.headers}
    return Response(body, problem.status.value, headers, media_type=MEDIA_TYPE)
