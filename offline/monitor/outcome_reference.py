"""What reference statistics keep of outcomes: sums over many viewers, which name nobody."""

from pydantic import BaseModel, ConfigDict


class ShownReference(BaseModel):
    """People shown to viewers, each person to each viewer once a day, and what came of them in time."""

    model_config = ConfigDict(frozen=True)

    viewers: int
    shown: int
    invited: int
    accepted: int
    promised: float
    """sum of the probabilities that were shown"""
    spread: float = 1.0
    """variance of the share accepted over that of people who do not depend on each other: people of one viewer do"""
    promised_spread: float = 1.0
    """the same of the ratio of accepted to promised"""
    promised_error: float = 0.0
    """standard error of the mean probability"""

    @property
    def acceptance(self) -> float:
        """Share of those shown who accepted an invite."""
        return self.accepted / max(self.shown, 1)

    @property
    def mean(self) -> float:
        """Mean of the probabilities that were shown."""
        return self.promised / max(self.shown, 1)

    @property
    def calibration(self) -> float:
        """Acceptances for each friendship that the probabilities promised."""
        return self.accepted / max(self.promised, 1e-9)


class ServedReference(BaseModel):
    """Lists that were served in one way."""

    model_config = ConfigDict(frozen=True)

    lists: int
    spread: float = 1.0
    """variance of their share over that of lists that do not depend on each other"""


class OutcomeReference(BaseModel):
    """The lists of the days before a night, and what came of those whose window had closed."""

    model_config = ConfigDict(frozen=True)

    until: int
    """when they were read, microseconds since 1970 UTC"""
    window: int
    """microseconds: what comes of a list later is not looked at, and younger lists are not"""
    sources: dict[str, ShownReference] = {}
    """by source; a person whom several found counts under each"""
    deciles: list[ShownReference | None] = []
    """by tenth of the probability among `scored`, lowest first; None where too few accepted"""
    scored: ShownReference | None = None
    """people whose probability is as the ranker gave it: of a ranked list, in their order"""
    lists: int = 0
    viewers: int = 0
    """of all lists, those whose window is open among them"""
    served: dict[str, ServedReference] = {}
    """by the way of serving: `stale`, `cold_start`, `empty`"""
