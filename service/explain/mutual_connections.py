"""The mutual connections of two people as a small graph, without those who may not be named."""

import numpy as np
from numpy.typing import NDArray

from models.schema.vocabulary import Row
from models.version.tables import Tables
from service.explain.schema import MutualPerson, Mutuals

DRAWN = 24
"""mutual connections of a drawing at most"""


def mutuals(tables: Tables, friends: NDArray[np.int32], theirs: NDArray[np.int32]) -> Mutuals:
    """The mutual connections of a viewer with `friends` who may be named and a person with `theirs`, and their ties."""
    graph = tables.graph
    mutual = np.intersect1d(friends, theirs, assume_unique=True)
    degrees = graph.indptr[mutual + 1] - graph.indptr[mutual]
    drawn = mutual[np.lexsort((mutual, degrees))][:DRAWN]
    people = [_person(tables, Row(row)) for row in drawn.tolist()]
    return Mutuals(count=len(mutual), people=people, ties=_ties(tables, drawn))


def _person(tables: Tables, row: Row) -> MutualPerson:
    name = tables.profile(row).get("name")
    return MutualPerson(
        user_id=tables.vocabulary.user_id(row),
        name=None if name is None else str(name),
        connections=len(tables.graph.neighbours(row)),
    )


def _ties(tables: Tables, drawn: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Places in `drawn` (k,) of two who are connected, each pair once."""
    places = {row: at for at, row in enumerate(drawn.tolist())}
    ties: list[tuple[int, int]] = []
    for row, at in places.items():
        friends = np.intersect1d(tables.graph.neighbours(row), drawn, assume_unique=True).tolist()
        ties += [(at, places[friend]) for friend in friends if at < places[friend]]
    return ties
