"""CSV dumps of Neo4j: files for `neo4j-admin database import`, or the one file of `apoc.export.csv`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from models.errors import DatasetError, UsageError
from models.schema.columns import CREATED_AT_COLUMN
from models.system.known_names import unknown_name
from offline.dataset.table import OTHER_ID, USER_ID, column_named
from offline.importers.cells import dates_of, look_like_moments, moments, numbers
from offline.importers.column_names import ColumnMap, created_of, joined_of, plain
from offline.importers.formats.neo4j_files import CsvFile, find_files
from offline.importers.formats.neo4j_header import END, ID, LABEL, START, TYPE, HeaderField
from offline.importers.json_lists import lists_of
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink

_PEOPLE = ("person", "people", "user", "member", "account", "profile", "customer", "player", "employee", "student")
_FRIENDS = ("knows", "friend", "connect", "follow", "isfriend", "hasfriend", "contact", "link")
_POINT = (
    r"latitude:\s*([-+.\deE]+)[,}].*longitude:\s*([-+.\deE]+)|longitude:\s*([-+.\deE]+)[,}].*latitude:\s*([-+.\deE]+)"
)
_NODE, _LABELS, _FIRST, _SECOND, _TYPED = "\0node", "\0labels", "\0first", "\0second", "\0type"


@dataclass(frozen=True)
class Neo4jOptions:
    """What the command says about a dump."""

    label: str | None = None
    """the label of people"""
    type: str | None = None
    """the type of relationship that is a friendship"""
    columns: ColumnMap = field(default_factory=ColumnMap)
    delimiter: str | None = None
    array_delimiter: str = ";"


def read_neo4j(source: Path, options: Neo4jOptions, sink: Sink) -> None:
    """Adds the people and friendships of a dump to a sink.

    Raises DatasetError for an unreadable file, and where label or type have to be named.
    """
    files = find_files(source, options.delimiter)
    reader = _Reader(options, sink)
    labels, types = reader.counted(files)
    label = _chosen("label", options.label, labels, _PEOPLE, "people", sink)
    kind = _chosen("type", options.type, types, _FRIENDS, "friendships", sink)
    if plain(kind).startswith("follow"):
        sink.friendships.directed_by = f"relationships {kind} have a direction"
    people = reader.add_people(files, label)
    reader.add_friendships(files, kind, label, people)


def _chosen(flag: str, given: str | None, found: Counter[str], likely: Sequence[str], what: str, sink: Sink) -> str:
    """The label or type to take. Raises DatasetError if it was not said and cannot be known."""
    counts = ", ".join(f"{name} ({count:,})" for name, count in found.most_common())
    if not found:
        raise DatasetError(f"{sink.report.source} holds no {'node' if flag == 'label' else 'relationship'}")
    if given is not None:
        if given not in found:
            raise DatasetError(f"--{flag} {given} {unknown_name(given, flag, list(found))}; the dump has {counts}")
        return given
    named = [name for name in found if plain(name).startswith(tuple(likely))]
    if len(found) == 1:
        return next(iter(found))
    if len(named) != 1:
        raise DatasetError(f"{sink.report.source}: which are {what}? It has {flag}s {counts}; say --{flag} NAME")
    sink.report.choose(f"{flag} {named[0]} for {what}, of {counts}; --{flag} NAME takes another")
    return named[0]


class _Reader:
    def __init__(self, options: Neo4jOptions, sink: Sink) -> None:
        self._options = options
        self._sink = sink
        self._columns = options.columns

    def counted(self, files: list[CsvFile]) -> tuple[Counter[str], Counter[str]]:
        """How many nodes have each label, and relationships each type."""
        labels: Counter[str] = Counter()
        types: Counter[str] = Counter()
        for file in files:
            for block in file.blocks(self._sink.progress):
                nodes, relationships = self._split(file, block)
                named = nodes[_LABELS].list.explode(keep_nulls=False, empty_as_null=False)
                labels.update(dict(named.value_counts().iter_rows()))
                types.update(dict(relationships[_TYPED].value_counts().iter_rows()))
                self._sink.report.count("nodes", nodes.height)
                self._sink.report.count("relationships", relationships.height)
        return labels, types

    def add_people(self, files: list[CsvFile], label: str) -> pl.DataFrame:
        """Adds the nodes of a label; returns their `_NODE` and USER_ID."""
        people = []
        others: Counter[str] = Counter()
        for file in (file for file in files if file.header.has_nodes):
            for block in file.blocks(self._sink.progress):
                nodes, _ = self._split(file, block)
                named = pl.col(_LABELS).list.contains(label)
                rest = nodes.filter(~named)
                others.update(rest[_LABELS].list.join(":").to_list())
                kept = nodes.filter(named)
                if not kept.height:
                    continue
                profiles, chosen = self._profiles(file, kept)
                self._sink.profiles.add(profiles, file.origin, chosen)
                people.append(pl.DataFrame({_NODE: kept[_NODE], USER_ID: profiles[USER_ID]}))
        for name, count in others.items():
            self._sink.report.drop(f"nodes with another label than {label}", count, f"label {name or 'none'}")
        found = pl.concat(people)
        # two nodes of one id and the same values are one person
        return found.unique(_NODE, keep="first", maintain_order=True)

    def add_friendships(self, files: list[CsvFile], kind: str, label: str, people: pl.DataFrame) -> None:
        """Adds the relationships of a type between people. Raises UsageError for a property that none of them has."""
        ends = {
            column: people.rename({_NODE: raw, USER_ID: column})
            for column, raw in ((USER_ID, _FIRST), (OTHER_ID, _SECOND))
        }
        described = [file for file in files if file.header.has_relationships]
        said = self._columns.of(CREATED_AT_COLUMN, "connections")
        known = {field.name: None for file in described for field in file.header.properties if field.name}
        if said and said not in known:
            what = f"no relationship has this property; they have {', '.join(known) or 'none'}"
            raise UsageError(f"--map {CREATED_AT_COLUMN}={said}: {what}")
        for file in described:
            created = self._created(file, kind)
            for block in file.blocks(self._sink.progress):
                _, relationships = self._split(file, block)
                self._drop(file, relationships.filter(pl.col(_TYPED) != kind))
                kept = relationships.filter(pl.col(_TYPED) == kind)
                joined = kept
                for column, raw in ((USER_ID, _FIRST), (OTHER_ID, _SECOND)):
                    joined = joined.join(ends[column], on=raw, how="left", maintain_order="left")
                whole = joined.filter(pl.col(USER_ID).is_not_null() & pl.col(OTHER_ID).is_not_null())
                if whole.height < kept.height:
                    first = joined.filter(pl.col(USER_ID).is_null() | pl.col(OTHER_ID).is_null()).row(0, named=True)
                    example = _ends(first, file.origin)
                    reason = f"relationships {kind} with an end that is no {label}"
                    self._sink.report.drop(reason, kept.height - whole.height, example)
                if not whole.height:
                    continue
                edges = whole.select(USER_ID, OTHER_ID, PLACE)
                if created is not None:
                    dates = moments(whole, created.raw, file.origin).alias(CREATED_AT_COLUMN)
                    edges = edges.with_columns(dates)
                self._sink.friendships.add(edges, file.origin)

    def _split(self, file: CsvFile, block: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The nodes of a block with `_NODE` and `_LABELS`, and its relationships with their ends and type."""
        header = file.header
        node, start, end = header.role(ID), header.role(START), header.role(END)
        nodes = relationships = block.clear()
        if node is not None:
            nodes = block.filter(column_named(node.raw).is_not_null()) if start is not None else block
        if start is not None and end is not None:
            relationships = block.filter(column_named(start.raw).is_not_null()) if node is not None else block
        if node is not None:
            nodes = nodes.with_columns(self._key(node).alias(_NODE), self._labels(file).alias(_LABELS))
            self._require(nodes, node, file.origin)
        else:
            nodes = nodes.with_columns(_null(pl.String).alias(_NODE), _null(pl.List(pl.String)).alias(_LABELS))
        if start is not None and end is not None:
            typed = header.role(TYPE)
            fallback = pl.lit(file.stem.upper())
            kind = fallback if typed is None else pl.coalesce(column_named(typed.raw), fallback)
            keys = self._key(start).alias(_FIRST), self._key(end).alias(_SECOND)
            relationships = relationships.with_columns(*keys, kind.alias(_TYPED))
            for side in (start, end):
                self._require(relationships, side, file.origin)
        else:
            texts = [_null(pl.String).alias(name) for name in (_FIRST, _SECOND, _TYPED)]
            relationships = relationships.with_columns(texts)
        return nodes, relationships

    @staticmethod
    def _key(field: HeaderField) -> pl.Expr:
        """An id within its space: two spaces may hold the same id."""
        return pl.lit(f"{field.space}\0") + column_named(field.raw)

    @staticmethod
    def _require(block: pl.DataFrame, field: HeaderField, origin: Origin) -> None:
        empty = block.filter(column_named(field.raw).is_null()).head(1)
        if empty.height:
            origin.refuse(empty[PLACE].item(), field.raw, None, "is empty")

    def _labels(self, file: CsvFile) -> pl.Expr:
        labelled = file.header.role(LABEL)
        node = file.header.role(ID)
        fallback = (node.space if node else "") or file.stem
        if labelled is None:
            return pl.lit([fallback], dtype=pl.List(pl.String))
        mark = ":" if file.header.is_apoc else self._options.array_delimiter
        text = column_named(labelled.raw).fill_null("")
        return text.str.strip_chars(":").str.split(mark).list.eval(pl.element().filter(pl.element() != ""))

    def _profiles(self, file: CsvFile, nodes: pl.DataFrame) -> tuple[pl.DataFrame, str]:
        """The users of a block of nodes, and the name of the column that holds their ids."""
        node = file.header.role(ID)
        properties = {field.name: field for field in file.header.properties if field.name}
        chosen = self._columns.find(USER_ID, list(properties), str(file.path), "users")
        ids = properties[chosen].raw if chosen else (node.raw if node else "")
        if file.header.is_apoc and not chosen:
            self._sink.report.choose("Neo4j's internal ids as user ids; --map user_id=PROPERTY takes a property")
        renamed = {name: name for name in properties if name not in (USER_ID, chosen)}
        for name, column in self._columns.profile(list(properties), str(file.path)):
            renamed.pop(column or name, None)
            if column:
                renamed[name] = column
        joined = joined_of(list(properties))
        guess = joined in renamed and CREATED_AT_COLUMN not in renamed and not self._columns.says("users.created_at")
        if guess and joined and look_like_moments(nodes[properties[joined].raw].head(1000)):
            renamed[CREATED_AT_COLUMN] = renamed.pop(joined)
            self._sink.report.choose(f"property {joined} as the date of the account; --map users.created_at= keeps it")
        columns = []
        for name, property_name in renamed.items():
            field = properties[property_name]
            columns.append(self._typed(nodes, field, file.origin).alias(name))
            if field.kind is not None and name != CREATED_AT_COLUMN:
                self._sink.kinds[name] = field.kind
        return nodes.select(column_named(ids).alias(USER_ID), PLACE).with_columns(columns), ids

    def _typed(self, nodes: pl.DataFrame, field: HeaderField, origin: Origin) -> pl.Series:
        """A property by its type. Raises DatasetError for a cell that is not of it."""
        cells = nodes[field.raw].alias("cells")
        if field.is_list:
            return cells.str.split(self._options.array_delimiter)
        if cells.str.starts_with("[").all() and not cells.is_null().all() and not field.type:
            return lists_of(cells)  # apoc.export.csv writes lists as JSON
        if field.type == "point":
            return _location(nodes, field, origin)
        if field.kind is not None and field.dtype == pl.String():
            return dates_of(moments(nodes, field.raw, origin))
        if field.dtype == pl.String():
            return cells
        return numbers(nodes, field.raw, origin, field.dtype, field.fault)

    def _created(self, file: CsvFile, kind: str) -> HeaderField | None:
        """The property with the date of a friendship, or None."""
        properties = {field.name: field for field in file.header.properties if field.name}
        said = self._columns.of(CREATED_AT_COLUMN, "connections")
        if said and said in properties:
            return properties[said]
        name = created_of(list(properties))
        if said is not None or name is None:
            return None
        for block in file.blocks(lambda *_: None):
            _, relationships = self._split(file, block)
            sample = relationships.filter(pl.col(_TYPED) == kind)[properties[name].raw].drop_nulls().head(1000)
            if len(sample):
                likely = look_like_moments(sample)
                if likely:
                    self._sink.report.choose(
                        f"property {name} as the date of the friendship; --map connections.created_at= leaves it out"
                    )
                return properties[name] if likely else None
        return None

    def _drop(self, file: CsvFile, others: pl.DataFrame) -> None:
        for name, count in others[_TYPED].value_counts().iter_rows():
            first = others.filter(pl.col(_TYPED) == name).row(0, named=True)
            self._sink.report.drop(f"relationships of type {name}", count, _ends(first, file.origin))


def _ends(relationship: dict[str, Any], origin: Origin) -> str:
    """The ends of a relationship without their id spaces, and its place."""
    first, second = (str(relationship[side]).partition("\0")[2] for side in (_FIRST, _SECOND))
    return f"{first!r} and {second!r} ({origin.at(relationship[PLACE])})"


def _null(dtype: object) -> pl.Expr:
    return pl.lit(None, dtype=dtype)  # type: ignore[arg-type]


def _location(nodes: pl.DataFrame, field: HeaderField, origin: Origin) -> pl.Series:
    """Points as "lat,lon". Raises DatasetError for one without latitude and longitude."""
    groups = nodes[field.raw].alias("cells").str.extract_groups(_POINT).struct.unnest()
    places = groups.select(pl.concat_str(pl.coalesce("1", "4"), pl.lit(","), pl.coalesce("2", "3")).alias(field.raw))[
        field.raw
    ]
    wrong = places.is_null() & nodes[field.raw].is_not_null()
    if wrong.any():
        at = int(wrong.arg_true()[0])
        origin.refuse(nodes[PLACE][at], field.raw, nodes[field.raw][at], "has no latitude and longitude")
    return places
