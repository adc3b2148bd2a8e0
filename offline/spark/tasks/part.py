"""A part of the graph around some viewers, as the arrays that the candidate kernels read.

Rows of the part are numbered anew, those with vectors first. Ties break by the numbers in the whole graph, and lists of
friends keep their order, so that the kernels find here what they find in the whole graph.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.kernels.candidate_arrays import CandidateArrays, SourceLimits, WorkBuffers, new_work_buffers
from models.kernels.graph_walks import FRIENDS
from models.kernels.profile_affinity import ProfileAffinityTables
from models.version.towers import Towers
from offline.spark.tasks.columns import PEOPLE, Lists, Rows, compressed, lists, matrix, plain


@dataclass(frozen=True)
class Shared:
    """What every task reads; none of it grows with the number of people."""

    limits: SourceLimits
    kept: int
    """candidates of a viewer"""
    popular: Rows
    """the most popular rows, the first most"""
    popular_friends: Rows
    popular_towers: NDArray[np.int8]
    """(popular, d)"""
    popular_of_late: Rows
    towers: Towers
    """their weights alone"""
    tables: ProfileAffinityTables
    """their weights alone"""
    prerank_weights: NDArray[np.float32]
    dated: bool
    """whether friendships have dates"""
    dimensions: int
    """of an embedding"""


class Numbering:
    """Rows of the whole graph and of a part: `numbers` (m,) int32, the former by the latter."""

    def __init__(self, first: Rows, *others: Rows) -> None:
        self._sorted = np.unique(np.concatenate([first, *others]))
        self.numbers = np.concatenate([first, np.setdiff1d(self._sorted, first, assume_unique=True)]).astype(np.int32)
        self._place = np.empty(len(self._sorted), np.int32)
        self._place[np.searchsorted(self._sorted, self.numbers)] = np.arange(len(self.numbers), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, rows: Rows) -> Rows:
        """The rows of the part of these rows of the graph, all of which are in it."""
        return np.asarray(self._place[np.searchsorted(self._sorted, rows)])

    def has(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether these rows of the graph are in the part."""
        at = np.minimum(np.searchsorted(self._sorted, rows), len(self._sorted) - 1)
        return np.asarray(self._sorted[at] == rows)


