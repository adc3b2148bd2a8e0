"""What the gate tolerates."""

from pydantic import BaseModel, ConfigDict, Field


class GateConfig(BaseModel):
    """How much may be lost against the active version, and how good a version must be to be published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_people_lost: float = Field(default=0.1, ge=0, le=1)
    """share of the people shown by the active version who may be missing or hidden now; the erased do not count"""

    most_friendships_lost: float = Field(default=0.2, ge=0, le=1)
    """share of the active version's friendships that may be missing now"""

    most_forbidden_lost: float = Field(default=0.1, ge=0, le=1)
    """share of the blocks, dismissals and reports of the active version that may be gone without being lifted"""

    most_columns_lost: int = Field(default=0, ge=0)
    """profile columns of the active version that may be missing now, beside those in `columns_dropped`"""

    columns_dropped: list[str] = []
    """profile columns that were given up on purpose, so that their loss does not count"""

    most_values_lost: float = Field(default=0.3, ge=0, le=1)
    """share of a column's filled cells that may be empty now"""

    least_judged: int = Field(default=50, ge=1)
    """fewest evaluated users for lists to be compared; below, no difference can be told from noise"""

    most_miscalibrated: float = Field(default=4.0, ge=1)
    """factor between the friendships that probabilities promise and those that came, either way"""

    least_evenness: float = Field(default=0.5, ge=0, le=1)
    """share of the active version's evenness of exposure, 1 less its Gini coefficient, that must be left"""

    least_friendships_kept: float = Field(default=0.5, ge=0)
    """share of links alone's recall@20 that must be left where the score reads heads of outcomes"""

    least_served: float = Field(default=0.98, ge=0, le=1)
    """share of the active people who have candidates, of those for whom there are any"""

    least_newcomers_served: float = Field(default=0.9, ge=0, le=1)
    """the same of people who are new since the active version"""

    parity_users: int = Field(default=1000, ge=0)
    """people whose served scores are compared with those of the trained network"""

    most_unlike: float = Field(default=0.01, ge=0, le=1)
    """share of those whose scores or candidates may differ"""
