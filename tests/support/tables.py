"""Tables and coded profiles of a few people in memory, without a file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.graph import Graph
from models.schema.columns import Kind
from models.schema.relationship import Relationship
from models.schema.vocabulary import Vocabulary
from models.version.tables import Tables, most_connected
from models.version.towers import Towers

if TYPE_CHECKING:
    from models.features.profile_affinity import CodedProfiles
    from models.schema.profiles import Profiles

MakeTables = Callable[..., Tables]
"""the type of `tables_in_memory`"""


def tables_in_memory(
    people: Sequence[str],
    pairs: Iterable[tuple[int, int]],
    *,
    forbidden: Iterable[tuple[int, int]] = (),
    flags: Mapping[int, int] | None = None,
    categories: Mapping[str, Sequence[str | None]] | None = None,
    sets: Mapping[str, Sequence[Sequence[str]]] | None = None,
    reasons: Sequence[str] = (),
) -> Tables:
    """Returns the tables of `people`, whose ids are sorted. Pairs, forbidden pairs and flags are given by row.

    `categories` are columns of one value per user, `sets` of several. `reasons` are the columns that reasons name.
    """
    n = len(people)
    graph = Graph.from_pairs(n, *_ends(pairs))
    forbidden_pairs = Graph.from_directed(n, *_ends(forbidden))
    every_flag = np.full(n, 7, dtype=np.uint8)
    for row, flag in (flags or {}).items():
        every_flag[row] = flag
    columns = [(name, sorted({one for one in column if one}), column) for name, column in (categories or {}).items()]
    codes = np.full((n, len(columns)), -1, dtype=np.int32)
    for at, (_, values, column) in enumerate(columns):
        codes[:, at] = [values.index(one) if one else -1 for one in column]
    multi_values = sorted({(name, one) for name, column in (sets or {}).items() for own in column for one in own})
    multi = [
        sorted({multi_values.index((name, one)) for name, column in (sets or {}).items() for one in column[row]})
        for row in range(n)
    ]
    return Tables(
        directory=Path(),
        vocabulary=Vocabulary.from_ids(people),
        graph=graph,
        forbidden=forbidden_pairs,
        forbidden_kinds=np.full(len(forbidden_pairs.indices), Relationship.REPORTED, np.uint8),
        flags=every_flag,
        towers=Towers.none(n),
        statistics=np.zeros((n, 0), np.float32),
        statistic_names=[],
        categorical_codes=codes,
        categorical_columns=[name for name, _, _ in columns],
        categorical_values=[values for _, values, _ in columns],
        multi_indptr=np.cumsum([0, *map(len, multi)]).astype(np.int64),
        multi_codes=np.array([code for own in multi for code in own], dtype=np.int32),
        multi_values=multi_values,
        column_kinds={
            **dict.fromkeys(categories or {}, Kind.CATEGORICAL),
            **dict.fromkeys(sets or {}, Kind.MULTI),
        },
        reason_columns=list(reasons),
        popular=most_connected(graph, every_flag),
        profiles=np.zeros(0, np.uint8),
        profile_offsets=np.zeros(n + 1, np.int64),
    )


def _ends(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    listed = list(pairs)
    return [a for a, _ in listed], [b for _, b in listed]


def coded_profiles(profiles: "Profiles", text_model: str | None = None) -> "CodedProfiles":
    """Profiles coded by a coder fitted to them."""
    from models.features.profile_codes import ProfileCoder  # scikit-learn takes a second to load

    return ProfileCoder.fit(profiles, text_model).coded(profiles)
