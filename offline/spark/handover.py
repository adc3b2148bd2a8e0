"""What a night holds as arrays, as the Parquet files that the jobs read; written in pieces, never copied whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.candidates.generator import Nearest
from models.candidates.inputs import CandidateInputs, values_of
from models.graph import Graph
from offline.spark.tasks.columns import PEOPLE, rows_as_bytes, slices

PIECE = 1 << 16
"""rows written at once"""
EDGES = 1 << 22
"""friendships written at once"""


def write_pairs(graph: Graph, path: Path) -> None:
    """Each friendship once: `a` < `b` int32."""
    schema = pa.schema({"a": pa.int32(), "b": pa.int32()})
    with pq.ParquetWriter(path, schema) as writer:
        first = 0
        while first < graph.n:
            last = int(np.searchsorted(graph.indptr, graph.indptr[first] + EDGES, side="right")) - 1
            last = min(max(last, first + 1), graph.n)
            degrees = np.diff(graph.indptr[first : last + 1])
            a = np.repeat(np.arange(first, last, dtype=np.int32), degrees)
            b = graph.indices[graph.indptr[first] : graph.indptr[last]]
            once = a < b
            writer.write_table(pa.table({"a": a[once], "b": b[once]}, schema))
            first = last


def write_shown(shown: NDArray[np.bool_], path: Path) -> None:
    """One row a person: `row`, and whether she may be `shown`."""
    schema = pa.schema({"row": pa.int32(), "shown": pa.bool_()})
    with pq.ParquetWriter(path, schema) as writer:
        for start, end in _pieces(len(shown)):
            rows = np.arange(start, end, dtype=np.int32)
            writer.write_table(pa.table({"row": rows, "shown": shown[start:end]}, schema))


def write_people(inputs: CandidateInputs, path: Path) -> None:
    """One row a person, of the schema PEOPLE."""
    tables = inputs.profile_affinity
    wide: dict[str, NDArray[Any]] = {
        "codes": tables.codes,
        "points": tables.points,
        "embedding": inputs.embeddings,
        "tower": inputs.towers.codes,
    }
    value_indptr, value_codes, _ = values_of(tables)
    with pq.ParquetWriter(path, PEOPLE) as writer:
        for start, end in _pieces(inputs.graph.n):
            late = inputs.late[start:end] if len(inputs.late) else np.zeros(end - start, np.float32)
            columns = {
                "row": np.arange(start, end, dtype=np.int32),
                "shown": inputs.suggestible[start:end],
                "late": late,
                "values": slices(value_indptr, value_codes, start, end),
                "set_codes": slices(tables.set_indptr, tables.set_codes, start, end),
            }
            columns |= {name: rows_as_bytes(array[start:end]) for name, array in wide.items()}
            writer.write_table(pa.table(columns, PEOPLE))


def write_viewers(
    inputs: CandidateInputs, users: NDArray[np.int64], nearest: Nearest, count: int, most_friends: int, path: Path
) -> None:
    """One row a viewer: `known` (whom she must not be shown) and `nearest` (by embedding, of those who may be shown).

    Of a viewer with more than `most_friends` the jobs know a part of the friends, so all are among the known.
    """
    rows = pa.list_(pa.int32())
    schema = pa.schema({"viewer": pa.int32(), "at": pa.int64(), "known": rows, "nearest": rows})
    known, graph = inputs.known, inputs.graph
    with pq.ParquetWriter(path, schema) as writer:
        for start, end in _pieces(len(users)):
            part = users[start:end]
            found = nearest.nearest(part, count)
            found = np.where((found >= 0) & inputs.suggestible[found], found, -1).astype(np.int32)
            unseen = [
                np.union1d(known.neighbours(row), graph.neighbours(row))
                if graph.indptr[row + 1] - graph.indptr[row] > most_friends
                else known.neighbours(row)
                for row in part.tolist()
            ]
            columns = {
                "viewer": pa.array(part.astype(np.int32)),
                "at": pa.array(np.arange(start, end)),
                "known": pa.array(unseen, rows),
                "nearest": pa.array(list(found), rows),
            }
            writer.write_table(pa.table(columns, schema))


def _pieces(n: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, PIECE):
        yield start, min(start + PIECE, n)
