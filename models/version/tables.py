"""The tables of a version: arrays of all its users, which the processes of a host map instead of loading."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
from numpy.typing import ArrayLike, DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ArtefactError
from models.graph import Graph
from models.schema.columns import Flag, Kind
from models.schema.profiles import (
    CategoricalColumn,
    MultiColumn,
    Profiles,
    joined_sets,
    kind_of,
)
from models.schema.relationship import NEVER_LIFTED
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.version.towers import Towers
from models.version.value_codes import ValueCodes

NAMES = "tables.json"
SUSPICION = "suspicion.npy"
LAYOUT = 2
"""layout 1 had the vectors of trained towers, which are not read"""
POPULAR = 1000
"""how many of the best connected users are stored, as the last fallback"""


class _Names(BaseModel):
    """tables.json: the names of the columns of the arrays."""

    model_config = ConfigDict(frozen=True)

    layout: Annotated[int, Field(ge=1, le=LAYOUT)] = LAYOUT
    users: Annotated[int, Field(ge=0)]
    categorical: list[tuple[str, list[str]]]
    """column and its values in the order of their codes"""
    multi: list[tuple[str, list[str]]]
    """column and its values; codes continue from column to column"""
    statistics: list[str]
    reason_columns: list[str]
    forbidden_kinds: bool = False
    """whether the reasons of forbidden pairs are stored"""
    kinds: dict[str, Kind] | None = None
    """the profile columns that are features; None: those of `categorical` and `multi`"""
    suspicion: bool = False
    """whether the suspicion of accounts is stored"""


@dataclass(frozen=True)
class Tables:
    """The tables of one version, n users; every array is read-only and is read from disk on access.

    Safe to share between threads. The files stay mapped as long as an array lives, even if the version is swept.
    """

    directory: Path
    vocabulary: Vocabulary
    graph: Graph
    """friendships, undirected"""
    forbidden: Graph
    """viewer → other, directed: never shown, whatever the score"""
    forbidden_kinds: NDArray[np.uint8]
    """the reasons by edge of `forbidden`: models.schema.relationship.Relationship without CONNECTED"""
    flags: NDArray[np.uint8]
    """(n,) uint8 of models.schema.columns.Flag bits"""
    towers: Towers
    """the vectors of all users; of no dimension in tables of layout 1"""
    statistics: NDArray[np.float32]
    """(n, s) float32, per-user numbers that pair features need"""
    statistic_names: list[str]
    categorical_codes: NDArray[np.int32]
    """(n, C) int32, -1 if missing"""
    categorical_columns: list[str]
    categorical_values: list[list[str]]
    """by column, the value of each code"""
    multi_indptr: NDArray[np.int64]
    multi_codes: NDArray[np.int32]
    """a row's values in all multi-valued columns, rising: `multi_codes[multi_indptr[row] : multi_indptr[row + 1]]`"""
    multi_values: list[tuple[str, str]]
    """(column, value) of each code"""
    column_kinds: dict[str, Kind]
    """the profile columns that are features; name and flags are not"""
    reason_columns: list[str]
    """the columns that reasons may name"""
    popular: NDArray[np.int32]
    """rows of discoverable and active users by falling degree, at most POPULAR"""
    profiles: NDArray[np.uint8]
    """stored profiles as JSON, one after the other"""
    profile_offsets: NDArray[np.int64]
    """(n + 1,) int64, where each starts"""
    suspicion: NDArray[np.float16] | None = None
    """(n,) float16, 0-1: the share of ordinary accounts that fit their friends better; None: not computed"""

    @classmethod
    def open(cls, directory: Path) -> "Tables":
        """The tables of a version's `tables` directory.

        Checks lengths, types and boundaries; Manifest.verify checks checksums. Raises ArtefactError that names the
        file.
        """
        # what says how long the other files are
        names = _read_names(directory / NAMES)
        n = names.users
        starts = _read_boundaries(directory / "vocabulary_offsets.npy", n)
        multi_values = [(column, value) for column, values in names.multi for value in values]
        multi_indptr, multi_codes = _read_sparse(directory, ("multi_indptr", "multi_codes"), n, len(multi_values))
        stored = _read_boundaries(directory / "profiles_offsets.npy", n)
        forbidden = Graph(*_read_sparse(directory, ("forbidden_indptr", "forbidden_indices"), n, n))
        # all others, mapped or read
        return cls(
            directory=directory,
            vocabulary=Vocabulary(files.map_bytes(directory / "vocabulary.bin", int(starts[-1])), starts),
            graph=Graph(*_read_sparse(directory, ("indptr", "indices"), n, n)),
            forbidden=forbidden,
            forbidden_kinds=_read_kinds(directory, len(forbidden.indices), names),
            flags=files.read_array(directory / "flags.npy", np.uint8, (n,)),
            towers=Towers.none(n) if names.layout == 1 else Towers.open(directory, n),
            statistics=files.read_array(directory / "statistics.npy", np.float32, (n, len(names.statistics))),
            statistic_names=names.statistics,
            categorical_codes=files.read_array(
                directory / "categorical_codes.npy", np.int32, (n, len(names.categorical))
            ),
            categorical_columns=[column for column, _ in names.categorical],
            categorical_values=[values for _, values in names.categorical],
            multi_indptr=multi_indptr,
            multi_codes=multi_codes,
            multi_values=multi_values,
            column_kinds=_kinds(names),
            reason_columns=names.reason_columns,
            popular=_below(
                directory / "popular.npy", files.read_array(directory / "popular.npy", np.int32, (None,)), n
            ),
            profiles=files.map_bytes(directory / "profiles.bin", int(stored[-1])),
            profile_offsets=stored,
            suspicion=files.read_array(directory / SUSPICION, np.float16, (n,)) if names.suspicion else None,
        )

    @property
    def n(self) -> int:
        return len(self.flags)

    @cached_property
    def value_codes(self) -> ValueCodes:
        """Finds the codes of profile values; made once, since that reads every value."""
        return ValueCodes(zip(self.categorical_columns, self.categorical_values, strict=True), self.multi_values)

    def profile(self, row: int) -> dict[str, Any]:
        """The stored profile of a row, by column; {} if it has none. Raises ArtefactError if it is not JSON."""
        stored = self.profiles[self.profile_offsets[row] : self.profile_offsets[row + 1]].tobytes()
        try:
            profile: dict[str, Any] = orjson.loads(stored) if stored else {}
        except orjson.JSONDecodeError as error:
            raise ArtefactError(f"{self.directory / 'profiles.bin'} is altered at row {row}: {error}") from error
        return profile


