"""Why a person is suggested: friends who may be named, and values that the viewer shares with others."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.schema.columns import Flag
from models.schema.vocabulary import Row
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from service.ranking.kernels.json_encoder import CATEGORY, SET
from service.ranking.kernels.mutual_friends import nameable
from service.ranking.viewer_state import ViewerState

_REASONS_CACHED = 1 << 14
_NO_ROWS: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_NAMEABLE = int(Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE)


def nameable_friends(
    tables: Tables, viewer: Row | None, flags: NDArray[np.uint8] | None = None, view: ViewerState | None = None
) -> NDArray[np.int32]:
    """Rows of the viewer's connections that reasons for the viewer may name and count, ascending.

    People who are inactive, hide their connections, or must not be shown to the viewer are dropped. `flags` (n,) are
    the current ones of all users, None: the version's; `view` is the viewer's live state, None: there is none.
    """
    if flags is None:
        flags = tables.flags
    if view is not None:
        friends, forbidden = view.friends, _NO_ROWS
    elif viewer is not None:
        friends, forbidden = tables.graph.neighbours(viewer), tables.forbidden.neighbours(viewer)
    else:
        return _NO_ROWS
    named = np.empty(len(friends), dtype=np.int32)
    return named[: nameable(friends, forbidden, flags, _NAMEABLE, named)]


class OwnValues(NamedTuple):
    """A viewer's values that reasons may name, in the order of the reasons: by reason column, the rarest first."""

    places: NDArray[np.int32]
    """(w, 4) int32, as service.ranking.kernels.json_encoder.write_entries reads them"""
    text: NDArray[np.uint8]
    """the reasons they make, as JSON, one after the other"""


_NO_VALUES = OwnValues(np.zeros((0, 4), dtype=np.int32), np.frombuffer(b"", dtype=np.uint8))


class ReasonValues:
    """Finds the values of a viewer's profile that reasons may name, by one version's tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        order = {column: at for at, column in enumerate(tables.reason_columns)}
        columns = tables.categorical_columns
        self._categories = [(order[name], at) for at, name in enumerate(columns) if name in order]
        self._sets = {code: order[column] for code, (column, _) in enumerate(tables.multi_values) if column in order}
        self._counts = np.bincount(tables.multi_codes, minlength=len(tables.multi_values)).tolist()

    def of(self, viewer: Row | ProfileCodes | None) -> OwnValues:
        """Those of a row, or of the profile of a viewer without one; None has none."""
        if viewer is None:
            return _NO_VALUES
        tables, codes = self._tables, codes_of(viewer, self._tables)
        categories = codes.categorical.tolist()
        values = [(order, 0, CATEGORY, at, categories[at]) for order, at in self._categories if categories[at] >= 0]
        if self._sets:
            own = [code for code in codes.sets.tolist() if code in self._sets]
            values += [(self._sets[code], self._counts[code], SET, self._sets[code], code) for code in own]
        if not values:
            return _NO_VALUES
        values.sort()
        places: list[int] = []
        reasons, end = [], 0
        for _, _, kind, at, code in values:
            if kind == CATEGORY:
                reason = _attribute_reason(tables.categorical_columns[at], tables.categorical_values[at][code])
            else:
                reason = _attribute_reason(*tables.multi_values[code])
            reasons.append(reason)
            end += len(reason)
            places += (kind, at, code, end)
        text = np.frombuffer(b"".join(reasons), dtype=np.uint8)
        return OwnValues(np.array(places, dtype=np.int32).reshape(-1, 4), text)


_PHRASES = (
    (re.compile(r"compan(y|ies)|employers?"), "Both at {value}"),
    (re.compile(r"schools?|universit(y|ies)|colleges?"), "Both went to {value}"),
    (re.compile(r"cit(y|ies)|towns?"), "Both in {value}"),
)


def attribute_text(column: str, value: str) -> str:
    """The text of a reason for a shared value; the column's name decides the words."""
    for pattern, phrase in _PHRASES:
        if any(pattern.fullmatch(word) for word in re.split(r"[^a-z]+", column.lower())):
            return phrase.format(value=value)
    return f"Same {column.replace('_', ' ')}: {value}"


@lru_cache(maxsize=_REASONS_CACHED)
def _attribute_reason(column: str, value: str) -> bytes:
    reason = {"code": "same_attribute", "attribute": column, "value": value, "text": attribute_text(column, value)}
    return b"%b" % orjson.dumps(reason)  # a copy: bytes from orjson take four kilobytes each
