"""Why a person is suggested, told from the tables of the version that scored them."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.columns import Flag
from models.graph import Graph
from models.live.newcomer import ProfileCodes, codes_of
from models.tables import Tables
from service.live_view import LiveView

EXAMPLES = 3
"""mutual connections named at most"""

VALUES = 3
"""shared values of one multi-valued column told at most"""

_NOBODY: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_NO_VALUE = np.int32(-2)
"""beside the codes of a column, where -1 is a missing value: equal to none of them"""
_NAMEABLE = np.uint8(Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE)


@dataclass(frozen=True, slots=True)
class Mutuals:
    """Mutual connections of the people shown (k)."""

    counts: NDArray[np.int64]
    """(k,)"""
    examples: NDArray[np.int32]
    """(e,) rows of those to name, person shown after person shown: of each up to EXAMPLES, those with the fewest
    connections first, since they say most"""


def nameable_friends(
    tables: Tables, viewer: int | None, flags: NDArray[np.uint8] | None = None, view: LiveView | None = None
) -> NDArray[np.int32]:
    """Rows of the viewer's connections that may be named and counted to the viewer, ascending.

    Left out are the inactive, those who hide their connections, and whoever the viewer must not be shown. `flags` (n,)
    are everybody's now, None: the version's; `view` is what is live of the viewer, None: nothing.
    """
    if flags is None:
        flags = tables.flags
    if view is not None:
        friends, forbidden = view.friends, _NOBODY
    elif viewer is not None:
        friends, forbidden = tables.graph.neighbours(viewer), tables.forbidden.neighbours(viewer)
    else:
        return _NOBODY
    nameable = (flags.take(friends) & _NAMEABLE) == _NAMEABLE
    if len(forbidden) and len(friends):
        at = np.minimum(np.searchsorted(friends, forbidden), len(friends) - 1)
        nameable[at[friends[at] == forbidden]] = False
    named: NDArray[np.int32] = friends[nameable]
    return named


def mutual_connections(
    graph: Graph, friends: NDArray[np.int32], shown: NDArray[np.intp], marks: NDArray[np.int32]
) -> Mutuals:
    """How many of `friends`, ascending, each of the people shown (k,) is connected with, and who to name.

    `marks` (n,) is scratch, all 0 before and after; one thread at a time.
    """
    indptr = graph.indptr
    starts = indptr.take(shown)
    lengths = indptr.take(shown + 1) - starts
    ends = lengths.cumsum()
    if not len(friends) or not len(shown):
        return Mutuals(np.zeros(len(shown), dtype=np.int64), _NOBODY)
    of = np.arange(len(shown)).repeat(lengths)
    theirs = graph.indices.take((starts - ends + lengths).take(of) + np.arange(len(of)))
    telling = friends.take(np.argsort(indptr.take(friends + 1) - indptr.take(friends), kind="stable"))
    try:
        marks.put(telling, np.arange(1, len(telling) + 1))
        places = marks.take(theirs)
    finally:
        marks.put(telling, 0)
    at = places.nonzero()[0]
    of = of.take(at)
    counts = np.bincount(of, minlength=len(shown))
    met = of * len(telling)  # whom they know, in the order of the people shown and of what each says
    met += places.take(at)
    met.sort()
    named = np.ones(len(met), dtype=np.bool_)
    np.not_equal(of[EXAMPLES:], of[:-EXAMPLES], out=named[EXAMPLES:])
    return Mutuals(counts, telling.take((met[named] - 1) % len(telling)))


class SharedAttributes:
    """Finds the values of the reason columns that a viewer shares with the people shown.

    Values carry one number each: those of the categorical reason columns first, those of the multi-valued after them.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        columns = tables.categorical_columns
        self._told = np.array([name in tables.reason_columns for name in columns], dtype=np.bool_)
        self._multi = frozenset(
            code for code, (column, _) in enumerate(tables.multi_values) if column in tables.reason_columns
        )
        self._counts = np.bincount(tables.multi_codes, minlength=len(tables.multi_values)).tolist()
        self._order = {column: at for at, column in enumerate(tables.reason_columns)}

    def of(self, viewer: int | ProfileCodes, shown: NDArray[np.intp]) -> list[list[tuple[str, str]]]:
        """By person shown, the (column, value) pairs shared with the viewer, in the order of the reason columns."""
        tables = self._tables
        codes = codes_of(viewer, tables)
        found: list[list[tuple[str, str]]] = [[] for _ in range(len(shown))]
        own = np.where(self._told & (codes.categorical >= 0), codes.categorical, _NO_VALUE)
        person, place = (tables.categorical_codes.take(shown, axis=0) == own).nonzero()
        for at, category in zip(person.tolist(), place.tolist(), strict=True):
            found[at].append((tables.categorical_columns[category], tables.categorical_values[category][own[category]]))
        if self._multi:
            self._add_sets(codes, shown, found)
        for pairs in found:
            if len(pairs) > 1:
                pairs.sort(key=lambda pair: self._order[pair[0]])
        return found

    def _add_sets(self, viewer: ProfileCodes, shown: NDArray[np.intp], found: list[list[tuple[str, str]]]) -> None:
        """Adds the shared values of the multi-valued reason columns."""
        indptr, codes = self._tables.multi_indptr, self._tables.multi_codes
        own = self._multi.intersection(viewer.sets.tolist())
        if not own:
            return
        bounds = zip(indptr.take(shown).tolist(), indptr.take(shown + 1).tolist(), strict=True)
        for at, (start, end) in enumerate(bounds):
            shared = own.intersection(codes[start:end].tolist())
            if shared:
                found[at] += self._rarest(shared)

    def _rarest(self, shared: frozenset[int]) -> list[tuple[str, str]]:
        """The (column, value) pairs of these codes, in each column the VALUES that the fewest people have."""
        told: dict[str, list[tuple[str, str]]] = {}
        for code in sorted(shared, key=lambda code: (self._counts[code], code)):
            column, value = self._tables.multi_values[code]
            told.setdefault(column, []).append((column, value))
        return [pair for pairs in told.values() for pair in pairs[:VALUES]]


def mutual_text(count: int) -> str:
    """What a person is told of mutual connections."""
    return "1 mutual connection" if count == 1 else f"{count} mutual connections"


_PHRASES = (
    (re.compile(r"compan(y|ies)|employers?"), "Both at {value}"),
    (re.compile(r"schools?|universit(y|ies)|colleges?"), "Both went to {value}"),
    (re.compile(r"cit(y|ies)|towns?"), "Both in {value}"),
)


def attribute_text(column: str, value: str) -> str:
    """What a person is told of a shared value; the column's name decides the words."""
    for pattern, phrase in _PHRASES:
        if any(pattern.fullmatch(word) for word in re.split(r"[^a-z]+", column.lower())):
            return phrase.format(value=value)
    return f"Same {column.replace('_', ' ')}: {value}"
