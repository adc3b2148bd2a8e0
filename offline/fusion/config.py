"""Which fusion, and the dials of its training."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from offline.fusion.candidate_lists import PRODUCT
from offline.ranker.config import RankerConfig

BLENDED = ("resource_allocation", "pagerank", "affinity", PRODUCT)
"""a score for each of the main sources: friends of friends, walks, attributes, the encoder"""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Supervised(_Config):
    """What the fusions that learn from labelled lists share."""

    epochs: int = Field(default=60, ge=1)
    """passes over the lists, at most"""

    batch_lists: int = Field(default=32, ge=1)
    """lists a step"""

    learning_rate: float = Field(default=3e-3, gt=0)
    """step of AdamW"""

    weight_decay: float = Field(default=1e-3, ge=0)
    """pull of the weights towards zero"""

    patience: int = Field(default=10, ge=1)
    """epochs without a better NDCG@20 of the validation lists before training stops"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are kept for stopping"""


class TwoTowerFusion(_Config):
    """The night's ranker; its seed is the run's."""

    name: Literal["two_tower"] = "two_tower"
    ranker: RankerConfig = RankerConfig()


class WeightedAverageFusion(_Config):
    """share x the encoder's product + (1 - share) x the cheap score, the share learnt by trying."""

    name: Literal["weighted_average"] = "weighted_average"

    tried: int = Field(default=21, ge=2)
    """shares from 0 to 1 that are tried on the lists"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are kept to judge by"""


class MlpFusion(_Supervised):
    """One network over all features."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = (64, 32)
    """widths of its layers"""


class MoeFusion(_Supervised):
    """Experts and a dense soft gate."""

    name: Literal["moe"] = "moe"
    experts: int = Field(default=3, ge=2)
    """networks whose scores the gate weighs"""
    hidden: int = Field(default=32, ge=1)
    """width of an expert's layer"""
    gate: int = Field(default=16, ge=1)
    """width of the gate's layer"""
    balance: float = Field(default=0.01, ge=0)
    """weight of the gate's mean entropy in the objective, so that no expert dies"""


class _Bandit(_Config):
    """What the fusions that learn a blend from outcomes share."""

    columns: tuple[str, ...] = BLENDED
    """features that are blended; where a dataset has none of them, the first six it has"""

    parts: int = Field(default=4, ge=1)
    """the arms are all blends of the columns in so many equal parts"""

    window: int = Field(default=4000, ge=1)
    """latest rounds that are learnt from; older ones are forgotten"""

    refit_every: int = Field(default=1000, ge=1)
    """rounds between refits"""

    learning_rate: float = Field(default=3e-3, gt=0)
    """step of Adam"""

    hidden: int = Field(default=32, ge=1)
    """width of the network's layers"""

    shown: int = Field(default=5, ge=1)
    """people shown in a round of the replay"""

    rounds: int = Field(default=8000, ge=1)
    """rounds of the replay"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are kept to judge by"""


class LinUcbFusion(_Bandit):
    """Upper confidence bounds of per-arm ridge regressions over a learnt representation."""

    name: Literal["linucb"] = "linucb"
    representation: int = Field(default=8, ge=1)
    """dimension of what the backbone gives the ridges"""
    ridge: float = Field(default=1.0, gt=0)
    """strength of the ridge"""
    alpha: float = Field(default=0.3, ge=0)
    """standard deviations of optimism"""
    refit_steps: int = Field(default=200, ge=1)
    """steps of a refit of the backbone"""


class DqnFusion(_Bandit):
    """A Q-network over arms, explored by chance."""

    name: Literal["dqn"] = "dqn"
    gamma: float = Field(default=0.0, ge=0, lt=1)
    """weight of the next round's value; 0: a list changes nothing of the next one"""
    epsilon: float = Field(default=1.0, ge=0, le=1)
    """chance of an arm at random in the first round"""
    least_epsilon: float = Field(default=0.05, ge=0, le=1)
    """and at last"""
    epsilon_rounds: int = Field(default=2000, ge=1)
    """rounds in which it falls from one to the other"""
    polyak: float = Field(default=0.01, gt=0, le=1)
    """share of the network that its target takes over each step"""
    batch: int = Field(default=64, ge=1)
    """rounds a step"""
    step_every: int = Field(default=4, ge=1)
    """rounds between steps"""


FusionConfig = Annotated[
    TwoTowerFusion | WeightedAverageFusion | MlpFusion | MoeFusion | LinUcbFusion | DqnFusion,
    Field(discriminator="name"),
]
"""any fusion, told apart by `name`"""

_ADAPTER: TypeAdapter[FusionConfig] = TypeAdapter(FusionConfig)


def fusion_config(fields: dict[str, Any]) -> FusionConfig:
    """The fusion of a row's table, such as {"name": "mlp", "hidden": [32]}. Raises pydantic's ValidationError."""
    return _ADAPTER.validate_python(fields)
