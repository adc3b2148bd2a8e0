"""When a step that failed is tried again."""

from pydantic import BaseModel, ConfigDict, Field


class RetryConfig(BaseModel):
    """A step is tried again if the store does not answer or a disk is full; after any other failure the run ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store_tries: int = Field(default=4, ge=1)
    """tries of a step if the store does not answer"""

    disk_tries: int = Field(default=2, ge=1)
    """tries of a step if a disk is full"""

    first_wait_s: float = Field(default=5.0, ge=0)
    """seconds before the second try"""

    factor: float = Field(default=3.0, ge=1)
    """how much longer each further wait is: 5, 15 and 45 seconds"""
