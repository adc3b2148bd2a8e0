"""The OpenAPI document: the hot route, the problems, and the ids of operations."""

from http import HTTPStatus
from itertools import zip_longest
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from models.settings import CONTEXTS
from service.api.dependencies import MAY_READ
from service.api.recommendation_params import PATH
from service.api.schemas import Problem, RecommendationsAnswer
from service.recommend.cursor import LONGEST
from service.recommend.query import DEFAULT_LIMIT, MOST
from service.web.problems import MEDIA_TYPE

_PROBLEM = {"$ref": "#/components/schemas/Problem"}

EVERYWHERE = (400, 403, 408, 414, 422, 431)
"""problems of any request: no HTTP, another site's, too slow, too long, unknown parameters, too many headers"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, and with those of every route.

    A route that asks for a key (401) may also be limited in its rate, and one with a body (413) refuse the kind of it.
    """
    named = {*statuses, *EVERYWHERE} | ({429} if 401 in statuses else set()) | ({415} if 413 in statuses else set())
    return {status: _problem(status) for status in sorted(named)}


def _problem(status: int) -> dict[str, Any]:
    """The documentation of one status: the problem, which is a component, and the headers that come with it."""
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
    if status in {429, 503}:
        answer["headers"] = {"Retry-After": _header("Seconds after which to try again.", "integer")}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": _header("How to present a key.", "string")}
    return answer


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, as generators of clients read it without a warning.

    Problems are one component, bodies with a title are components, and every operation has a readable id.
    """
    described = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        openapi_version=app.openapi_version,
    )
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for operation in (operation for path in described["paths"].values() for operation in path.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if name := content["schema"].get("title"):
                schemas[name], content["schema"] = content["schema"], {"$ref": f"#/components/schemas/{name}"}
    described["components"]["schemas"] = dict(sorted(schemas.items()))
    return described


def operation_id(route: APIRoute) -> str:
    """A method and the words of its path, as `get_user_why`; one name of several, if an id follows it, is singular."""
    parts = [part for part in route.path_format.split("/") if part not in {"", "pymk"}]
    words = [
        part.removesuffix("s") if following.startswith("{") else part
        for part, following in zip_longest(parts, parts[1:], fillvalue="")
        if not part.startswith("{")
    ]
    return "_".join([min(route.methods or {"GET"}).lower(), *(words or map(str, route.tags))])


class HotRoute(APIRoute):
    """A route that documents its signature, while service.web.middleware passes its requests to another application."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers like the hot application, for a request that came under a root path."""
        await scope["app"].state.recommendations(scope, receive, send)


def recommendations(
    user_id: Annotated[str, Query(min_length=1, max_length=128, description="The viewer of the list.")],
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many people at most.")] = DEFAULT_LIMIT,
    context: Annotated[
        str, Query(description=f"The surface: {', '.join(CONTEXTS)}, or one that PYMK_CONTEXTS names.")
    ] = CONTEXTS[0],
    exclude: Annotated[
        str | None,
        Query(description=f"Up to {MOST} user ids to leave out, separated by commas; an id with a comma alone."),
    ] = None,
    fields: Annotated[
        str | None, Query(description="Profile columns that entries show in `profile`, separated by commas.")
    ] = None,
    cursor: Annotated[
        str | None,
        Query(max_length=LONGEST, description="Empty for the first page, then `next` of the answer before."),
    ] = None,
    cache_control: Annotated[str | None, Header(description="no-cache: rank afresh.")] = None,
) -> None:
    """People whom the viewer may know, best first, with score, sources and reasons from one version."""


def add_recommendations(app: FastAPI) -> None:
    """Documents the hot route, and answers it if it is reached by routing."""
    route = HotRoute(
        PATH,
        recommendations,
        methods=["GET"],
        response_model=RecommendationsAnswer,
        tags=["people"],
        dependencies=[MAY_READ],
        responses=problems(401, 403, 422, 503),
        generate_unique_id_function=operation_id,
    )
    app.router.routes.append(route)
