"""What the answer to why somebody is, or is not, suggested is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.schemas import MutualConnections, SameAttribute


class Candidate(BaseModel):
    """Where the other stands among the viewer's precomputed candidates."""

    place: Annotated[int, Field(ge=1)]
    """by the night's cheap order"""
    rank: Annotated[int, Field(ge=1)]
    """by score, before any rule"""
    of: Annotated[int, Field(ge=1)]
    """how many candidates the viewer has"""


class SourceVerdict(BaseModel):
    """What one source said of the pair."""

    source: str
    found: bool | None
    """null where the other is no candidate: whoever was found and not kept is not known"""
    evidence: str | None
    """what the source goes by, in words"""


class Feature(BaseModel):
    """One number that the ranker read of the pair, connections who may not be named included."""

    name: str
    value: float
    """as the ranker read it"""
    measure: float | None
    """the quantity itself, where `value` is on a scale of logarithms"""
    contribution: float
    """what its difference to the viewer's average candidate added to the log-odds"""


class Score(BaseModel):
    """How the score came about. starting_point + the features' contributions + residual = log_odds.

    Integrated gradients (Sundararajan, Taly, Yan 2017) along the line from the mean of the viewer's candidates.
    """

    starting_point: float
    """log-odds of somebody who is the mean of the viewer's candidates in every number"""
    logit: float
    """the ranker's word before calibration"""
    log_odds: float
    """after calibration"""
    probability: Annotated[float, Field(ge=0, le=1)]
    """1 / (1 + exp(-log_odds)): what lists show as score"""
    residual: float
    """what rounding leaves over"""
    tower_product: float | None
    """cosine of the viewer's query tower and the other's candidate tower; null for a ranker without towers"""


class SharedValue(BaseModel):
    """A value that both profiles hold."""

    column: str
    value: str


class MutualPerson(BaseModel):
    """A mutual connection who may be named."""

    user_id: str
    name: str | None
    connections: int


class Mutuals(BaseModel):
    """The mutual connections of a pair for drawing.

    Nobody is named or counted who is hidden, inactive, or kept apart from the viewer.
    """

    count: Annotated[int, Field(ge=0)]
    people: list[MutualPerson]
    """those with the fewest connections first, as they say most"""
    ties: list[tuple[int, int]]
    """places in `people` of two who are connected with each other"""


class WhyAnswer(BaseModel):
    """What each stage says of a pair, by the active version."""

    user_id: str
    other_id: str
    request_id: str
    version: str
    context: str
    served: Literal["ranked", "cold_start", "empty"]
    """how a list of the viewer comes about now; `cold_start` is ranked without candidates of the viewer's own"""
    position: Annotated[int, Field(ge=1)] | None
    """in the viewer's list after all rules, null where the other is not in it"""
    listed: Annotated[int, Field(ge=0)]
    """how many people `position` was looked for among"""
    rules: list[str]
    """every rule that keeps the other out of the viewer's list"""
    candidate: Candidate | None
    """null where the other is none of the viewer's precomputed candidates"""
    sources: list[SourceVerdict]
    score: Score | None
    """null where the other is no candidate: only candidates are scored"""
    features: list[Feature]
    """by falling weight of their contribution; empty without a score"""
    reasons: list[Annotated[MutualConnections | SameAttribute, Field(discriminator="code")]]
    """what the viewer would be told"""
    shared: list[SharedValue]
    """all that both profiles hold, told or not"""
    mutuals: Mutuals
