"""Codes profiles for the comparison of two users by profile affinity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtefactError
from models.features.profile_affinity import CodedProfiles
from models.features.profile_encoder import TextBasis, sphere
from models.features.text_encoder import sentence_vectors
from models.kernels.profile_affinity import MISSING
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
    TextColumn,
    TimestampColumn,
    joined_sets,
)
from models.system import files

BINS = 12
"""quantiles by which numbers and timestamps are compared"""
CELL_DEGREES = 0.1
"""side of the cells that locations are grouped by, about 11 km from north to south"""
CODING = "coding.json"
_CELLS_AROUND = 1 << 20
"""more than there are cells around the earth"""


@dataclass(frozen=True)
class ColumnCoding:
    """The coding of one column."""

    kind: str
    """name of the column's type in models.schema.profiles"""
    values: list[str] = field(default_factory=list)
    """values of a categorical or set column, in the order of their codes"""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """`edges` of quantiles, `cells` (c, 2) of locations, `weights` and `components` of texts"""

    @cached_property
    def code_of(self) -> dict[str, int]:
        """The code of each value, cached, since new users are coded one by one."""
        return {value: code for code, value in enumerate(self.values)}

    @cached_property
    def cell_keys(self) -> NDArray[np.int64]:
        """(c,) int64, rising: a number for each of `cells`, cached like `code_of`."""
        return _keys(self.arrays["cells"])


class ProfileCoder:
    """Codes profiles, of the users it was fitted on and of others; unknown values count as missing.

    Numbers and timestamps become quantiles, texts and locations vectors. A location also becomes a code, its cell of
    CELL_DEGREES, so that users nearby form a group; only the vector is compared.
    """

    def __init__(self, columns: Mapping[str, ColumnCoding], text_model: str | None = None) -> None:
        self.columns = columns
        self.text_model = text_model

    @classmethod
    def fit(cls, profiles: Profiles, text_model: str | None = None) -> "ProfileCoder":
        """The coder of these users' columns."""
        columns: dict[str, ColumnCoding] = {}
        for name, column in profiles.columns.items():
            values: list[str] = []
            arrays: dict[str, NDArray[Any]] = {}
            match column:
                case CategoricalColumn() | MultiColumn():
                    values = list(column.values)
                case NumericColumn(numbers) | TimestampColumn(numbers):
                    arrays["edges"] = _edges(numbers)
                case LocationColumn(degrees):
                    arrays["cells"] = np.unique(_cells(degrees)[1], axis=0)
                case TextColumn() if text_model is None:
                    basis = TextBasis.fit(column)
                    arrays |= {"weights": basis.weights, "components": basis.components}
                case TextColumn():
                    pass
            columns[name] = ColumnCoding(type(column).__name__, values, arrays)
        return cls(columns, text_model)

    def coded(self, profiles: Profiles) -> CodedProfiles:
        """The coded profiles of n users; a column that is absent or of another kind counts as missing."""
        # each fitted column
        n = profiles.n
        codes: list[NDArray[np.int32]] = []
        cardinality: list[int] = []
        is_compared: list[bool] = []
        points: list[NDArray[np.float32]] = []
        sets: list[MultiColumn] = []
        for name, coding in self.columns.items():
            column = profiles.columns.get(name)
            if column is not None and type(column).__name__ != coding.kind:
                column = None
            match coding.kind:
                case "CategoricalColumn":
                    codes.append(_values(column, coding.code_of, n))
                    cardinality.append(len(coding.values))
                    is_compared.append(True)
                case "NumericColumn" | "TimestampColumn":
                    codes.append(_quantiles(column, coding.arrays["edges"], n))
                    cardinality.append(BINS)
                    is_compared.append(True)
                case "MultiColumn":
                    sets.append(_set(column, coding, n))
                case "LocationColumn":
                    points.append(_sphere(column, n))
                    codes.append(_cell_codes(column, coding.cell_keys, n))
                    cardinality.append(len(coding.arrays["cells"]))
                    is_compared.append(False)
                case "TextColumn":
                    points.append(self._texts(column, coding, n))
        # columns of a kind side by side
        set_indptr, set_codes = joined_sets(n, sets)
        return CodedProfiles(
            codes=np.stack(codes, axis=1).astype(np.int32) if codes else np.zeros((n, 0), np.int32),
            cardinality=np.array(cardinality, dtype=np.int64),
            is_compared=np.array(is_compared, dtype=np.bool_),
            set_indptr=set_indptr,
            set_codes=set_codes,
            set_size=sum(len(column.values) for column in sets),
            points=np.concatenate([np.zeros((n, 0), np.float32), *points], axis=1).astype(np.float32),
            point_spans=np.cumsum([0, *(part.shape[1] for part in points)]).astype(np.int64),
        )

    def _texts(self, column: Column | None, coding: ColumnCoding, n: int) -> NDArray[np.float32]:
        texts = column if isinstance(column, TextColumn) else TextColumn([None] * n)
        if self.text_model is not None:
            return sentence_vectors(texts.texts, self.text_model)
        return TextBasis(coding.arrays["weights"], coding.arrays["components"]).vectors(texts)

    def save(self, directory: Path) -> None:
        """Writes coding.json and a file for each array of a column."""
        columns = []
        for number, (name, coding) in enumerate(self.columns.items()):
            for part, array in coding.arrays.items():
                files.write_array(directory / f"coding_{number}_{part}.npy", array)
            columns.append({"name": name, "kind": coding.kind, "values": coding.values, "arrays": list(coding.arrays)})
        files.write_json(directory / CODING, {"columns": columns, "text_model": self.text_model})

    @classmethod
    def open(cls, directory: Path) -> "ProfileCoder":
        """A saved coder. Raises ArtefactError with the file that is missing, truncated or altered."""
        path = directory / CODING
        written = files.read_json(path)
        try:
            columns = {
                entry["name"]: ColumnCoding(
                    entry["kind"],
                    entry["values"],
                    {part: _part(directory / f"coding_{number}_{part}.npy", part) for part in entry["arrays"]},
                )
                for number, entry in enumerate(written["columns"])
            }
            return cls(columns, written["text_model"])
        except (KeyError, TypeError) as error:
            raise ArtefactError(f"{path} is truncated or altered: {error!r}") from error


