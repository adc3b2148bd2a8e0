"""Configuration of the fusions and their training."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from offline.ranker.config import RankerConfig

PRODUCT = "encoder_product"
"""the column of the encoder's dot product"""
BLENDED = ("resource_allocation", "pagerank", "affinity", PRODUCT)
"""one score for each main source: friends of friends, walks, attributes, the encoder"""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Supervised(_Config):
    """Hyperparameters shared by fusions trained on labelled lists."""

    epochs: int = Field(default=60, ge=1)
    """most passes over the lists"""

    batch_lists: int = Field(default=32, ge=1)
    """lists of a training step"""

    learning_rate: float = Field(default=3e-3, gt=0)
    """step of AdamW"""

    weight_decay: float = Field(default=1e-3, ge=0)
    """weight decay of AdamW"""

    patience: int = Field(default=10, ge=1)
    """epochs without a better NDCG@20 on the validation lists before training stops"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are held out for early stopping"""


class TwoTowerFusion(_Config):
    """The night's ranker, with the seed of the run."""

    name: Literal["two_tower"] = "two_tower"
    ranker: RankerConfig = RankerConfig()


class WeightedAverageFusion(_Config):
    """share x the encoder's product + (1 - share) x the pre-ranking score; the share is found by grid search."""

    name: Literal["weighted_average"] = "weighted_average"

    tried: int = Field(default=21, ge=2)
    """shares from 0 to 1 in the grid"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are held out for validation"""


class MlpFusion(_Supervised):
    """One network over all features."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = (64, 32)
    """widths of its layers"""


class MoeFusion(_Supervised):
    """A mixture of experts with a dense soft gate."""

    name: Literal["moe"] = "moe"
    experts: int = Field(default=3, ge=2)
    """networks whose scores the gate weights"""
    hidden: int = Field(default=32, ge=1)
    """width of an expert's layer"""
    gate: int = Field(default=16, ge=1)
    """width of the gate's layer"""
    balance: float = Field(default=0.01, ge=0)
    """weight of the gate's mean entropy in the objective, which keeps every expert in use"""


class _Bandit(_Config):
    """Hyperparameters shared by fusions that learn a blend from outcomes."""

    columns: tuple[str, ...] = BLENDED
    """features that are blended; if a dataset has none of them, its first six"""

    parts: int = Field(default=4, ge=1)
    """the arms are all blends of the columns in this many equal parts"""

    window: int = Field(default=4000, ge=1)
    """most recent rounds used for training"""

    refit_every: int = Field(default=1000, ge=1)
    """rounds between refits"""

    learning_rate: float = Field(default=3e-3, gt=0)
    """step of Adam"""

    hidden: int = Field(default=32, ge=1)
    """width of the network's layers"""

    shown: int = Field(default=5, ge=1)
    """candidates shown in a round of the replay"""

    rounds: int = Field(default=8000, ge=1)
    """rounds of the replay"""

    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """share of the viewers whose lists are held out for validation"""


class LinUcbFusion(_Bandit):
    """Upper confidence bounds of per-arm ridge regressions over a learned representation."""

    name: Literal["linucb"] = "linucb"
    representation: int = Field(default=8, ge=1)
    """dimension of the representation"""
    ridge: float = Field(default=1.0, gt=0)
    """penalty of the ridge regressions"""
    alpha: float = Field(default=0.3, ge=0)
    """standard deviations of the confidence bound"""
    refit_steps: int = Field(default=200, ge=1)
    """training steps of a refit of the backbone"""


class DqnFusion(_Bandit):
    """A Q-network over arms, explored epsilon-greedily."""

    name: Literal["dqn"] = "dqn"
    gamma: float = Field(default=0.0, ge=0, lt=1)
    """discount factor; 0: a list does not affect the next one"""
    epsilon: float = Field(default=1.0, ge=0, le=1)
    """chance of a random arm in the first round"""
    least_epsilon: float = Field(default=0.05, ge=0, le=1)
    """chance of a random arm at the end"""
    epsilon_rounds: int = Field(default=2000, ge=1)
    """rounds of the linear decay between the two"""
    polyak: float = Field(default=0.01, gt=0, le=1)
    """share of the network that its target takes over in each step"""
    batch: int = Field(default=64, ge=1)
    """rounds of a training step"""
    step_every: int = Field(default=4, ge=1)
    """rounds between training steps"""


FusionConfig = Annotated[
    TwoTowerFusion | WeightedAverageFusion | MlpFusion | MoeFusion | LinUcbFusion | DqnFusion,
    Field(discriminator="name"),
]
"""any fusion, discriminated by `name`"""

_ADAPTER: TypeAdapter[FusionConfig] = TypeAdapter(FusionConfig)


def fusion_config(fields: dict[str, Any]) -> FusionConfig:
    """The fusion of a TOML table such as {"name": "mlp", "hidden": [32]}. Raises pydantic's ValidationError."""
    return _ADAPTER.validate_python(fields)
