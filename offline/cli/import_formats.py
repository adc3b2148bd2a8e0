"""`pymk import FORMAT SOURCE --out DATA`: one subcommand a format."""

from collections.abc import Callable
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offline.importers.formats.tables import TableOptions
    from offline.importers.sink import Sink


class Follows(StrEnum):
    """How directed edges become friendships."""

    EITHER = "either"
    MUTUAL = "mutual"


Source = Annotated[Path, typer.Argument(help="The file or folder to read.", metavar="SOURCE")]
Out = Annotated[Path, typer.Option(help="The dataset directory to make.", metavar="DATA")]
Force = Annotated[bool, typer.Option("--force", help="Replace DATA if it is a dataset already.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="Which column is what, by name or number; may be repeated.", metavar="FIELD=COLUMN"),
]
Either = Annotated[
    Follows, typer.Option("--follows", help="Directed edges: one direction is a friendship, or only both are.")
]
MinWeight = Annotated[
    float | None, typer.Option("--min-weight", help="Keep only edges of at least this weight.", metavar="W")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="Keep only rows with this value; may be repeated.", metavar="COLUMN=VALUE"),
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="tab, space, comma, semicolon, bar, or a character. [default: found]", metavar="MARK"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    formats = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Make a dataset directory of data from elsewhere: pymk import FORMAT SOURCE --out DATA.",
        epilog="pymk import FORMAT --help shows examples. Then: pymk check DATA, pymk nightly DATA",
    )
    for name, command in (
        ("edges", edges),
        ("graphml", graphml),
        ("gexf", gexf),
        ("neo4j", neo4j),
        ("postgres", postgres),
        ("mastodon", mastodon),
        ("parquet", parquet),
    ):
        formats.command(name)(command)
    app.add_typer(formats, name="import")


def edges(
    source: Source,
    out: Out,
    *,
    users: Annotated[
        Path | None, typer.Option(help="A file of people: an id and any profile columns, named in its first line.")
    ] = None,
    columns: Map = None,
    where: Where = None,
    follows: Either = Follows.EITHER,
    min_weight: MinWeight = None,
    delimiter: Delimiter = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line names columns. [default: found]")
    ] = None,
    force: Force = False,
) -> None:
    """Edge lists: a line an edge, as SNAP, KONECT and spreadsheets have them.

    Lines that begin with # or % are comments. Cells are parted by tabs, spaces, commas, semicolons or bars. Files may
    be compressed (gz, zst, bz2, xz). Edges with oneself, repeats and second directions are counted and dropped. Fields
    of --map: user_id, other_id, created_at, weight; with --users also users.user_id and any profile column.

    \b
    pymk import edges facebook_combined.txt.gz --out DATA
    pymk import edges calls.csv --map user_id=caller --map other_id=callee --map created_at=when --out DATA
    pymk import edges follows.tsv --follows mutual --out DATA
    pymk import edges trust.csv --map weight=3 --min-weight 1 --out DATA
    pymk import edges edges.csv --users nodes.csv --map users.user_id=Id --out DATA
    """
    path = _existing(source)
    people = None if users is None else _existing(users, file=True)

    def read(sink: "Sink") -> None:
        from offline.importers.column_names import PAIR_FIELDS, ColumnMap
        from offline.importers.formats.edge_list import EdgeOptions, read_edges
        from offline.importers.formats.tables import Conditions

        said = ColumnMap.parse(columns or [], PAIR_FIELDS if people is None else None)
        conditions = Conditions.parse(where or [])
        read_edges(path, EdgeOptions(said, delimiter, header, min_weight, conditions, people), sink)

    _run("edges", read, out, str(source), path, follows, force=force)


def graphml(
    source: Source,
    out: Out,
    *,
    columns: Map = None,
    follows: Either = Follows.EITHER,
    min_weight: MinWeight = None,
    force: Force = False,
) -> None:
    """GraphML, as networkx, Gephi, yEd, igraph and Neo4j write it.

    Attributes of nodes become profile columns; an edge attribute such as created_at, since or date becomes the date of
    the friendship. Fields of --map: user_id (a node attribute in place of the node's id), created_at, weight, and
    any profile column (an empty one leaves it out).

    \b
    pymk import graphml network.graphml --out DATA
    pymk import graphml network.graphml --map user_id=login --map company=employer --map notes= --out DATA
    pymk import graphml twitter.graphml.gz --follows mutual --out DATA
    """
    path = _existing(source, file=True)

    def read(sink: "Sink") -> None:
        from offline.importers.column_names import ColumnMap
        from offline.importers.formats.graph_file import read_graphml

        read_graphml(path, ColumnMap.parse(columns or []), min_weight, sink)

    _run("graphml", read, out, str(source), path, follows, force=force)


