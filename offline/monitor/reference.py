"""Reference statistics: what a version keeps of the data and lists of its night, to tell later how they drifted."""

from collections.abc import Sequence
from itertools import count as count_from
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ArtefactError
from models.schema.columns import Kind
from models.system import files
from offline.monitor.outcome_reference import OutcomeReference

FILE_NAME = "monitor/reference.json"
LAYOUT = 1
POINTS = 501
"""quantiles kept of a distribution: it is known within 0.2%"""
LEAST_NAMED = 5
"""people who must have a value before a report names it, or a reference does after they are gone"""


class ColumnReference(BaseModel):
    """One profile column."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    people: int
    filled: int
    """people with a value"""
    values: dict[str, int] = {}
    """of categories and sets: people by value, at most MOST_VALUES of them"""
    distinct: int = 0
    """values in all"""
    singletons: int = 0
    """values that one person alone has"""
    quantiles: list[float] = []
    """of numbers, timestamps (seconds), lengths of texts and latitudes"""
    longitudes: list[float] = []
    """quantiles of the longitudes of places; none in references of earlier releases"""
    assortativity: float | None = None
    """how much more alike friends are than chance, 0 to 1 (Newman 2003); None if too few friendships tell"""
    assortativity_error: float = 0.0
    """its standard error"""

    def without_gone(self, now: "ColumnReference | None") -> "ColumnReference":
        """The same counts, without the names of rare values that nobody has `now` (None: the column is gone too), and
        without the least and the largest number if nobody has one as far out: they may be of somebody who was erased.
        """
        known = {} if now is None else now.values
        gone = {value for value, count in self.values.items() if count < LEAST_NAMED and value not in known}
        names = (name for name in map("gone since ({})".format, count_from(1)) if name not in self.values.keys() - gone)
        values = {next(names) if one in gone else one: n for one, n in self.values.items()}
        quantiles = _without_ends(self.quantiles, [] if now is None else now.quantiles)
        longitudes = _without_ends(self.longitudes, [] if now is None else now.longitudes)
        return self.model_copy(update={"values": values, "quantiles": quantiles, "longitudes": longitudes})


def _without_ends(then: list[float], now: list[float]) -> list[float]:
    """Quantiles whose ends are the next ones where `now` does not reach as far."""
    if len(then) < 3:
        return then
    first = then[0] if now and now[0] <= then[0] else then[1]
    last = then[-1] if now and now[-1] >= then[-1] else then[-2]
    return [first, *then[1:-1], last]


class GraphReference(BaseModel):
    """The friendships."""

    model_config = ConfigDict(frozen=True)

    people: int
    friendships: int
    isolated: float
    """share of the people without friends"""
    components: int
    """connected components of two people or more"""
    largest: float
    """share of the people with friends who are in the largest component"""


class ModelReference(BaseModel):
    """The lists of a sample of people, as a version serves them."""

    model_config = ConfigDict(frozen=True)

    users: int
    scores: list[float] = []
    """quantiles of the probabilities of shown candidates"""
    candidates: float = 0.0
    """mean candidates of a person"""
    served: float = 0.0
    """share of the active people who have candidates"""
    sources: dict[str, float] = {}
    """by source, share of the shown candidates that it found"""


class ReferenceStatistics(BaseModel):
    """The content of monitor/reference.json."""

    model_config = ConfigDict(frozen=True)

    layout: int = LAYOUT
    cut: int
    """latest time that the data cover, seconds since 1970 UTC"""
    columns: dict[str, ColumnReference]
    graph: GraphReference
    features: dict[str, list[float]]
    """quantiles of each feature of a person, by name"""
    model: ModelReference | None = None
    outcomes: OutcomeReference | None = None

    @classmethod
    def read(cls, directory: Path) -> "ReferenceStatistics | None":
        """The reference of a version directory; None if the version was made without one, or by a later layout.

        Raises ArtefactError if it cannot be read.
        """
        path = directory / FILE_NAME
        if not path.is_file():
            return None
        try:
            found = cls.model_validate_json(files.read_bytes(path))
        except ValidationError as error:
            raise ArtefactError(
                f"{path} is truncated or altered: {error.errors(include_url=False)[0]['msg']}"
            ) from error
        return found if found.layout <= LAYOUT else None

    def without_gone(self, now: "ReferenceStatistics") -> "ReferenceStatistics":
        """The same, without what in its columns may tell of somebody who was erased (ColumnReference.without_gone)."""
        columns = {name: column.without_gone(now.columns.get(name)) for name, column in self.columns.items()}
        return self.model_copy(update={"columns": columns})

    def write(self, directory: Path) -> None:
        """Writes the file below a version directory."""
        (directory / FILE_NAME).parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(directory / FILE_NAME, self.model_dump_json().encode() + b"\n")


def quantiles_of(numbers: NDArray[np.floating] | Sequence[float]) -> list[float]:
    """POINTS quantiles of the numbers that are there; none if there are none."""
    known = np.asarray(numbers, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    steps = np.linspace(0, 1, POINTS)
    return [float(f"{one:.6g}") for one in np.quantile(known, steps, method="inverted_cdf")]
