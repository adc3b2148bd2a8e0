"""The schema of an explanation: why a person is, or is not, suggested."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.schemas import MutualConnections, SameAttribute


class Candidate(BaseModel):
    """The place of the other among the viewer's precomputed candidates."""

    place: Annotated[int, Field(ge=1)]
    """in the order of the pre-ranking"""
    rank: Annotated[int, Field(ge=1)]
    """by score, before any rule"""
    of: Annotated[int, Field(ge=1)]
    """how many candidates the viewer has"""


class SourceVerdict(BaseModel):
    """What one candidate source says of the pair."""

    source: str
    found: bool | None
    """null if the other is no candidate: people whom the pre-ranking dropped are not recorded"""
    evidence: str | None
    """what the source ranks by, in words"""


class Feature(BaseModel):
    """One input of the ranker for the pair; connections who may not be named count in it."""

    name: str
    value: float
    """as the ranker read it"""
    measure: float | None
    """the quantity itself, if `value` is on a logarithmic scale"""
    contribution: float
    """what its difference to the viewer's average candidate added to the log-odds"""


class Score(BaseModel):
    """How the score came about. starting_point + the features' contributions + residual = log_odds.

    Integrated gradients (Sundararajan, Taly, Yan 2017) along the line from the mean of the viewer's candidates.
    """

    starting_point: float
    """log-odds of the mean of the viewer's candidates in every input"""
    logit: float
    """the ranker's output before calibration"""
    log_odds: float
    """after calibration"""
    probability: Annotated[float, Field(ge=0, le=1)]
    """1 / (1 + exp(-log_odds)): what lists show as score"""
    residual: float
    """the rounding error of the integration"""
    tower_product: float | None
    """product of the viewer's query and the other's vector, which estimates the friendship; null for a ranker without
    towers"""


class SharedValue(BaseModel):
    """A value that both profiles have."""

    column: str
    value: str


class MutualPerson(BaseModel):
    """A mutual connection who may be named."""

    user_id: str
    name: str | None
    connections: int


class Mutuals(BaseModel):
    """The mutual connections of a pair for drawing.

    People who are hidden or inactive, or whom the viewer must not be shown, are neither named nor counted.
    """

    count: Annotated[int, Field(ge=0)]
    people: list[MutualPerson]
    """those with the fewest connections first, as they say most"""
    ties: list[tuple[int, int]]
    """pairs of places in `people` that are connected with each other"""


class WhyAnswer(BaseModel):
    """What each stage of the active version says of a pair."""

    user_id: str
    other_id: str
    request_id: str
    version: str
    context: str
    served: Literal["ranked", "cold_start", "empty"]
    """how a list of the viewer comes about now; `cold_start` is ranked without candidates of the viewer's own"""
    position: Annotated[int, Field(ge=1)] | None
    """in the viewer's list after all rules, null if the other is not in it"""
    listed: Annotated[int, Field(ge=0)]
    """how many people the list has"""
    rules: list[str]
    """every rule that drops the other from the viewer's list"""
    candidate: Candidate | None
    """null if the other is none of the viewer's precomputed candidates"""
    sources: list[SourceVerdict]
    score: Score | None
    """null if the other is no candidate: only candidates are scored"""
    features: list[Feature]
    """by falling absolute contribution; empty without a score"""
    reasons: list[Annotated[MutualConnections | SameAttribute, Field(discriminator="code")]]
    """what the viewer would be shown"""
    shared: list[SharedValue]
    """all values that both profiles have, shown as reasons or not"""
    mutuals: Mutuals
