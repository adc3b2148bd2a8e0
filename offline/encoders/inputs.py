"""What an encoder reads of one graph, as tensors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graph import Graph
from models.networks.decoders import ProfileTarget
from models.networks.neighbours import edges_of
from models.schema.profiles import CategoricalColumn, MultiColumn, Profiles
from models.schema.vocabulary import Vocabulary
from offline.encoders.config import PARTS, Part
from offline.features.graph_features import GraphFeatures, People
from offline.features.temporal_graph import Friendships
from offline.snapshot.snapshot import UNDATED, Interactions

WEEK = 7 * 86_400
"""seconds"""
LONGEST = 520
"""weeks that a friendship without a date counts as old"""
EDGE_COLUMNS = ("log_weeks", "dated", "log_interactions_out", "log_interactions_in")
"""ln(1 + weeks since it was made), whether that is known, ln(1 + what the neighbour did to the person), and the other
way round"""
MOST_VALUES = 64
"""values of a column that are predicted from embeddings: the most frequent"""


@dataclass(frozen=True)
class ProfileTargets:
    """The profile columns that are predicted from embeddings, and every user's values in them."""

    targets: tuple[ProfileTarget, ...]
    labels: list[Tensor]
    """by column (n,) int64 codes, -1 for an empty value, or (n, values) float32 of 0 and 1"""

    @classmethod
    def of(cls, profiles: Profiles) -> "ProfileTargets":
        """The categorical and set columns, each with its most frequent values."""
        targets, labels = list[ProfileTarget](), list[Tensor]()
        for name, column in profiles.columns.items():
            if not isinstance(column, CategoricalColumn | MultiColumn) or len(column.values) < 2:
                continue
            place, kept = _frequent(column.codes, len(column.values))
            if isinstance(column, CategoricalColumn):
                codes = np.where(column.codes >= 0, place[column.codes], -1)
                targets.append(ProfileTarget(column=name, kind="one", values=kept))
                labels.append(torch.from_numpy(codes.astype(np.int64)))
            else:
                rows, codes = np.repeat(np.arange(profiles.n), np.diff(column.indptr)), place[column.codes]
                held = np.zeros((profiles.n, kept), np.float32)
                held[rows[codes >= 0], codes[codes >= 0]] = 1
                targets.append(ProfileTarget(column=name, kind="several", values=kept))
                labels.append(torch.from_numpy(held))
        return cls(tuple(targets), labels)

    @classmethod
    def none(cls) -> "ProfileTargets":
        """No column."""
        return cls((), [])


@dataclass(frozen=True)
class GraphInputs:
    """The users of a graph as an encoder reads them; n users, m directed edges."""

    graph: Graph
    features: Tensor
    """(n, f) float32"""
    profile: slice
    """the columns of the features that come from profiles"""
    carried: tuple[int, int]
    """first and one past the last of the columns that embeddings begin as"""
    keys: Tensor
    """(n,) int64: a hash of each person's id"""
    edge_attributes: Tensor | None = None
    """(m, 4) float32 of EDGE_COLUMNS in the order of `edge_index`; None if friendships have none"""
    targets: ProfileTargets = field(default_factory=ProfileTargets.none)
    """profile columns to predict from embeddings"""
    structural: tuple[int, int] = (0, 0)
    """first and one past the last of the columns that come from the graph, which a new user has none of"""

    @property
    def n(self) -> int:
        return len(self.features)

    @cached_property
    def edge_index(self) -> Tensor:
        """(2, m) int64, neighbour and person, sorted by person and then neighbour."""
        return edges_of(self.graph).to(self.features.device)

    def to(self, device: torch.device) -> "GraphInputs":
        """The same on another device."""
        if self.features.device == device:
            return self
        attributes = self.edge_attributes
        return replace(
            self,
            features=self.features.to(device),
            keys=self.keys.to(device),
            edge_attributes=None if attributes is None else attributes.to(device),
        )


