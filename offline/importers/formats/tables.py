"""Users, connections and interactions from the tables of a database or a data lake."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from models.errors import DatasetError, UsageError
from models.schema.columns import CREATED_AT_COLUMN
from models.system.known_names import unknown_name
from offline.dataset.pairs import AT, KIND
from offline.dataset.table import OTHER_ID, USER_ID, column_named
from offline.importers.cells import id_texts, look_like_moments, moments
from offline.importers.column_names import (
    EVENT_FIELDS,
    PAIR_FIELDS,
    WEIGHT,
    ColumnMap,
    created_of,
    ends_of,
    event_columns_of,
    joined_of,
    person_of,
    plain,
    weight_of,
)
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

USERS, CONNECTIONS, INTERACTIONS = "users", "connections", "interactions"
ROLES = (USERS, CONNECTIONS, INTERACTIONS)

_NAMES = {
    USERS: "users user people persons person members accounts profiles customers",
    CONNECTIONS: "connections friendships friends friendship edges follows followers relationships contacts links",
    INTERACTIONS: "interactions events useractions actions",
}
_STATUS = ("status", "state", "friendshipstatus", "relation", "relationtype")


@dataclass(frozen=True)
class SourceTable:
    """A table of a source: its columns, and its rows in blocks."""

    name: str
    columns: Sequence[str]
    blocks: Callable[[Sequence[str]], Iterator[tuple[pl.DataFrame, Origin]]]
    """the named columns and PLACE; ids and dates as String or Int64"""


@dataclass(frozen=True)
class Conditions:
    """What `--where COLUMN=VALUE` says of connections: rows with another value are left out."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, given: Sequence[str]) -> Self:
        """Several values of one column are alternatives. Raises UsageError for another form."""
        values: dict[str, frozenset[str]] = {}
        for one in given:
            column, equals, value = one.partition("=")
            if not equals or not column:
                raise UsageError(f"--where {one}: write COLUMN=VALUE, such as --where status=accepted")
            values[column] = values.get(column, frozenset()) | {value}
        return cls(values)

    def check(self, columns: Sequence[str], place: str) -> None:
        """Raises UsageError for a column that the source lacks."""
        for column in self.values:
            if column not in columns:
                raise UsageError(f"--where {column}=…: {column!r} {unknown_name(column, 'column', columns)} in {place}")

    def kept(self, block: pl.DataFrame, origin: Origin, sink: Sink) -> pl.DataFrame:
        """The rows that all conditions hold for; reports the others."""
        for column, values in self.values.items():
            holds = block[column].cast(pl.String).is_in(list(values)).fill_null(value=False)
            if not holds.all():
                at = int((~holds).arg_true()[0])
                example = f"{column} {block[column][at]!r} ({origin.at(block[PLACE][at])})"
                wanted = " or ".join(sorted(values))
                sink.report.drop(f"rows whose {column} is not {wanted}", int((~holds).sum()), example)
            block = block.filter(holds)
        return block


@dataclass(frozen=True)
class TableOptions:
    """What the command says about the tables of a source."""

    tables: Mapping[str, str] = field(default_factory=dict)
    """the table, or query, of a role"""
    columns: ColumnMap = field(default_factory=ColumnMap)
    where: Conditions = field(default_factory=Conditions)
    min_weight: float | None = None


def choose_tables(
    source: str, found: Mapping[str, Sequence[str]], said: Mapping[str, str], sink: Sink
) -> dict[str, str]:
    """The name of the table of each role, of tables by name with their columns. Connections are always among them.

    Raises DatasetError if a table that was said does not exist, or nobody can know which holds the connections.
    """
    chosen = dict(said)
    for role, name in said.items():
        if name not in found:
            raise DatasetError(f"--{role} {name}: {name!r} {unknown_name(name, 'table', list(found))} in {source}")
    for role in ROLES:
        likely = [name for name in found if _fits(role, found[name]) and name not in chosen.values()]
        named = [name for word in _NAMES[role].split() for name in likely if plain(name.rpartition(".")[2]) == word]
        if role == CONNECTIONS and not named and len(likely) == 1:
            named = likely
        if role not in chosen and named:
            chosen[role] = named[0]
            sink.report.choose(f"table {named[0]} for {role}; --{role} NAME takes another")
    if CONNECTIONS not in chosen and len(found) == 1:
        chosen = {CONNECTIONS: next(iter(found))}
    if CONNECTIONS not in chosen:
        listed = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in found.items()) or "no tables"
        raise DatasetError(f"{source}: which table holds the friendships? It has {listed}. Say --connections NAME")
    return chosen


