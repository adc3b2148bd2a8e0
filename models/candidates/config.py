"""What can be set of the index and the candidates, read without loading FAISS or compiled kernels."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from models.kernels.candidate_arrays import SourceLimits


class IndexConfig(BaseModel):
    """Parameters of the index, and the recall it must reach."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flat_below: int = Field(default=1_000, ge=0)
    """with fewer users than this the index is brute force"""

    links: int = Field(default=24, ge=2)
    """HNSW's M: links of a user per level, twice as many on the lowest"""

    ef_construction: int = Field(default=120, ge=1)
    """candidates kept while a row is linked"""

    ef_search: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128, 256, 512), min_length=1)
    """candidates kept while searching: the first of these that reaches the recall is used"""

    recall_neighbours: int = Field(default=100, ge=1)
    """neighbours per user for the recall"""

    recall_sample: int = Field(default=10_000, ge=1)
    """most users compared with brute force"""

    recall_least: float = Field(default=0.98, ge=0, le=1)
    """recall below which the index is refused"""

    threads: int = Field(default=0, ge=0)
    """threads of FAISS for building and batch search; 0: one per core"""

    seed: int = 0
    """seed of the sample of users"""


class CandidateConfig(BaseModel):
    """Limits of the sources, and the number of candidates kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: int = Field(default=1000, ge=1, le=65_535)
    """candidates published for each user"""

    friends_of_friends: int = Field(default=1200, ge=0)
    """best by resource allocation; those with two mutual friends or more come first"""

    walks: int = Field(default=1200, ge=0)
    """best by personalised PageRank"""

    three_hops: int = Field(default=500, ge=0)
    """best by paths of length three"""

    nearest: int = Field(default=500, ge=0)
    """nearest by embedding"""

    group_members: int = Field(default=60, ge=0)
    """most popular users taken of each group that shares a profile value"""

    rare_group: int = Field(default=300, ge=0)
    """larger groups are used only for users with few friends"""

    few_friends: int = Field(default=3, ge=0)
    """with fewer friends than this, every profile group is used"""

    likely: int = Field(default=500, ge=0)
    """of the most popular users, those nearest in the spectrum, for users with few friends"""

    least: int = Field(default=100, ge=0)
    """popular users fill up to this many candidates"""

    popular_of_late: int = Field(default=200, ge=0)
    """users with the most friendships of late, whom everybody gets as candidates if friendships have dates"""

    walk_tolerance: float = Field(default=1e-5, gt=0)
    """residual per friend below which a walk stops"""

    walk_edges: int = Field(default=500_000, ge=1)
    """most edges that one user's walks cross"""

    path_edges: int = Field(default=300_000, ge=1)
    """most edges that one user's three-hop paths cross"""

    def limits(self) -> "SourceLimits":
        """The limits in the form of the kernel."""
        from models.kernels.candidate_arrays import SourceLimits

        return SourceLimits(**{name: getattr(self, name) for name in SourceLimits._fields})
