"""What candidates of a delta night are made from: a new graph in the spaces of the active version."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.candidates.inputs import CandidateInputs, profile_values, values_of
from models.candidates.user_builder import position_of
from models.errors import UsageError
from models.features.inductive import ProfileMap
from models.features.profile_affinity import fit_profile_affinity
from models.features.profile_codes import ProfileCoder
from models.features.user_statistics import late_of, user_statistics
from models.schema.columns import Flag
from models.schema.statistic_names import ALL_STATISTICS, LOG_SPECTRAL_NORM, STATISTICS
from models.version.block_file import Blocks
from models.version.tables import Tables
from models.version.towers import Towers
from offline.features.graph_features import People
from offline.features.temporal_graph import Friendships
from offline.night.delta.changes import RowMap, changed_edges, changed_profiles
from offline.snapshot.snapshot import Snapshot

SHOWN = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)


@dataclass(frozen=True)
class ActiveState:
    """The files of the active version that a delta night goes on from."""

    directory: Path
    tables: Tables
    inputs: CandidateInputs
    blocks: Blocks

    @classmethod
    def open(cls, directory: Path) -> "ActiveState":
        """The files of a version directory. Raises ArtefactError if one is missing or altered."""
        tables = Tables.open(directory / "tables")
        inputs = CandidateInputs.open(
            directory / "candidates",
            tables.graph,
            tables.forbidden,
            (tables.flags & SHOWN) == SHOWN,
            tables.towers,
            late_of(tables.statistics),
        )
        return cls(directory, tables, inputs, Blocks.open(directory / "blocks", tables.n))


@dataclass(frozen=True)
class DeltaInputs:
    """The inputs of candidates in a snapshot, and who needs new ones."""

    rows: RowMap
    inputs: CandidateInputs
    coder: ProfileCoder
    statistics: Float32s
    """(n, s)"""
    touched: NDArray[np.int64]
    """rows, rising: the active people whose candidates are made anew"""

    @classmethod
    def of(cls, active: ActiveState, snapshot: Snapshot, known: Friendships, people: People) -> "DeltaInputs":
        """The inputs of a snapshot with the friendships `known` and the `people` as of its cut.

        Vectors and weights are the active version's, what profiles say of friendship is fitted anew, and who is new
        gets a position from friends and profile, as in the worker. Raises UsageError if the columns, or whether
        friendships have dates, are others than in the active version.
        """
        _refuse_others(active, snapshot, people)
        rows = RowMap.of(active.tables.vocabulary, snapshot.vocabulary)
        # vectors that are kept
        former, towers, graph = active.inputs, active.inputs.towers, known.graph
        spectral, embeddings = _moved(former.spectral, rows), _moved(former.embeddings, rows)
        # profiles
        profile_affinity = fit_profile_affinity(people.coded, graph)
        old = np.where(rows.then >= 0, graph.degrees, 0)
        inputs = replace(
            former,
            graph=graph,
            known=people.known,
            suggestible=people.suggestible,
            spectral=spectral,
            embeddings=embeddings,
            profiles=ProfileMap.fit(profile_values(profile_affinity), spectral, embeddings, old),
            profile_affinity=profile_affinity,
            towers=replace(towers, codes=_moved(towers.codes, rows)),
        )
        # who is new
        if len(rows.new):
            inputs = _with_new_people(inputs, rows)
        statistics = _statistics(active, inputs, rows, people)
        inputs = replace(inputs, late=late_of(statistics))
        return cls(rows, inputs, people.coder, statistics, _touched(active, inputs, rows, snapshot))


def _refuse_others(active: ActiveState, snapshot: Snapshot, people: People) -> None:
    kinds, there = active.tables.column_kinds, snapshot.description.kinds
    if kinds != there:
        names = ", ".join(sorted(name for name in kinds.keys() | there.keys() if kinds.get(name) != there.get(name)))
        raise UsageError(f"--delta keeps the active version's columns, but {names} changed; run a whole night")
    dates = people.dated is not None
    if active.tables.statistics.shape[1] != (len(ALL_STATISTICS) if dates else len(STATISTICS)):
        raise UsageError(
            f"--delta: the friendships have {'' if dates else 'no '}dates now, other than in the active version; run a "
            "whole night"
        )


Number = TypeVar("Number", bound=np.generic)


def _moved(table: NDArray[Number], rows: RowMap) -> NDArray[Number]:
    """A table of the active version in the rows of the snapshot; zero for who is new."""
    if rows.is_same:
        return table
    found = np.zeros((len(rows.then), *table.shape[1:]), table.dtype)
    there = rows.then >= 0
    found[there] = table[rows.then[there]]
    return found


def _with_new_people(inputs: CandidateInputs, rows: RowMap) -> CandidateInputs:
    """The same with coordinates, embedding and vector of the towers for who is new, from friends who are not new."""
    spectral, embeddings = np.array(inputs.spectral), np.array(inputs.embeddings)
    codes, towers = np.array(inputs.towers.codes), inputs.towers
    indptr, value_codes, _ = values_of(inputs.profile_affinity)
    for row in rows.new.tolist():
        friends = inputs.graph.neighbours(row)
        friends = friends[rows.then[friends] >= 0]
        values = value_codes[indptr[row] : indptr[row + 1]]
        spectral[row], embeddings[row] = position_of(inputs, values, friends)
        codes[row] = _codes(spectral[row], towers)
    return replace(inputs, spectral=spectral, embeddings=embeddings, towers=replace(towers, codes=codes))


def _codes(coordinates: Float32s, towers: Towers) -> NDArray[np.int8]:
    """(d,) the vector as a candidate of somebody at these coordinates (k,): query / own (models.version.towers)."""
    own = np.sqrt(towers.own)
    vector = np.divide(coordinates[: towers.dimensions], own, out=np.zeros_like(own), where=own > 0)
    scaled = np.divide(vector, towers.scales, out=np.zeros_like(own), where=towers.scales > 0)
    return np.clip(np.rint(scaled), -127, 127).astype(np.int8)


def _statistics(active: ActiveState, inputs: CandidateInputs, rows: RowMap, people: People) -> Float32s:
    """(n, s) statistics of the new graph; the spectral norm is kept, or that of a new person's coordinates."""
    statistics = user_statistics(inputs.graph, np.linalg.norm(inputs.spectral, axis=1).astype(np.float32))
    there = rows.then >= 0
    statistics[there, LOG_SPECTRAL_NORM] = active.tables.statistics[rows.then[there], LOG_SPECTRAL_NORM]
    if people.dated is not None:
        statistics = np.concatenate([statistics, people.dated], axis=1)
    return np.asarray(statistics, dtype=np.float32)


def _touched(active: ActiveState, inputs: CandidateInputs, rows: RowMap, snapshot: Snapshot) -> NDArray[np.int64]:
    """Rows of the active people who are new, whose friends, forbidden people or profile changed, or without a block."""
    former = active.inputs
    touched = changed_edges(former.graph, inputs.graph, rows) | changed_edges(former.known, inputs.known, rows)
    stored = active.tables.profiles, active.tables.profile_offsets
    touched |= changed_profiles(stored, snapshot.profile_json(), rows)
    has_block = np.zeros(snapshot.n, np.bool_)
    there = np.flatnonzero(rows.then >= 0)
    has_block[there] = (np.diff(active.blocks.offsets) > 0)[rows.then[there]]
    is_active = (snapshot.flags & np.uint8(Flag.ACTIVE)) > 0
    return np.flatnonzero(is_active & (touched | ~has_block))
