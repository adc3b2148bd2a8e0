"""A user's current friends, contacts and forbidden users, from a version's tables and the live record."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.live_state.edges import derive, forbids
from models.live_state.user_record import LiveRecord
from models.schema.columns import Flag
from models.schema.relationship import Relationship
from models.version.tables import Tables

Rows = NDArray[np.int32]

ENOUGH_FRIENDS = 20
"""friends from whom on nothing follows from the contacts"""
TELLING = Flag.ACTIVE | Flag.DISCOVERABLE | Flag.CONNECTIONS_VISIBLE
"""flags of a contact of whom anything follows: nobody else is found by an address, nor tells whom they know"""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Rows of a version, ascending."""

    friends: Rows
    """(f,) int32: connected, whether forbidden or not"""
    known: Rows
    """(k,) int32: forbidden, whether connected or not"""
    contacts: Rows = field(default_factory=lambda: np.zeros(0, np.int32))
    """(c,) int32: in the user's address book, neither friends nor forbidden, with the flags of TELLING; nobody for a
    user with ENOUGH_FRIENDS, who tell more"""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Neighbourhood):
            return NotImplemented
        pairs = ((self.friends, other.friends), (self.known, other.known), (self.contacts, other.contacts))
        return all(np.array_equal(one, another) for one, another in pairs)

    __hash__ = None  # type: ignore[assignment]


def neighbourhood(
    tables: Tables,
    row: int | None,
    record: LiveRecord,
    *,
    cut: int,
    refused_after: int,
    is_erased: Callable[[str], bool] = lambda _: False,
    flags_over: Callable[[str, int], int] = lambda _, base: base,
) -> Neighbourhood:
    """The neighbourhood of the user at `row`, which is None for a user whom the tables do not have.

    `cut` is the version's, `refused_after` as in models.live_state.edges.derive, both microseconds. Other users
    without a row, or erased since (`is_erased`), are left out. `flags_over` gives the flags of a user now, from the id
    and the flags in the tables.
    """
    no_rows = np.zeros(0, np.int32)
    friends = tables.graph.neighbours(row) if row is not None else no_rows
    known = tables.forbidden.neighbours(row) if row is not None else no_rows
    erased = {other for other in record.edges if is_erased(other)}
    others = [other for other in record.edges if other not in erased]
    rows = tables.vocabulary.rows(others) if others else no_rows
    if not len(rows) and not erased:
        return Neighbourhood(friends, known)
    bits = derive(base_bits(tables, row, rows), record.timestamps_us(others), cut=cut, refused_after=refused_after)
    has_row = (rows >= 0) & (rows != (-1 if row is None else row))
    connected = (bits & np.uint8(Relationship.CONNECTED)) != 0
    friends = _changed(friends, rows[has_row & connected], rows[has_row & ~connected])
    if erased:
        friends = np.setdiff1d(friends, tables.vocabulary.rows(sorted(erased))).astype(np.int32)
    forbidden = forbids(bits)
    known = _changed(known, rows[has_row & forbidden], rows[has_row & ~forbidden])
    uploaded = record.contacts() if len(friends) < ENOUGH_FRIENDS else {}
    if not uploaded:
        return Neighbourhood(friends, known)
    is_contact = np.fromiter((other in uploaded for other in others), np.bool_, len(others))
    told = [
        row
        for at in np.flatnonzero(has_row & is_contact & ~connected & ~forbidden).tolist()
        if flags_over(others[at], int(tables.flags[row := int(rows[at])])) & TELLING == TELLING
    ]
    return Neighbourhood(friends, known, np.array(sorted(told), dtype=np.int32))


def base_bits(tables: Tables, row: int | None, others: Rows) -> NDArray[np.uint8]:
    """(k,) uint8 of Relationship in a version, between the user at `row` and each of `others` (k,); -1: no row."""
    bits = np.zeros(len(others), dtype=np.uint8)
    if row is None or not len(others):
        return bits
    bits[np.isin(others, tables.graph.neighbours(row))] = Relationship.CONNECTED
    forbidden = tables.forbidden.neighbours(row)
    if len(forbidden):
        start = int(tables.forbidden.indptr[row])
        at = np.minimum(np.searchsorted(forbidden, others), len(forbidden) - 1)
        bits |= np.where(forbidden[at] == others, tables.forbidden_kinds[start + at], np.uint8(0))
    return bits


def _changed(rows: Rows, added: Rows, removed: Rows) -> Rows:
    """Ascending rows with some added and some removed."""
    return np.union1d(np.setdiff1d(rows, removed), added).astype(np.int32)
