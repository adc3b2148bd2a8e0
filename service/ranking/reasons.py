"""Why a person is suggested, told from the tables of the version that scored them."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.schema.columns import Flag
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from service.ranking.kernels.json_encoder import CATEGORY, SET
from service.ranking.kernels.mutual_friends import nameable
from service.ranking.viewer_state import ViewerState

_REASONS_KEPT = 1 << 14
_NOBODY: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_NAMEABLE = int(Flag.ACTIVE | Flag.CONNECTIONS_VISIBLE)


def nameable_friends(
    tables: Tables, viewer: int | None, flags: NDArray[np.uint8] | None = None, view: ViewerState | None = None
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
    named = np.empty(len(friends), dtype=np.int32)
    return named[: nameable(friends, forbidden, flags, _NAMEABLE, named)]


class OwnValues(NamedTuple):
    """A viewer's values that may be told, in the order in which they are: that of the reason columns, rarest first."""

    places: NDArray[np.int32]
    """(w, 4) int32, as service.ranking.kernels.json_encoder.put_entries reads them"""
    text: NDArray[np.uint8]
    """the reasons they make, as JSON, one after the other"""


_NO_VALUES = OwnValues(np.zeros((0, 4), dtype=np.int32), np.frombuffer(b"", dtype=np.uint8))


class TellableValues:
    """Finds what of a viewer's profile may be told to her of others, by one version's tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        order = {column: at for at, column in enumerate(tables.reason_columns)}
        columns = tables.categorical_columns
        self._categories = [(order[name], at) for at, name in enumerate(columns) if name in order]
        self._sets = {code: order[column] for code, (column, _) in enumerate(tables.multi_values) if column in order}
        self._counts = np.bincount(tables.multi_codes, minlength=len(tables.multi_values)).tolist()

    def of(self, viewer: int | ProfileCodes | None) -> OwnValues:
        """Those of a row, or of the profile of somebody without one; None has none."""
        if viewer is None:
            return _NO_VALUES
        tables, codes = self._tables, codes_of(viewer, self._tables)
        categories = codes.categorical.tolist()
        found = [(order, 0, CATEGORY, at, categories[at]) for order, at in self._categories if categories[at] >= 0]
        if self._sets:
            own = [code for code in codes.sets.tolist() if code in self._sets]
            found += [(self._sets[code], self._counts[code], SET, self._sets[code], code) for code in own]
        if not found:
            return _NO_VALUES
        found.sort()
        places: list[int] = []
        reasons, end = [], 0
        for _, _, kind, at, code in found:
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
    """What a person is told of a shared value; the column's name decides the words."""
    for pattern, phrase in _PHRASES:
        if any(pattern.fullmatch(word) for word in re.split(r"[^a-z]+", column.lower())):
            return phrase.format(value=value)
    return f"Same {column.replace('_', ' ')}: {value}"


@lru_cache(maxsize=_REASONS_KEPT)
def _attribute_reason(column: str, value: str) -> bytes:
    told = {"code": "same_attribute", "attribute": column, "value": value, "text": attribute_text(column, value)}
    return b"%b" % orjson.dumps(told)  # a copy: orjson's own bytes take four kilobytes each
