"""GraphML and GEXF, read by networkx: attributes of nodes become profile columns."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import polars as pl

from models.errors import DatasetError
from models.schema.columns import CREATED_AT_COLUMN, NAME_COLUMN
from offline.dataset.table import EXACTLY, OTHER_ID, ROUNDED, USER_ID, first_line
from offline.dataset.text.jsonl_table import is_exact
from offline.importers.cells import look_like_moments, moments, numbers
from offline.importers.column_names import WEIGHT, ColumnMap, created_of, weight_of
from offline.importers.origin import PLACE, Origin
from offline.importers.sink import Sink
from offline.importers.source_text import opened

_BLOCK = 100_000
_LABEL = "label"
_SHOWN_ONLY = frozenset({"viz", "x", "y", "shape_type"})
"""attributes that say how a node is drawn"""


def read_graphml(path: Path, columns: ColumnMap, min_weight: float | None, sink: Sink) -> None:
    """Adds the graph of a GraphML file to a sink. Raises DatasetError if networkx cannot read it."""
    from networkx import read_graphml

    _add(path, "GraphML", read_graphml, columns, min_weight, sink)


def read_gexf(path: Path, columns: ColumnMap, min_weight: float | None, sink: Sink) -> None:
    """Adds the graph of a GEXF file to a sink. Raises DatasetError if networkx cannot read it."""
    from networkx import read_gexf

    _add(path, "GEXF", read_gexf, columns, min_weight, sink)


def _add(
    path: Path,
    language: str,
    read: Callable[[Any], Any],
    columns: ColumnMap,
    min_weight: float | None,
    sink: Sink,
) -> None:
    graph = _parsed(path, language, read, sink)
    if graph.is_directed():
        sink.friendships.directed_by = f"{path.name} says that its edges are directed"
    ids = _add_nodes(path, graph, columns, sink)
    _add_edges(path, graph, ids, columns, min_weight, sink)


def _parsed(path: Path, language: str, read: Callable[[Any], Any], sink: Sink) -> Any:
    """The graph of a file. networkx has the whole of it in memory."""
    from networkx import NetworkXError

    try:
        with opened(path, sink.progress) as file:
            return read(file)
    except ParseError as error:
        line, column = error.position
        raise DatasetError(f"{path}, line {line}: not XML: {first_line(error)} (column {column + 1})") from error
    except NetworkXError as error:
        raise DatasetError(f"{path} cannot be read as {language}: {first_line(error)}") from error
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:  # networkx checks few attributes
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise DatasetError(f"{path} cannot be read as {language}: networkx stops at {reason}") from error


def _add_nodes(path: Path, graph: Any, columns: ColumnMap, sink: Sink) -> dict[Any, str]:
    """Adds all nodes as users; returns the user id of every node."""
    origin = Origin(str(path), "node")
    known = list(dict.fromkeys(name for _, attributes in graph.nodes(data=True) for name in attributes))
    chosen = columns.find(USER_ID, known, str(path))
    renamed = _renamed(path, graph, known, columns, sink)
    ids: dict[Any, str] = {}
    place = 0
    for nodes in _blocks(iter(graph.nodes(data=True))):
        for number, (node, attributes) in enumerate(nodes, start=place + 1):
            value = attributes.get(chosen) if chosen else node
            if value is None:
                origin.refuse(number, str(chosen), None, f"is empty, and --map user_id={chosen} names the people by it")
            ids[node] = _id(value, number, str(chosen), origin)
        frame = {USER_ID: [ids[node] for node, _ in nodes], PLACE: range(place + 1, place + 1 + len(nodes))}
        block = pl.DataFrame(frame, schema={USER_ID: pl.String, PLACE: pl.UInt32})
        profiles = [
            _series(target, [attributes.get(name) for _, attributes in nodes]) for target, name in renamed.items()
        ]
        sink.profiles.add(block.with_columns(profiles), origin, chosen or USER_ID)
        place += len(nodes)
    sink.report.count("nodes", place)
    if len(set(ids.values())) < len(ids):
        raise DatasetError(f"{path}: --map user_id={chosen}: two nodes have the same value of {chosen!r}")
    if not ids:
        raise DatasetError(f"{path} holds no node")
    return ids


def _id(value: Any, number: int, attribute: str, origin: Origin) -> str:
    """A user id as text. Raises DatasetError for a float that is no whole number."""
    if not isinstance(value, float):
        return str(value)
    if not is_exact(value):
        origin.refuse(number, attribute, value, f"{ROUNDED}: {EXACTLY}")
    return str(int(value))


def _renamed(path: Path, graph: Any, known: list[str], columns: ColumnMap, sink: Sink) -> dict[str, str]:
    """The attribute of each profile column."""
    drawn = [name for name in known if name in _SHOWN_ONLY]
    if drawn:
        sink.report.choose(f"left out: {', '.join(drawn)}, which say how nodes are drawn")
    kept = {name: name for name in known if name not in _SHOWN_ONLY and name != USER_ID}
    for name, attribute in columns.profile(known, str(path)):
        kept.pop(attribute or name, None)
        if attribute:
            kept[name] = attribute
    if kept.get(_LABEL) == _LABEL and NAME_COLUMN not in kept:
        del kept[_LABEL]
        if any(attributes.get(_LABEL, node) != node for node, attributes in graph.nodes(data=True)):
            kept[NAME_COLUMN] = _LABEL
            sink.report.choose("attribute label as the name that people are shown; --map name= leaves it out")
    if columns.of(NAME_COLUMN) == "":
        kept.pop(NAME_COLUMN, None)
    return kept


def _add_edges(
    path: Path, graph: Any, ids: Mapping[Any, str], columns: ColumnMap, min_weight: float | None, sink: Sink
) -> None:
    origin = Origin(str(path), "edge")
    sample = [attributes for _, _, attributes in islice(graph.edges(data=True), 1000)]
    known = list(dict.fromkeys(name for attributes in sample for name in attributes if name not in ("id", "viz")))
    created = columns.find(CREATED_AT_COLUMN, known, str(path))
    if created is None and (named := created_of(known)):
        cells = _series(named, [attributes.get(named) for attributes in sample]).cast(pl.String)
        created = named if look_like_moments(cells) else None
        if created:
            sink.report.choose(
                f"edge attribute {created} as the date of the friendship; --map created_at= leaves it out"
            )
    weight = columns.find(WEIGHT, known, str(path)) or weight_of(known)
    weighted = weight is not None and any(attributes.get(weight) not in (None, 1.0) for attributes in sample)
    if weighted and min_weight is None:
        sink.report.choose(f"edge attribute {weight} is a weight and left out; --min-weight W keeps edges from W on")
    if min_weight is not None and weight is None:
        raise DatasetError(f"{path}: its edges have no weight for --min-weight; say --map weight=ATTRIBUTE")
    if rest := [name for name in known if name not in (created, weight)]:
        sink.report.choose(f"left out: the edge attributes {', '.join(rest)}")
    place = 0
    for edges in _blocks(iter(graph.edges(data=True))):
        block = pl.DataFrame(
            {
                USER_ID: [ids[first] for first, _, _ in edges],
                OTHER_ID: [ids[second] for _, second, _ in edges],
                PLACE: range(place + 1, place + 1 + len(edges)),
            },
            schema={USER_ID: pl.String, OTHER_ID: pl.String, PLACE: pl.UInt32},
        )
        if created:
            dates = _series(created, [attributes.get(created) for _, _, attributes in edges]).cast(pl.String)
            dated = block.with_columns(dates.alias(created))
            block = block.with_columns(moments(dated, created, origin).alias(CREATED_AT_COLUMN))
        sink.report.count("edges", len(edges))
        if weight is not None and min_weight is not None:
            cells = pl.Series(weight, [_text(attributes.get(weight)) for _, _, attributes in edges], dtype=pl.String)
            values = numbers(block.with_columns(cells), weight, origin, pl.Float64(), "is not a number")
            light = (values < min_weight).fill_null(value=True)
            if light.any():
                first = block.filter(light).row(0, named=True)
                example = f"{first[USER_ID]!r} and {first[OTHER_ID]!r} ({origin.at(first[PLACE])})"
                sink.report.drop(f"edges whose {weight!r} is below {min_weight:g}, or empty", int(light.sum()), example)
            block = block.filter(~light)
        sink.friendships.add(block, origin)
        place += len(edges)


def _series(name: str, values: list[Any]) -> pl.Series:
    """The values of an attribute, as text where they are of several types."""
    filled = [None if value == "" else value for value in values]
    types = {type(value) for value in filled if value is not None}
    for kinds, dtype in (({bool}, pl.Boolean), ({int}, pl.Int64), ({int, float}, pl.Float64), ({str}, pl.String)):
        if types and types <= kinds and not _too_large(filled, dtype):
            return pl.Series(name, filled, dtype=dtype, strict=False)
    return pl.Series(name, [_text(value) for value in filled], dtype=pl.String)


def _too_large(values: list[Any], dtype: Any) -> bool:
    if dtype not in (pl.Int64, pl.Float64):
        return False
    largest = 2**63 if dtype == pl.Int64 else 2**53
    return any(isinstance(value, int) and abs(value) >= largest for value in values)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _blocks(records: Iterator[Any]) -> Iterator[list[Any]]:
    while block := list(islice(records, _BLOCK)):
        yield block