_PARTS: dict[str, tuple[type[np.generic], tuple[int | None, ...]]] = {
    "edges": (np.float64, (None,)),
    "cells": (np.int64, (None, 2)),
    "weights": (np.float32, (None,)),
    "components": (np.float32, (None, None)),
}


def _part(path: Path, part: str) -> NDArray[Any]:
    dtype, shape = _PARTS[part]
    return files.read_array(path, dtype, shape)


def _missing(n: int) -> NDArray[np.int32]:
    return np.full(n, MISSING, np.int32)


def _codes_of(values: list[str], fitted: Mapping[str, int]) -> NDArray[np.int32]:
    """(len(values) + 1,) int32 code of each value, MISSING if not fitted, and MISSING at the end."""
    return np.array([*(fitted.get(value, MISSING) for value in values), MISSING], dtype=np.int32)


def _values(column: Column | None, fitted: Mapping[str, int], n: int) -> NDArray[np.int32]:
    """(n,) int32 codes of a column of values."""
    if not isinstance(column, CategoricalColumn):
        return _missing(n)
    return _codes_of(list(column.values), fitted)[column.codes]


def _set(column: Column | None, fitted: ColumnCoding, n: int) -> MultiColumn:
    """A set column in the fitted codes."""
    if not isinstance(column, MultiColumn):
        return MultiColumn(np.zeros(n + 1, np.int64), np.zeros(0, np.int32), fitted.values)
    codes = _codes_of(list(column.values), fitted.code_of)[column.codes]
    known = codes != MISSING
    owner = np.repeat(np.arange(n), np.diff(column.indptr))[known]
    order = np.lexsort((codes[known], owner))
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=n), out=indptr[1:])
    return MultiColumn(indptr, codes[known][order], fitted.values)


def _edges(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(BINS - 1,) float64 between the quantiles of the numbers; empty if there is no number."""
    known = numbers[~np.isnan(numbers)]
    return np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]) if len(known) else np.zeros(0)


def _quantiles(column: Column | None, edges: NDArray[np.float64], n: int) -> NDArray[np.int32]:
    """(n,) int32 quantile of each number, 0 to BINS - 1."""
    match column:
        case NumericColumn(numbers) | TimestampColumn(numbers) if len(edges):
            known = ~np.isnan(numbers)
            return np.where(known, np.searchsorted(edges, numbers, side="right"), MISSING).astype(np.int32)
    return _missing(n)


def _cells(degrees: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of n users have a location, and its cell, (k, 2)."""
    known = np.asarray(~np.isnan(degrees).any(axis=1))
    return known, np.floor(degrees[known].astype(np.float64) / CELL_DEGREES).astype(np.int64)


def _keys(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) int64: a number for each cell (k, 2), in the order of the cells."""
    keys: NDArray[np.int64] = cells[:, 0] * _CELLS_AROUND + cells[:, 1]
    return keys


def _cell_codes(column: Column | None, fitted: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """(n,) int32 place of each user's cell among the rising keys of the fitted cells (c,)."""
    codes = _missing(n)
    if isinstance(column, LocationColumn) and len(fitted):
        known, cells = _cells(column.degrees)
        keys = _keys(cells)
        places = np.searchsorted(fitted, keys).clip(max=len(fitted) - 1)
        codes[known] = np.where(fitted[places] == keys, places, MISSING)
    return codes


def _sphere(column: Column | None, n: int) -> NDArray[np.float32]:
    return sphere(column.degrees) if isinstance(column, LocationColumn) else np.zeros((n, 3), np.float32)