@dataclass(frozen=True)
class Part:
    """The viewers of one task and the part of the graph that was fetched for them."""

    numbers: Rows
    """(m,) rows of the whole graph, by row of the part"""
    arrays: CandidateArrays
    work: WorkBuffers
    listed: NDArray[np.bool_]
    """(m,) whose friends are here, or who has none"""
    users: NDArray[np.int64]
    """(u,) the viewers"""
    nearest: Rows
    """(u, k) the rows nearest to them, -1 for none"""

    @classmethod
    def of(cls, shared: Shared, viewers: pa.Table, found: pa.Table) -> "Part":
        """The part of `viewers` (viewer, known, nearest, groups) and of what was `found` for them.

        A record that was found has `row` and either `friends` and `marks` of offline.spark.adjacency, or the columns
        of PEOPLE, with nulls for the others, which may be missing altogether.
        """
        listed, described = found.filter(pc.is_valid(found["friends"])), PEOPLE.empty_table()
        if "tower" in found.column_names:
            described = found.filter(pc.is_valid(found["tower"]))
        asking, whose, vectors = plain(viewers, "viewer"), plain(listed, "row"), plain(described, "row")
        friends, near, known = lists(listed["friends"]), lists(viewers["nearest"]), lists(viewers["known"])
        of_viewer, of_group = _nested(viewers["groups"])
        numbering = Numbering(
            vectors, asking, whose, friends.values, near.values, of_group.values, shared.popular, shared.popular_of_late
        )
        m, users = len(numbering), numbering.of(asking)
        # the graph, the number of everybody's friends, and who may be shown
        neighbours = Lists(friends.sizes, numbering.of(friends.values))
        indptr, indices = compressed(m, numbering.of(whose), neighbours)
        marks = lists(listed["marks"]).values
        degrees, shown = np.zeros(m, np.float32), np.ones(m, np.bool_)
        degrees[numbering.of(shared.popular)] = shared.popular_friends
        degrees[neighbours.values], shown[neighbours.values] = marks >> 1, marks & 1
        degrees[numbering.of(whose)] = friends.sizes
        has_list = np.zeros(m, np.bool_)
        has_list[numbering.of(whose)] = has_list[users] = True
        # the viewers: whom they must not be shown, and their groups
        is_here = numbering.has(known.values)
        ends = np.concatenate([[0], np.cumsum(is_here)])[np.concatenate([[0], np.cumsum(known.sizes)])]
        known_indptr, known_indices = compressed(m, users, Lists(np.diff(ends), numbering.of(known.values[is_here])))
        value_indptr, value_codes = compressed(
            m, users, Lists(of_viewer, np.arange(len(of_group.sizes), dtype=np.int32))
        )
        # the people who are described
        tables, embeddings, towers, late = _described(shared, described, m)
        towers[numbering.of(shared.popular)] = shared.popular_towers
        arrays = CandidateArrays(
            indptr=indptr,
            indices=indices,
            known_indptr=known_indptr,
            known_indices=known_indices,
            suggestible=shown,
            towers=towers,
            tower_scales=shared.towers.scales,
            tower_own=shared.towers.own,
            appended_query=np.zeros(0, np.float32),
            embeddings=embeddings,
            profile_affinity=tables,
            value_indptr=value_indptr,
            value_codes=value_codes,
            group_indptr=np.concatenate([[0], np.cumsum(of_group.sizes)]).astype(np.int64),
            group_rows=numbering.of(of_group.values),
            popular=numbering.of(shared.popular),
            late=late,
            popular_of_late=numbering.of(shared.popular_of_late),
            prerank_weights=shared.prerank_weights,
        )
        work = new_work_buffers(indptr, shown)._replace(numbers=numbering.numbers)
        work.walk[:, FRIENDS] = degrees
        return cls(numbering.numbers, arrays, work, has_list, users.astype(np.int64), _nearest(numbering, near))


def _nested(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Lists]:
    """A column of lists of lists: how many each has, and all of these."""
    outer, inner = [np.zeros(0, np.int64)], []
    for chunk in column.chunks:
        outer.append(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
        inner.append(chunk.flatten())
    return np.concatenate(outer), lists(pa.chunked_array(inner, pa.list_(pa.int32())))


def _nearest(numbering: Numbering, near: Lists) -> Rows:
    """(u, k) rows of the part, -1 past the last."""
    width = int(near.sizes.max(initial=0))
    made = np.full((len(near.sizes), width), -1, np.int32)
    made[np.arange(width) < near.sizes[:, None]] = numbering.of(near.values)
    return made


def _described(
    shared: Shared, people: pa.Table, m: int
) -> tuple[ProfileAffinityTables, NDArray[np.float32], NDArray[np.int8], NDArray[np.float32]]:
    """Profiles, embeddings (m, d), towers (m, t) and friendships of late (m,) of a part of m rows.

    The first rows are the `people`; of the others nothing is known, and their memory is never touched.
    """
    k, tables = people.num_rows, shared.tables
    columns, points = len(tables.cardinality), int(tables.point_spans[-1])

    def table(name: str, dtype: type[np.generic], width: int) -> NDArray[Any]:
        made = np.zeros((m, width), dtype)
        made[:k] = matrix(people[name], dtype, width)
        return made

    sets = lists(people["set_codes"])
    set_indptr, set_codes = compressed(m, np.arange(k), sets)
    late = np.zeros(m if shared.dated else 0, np.float32)
    late[:k] = plain(people, "late")[: len(late)]
    described = tables._replace(
        codes=table("codes", np.int32, columns),
        points=table("points", np.float32, points),
        set_indptr=set_indptr,
        set_codes=set_codes,
    )
    embeddings = table("embedding", np.float32, shared.dimensions)
    return described, embeddings, table("tower", np.int8, shared.towers.dimensions), late
