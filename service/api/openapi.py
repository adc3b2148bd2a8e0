"""The hot route and the problems in the OpenAPI document."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from models.settings import CONTEXTS
from service.api.dependencies import MAY_READ
from service.api.recommendation_params import PATH
from service.api.schemas import ProblemAnswer, RecommendationsAnswer
from service.recommend.cursor import LONGEST
from service.recommend.query import DEFAULT_LIMIT, MOST
from service.web.problems import MEDIA_TYPE

EVERYWHERE = (400, 403, 408, 414, 422, 431)
"""problems of any request: no HTTP, another site's, too slow, too long, unknown parameters, too many headers"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, and with those of every route.

    A route that asks for a key (401) may also be limited in its rate, and one with a body (413) refuse the kind of it.
    """
    named = {*statuses, *EVERYWHERE} | ({429} if 401 in statuses else set()) | ({415} if 413 in statuses else set())
    schema = ProblemAnswer.model_json_schema()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(named)
    }


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
    )
    app.router.routes.append(route)
