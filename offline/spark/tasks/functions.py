"""What a Python worker does for the viewers of one task: walk, find whom to fetch, fill the pools."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.candidates.generator import Pools
from models.schema.pair_features import PAIR_FEATURES
from offline.spark.tasks.part import Part, Shared

if TYPE_CHECKING:
    from pyspark import Broadcast

Task = Callable[[tuple[pa.Scalar, ...], pa.Table, pa.Table], pa.Table]
"""from the number of the task, its viewers and what was found for them"""

ROWS = pa.schema({"task": pa.int32(), "row": pa.int32()})
RECORDS = pa.schema({"viewer": pa.int32(), "record": pa.binary()})
"""the packed candidate block of each viewer"""


def missing_friends(shared: "Broadcast[Shared]") -> Task:
    """A task that returns the rows whose friends its walks need next; none if it has all."""

    def task(key: tuple[pa.Scalar, ...], viewers: pa.Table, found: pa.Table) -> pa.Table:
        from offline.spark.tasks.reach import mark_missing

        part = Part.of(shared.value, viewers, found)
        wanted = np.zeros(len(part.numbers), np.bool_)
        mark_missing(part.arrays, shared.value.limits, part.work, part.listed, part.users, wanted)
        return _rows(key, part.numbers[wanted])

    return task


def pooled_people(shared: "Broadcast[Shared]") -> Task:
    """A task that returns its viewers and everybody in their pools."""

    def task(key: tuple[pa.Scalar, ...], viewers: pa.Table, found: pa.Table) -> pa.Table:
        from offline.spark.tasks.reach import mark_pools

        part = Part.of(shared.value, viewers, found)
        wanted = np.zeros(len(part.numbers), np.bool_)
        mark_pools(part.arrays, shared.value.limits, part.work, part.users, part.nearest, wanted)
        return _rows(key, part.numbers[wanted])

    return task


def packed_blocks(shared: "Broadcast[Shared]") -> Task:
    """A task that returns the candidate blocks of its viewers, as models.version.candidate_block packs them."""

    def task(_: tuple[pa.Scalar, ...], viewers: pa.Table, found: pa.Table) -> pa.Table:
        from models.kernels.candidate_pool import fill_pools

        part, kept, u = Part.of(shared.value, viewers, found), shared.value.kept, viewers.num_rows
        rows, sources = np.zeros((u, kept), np.uint32), np.zeros((u, kept), np.uint8)
        values, counts = np.zeros((u, len(PAIR_FEATURES), kept), np.float32), np.zeros(u, np.int64)
        limits, work = shared.value.limits, part.work
        fill_pools(part.arrays, limits, work, part.users, part.nearest, 0, 1, rows, sources, values, counts)
        pools = Pools(
            part.numbers[part.users].astype(np.int64), part.numbers[rows].astype(np.uint32), sources, values, counts
        )
        records = [block.pack() for block in pools.blocks()]
        return pa.table({"viewer": part.numbers[part.users], "record": records}, RECORDS)

    return task


def _rows(key: tuple[pa.Scalar, ...], rows: NDArray[np.int32]) -> pa.Table:
    task = np.full(len(rows), key[0].as_py(), np.int32)
    return pa.table({"task": task, "row": rows}, ROWS)