def graph_inputs(
    graph_features: GraphFeatures,
    people: People,
    parts: Sequence[Part],
    keys: NDArray[np.int64],
    edge_attributes: Tensor | None = None,
) -> GraphInputs:
    """The chosen parts of GraphSAGE's features, in the order of PARTS, beside the graph."""
    widths = [people.profile.shape[1], people.activity.shape[1]]
    carried = graph_features.carried.stop - graph_features.carried.start
    widths += [graph_features.inputs.shape[1] - sum(widths) - carried, carried]
    starts = dict(zip(PARTS, np.cumsum([0, *widths[:-1]]), strict=True))
    of = dict(zip(PARTS, widths, strict=True))
    chosen = [part for part in PARTS if part in parts]
    features = graph_features.inputs
    if len(chosen) < len(PARTS):
        blocks = [graph_features.inputs[:, starts[part] : starts[part] + of[part]] for part in chosen]
        features = np.concatenate([np.zeros((graph_features.graph.n, 0), np.float32), *blocks], axis=1)
    width = features.shape[1]
    return GraphInputs(
        graph=graph_features.graph,
        features=torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)),
        profile=slice(0, of["profile"] if "profile" in chosen else 0),
        carried=(width - carried, width) if "spectrum" in chosen else (0, 0),
        keys=torch.from_numpy(keys),
        edge_attributes=edge_attributes,
        structural=(width - sum(of[part] for part in chosen if part in ("statistics", "spectrum")), width),
    )


def edge_attributes(friendships: Friendships, interactions: Interactions, moment: int) -> Tensor | None:
    """(m, 4) float32 of EDGE_COLUMNS in the order of `edges_of`, as of a moment in seconds since 1970.

    What was done at the moment or later is not counted. None if no friendship has a date and there are
    no interactions.
    """
    graph, before = friendships.graph, interactions.at < moment
    if friendships.dates is None and not len(interactions.at):
        return None
    n = graph.n
    neighbour, person = edges_of(graph).numpy()
    columns = np.zeros((len(person), len(EDGE_COLUMNS)), np.float32)
    columns[:, 0] = np.log1p(LONGEST)
    if friendships.dates is not None and len(person):
        pairs = np.stack(graph.pairs()).astype(np.int64)
        own = np.minimum(neighbour, person) * n + np.maximum(neighbour, person)
        dates = friendships.dates[np.searchsorted(pairs[0] * n + pairs[1], own)]
        dated = dates != UNDATED
        weeks = np.clip((moment - np.where(dated, dates, moment)) / WEEK, 0, LONGEST)
        columns[:, 0] = np.where(dated, np.log1p(weeks), np.log1p(LONGEST))
        columns[:, 1] = dated
    done = interactions.user[before].astype(np.int64) * n + interactions.other[before]
    pairs_done, times = np.unique(done, return_counts=True)
    for column, wanted in ((2, neighbour * n + person), (3, person * n + neighbour)):
        if len(pairs_done):
            at = np.minimum(np.searchsorted(pairs_done, wanted), len(pairs_done) - 1)
            columns[:, column] = np.where(pairs_done[at] == wanted, np.log1p(times[at]), 0)
    return torch.from_numpy(columns)


def user_keys(vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(n,) int64, not negative: a hash of each user id, the same in every graph."""
    hashes = [hashlib.blake2b(user_id.encode(), digest_size=8).digest() for user_id in vocabulary.user_ids()]
    return np.frombuffer(b"".join(hashes), dtype="<i8").astype(np.int64) & np.int64(2**63 - 1)


def _frequent(codes: NDArray[np.int32], values: int) -> tuple[NDArray[np.int64], int]:
    """Rank of each value by frequency, (values,), -1 for those past MOST_VALUES, and how many are kept."""
    times = np.bincount(codes[codes >= 0], minlength=values)
    best = np.argsort(-times, kind="stable")[:MOST_VALUES]
    place = np.full(values, -1, np.int64)
    place[best] = np.arange(len(best))
    return place, len(best)
