"""What can be set of the index and the candidates, read without loading FAISS or compiled kernels."""

from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from models.kernels.candidate_arrays import SourceLimits

LIKE_KEPT = ("friends_of_friends", "walks", "three_hops", "nearest", "likely")
"""limits of sources that follow the number of candidates kept: others would be found, compared and left out"""
LEAST_SHARD_USERS = 100
"""each shard is a file, and costs a search"""


def _none_or_many(shard_users: int) -> int:
    if 0 != shard_users < LEAST_SHARD_USERS:
        raise ValueError(f"a shard has at least {LEAST_SHARD_USERS} users; 0 leaves their number open")
    return shard_users


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

    codes: Literal["auto", "float32", "float16", "int8"] = "auto"
    """how a component of a vector is held; auto: float32, or with `--memory` the widest with which the index fits"""

    shard_users: Annotated[int, AfterValidator(_none_or_many)] = 0
    """users of one shard of the index, at least 100: shards are built one after the other and searched together; 0: one
    shard holds all, or with `--memory` as many as fit"""

    recall_neighbours: int = Field(default=100, ge=1)
    """neighbours per user for the recall"""

    recall_sample: int = Field(default=10_000, ge=1)
    """most users compared with brute force; a thousand, if these leave no doubt"""

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
    """candidates published for each user; below 1,000 of them, `friends_of_friends`, `walks`, `three_hops`, `nearest`
    and `likely` are as much smaller, unless they are set"""

    absent_days: float = Field(default=0, ge=0)
    """users whose last interaction or dated friendship is longer ago get fewer candidates; a user of whom neither is
    known counts as present; 0: all get as many"""

    kept_of_absent: int = Field(default=200, ge=1, le=65_535)
    """candidates published for each of these; the service makes the others when one comes back and does something"""

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

    edges_up_to: int = Field(default=20_000, ge=1)
    """users up to which walks and paths may cross so many edges; with more users they cross fewer, by the cube of how
    many times more"""

    least_edges: int = Field(default=10_000, ge=1)
    """edges that one user's walks or paths may cross in any graph"""

    @model_validator(mode="before")
    @classmethod
    def _sources_like_kept(cls, given: Any) -> Any:
        """The fields with the limits of sources that are not given, in proportion to `kept`."""
        kept = given.get("kept") if isinstance(given, dict) else None
        if not isinstance(kept, int) or not 0 < kept < cls.model_fields["kept"].default:
            return given
        share = kept / cls.model_fields["kept"].default
        return {name: ceil(cls.model_fields[name].default * share) for name in LIKE_KEPT} | given

    def limits(self, n: int) -> "SourceLimits":
        """The limits in the form of the kernel, for a graph of n users."""
        from models.kernels.candidate_arrays import SourceLimits

        given = {name: getattr(self, name) for name in SourceLimits._fields}
        fewer = min(self.edges_up_to / max(n, 1), 1.0) ** 3
        for name in ("walk_edges", "path_edges"):
            given[name] = min(given[name], max(int(given[name] * fewer), self.least_edges))
        return SourceLimits(**given)
