"""The reference statistics of a snapshot."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from models.features.user_statistics import dated_statistics, user_statistics
from models.graph import Graph
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
    kind_of,
)
from models.schema.statistic_names import DATED_STATISTICS, LOG_SPECTRAL_NORM, STATISTICS
from offline.features.temporal_graph import RECENT_S, Friendships
from offline.monitor.assortativity import Rows, assortativity
from offline.monitor.reference import ColumnReference, GraphReference, ReferenceStatistics, quantiles_of
from offline.snapshot.snapshot import Snapshot

MOST_VALUES = 20_000
"""values of a column that are kept by name"""


def describe(snapshot: Snapshot, known: Friendships) -> ReferenceStatistics:
    """The statistics of a snapshot whose friendships are `known`, without those of a model."""
    a, b = known.graph.pairs()
    columns = {name: _column(column, a, b, snapshot.n) for name, column in snapshot.profiles.columns.items()}
    return ReferenceStatistics(
        cut=snapshot.cut, columns=columns, graph=_graph(known.graph), features=_features(snapshot, known, a, b)
    )


def _column(column: Column, a: Rows, b: Rows, people: int) -> ColumnReference:
    filled, values, distinct, singletons = 0, dict[str, int](), 0, 0
    numbers: NDArray[np.floating] = np.zeros(0)
    longitudes: NDArray[np.floating] = np.zeros(0)
    match column:
        case CategoricalColumn(codes=codes, values=names):
            filled = int((codes >= 0).sum())
            values, distinct, singletons = _counted(codes[codes >= 0], names)
        case MultiColumn(indptr=indptr, codes=codes, values=names):
            filled = int((np.diff(indptr) > 0).sum())
            values, distinct, singletons = _counted(codes, names)
        case NumericColumn(numbers=found) | TimestampColumn(seconds=found):
            filled, numbers = int((~np.isnan(found)).sum()), found
        case LocationColumn(degrees=degrees):
            filled, numbers, longitudes = int((~np.isnan(degrees[:, 0])).sum()), degrees[:, 0], degrees[:, 1]
        case TextColumn(texts=texts):
            numbers = np.array([len(text) for text in texts if text is not None], np.float64)
            filled = len(numbers)
    found_r = assortativity(column, a, b)
    return ColumnReference(
        kind=kind_of(column),
        people=people,
        filled=filled,
        values=values,
        distinct=distinct,
        singletons=singletons,
        quantiles=quantiles_of(numbers),
        longitudes=quantiles_of(longitudes),
        assortativity=None if found_r is None else round(found_r[0], 6),
        assortativity_error=0.0 if found_r is None else round(found_r[1], 6),
    )


def _counted(codes: NDArray[np.int32], names: object) -> tuple[dict[str, int], int, int]:
    """People by value, most frequent first; how many values somebody has; how many one person alone has."""
    listed = list(names)  # type: ignore[call-overload]
    counts = np.bincount(codes, minlength=len(listed))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    kept = order[:MOST_VALUES].tolist()
    return {listed[at]: int(counts[at]) for at in kept}, len(order), int((counts == 1).sum())


def _graph(graph: Graph) -> GraphReference:
    connected = graph.degrees > 0
    shape = (graph.n, graph.n)
    ones = np.ones(len(graph.indices), np.int8)
    _, labels = connected_components(csr_array((ones, graph.indices, graph.indptr), shape=shape), directed=False)
    sizes = np.bincount(labels[connected]) if connected.any() else np.zeros(0, np.int64)
    return GraphReference(
        people=graph.n,
        friendships=len(graph.indices) // 2,
        isolated=float(1 - connected.mean()) if graph.n else 0.0,
        components=int((sizes > 0).sum()),
        largest=float(sizes.max() / sizes.sum()) if len(sizes) else 0.0,
    )


def _features(snapshot: Snapshot, known: Friendships, a: Rows, b: Rows) -> dict[str, list[float]]:
    """Quantiles of what the networks read of each person, beside the profile and the spectrum."""
    n, graph = snapshot.n, known.graph
    statistics = user_statistics(graph, np.ones(n, np.float32))
    found = {name: statistics[:, at] for at, name in enumerate(STATISTICS) if at != LOG_SPECTRAL_NORM}
    if known.dates is not None and known.have_order:
        dated = dated_statistics(n, a, b, known.dates, snapshot.cut + 1)
        found |= {name: dated[:, at] for at, name in enumerate(DATED_STATISTICS)}
    done = snapshot.interactions()
    late = done.at >= snapshot.cut - RECENT_S
    if len(done.at):
        for name, whose in (("log_acts", done.user), ("log_received", done.other)):
            found[name] = np.log1p(np.bincount(whose[late], minlength=n)).astype(np.float32)
    return {name: quantiles_of(values) for name, values in found.items()}