def _fits(role: str, columns: Sequence[str]) -> bool:
    if role == USERS:
        return person_of(columns) is not None and ends_of(columns) is None
    if role == CONNECTIONS:
        return ends_of(columns) is not None
    return ends_of(columns) is not None and None not in event_columns_of(columns)


def add_connections(table: SourceTable, options: TableOptions, sink: Sink) -> None:
    """Adds the edges of a table. Raises DatasetError if its columns have to be named, or rows chosen."""
    columns = list(table.columns)
    options.where.check(columns, table.name)
    first, second = _ends(table, options.columns, CONNECTIONS)
    created = options.columns.find(CREATED_AT_COLUMN, columns, table.name, CONNECTIONS)
    weight = options.columns.find(WEIGHT, columns, table.name, CONNECTIONS) or weight_of(columns)
    guessed = created_of([name for name in columns if name not in (first, second)]) if created is None else None
    status = status_of(columns, options.where)
    needed = [first, second, *(one for one in (created, guessed, status) if one), *options.where.values]
    if options.min_weight is not None:
        if not weight:
            raise DatasetError(f"{table.name} has no column of weights for --min-weight; say --map weight=COLUMN")
        needed.append(weight)
    wanted = list(dict.fromkeys(needed))
    for block, origin in table.blocks(wanted):
        sink.report.count(f"rows of {table.name}", block.height)
        if status:
            require_one(block, status, table.name)
        kept = options.where.kept(block, origin, sink)
        if guessed and not created and kept.height:
            created = guessed if _moments_in(kept[guessed]) else None
            if created:
                sink.report.choose(
                    f"column {created} as the date of the friendship; --map connections.created_at= leaves it out"
                )
            else:
                sink.report.choose(f"left out of {table.name}: {guessed}, whose cells are not all dates")
            guessed = None
        edges = kept.select(
            id_texts(kept, first, origin).alias(USER_ID), id_texts(kept, second, origin).alias(OTHER_ID), PLACE
        )
        if created:
            edges = edges.with_columns(moments(kept, created, origin).alias(CREATED_AT_COLUMN))
        if weight and options.min_weight is not None:
            light = (kept[weight].cast(pl.Float64, strict=False) < options.min_weight).fill_null(value=True)
            if light.any():
                row = edges.filter(light).row(0, named=True)
                example = f"{row[USER_ID]!r} and {row[OTHER_ID]!r} ({origin.at(row[PLACE])})"
                reason = f"edges whose {weight!r} is below {options.min_weight:g}, or empty"
                sink.report.drop(reason, int(light.sum()), example)
            edges = edges.filter(~light)
        sink.friendships.add(edges, origin, (first, second))
    left = [name for name in columns if name not in wanted]
    if left:
        sink.report.choose(f"left out of {table.name}: {', '.join(left)}")


def status_of(columns: Sequence[str], where: Conditions) -> str | None:
    """The column that says what a row is, of which no condition speaks, or None."""
    return next((name for name in columns if plain(name) in _STATUS and name not in where.values), None)


def require_one(block: pl.DataFrame, status: str, name: str) -> None:
    """Raises DatasetError if a column that says what a row is has several values: not all may be friendships."""
    values = block[status].cast(pl.String).drop_nulls().unique().sort().head(10).to_list()
    if len(values) > 1:
        raise DatasetError(
            f"{name}: which rows are friendships? Its column {status!r} holds {', '.join(values)}. "
            f"Say --where {status}=VALUE, once for each that is"
        )


def _moments_in(cells: pl.Series) -> bool:
    if cells.dtype.is_temporal():
        return True
    return look_like_moments(cells.cast(pl.String).head(1000))


