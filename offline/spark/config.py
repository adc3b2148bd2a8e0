"""What can be set of the Spark engine, read without loading pyspark."""

from pydantic import BaseModel, ConfigDict, Field


class SparkConfig(BaseModel):
    """How the jobs cut their work; none of it changes a candidate, except `hub_friends` in networks with such hubs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    viewers_per_task: int = Field(default=1024, ge=1)
    """viewers whose candidates one Python worker finds at once; its memory grows with them"""

    hub_friends: int = Field(default=10_000, ge=1)
    """a person with more friends counts as having about so many, drawn by a hash: paths through hubs are sampled"""

    salts: int = Field(default=16, ge=1)
    """copies of a row that many tasks ask for, each for a part of them"""

    salted_above: int = Field(default=256, ge=1)
    """tasks that ask for the same row from which on it is copied"""
