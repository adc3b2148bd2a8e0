"""What the OpenAPI document says of the hot route, and of problems."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from models.settings import CONTEXTS
from service.guard import MAY_READ
from service.problems import MEDIA_TYPE
from service.query import DEFAULT_LIMIT, MOST
from service.recommendations import PATH


class ProblemAnswer(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class MutualConnections(BaseModel):
    """Connections that the viewer and the person share."""

    code: Literal["mutual_connections"]
    count: int
    examples: list[str]
    text: str


class SameAttribute(BaseModel):
    """A value that both profiles hold."""

    code: Literal["same_attribute"]
    attribute: str
    value: str
    text: str


class Recommendation(BaseModel):
    """A person the viewer may know."""

    user_id: str
    score: Annotated[float, Field(ge=0, le=1)]
    position: Annotated[int, Field(ge=1)]
    sources: list[str]
    reasons: list[Annotated[MutualConnections | SameAttribute, Field(discriminator="code")]]


class RecommendationsAnswer(BaseModel):
    """Whom the viewer may know, best first."""

    user_id: str
    request_id: str
    version: str
    served: Literal["ranked", "cache", "stale", "cold_start", "empty"]
    recommendations: list[Recommendation]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    schema = ProblemAnswer.model_json_schema()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


class HotRoute(APIRoute):
    """A route that documents its signature, while service.requests hands its requests to another application."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers like the hot application where the request came under a root path."""
        await scope["app"].state.parts.recommendations(scope, receive, send)


def recommendations(
    user_id: Annotated[str, Query(min_length=1, max_length=128, description="Whom the list is for.")],
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many people at most.")] = DEFAULT_LIMIT,
    context: Annotated[
        str, Query(description=f"The surface: {', '.join(CONTEXTS)}, or one that PYMK_CONTEXTS names.")
    ] = CONTEXTS[0],
    exclude: Annotated[
        str | None,
        Query(description=f"Up to {MOST} user ids to leave out, separated by commas; an id with a comma alone."),
    ] = None,
    cache_control: Annotated[str | None, Header(description="no-cache: rank afresh.")] = None,
) -> None:
    """Whom the viewer may know, best first, with score, sources and reasons from one version."""


def add_recommendations(app: FastAPI) -> None:
    """Documents the hot route, and answers it where it is reached by routing."""
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