def gexf(
    source: Source,
    out: Out,
    *,
    columns: Map = None,
    follows: Either = Follows.EITHER,
    min_weight: MinWeight = None,
    force: Force = False,
) -> None:
    """GEXF, as Gephi and networkx write it.

    Like graphml; the label of a node becomes the name that people are shown.

    \b
    pymk import gexf network.gexf --out DATA
    pymk import gexf network.gexf --map created_at=start --map name= --out DATA
    """
    path = _existing(source, file=True)

    def read(sink: "Sink") -> None:
        from offline.importers.column_names import ColumnMap
        from offline.importers.formats.graph_file import read_gexf

        read_gexf(path, ColumnMap.parse(columns or []), min_weight, sink)

    _run("gexf", read, out, str(source), path, follows, force=force)


def neo4j(
    source: Source,
    out: Out,
    *,
    label: Annotated[str | None, typer.Option(help="The label of people. [default: found]", metavar="LABEL")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="The type of relationship that is a friendship. [default: found]", metavar="TYPE"),
    ] = None,
    columns: Map = None,
    follows: Either = Follows.EITHER,
    delimiter: Delimiter = None,
    array_delimiter: Annotated[str, typer.Option(help="What parts the values of an array.", metavar="MARK")] = ";",
    force: Force = False,
) -> None:
    """CSV files of Neo4j: a folder for neo4j-admin database import, or the one file of apoc.export.csv.

    Headers such as id:ID(Person), name, age:int, tags:string[], :LABEL, :START_ID(Person), :TYPE stand in the first
    line or in a file of their own (persons_header.csv beside persons.csv). Properties of people become profile columns.
    Fields of --map: user_id (a property in place of the id), created_at (of the relationship), users.created_at, and
    any profile column (an empty one leaves it out).

    \b
    pymk import neo4j import/ --out DATA
    pymk import neo4j import/ --label Person --type KNOWS --out DATA
    pymk import neo4j all.csv --map user_id=login --map connections.created_at=since --out DATA
    """
    path = _existing(source)

    def read(sink: "Sink") -> None:
        from offline.importers.column_names import ColumnMap
        from offline.importers.formats.edge_list import delimiter_of
        from offline.importers.formats.neo4j import Neo4jOptions, read_neo4j

        mark = None if delimiter is None else delimiter_of(delimiter) or " "
        options = Neo4jOptions(label, kind, ColumnMap.parse(columns or []), mark, array_delimiter)
        read_neo4j(path, options, sink)

    _run("neo4j", read, out, str(source), path, follows, force=force)


def postgres(
    dsn: Annotated[str, typer.Argument(help="A connection string: postgresql://user@host/database.", metavar="SOURCE")],
    out: Out,
    *,
    users: Annotated[str | None, typer.Option(help="Table or query of people.", metavar="TABLE|QUERY")] = None,
    connections: Annotated[
        str | None, typer.Option(help="Table or query of friendships. [default: found]", metavar="TABLE|QUERY")
    ] = None,
    interactions: Annotated[
        str | None, typer.Option(help="Table or query of blocks, invites, views and so on.", metavar="TABLE|QUERY")
    ] = None,
    columns: Map = None,
    where: Where = None,
    follows: Either = Follows.EITHER,
    min_weight: MinWeight = None,
    force: Force = False,
) -> None:
    """PostgreSQL: tables or queries, in one read-only transaction.

    Needs the extra postgres: pip install -c constraints.txt '.[postgres]'. Give the password as PGPASSWORD or in
    ~/.pgpass. Without --users, --connections and --interactions, tables of common names are taken. Arrays become sets.
    Fields of --map: users.user_id, connections.user_id, connections.other_id, connections.created_at,
    interactions.kind, interactions.at and so on, and any profile column.

    \b
    pymk import postgres postgresql://reader@db/app --out DATA
    pymk import postgres postgresql://reader@db/app --users members --map users.user_id=member_no \\
        --connections "SELECT a, b, made FROM friendships WHERE status = 'accepted'" --out DATA
    """

    def read(sink: "Sink") -> None:
        from offline.importers.formats.postgres import read_postgres

        said = {"users": users, "connections": connections, "interactions": interactions}
        read_postgres(dsn, _table_options(said, columns, where, min_weight), sink.staging, sink)

    _run("postgres", read, out, "PostgreSQL", None, follows, force=force)


