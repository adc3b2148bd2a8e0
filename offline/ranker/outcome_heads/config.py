"""The dials of learning from outcomes."""

from pydantic import BaseModel, ConfigDict, Field


class BlendConfig(BaseModel):
    """Powers of the probabilities whose product orders a list: 0 leaves one out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    friendship: float = Field(default=0.0, ge=0, le=10)
    """of the probability of a friendship by the graph and profiles alone, which the head of invitations reads too"""

    invited: float = Field(default=1.0, ge=0, le=10)
    """of p(invited), of a person whom the viewer looks at"""

    accepted: float = Field(default=1.0, ge=0, le=10)
    """of p(accepted | invited)"""

    dismissed: float = Field(default=1.0, ge=0, le=10)
    """of 1 - p(dismissed)"""


class OutcomesConfig(BaseModel):
    """Whether and how a night learns from what came of the lists that were given out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learn: bool = True
    """whether it does, where there are enough outcomes"""

    days: float = Field(default=60.0, gt=0)
    """lists of so many days before the night are read"""

    most_read: int = Field(default=4_000_000, ge=1000)
    """people shown that are read of the log at most, about a kilobyte each; of a larger one a sample of the viewers"""

    least_invited: int = Field(default=300, ge=20)
    """people who were invited from lists, below which links alone rank"""

    least_accepted: int = Field(default=100, ge=20)
    """invitations from lists that were accepted, below which links alone rank"""

    least_dismissed: int = Field(default=100, ge=20)
    """people who were dismissed, blocked or reported from lists, below which that head is left out"""

    least_viewers: int = Field(default=100, ge=8)
    """viewers who invited somebody from a list, below which links alone rank"""

    least_drawn: int = Field(default=200, ge=20)
    """people with any outcome in lists drawn uniformly, from which on these alone say how places are looked at"""

    most_rows: int = Field(default=100_000, ge=1000)
    """people shown that heads are fitted on, at most: a draw over all days, in which those with an outcome are many"""

    among: int = Field(default=50, ge=2)
    """the best of a viewer's candidates by links alone whom the score reorders: of people who were never shown it knows
    nothing"""

    penalties: tuple[float, ...] = Field(default=(10.0, 30.0, 100.0, 300.0), min_length=1)
    """pulls of the weights towards the links alone, to choose from by held-out viewers"""

    context_penalty: float = Field(default=3.0, ge=1)
    """factor on that pull for weights of one context alone"""

    folds: int = Field(default=4, ge=2)
    """parts of the viewers, each of which is held out once"""

    evidence_errors: float = Field(default=1.0, ge=0)
    """standard errors by which a head must predict better than links alone for held-out viewers to be used"""

    steps: int = Field(default=200, ge=1)
    """steps of a fit, at most"""

    blend: BlendConfig = BlendConfig()
    """powers of the probabilities in the score"""

    seed: int = 0
    """of the parts and draws"""
