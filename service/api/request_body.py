"""The bodies of requests that write: read whole, as JSON, whatever their content type."""

from typing import Any

import orjson
from fastapi import Request

from service.web.problems import invalid


async def json_body(request: Request) -> Any:
    """The JSON value of a body. Raises ProblemError 422 if it is not JSON; a body too large was refused before."""
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise invalid("", f"the body must be JSON in UTF-8: {error}", "body") from error


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises ProblemError 422 if it is not one."""
    value = await json_body(request)
    if not isinstance(value, dict):
        raise invalid("", "the body must be a JSON object", "body")
    return value


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is JSON of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
