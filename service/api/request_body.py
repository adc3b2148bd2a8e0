"""The bodies of requests that write: JSON, which the middleware has read whole and unpacked."""

import asyncio
import re
from http import HTTPStatus
from typing import Any

from fastapi import Request

from models.system import strict_json
from service.web.problems import ProblemError, invalid

AT_ONCE = 64 << 10
"""bytes of a body that are looked at closely between two other requests: a millisecond or two"""
_JSON = re.compile(r"(?:application/(?:[\w.!#$&^+-]+\+)?|text/)json", re.ASCII | re.IGNORECASE)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w-]+)", re.ASCII | re.IGNORECASE)


async def json_body(request: Request) -> Any:
    """The JSON value of a body.

    Raises ProblemError 415 if it is said to be something else; 422 if it is not JSON, or JSON that readers do not agree
    about: with a key twice in an object, or with half of a surrogate pair.

    A body without a content type is read as JSON: nothing else can be meant, and clients that send none keep working.
    What a page of another site could send without asking, with a content type or none, is refused by its Origin.
    """
    _check_type(request.headers.get("content-type"))
    try:
        body = await request.body()
        value, is_clear = strict_json.glance(body)
        if not is_clear and len(body) <= AT_ONCE:
            strict_json.loads_exactly(body)
        elif not is_clear:
            await asyncio.to_thread(strict_json.loads_exactly, body)
    except strict_json.JsonFaultError as error:
        detail = f"the body must be JSON in UTF-8: {error.fault}" if error.key is None else f"the {error.fault}"
        raise invalid(error.key or "", detail, "body") from error
    return value


def _check_type(content_type: str | None) -> None:
    if content_type is None or not content_type.strip():
        return
    charset = _CHARSET.search(content_type)
    if _JSON.fullmatch(content_type.partition(";")[0].strip()) and (
        charset is None or charset[1].lower() in {"utf-8", "utf8", "us-ascii"}
    ):
        return
    raise ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON in UTF-8, and be said to be: Content-Type: application/json (curl: -H or --json)",
        headers={"Accept": "application/json"},
    )


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises ProblemError 422 if it is not one."""
    value = await json_body(request)
    if not isinstance(value, dict):
        raise invalid("", "the body must be a JSON object", "body")
    return value


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is JSON of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
