"""The dials of the ranker's training."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RankerConfig(BaseModel):
    """How the ranker learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_pairs: int = Field(default=1000, ge=1)
    """known outcomes below which resource allocation ranks instead"""

    lists: int = Field(default=9000, ge=1)
    """lists to learn from, at most"""

    rounds: int = Field(default=6, ge=1)
    """times that other friendships are hidden, at most, until there are as many lists; with dates, windows back"""

    least_newcomers: int = Field(default=100, ge=0)
    """users of whom all or nearly all friendships are hidden: one in twenty, but not fewer than this"""

    most_newcomers: int = Field(default=600, ge=0)
    """and not more than this"""

    hardest: int = Field(default=64, ge=1)
    """candidates without friendship taken from the head of each list in a step"""

    others: int = Field(default=64, ge=1)
    """candidates drawn at random from the rest of each list in a step, which represent all of it"""

    batch_users: int = Field(default=32, ge=1)
    """viewers a step"""

    epochs: int = Field(default=16, ge=1)
    """passes over the viewers, at most"""

    max_steps: int = Field(default=3600, ge=1)
    """steps, whatever the epochs"""

    patience: int = Field(default=4, ge=1)
    """epochs without a better NDCG@20 of the validation viewers before training stops"""

    learning_rate: float = Field(default=1.5e-3, gt=0)
    """highest step of AdamW, rising and falling along one cycle"""

    weight_decay: float = Field(default=1e-3, ge=0)
    """pull of the weights towards zero"""

    sparse_friends: float = Field(default=10.0, ge=0)
    """median number of friends below which the ranker stays linear, if friendships have no dates: if users have few
    friends, a non-linear one learns which of them happened to be hidden, and does not generalise to the future"""

    linear_learning_rate: float = Field(default=1e-2, gt=0)
    """highest step of AdamW if the ranker stays linear"""

    linear_max_steps: int = Field(default=1200, ge=1)
    """steps of AdamW if the ranker stays linear, but not more than `max_steps`"""

    linear_prior: float = Field(default=0.35, ge=0, le=1)
    """share of the way back to the pre-ranking weights that a linear ranker's weights of degrees go after training"""

    linear_penalty: float = Field(default=1e-4, ge=0)
    """pull of the weights towards zero where the linear map is fitted at once, which it is if friendships have dates"""

    linear_lists: int = Field(default=2000, ge=1)
    """lists that such a fit reads, at most"""

    linear_places: int = Field(default=150, ge=1)
    """candidates without friendship that such a fit reads of each list: as many first ones, and as many others"""

    linear_steps: int = Field(default=60, ge=1)
    """steps of such a fit, at most"""

    evidence_errors: float = Field(default=1.0, ge=0)
    """standard errors by which one input alone must beat the ranker in the validation to replace it"""

    tower_dimensions: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64, 128, 256, 384), min_length=1)
    """dimensions of the towers to choose from by validation: those with which the pre-ranking order or the product
    alone is best, the more of the two"""

    tower_lists: int = Field(default=1000, ge=1)
    """lists by which they are chosen, at most"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are kept for stopping"""

    validation_lists: int = Field(default=1000, ge=1)
    """but no more lists than about this many"""

    calibration_share: float = Field(default=0.025, gt=0, lt=0.5)
    """share of friendships hidden at a time to calibrate on, if they have no dates"""

    calibration_pairs: int = Field(default=2500, ge=0)
    """friendships to calibrate on: as many are hidden, in several rounds if the graph is small"""

    calibration_rounds: int = Field(default=4, ge=0)
    """but no more rounds than this; none: probabilities are those of the validation lists"""

    calibration_lists: int = Field(default=1500, ge=1)
    """lists a round to calibrate on, at most"""

    seed: int = 0
    """of weights, order and draws"""