def write_tables(
    directory: Path,
    *,
    vocabulary: Vocabulary,
    graph: Graph,
    forbidden: Graph,
    flags: NDArray[np.uint8],
    profiles: Profiles,
    profile_json: tuple[bytes, NDArray[np.int64]],
    reason_columns: Sequence[str],
    towers: Towers,
    statistics: ArrayLike,
    statistic_names: Sequence[str],
    forbidden_kinds: ArrayLike | None = None,
    suspicion: ArrayLike | None = None,
) -> None:
    """Writes the tables of n users into a directory, which is created if it is missing.

    `flags` (n,) uint8; `profile_json` the concatenated JSON and (n + 1,) offsets; `towers` of n users and
    `statistics` (n, s) of any float; `forbidden_kinds` by edge of `forbidden` the bits
    of Relationship that forbid it, without which it is never lifted; `suspicion` (n,) or none. Raises ValueError if a
    length is not n.
    """
    # names of columns
    n = len(vocabulary)
    kinds = _without_reason(len(forbidden.indices)) if forbidden_kinds is None else forbidden_kinds
    categorical = {name: column for name, column in profiles.columns.items() if isinstance(column, CategoricalColumn)}
    multi = {name: column for name, column in profiles.columns.items() if isinstance(column, MultiColumn)}
    names = _Names(
        users=n,
        categorical=[(name, list(column.values)) for name, column in categorical.items()],
        multi=[(name, list(column.values)) for name, column in multi.items()],
        statistics=list(statistic_names),
        reason_columns=list(reason_columns),
        forbidden_kinds=True,
        suspicion=suspicion is not None,
        kinds={name: kind_of(column) for name, column in profiles.columns.items()},
    )
    # arrays with their types and shapes
    codes = [column.codes for column in categorical.values()]
    multi_indptr, multi_codes = joined_sets(n, list(multi.values()))
    arrays: dict[str, tuple[ArrayLike, DTypeLike, tuple[int | None, ...]]] = {
        "vocabulary_offsets": (vocabulary.offsets, np.int64, (n + 1,)),
        "indptr": (graph.indptr, np.int64, (n + 1,)),
        "indices": (graph.indices, np.int32, (None,)),
        "forbidden_indptr": (forbidden.indptr, np.int64, (n + 1,)),
        "forbidden_indices": (forbidden.indices, np.int32, (None,)),
        "forbidden_kinds": (kinds, np.uint8, (len(forbidden.indices),)),
        "flags": (flags, np.uint8, (n,)),
        "towers": (towers.codes, np.int8, (n, None)),
        "statistics": (statistics, np.float32, (n, len(names.statistics))),
        "categorical_codes": (np.stack(codes, axis=1) if codes else np.zeros((n, 0)), np.int32, (n, len(codes))),
        "multi_indptr": (multi_indptr, np.int64, (n + 1,)),
        "multi_codes": (multi_codes, np.int32, (None,)),
        "profiles_offsets": (profile_json[1], np.int64, (n + 1,)),
    }
    if suspicion is not None:
        arrays["suspicion"] = (suspicion, np.float16, (n,))
    checked = {name: _shaped(name, *array, n=n) for name, array in arrays.items()}
    # files
    directory.mkdir(parents=True, exist_ok=True)
    del checked["towers"]
    towers.save(directory)
    for name, array in {**checked, "popular": most_connected(graph, flags)}.items():
        files.write_array(directory / f"{name}.npy", array)
    files.write_bytes(directory / "vocabulary.bin", np.ascontiguousarray(vocabulary.text).data)
    files.write_bytes(directory / "profiles.bin", profile_json[0])
    files.write_json(directory / NAMES, names.model_dump())


