"""Which column is which: guessed from common names, or said with `--map FIELD=COLUMN`."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from models.errors import UsageError
from models.schema.columns import CREATED_AT_COLUMN
from models.system.known_names import unknown_name
from offline.dataset.pairs import AT, KIND
from offline.dataset.table import OTHER_ID, USER_ID

WEIGHT = "weight"
PAIR_FIELDS = (USER_ID, OTHER_ID, CREATED_AT_COLUMN, WEIGHT)
EVENT_FIELDS = (USER_ID, OTHER_ID, KIND, AT)

_ENDS = (
    "user_id other_id",
    "source target",
    "from to",
    "src dst",
    "src dest",
    "start end",
    "follower followee",
    "follower followed",
    "follower following",
    "user friend",
    "node1 node2",
    "user1 user2",
    "user_a user_b",
    "person1 person2",
    "id1 id2",
    "from_node to_node",
    "source_user target_user",
    "requester addressee",
    "sender receiver",
    "a b",
    "u v",
    "i j",
)
"""names of the two ends; each also with `id` before or behind"""
_CREATED = "created_at created creation_date date_created since timestamp time date datetime ts unixtime start"
_JOINED = "created_at created creation_date date_created joined joined_at join_date registered_at signup_date"
_WEIGHTS = "weight rating score strength w"
_PEOPLE = "user_id id uid userid user person_id member_id account_id _id"
_AT = "at timestamp time created_at date ts"
_KIND = "kind type event event_type action"


def plain(name: str) -> str:
    """A name without case and separators, to compare."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def ends_of(columns: Sequence[str]) -> tuple[str, str] | None:
    """The two columns whose names are those of an edge's ends, or None."""
    by_name = {plain(column): column for column in columns}
    for pair in _ENDS:
        first, second = (plain(word) for word in pair.split())
        for one, other in ((first, second), (first + "id", second + "id"), ("id" + first, "id" + second)):
            if one in by_name and other in by_name:
                return by_name[one], by_name[other]
    if "userid" in by_name and "friendid" in by_name:
        return by_name["userid"], by_name["friendid"]
    return None


def _named(columns: Sequence[str], names: str) -> str | None:
    by_name = {plain(column): column for column in reversed(columns)}
    return next((by_name[plain(name)] for name in names.split() if plain(name) in by_name), None)


def created_of(columns: Sequence[str]) -> str | None:
    """The column whose name is that of an edge's date, or None."""
    return _named(columns, _CREATED)


def weight_of(columns: Sequence[str]) -> str | None:
    """The column whose name is that of an edge's weight, or None."""
    return _named(columns, _WEIGHTS)


def person_of(columns: Sequence[str]) -> str | None:
    """The column whose name is that of a person's id, or None."""
    return _named(columns, _PEOPLE)


def joined_of(columns: Sequence[str]) -> str | None:
    """The column whose name is that of an account's date, or None."""
    return _named(columns, _JOINED)


def event_columns_of(columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns whose names are those of an event's kind and moment."""
    return _named(columns, _KIND), _named(columns, _AT)


@dataclass(frozen=True)
class ColumnMap:
    """What `--map` says: a column of the source for a field of the dataset."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """by field, `TABLE.FIELD` where a table is named; an empty column means none"""

    @classmethod
    def parse(cls, given: Sequence[str], fields: Collection[str] | None = None) -> Self:
        """The map of `FIELD=COLUMN` arguments. Raises UsageError for another form, or a field not among `fields`."""
        columns: dict[str, str] = {}
        for one in given:
            name, equals, column = one.partition("=")
            if not equals or not name:
                raise UsageError(f"--map {one}: write FIELD=COLUMN, such as --map user_id=uid")
            if fields is not None and name not in fields:
                raise UsageError(f"--map {one}: {name!r} {unknown_name(name, 'field', fields)}")
            if columns.get(name, column) != column:
                raise UsageError(f"--map {name}= is given twice, as {columns[name]!r} and {column!r}")
            columns[name] = column
        return cls(columns)

    def of(self, name: str, table: str = "") -> str | None:
        """The column said for a field; empty if none is wanted; None if nothing was said."""
        qualified = self.columns.get(f"{table}.{name}")
        return self.columns.get(name) if qualified is None else qualified

    def find(self, name: str, columns: Sequence[str], place: str, table: str = "") -> str | None:
        """The column of a source with these columns, by name or by number from 1; like `of`.

        Raises UsageError if the source has no such column; `place` names it.
        """
        column = self.of(name, table)
        if not column or column in columns:
            return column
        if column.isdigit() and 1 <= int(column) <= len(columns):
            return columns[int(column) - 1]
        known = ", ".join(repr(one) for one in columns)
        raise UsageError(f"--map {name}={column}: {place} has no such column; it has {known}")

    def says(self, name: str) -> bool:
        """Whether something was said of exactly this field, `TABLE.FIELD` or `FIELD`."""
        return name in self.columns

    def profile(self, columns: Sequence[str], place: str) -> Iterator[tuple[str, str | None]]:
        """The profile columns that are said, with their columns of the source: `users.FIELD`, or FIELD where it is no
        field of pairs or events. None: the profile column is left out. Raises UsageError like `find`."""
        for name in self.columns:
            table, dot, own = name.partition(".")
            if dot and table == "users" and own != USER_ID:
                yield own, self.find(own, columns, place, "users") or None
            elif not dot and name not in (*PAIR_FIELDS, *EVENT_FIELDS):
                yield name, self.find(name, columns, place, "users") or None
