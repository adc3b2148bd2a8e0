"""The schemas of the hot route and of problems in the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """A schema whose fields are described by the strings under them."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Fault(Schema):
    """What is wrong with one part of a request."""

    model_config = ConfigDict(populate_by_name=True)

    parameter: str
    """its name; empty: the body as a whole"""
    place: Annotated[str, Field(alias="in")]
    """query, path, header or body"""
    detail: str


class Problem(Schema):
    """An error (RFC 9457). Some problems have more members: `served`, or the `parts` of readiness."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[Fault] = []
    """only of a 422"""


class MutualConnections(Schema):
    """Connections that the viewer and the person share."""

    code: Literal["mutual_connections"]
    count: int
    examples: list[str]
    text: str


class SameAttribute(Schema):
    """A value that both profiles have."""

    code: Literal["same_attribute"]
    attribute: str
    value: str
    text: str


class InContacts(Schema):
    """The person is among the contacts that the viewer uploaded."""

    code: Literal["contact"]
    text: str


class Recommendation(Schema):
    """A person the viewer may know."""

    user_id: str
    score: Annotated[float, Field(ge=0, le=1)]
    position: Annotated[int, Field(ge=1)]
    sources: list[str]
    reasons: list[Annotated[InContacts | MutualConnections | SameAttribute, Field(discriminator="code")]]
    profile: dict[str, Any] | None = None
    """the columns that `fields` asks for, as GET /pymk/users/{user_id} shows them, those without a value left out"""


class RecommendationsAnswer(Schema):
    """The people whom the viewer may know, best first."""

    user_id: str
    request_id: str
    version: str
    served: Literal["ranked", "cache", "stale", "cold_start", "empty"]
    recommendations: list[Recommendation]
    ask: str | None = None
    """the profile column whose value would help the viewer most; only in a cold start, or with few friends"""
    arms: dict[str, str] | None = None
    """by running experiment, the arm that the viewer is in; only if in any"""
    next: str | None = None
    """the cursor of the next page; only if `cursor` was given and more people follow"""


class BatchEntry(Schema):
    """The list of one of several viewers, or why there is none."""

    user_id: str
    request_id: str
    version: str
    served: Literal["ranked", "cache", "stale", "cold_start", "empty", "unavailable"]
    recommendations: list[Recommendation]
    ask: str | None = None
    """the profile column whose value would help the viewer most; only in a cold start, or with few friends"""
    arms: dict[str, str] | None = None
    """by running experiment, the arm that the viewer is in; only if in any"""
    detail: str | None = None
    """why there is no list; only where `served` is `unavailable`"""


class BatchAnswer(Schema):
    """The lists of several viewers, in the order in which they were named."""

    lists: list[BatchEntry]