def _ends(table: SourceTable, columns: ColumnMap, role: str) -> tuple[str, str]:
    first, second = (columns.find(name, table.columns, table.name, role) for name in (USER_ID, OTHER_ID))
    guessed = ends_of(table.columns) or (tuple(table.columns) if len(table.columns) == 2 else None)
    if first and second:
        return first, second
    if guessed and not first and not second:
        return guessed[0], guessed[1]
    found = ", ".join(table.columns)
    example = "--map connections.user_id=COLUMN --map connections.other_id=COLUMN"
    raise DatasetError(f"{table.name}: which two columns are the people? It has {found}. Say {example}")


def add_users(table: SourceTable, options: TableOptions, sink: Sink) -> None:
    """Adds the users of a table. Raises DatasetError if the column of ids has to be named."""
    columns = list(table.columns)
    chosen = options.columns.of(USER_ID, USERS)
    guessed = person_of(columns)
    person = chosen if chosen in columns else guessed
    if f"{USERS}.{USER_ID}" in options.columns.columns:
        person = options.columns.find(USER_ID, columns, table.name, USERS)
    if not person:
        listed = ", ".join(columns)
        raise DatasetError(
            f"{table.name}: which column is the user id? It has {listed}. Say --map users.user_id=COLUMN"
        )
    renamed = {name: name for name in columns if name not in (person, USER_ID)}
    for name, column in options.columns.profile(columns, table.name):
        renamed.pop(column or name, None)
        if column:
            renamed[name] = column
    joined = joined_of(list(renamed.values()))
    guess_joined = bool(
        joined and CREATED_AT_COLUMN not in renamed and not options.columns.says(f"{USERS}.{CREATED_AT_COLUMN}")
    )
    for block, origin in table.blocks([person, *dict.fromkeys(renamed.values())]):
        if guess_joined and joined and _moments_in(block[joined]):
            renamed = {name: column for name, column in renamed.items() if column != joined}
            renamed[CREATED_AT_COLUMN] = joined
            sink.report.choose(f"column {joined} as the date of the account; --map users.created_at= leaves it out")
        guess_joined = False
        sink.report.count(f"rows of {table.name}", block.height)
        profile = [column_named(column).alias(name) for name, column in renamed.items() if column in block.columns]
        people = id_texts(block, person, origin).alias(USER_ID)
        sink.profiles.add(block.select(people, PLACE, *profile), origin, person)


def add_interactions(table: SourceTable, options: TableOptions, sink: Sink) -> None:
    """Adds the interactions of a table. Raises DatasetError if its columns have to be named."""
    columns = list(table.columns)
    first, second = _ends(table, options.columns, INTERACTIONS)
    kind, at = event_columns_of([name for name in columns if name not in (first, second)])
    kind = options.columns.find(KIND, columns, table.name, INTERACTIONS) or kind
    at = options.columns.find(AT, columns, table.name, INTERACTIONS) or at
    if not kind or not at:
        missing = KIND if not kind else AT
        listed = ", ".join(columns)
        raise DatasetError(
            f"{table.name}: which column is {missing!r}? It has {listed}. Say --map interactions.{missing}=COLUMN"
        )
    for block, origin in table.blocks([first, second, kind, at]):
        sink.report.count(f"rows of {table.name}", block.height)
        ends = id_texts(block, first, origin).alias(USER_ID), id_texts(block, second, origin).alias(OTHER_ID)
        told = column_named(kind).cast(pl.String).alias(KIND), column_named(at).alias(AT)
        sink.add_interactions(block.select(*ends, *told, PLACE), origin)


def add_tables(tables: Mapping[str, SourceTable], options: TableOptions, sink: Sink) -> None:
    """Adds the tables by role."""
    if USERS in tables:
        add_users(tables[USERS], options, sink)
    add_connections(tables[CONNECTIONS], options, sink)
    if INTERACTIONS in tables:
        add_interactions(tables[INTERACTIONS], options, sink)


def check_map(columns: ColumnMap) -> None:
    """Raises UsageError for a field of `--map` whose table is none of the three."""
    for name in columns.columns:
        table, dot, own = name.partition(".")
        if dot and table not in ROLES:
            raise UsageError(f"--map {name}=: {table!r} {unknown_name(table, 'table', ROLES)}")
        known = {CONNECTIONS: PAIR_FIELDS, INTERACTIONS: EVENT_FIELDS}.get(table if dot else "")
        if known and own not in known:
            raise UsageError(f"--map {name}=: {own!r} {unknown_name(own, 'field of ' + table, known)}")