def _shaped(name: str, values: ArrayLike, dtype: DTypeLike, shape: tuple[int | None, ...], *, n: int) -> NDArray[Any]:
    array = np.asarray(values, dtype=dtype)
    if array.ndim != len(shape) or any(
        expected not in (None, actual) for expected, actual in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape}; {n} users need {shape}")
    return array


def most_connected(graph: Graph, flags: NDArray[np.uint8], count: int = POPULAR) -> NDArray[np.int32]:
    """(≤ count,) int32: rows of discoverable and active users by falling degree, without those of degree 0.

    Equal degrees are ordered by row.
    """
    shown = Flag.DISCOVERABLE | Flag.ACTIVE
    rows = np.flatnonzero(((flags & shown) == shown) & (graph.degrees > 0))
    return rows[np.argsort(-graph.degrees[rows], kind="stable")][:count].astype(np.int32)


def _read_names(path: Path) -> _Names:
    try:
        return _Names.model_validate(files.read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtefactError(f"{path} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _kinds(names: _Names) -> dict[str, Kind]:
    if names.kinds is not None:
        return names.kinds
    coded = ((names.categorical, Kind.CATEGORICAL), (names.multi, Kind.MULTI))
    return {column: kind for columns, kind in coded for column, _ in columns}


def _without_reason(pairs: int) -> NDArray[np.uint8]:
    """(pairs,) uint8: the reason of forbidden pairs whose reason is not stored."""
    return np.full(pairs, NEVER_LIFTED, dtype=np.uint8)


def _read_kinds(directory: Path, pairs: int, names: _Names) -> NDArray[np.uint8]:
    """(pairs,) uint8; reasons that are not stored are never lifted."""
    if not names.forbidden_kinds:
        return _without_reason(pairs)
    return files.read_array(directory / "forbidden_kinds.npy", np.uint8, (pairs,))


def _read_boundaries(path: Path, n: int) -> NDArray[np.int64]:
    """(n + 1,) int64 that start at 0 and never fall."""
    boundaries = files.read_array(path, np.int64, (n + 1,))
    if boundaries[0] != 0 or (boundaries[1:] < boundaries[:-1]).any():
        raise ArtefactError(f"{path} is altered: its boundaries do not rise from 0")
    return boundaries


def _read_sparse(
    directory: Path, names: tuple[str, str], n: int, below: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Boundaries and values of compressed sparse rows, values within 0 and `below` - 1: kernels do not check bounds."""
    indptr = _read_boundaries(directory / f"{names[0]}.npy", n)
    path = directory / f"{names[1]}.npy"
    return indptr, _below(path, files.read_array(path, np.int32, (int(indptr[-1]),)), below)


def _below(path: Path, values: NDArray[np.int32], below: int) -> NDArray[np.int32]:
    """The values of a file. Raises ArtefactError if one is not within 0 and `below` - 1."""
    if len(values) and not 0 <= values.min() <= values.max() < below:
        raise ArtefactError(f"{path} is altered: its values run from {values.min()} to {values.max()}")
    return values
