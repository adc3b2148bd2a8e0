"""What lists for strangers are made of: the graph, who may be shown, and the categorical columns of everybody."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.schema.columns import Flag
from models.version.tables import Tables


@dataclass(frozen=True)
class Network:
    """A graph of n users with their profiles."""

    graph: Graph
    suggestible: NDArray[np.bool_]
    """(n,) who may be shown at all"""
    popular: NDArray[np.int32]
    """the best connected of these, best first"""
    columns: Sequence[str]
    codes: NDArray[np.int32]
    """(n, C) int32, -1 if missing"""
    sizes: Sequence[int]
    """by column, how many values it has"""

    @classmethod
    def of(cls, tables: Tables) -> "Network":
        """The network of a version."""
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        return cls(
            tables.graph,
            (tables.flags & shown) == shown,
            tables.popular,
            tables.categorical_columns,
            tables.categorical_codes,
            [len(values) for values in tables.categorical_values],
        )

    def shares(self, rows: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """(k,) float32: the share of all other users that people are connected with; of everybody without `rows`."""
        degrees = self.graph.degrees if rows is None else self.graph.degrees[rows]
        return np.asarray(degrees / max(self.graph.n - 1, 1), dtype=np.float32)