def mastodon(
    source: Source,
    out: Out,
    *,
    account: Annotated[
        str | None, typer.Option(help="Whose export it is, if it does not tell.", metavar="ADDRESS")
    ] = None,
    follows: Either = Follows.MUTUAL,
    force: Force = False,
) -> None:
    """Account exports of Mastodon: follows as CSV, and ActivityPub archives.

    SOURCE is the export of one account (following_accounts.csv, followers.csv, an archive with actor.json), or a folder
    with one folder or archive an account, named by its address unless an actor.json tells it. Profiles come from
    actor.json; blocked_accounts.csv and muted_accounts.csv keep people out of lists.

    \b
    exports/alice@example.social/following_accounts.csv
    exports/alice@example.social/followers.csv
    exports/bob@other.example.zip
    pymk import mastodon exports --out DATA
    pymk import mastodon exports --follows either --out DATA
    pymk import mastodon my-export --account me@example.social --out DATA
    """
    path = _existing(source)

    def read(sink: "Sink") -> None:
        from offline.importers.formats.mastodon import read_mastodon

        read_mastodon(path, account, sink)

    _run("mastodon", read, out, str(source), path, follows, force=force)


def parquet(
    source: Source,
    out: Out,
    *,
    users: Annotated[str | None, typer.Option(help="Table of people. [default: found]", metavar="TABLE")] = None,
    connections: Annotated[
        str | None, typer.Option(help="Table of friendships. [default: found]", metavar="TABLE")
    ] = None,
    interactions: Annotated[
        str | None, typer.Option(help="Table of blocks, invites, views and so on. [default: found]", metavar="TABLE")
    ] = None,
    columns: Map = None,
    where: Where = None,
    follows: Either = Follows.EITHER,
    min_weight: MinWeight = None,
    force: Force = False,
) -> None:
    """Parquet: a file, or a folder of tables, each a file or a folder of files.

    Partitions such as day=2026-01-01/ are columns. Columns and tables of common names are found; the others are said
    with --map, as for postgres.

    \b
    pymk import parquet lake/ --out DATA
    pymk import parquet lake/ --users members --connections edges --map users.user_id=uid \\
        --map connections.user_id=a --map connections.other_id=b --map company=employer --out DATA
    pymk import parquet edges.parquet --where status=accepted --out DATA
    """
    path = _existing(source)

    def read(sink: "Sink") -> None:
        from offline.importers.formats.parquet_lake import read_lake

        said = {"users": users, "connections": connections, "interactions": interactions}
        read_lake(path, _table_options(said, columns, where, min_weight), sink)

    _run("parquet", read, out, str(source), path, follows, force=force)


def _table_options(
    tables: dict[str, str | None], columns: list[str] | None, where: list[str] | None, min_weight: float | None
) -> "TableOptions":
    from offline.importers.column_names import ColumnMap
    from offline.importers.formats.tables import Conditions, TableOptions

    said = {role: name for role, name in tables.items() if name is not None}
    return TableOptions(said, ColumnMap.parse(columns or []), Conditions.parse(where or []), min_weight)


def _existing(source: Path, *, file: bool = False) -> Path:
    """The source. Raises UsageError, with the nearest name beside it, if it does not exist."""
    from models.errors import UsageError

    if not source.exists():
        beside = [path.name for path in source.parent.iterdir()] if source.parent.is_dir() else []
        near = get_close_matches(source.name, beside, n=1)
        hint = f"; did you mean {source.parent / near[0]}?" if near else ""
        raise UsageError(f"{source} does not exist{hint}")
    if file and source.is_dir():
        raise UsageError(f"{source} is a directory; name a file")
    return source


def _run(
    name: str,
    read: "Callable[[Sink], None]",
    out: Path,
    source: str,
    path: Path | None,
    follows: Follows,
    *,
    force: bool,
) -> None:
    """Imports, and prints what was read, chosen, dropped and written."""
    from offline.cli.step_progress import step_progress
    from offline.importers.sink import import_dataset
    from offline.importers.target import quoted

    with step_progress("pymk.import") as progress:
        report = import_dataset(
            read,
            out,
            source=source,
            origin=f"{name} {source}",
            path=path,
            mutual=follows is Follows.MUTUAL,
            force=force,
            progress=progress,
        )
    for line in report.lines(quoted(out)):
        typer.echo(line)
