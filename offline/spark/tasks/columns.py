"""Columns of Arrow tables as arrays, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

Rows = NDArray[np.int32]

PEOPLE = pa.schema(
    {
        "row": pa.int32(),
        "shown": pa.bool_(),
        "late": pa.float32(),
        "values": pa.list_(pa.int32()),
        "set_codes": pa.list_(pa.int32()),
        "codes": pa.binary(),
        "points": pa.binary(),
        "embedding": pa.binary(),
        "tower": pa.binary(),
    }
)
"""what pair features read of a person, her profile values, and whether she may be shown; `codes` (int32), `points`,
`embedding` (float32) and `tower` (int8) are the bytes of her row of the arrays"""


@dataclass(frozen=True)
class Lists:
    """A column of lists: `sizes` (r,) int64, and all their entries one after the other."""

    sizes: NDArray[np.int64]
    values: Rows


def plain(table: pa.Table, name: str) -> NDArray[Any]:
    """A column without nulls, (r,)."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False))


def lists(column: pa.ChunkedArray) -> Lists:
    """A column of lists of integers; a null is an empty list."""
    sizes, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for chunk in column.chunks:
        lengths = chunk.value_lengths().fill_null(0)
        sizes.append(lengths.to_numpy(zero_copy_only=False).astype(np.int64))
        values.append(chunk.flatten().to_numpy(zero_copy_only=False).astype(np.int32, copy=False))
    return Lists(np.concatenate(sizes), np.concatenate(values))


def matrix(column: pa.ChunkedArray, dtype: DTypeLike, width: int) -> NDArray[Any]:
    """(r, width): a column in which each row is the bytes of one row of an array."""
    parts = [np.zeros(0, dtype)]
    for chunk in column.chunks:
        offsets = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, chunk.offset * 4)
        size = int(offsets[-1] - offsets[0]) // np.dtype(dtype).itemsize
        if size:
            parts.append(np.frombuffer(chunk.buffers()[2], dtype, size, int(offsets[0])))
    return np.concatenate(parts).reshape(len(column), width)


def compressed(m: int, rows: NDArray[np.integer], found: Lists) -> tuple[NDArray[np.int64], Rows]:
    """Compressed sparse rows of m rows, of which `rows` (r,) distinct have the lists found: (m + 1,) and entries."""
    order = np.argsort(rows, kind="stable")
    indptr = np.zeros(m + 1, np.int64)
    indptr[rows + 1] = found.sizes
    np.cumsum(indptr, out=indptr)
    starts = np.concatenate([[0], np.cumsum(found.sizes)])[:-1]
    sizes = found.sizes[order]
    within = np.arange(len(found.values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return indptr, found.values[np.repeat(starts[order], sizes) + within]


def rows_as_bytes(array: NDArray[Any]) -> pa.Array:
    """Each row of an array (k, w) as its bytes."""
    k, width = len(array), array.shape[1] * array.dtype.itemsize
    offsets = np.arange(k + 1, dtype=np.int32) * np.int32(width)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(array))]
    return pa.Array.from_buffers(pa.binary(), k, buffers)


def slices(indptr: NDArray[np.integer], values: NDArray[Any], start: int, end: int) -> pa.Array:
    """The lists of rows `start` to before `end` of compressed sparse rows."""
    offsets = pa.array((indptr[start : end + 1] - indptr[start]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(values[indptr[start] : indptr[end]]))
