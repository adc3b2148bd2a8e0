"""How an encoder learns: in a comparison, and as the GraphSAGE of a night."""

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from models.networks.config import EncoderConfig

Part = Literal["profile", "activity", "statistics", "spectrum"]
PARTS: tuple[Part, ...] = ("profile", "activity", "statistics", "spectrum")
"""what an encoder may read of a user"""


class TrainingConfig(BaseModel):
    """The dials of the one trainer; the seed is the run's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=60, ge=1)
    """passes over the friendships to learn, at most"""

    least_steps: int = Field(default=4, ge=1)
    """steps of an epoch, at least: a small graph passes over its friendships more than once"""

    max_steps: int = Field(default=60, ge=1)
    """steps in all, at most, whatever the epochs; with the spectrum among the features, validation is at its best after
    about thirty"""

    batch_pairs: Annotated[int, Field(ge=1)] | Literal["probe"] = 1024
    """friendships a step; "probe": the largest power of two whose step fits `memory_share` of the free memory"""

    memory_share: float = Field(default=0.5, gt=0, le=1)
    """share of the device's free memory that a probed step may take"""

    labels: Literal["hidden", "all"] = "all"
    """which friendships are learned: those hidden from message passing, a tenth, or these and the edges of messages as
    well; a tenth of a small graph is too little, and the embeddings get worse"""

    fan_outs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """friends drawn per user in each hop; none: all users are embedded in every step, which is faster on graphs of up
    to about a hundred thousand users"""

    loss: Literal["in_batch", "random_negatives"] = "in_batch"
    """softmax over the people of a step, or binary cross-entropy on friendships and random pairs"""

    negatives_per_pair: int = Field(default=5, ge=1)
    """random pairs beside each friendship; `random_negatives` alone"""

    temperature: float = Field(default=0.07, gt=0)
    """what cosines are divided by before the softmax or the sigmoid"""

    newcomer_share: float = Field(default=0.0, ge=0, lt=1)
    """share of a step's users who lose their friends and the columns that come from the graph, as a new user has
    neither"""

    link_weight: float = Field(default=1.0, ge=0)
    """weight of ranking friends; not used by an encoder that needs no labels"""

    profile_weight: float = Field(default=0.0, ge=0)
    """weight of predicting profile columns of users whose profile is masked"""

    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """share of users whose profile is masked in a step, if predicting it has a weight"""

    learning_rate: float = Field(default=1e-3, gt=0)
    """highest step of AdamW"""

    schedule: Literal["plateau", "cosine"] = "plateau"
    """how it falls: by a factor whenever validation gains nothing, or by a cosine after a twentieth of the steps in
    which it rises"""

    least_learning_rate: float = Field(default=1e-5, ge=0)
    """below which a plateau does not let it fall"""

    plateau_patience: int = Field(default=3, ge=0)
    """epochs without a gain before the learning rate falls"""

    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """what it falls by"""

    weight_decay: float = Field(default=1e-4, ge=0)
    """pull of the weights towards zero"""

    gradient_norm: float = Field(default=1.0, gt=0)
    """longest gradient; a longer one is shortened to it"""

    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """share of the hidden friendships kept for stopping, 2,000 at most"""

    evaluations: int | None = Field(default=None, ge=1)
    """epochs of the whole run, each of as many steps; None: an epoch is a pass over the friendships"""

    patience: int = Field(default=10, ge=1)
    """epochs without a better validation before training stops"""

    checkpoint_every: int = Field(default=10, ge=1)
    """epochs between checkpoints that stay"""

    state_every_s: float = Field(default=10.0, ge=0)
    """seconds between states that a killed run resumes from, at least"""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to train; auto takes a GPU if there is one"""

    mixed_precision: Literal["auto", "never", "always"] = "auto"
    """bfloat16 for matrix products; auto: on CUDA only"""

    compile: Literal["auto", "never", "always"] = "auto"
    """torch.compile; auto: on CUDA only, if the run is long enough to save more than compiling takes"""

    def limited(self, steps: int) -> "TrainingConfig":
        """The same for a run of at most so many steps."""
        return self.model_copy(update={"max_steps": min(self.max_steps, steps)})


class GraphSageTrainingConfig(TrainingConfig):
    """How the GraphSAGE of a night learns, and its shape.

    It stops by steps and never by the clock, so that a seed gives the same weights on every machine of a kind. 300
    steps are more than validation gains by: on johnshopkins55 it is at its best after 75.
    """

    hidden: int = Field(default=128, ge=1)
    """width between the layers"""

    outputs: int = Field(default=128, ge=1)
    """dimension of an embedding"""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """share of hidden units set to zero in a training step"""

    fan_outs: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(15, 10), min_length=1)
    """friends drawn per user in each hop; their number is the number of layers"""

    epochs: int = Field(default=100, ge=1, validation_alias=AliasChoices("max_epochs", "epochs"))
    """passes over the friendships, at most; `max_epochs` in a file"""

    least_steps: int = Field(default=1, ge=1)
    max_steps: int = Field(default=300, ge=1)
    """steps, whatever the epochs"""

    labels: Literal["hidden", "all"] = "hidden"
    newcomer_share: float = Field(default=0.12, ge=0, lt=1)
    schedule: Literal["plateau", "cosine"] = "cosine"
    evaluations: int | None = Field(default=20, ge=1)
    mixed_precision: Literal["auto", "never", "always"] = "never"

    seed: int = 0
    """of weights, batches, neighbourhoods and negatives"""


class NightEncoder(BaseModel):
    """An encoder of `pymk compare` in the place of GraphSAGE; it reads all features, and one snapshot of the graph.

    Identities of their own are not offered: a version keeps no weights that belong to one person, who may be erased.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig
    """which encoder, and its shape"""

    training: TrainingConfig = TrainingConfig()
    """how it learns"""

    seed: int = 0
    """of weights, batches and negatives"""
