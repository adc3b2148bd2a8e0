"""The days of the archive that are over, as Parquet: a file of entries of one shard, in the order of their positions.

An entry that was removed leaves its position in a row whose other columns are null. Files are replaced as a whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import orjson
import polars as pl

from models.event_log.archive.line_format import lines_in, parsed_line
from models.event_log.event import CONTACTS, ERASE, PROFILE, Entry
from models.schema.event_kinds import EventKind
from models.store.protocol import STREAM_START
from models.system import files

ENTRY_COLUMNS = pl.Schema(
    {
        "log_ms": pl.Int64,  # position in the stream of the store: milliseconds, and the number among those of one
        "log_number": pl.Int64,
        "kind": pl.String,  # as models.event_log.event.Entry has it; null: removed
        "user_id": pl.String,
        "timestamp_us": pl.Int64,
        "other_id": pl.String,
        "at": pl.Int64,
        "event_id": pl.String,
        "request_id": pl.String,
        "context": pl.String,
        "position": pl.Int64,
        "columns": pl.String,  # JSON
        "announced": pl.String,  # JSON
    }
)
_POSITION = ("log_ms", "log_number")
_JSON = ("columns", "announced")
_PLAIN = tuple(name for name in ENTRY_COLUMNS if name not in _POSITION + _JSON)
_WORDS = tuple(kind.word for kind in EventKind)
_HEAD = b'{"log_position":"'
_LINE_COLUMNS = pl.Schema(
    {"log_position": pl.String} | {"stamp" if name == "timestamp_us" else name: ENTRY_COLUMNS[name] for name in _PLAIN}
)
"""what a line has but for profiles"""
PASSING = tuple(kind.word for kind in (EventKind.IMPRESSION, EventKind.CLICK, EventKind.VIEW))
"""kinds of event that forbid nobody and connect nobody"""


def entry_table(entries: Iterable[tuple[str, Entry | None]]) -> pl.DataFrame:
    """Entries with their positions, None for one that was removed, as a table of ENTRY_COLUMNS."""
    columns: dict[str, list[object]] = {name: [] for name in ENTRY_COLUMNS}
    for position, entry in entries:
        milliseconds, _, number = position.partition("-")
        columns["log_ms"].append(int(milliseconds))
        columns["log_number"].append(int(number))
        for name in _PLAIN:
            columns[name].append(None if entry is None else getattr(entry, name))
        for name in _JSON:
            value = None if entry is None else getattr(entry, name)
            columns[name].append(None if value is None else orjson.dumps(value).decode())
    return pl.DataFrame(columns, schema=ENTRY_COLUMNS, strict=False)


def table_of_lines(segment: Path, *, is_last: bool) -> pl.DataFrame:
    """The entries of a file of lines as a table of ENTRY_COLUMNS, up to the first incomplete line.

    Lines are parsed all at once, and one by one where something is unusual. Raises ArtefactError for an incomplete line
    in any segment but the last, and FileNotFoundError.
    """
    table = _parsed_at_once(segment.read_bytes())
    if table is None:
        return entry_table((line.position, line.entry) for line in lines_in(segment, is_last=is_last))
    return table


def _parsed_at_once(content: bytes) -> pl.DataFrame | None:
    """The table of a file's lines; None unless all of them are whole and of the present form."""
    if not content.endswith(b"\n") or content.count(_HEAD) != content.count(b"\n"):
        return None
    try:
        rows = pl.read_ndjson(content, schema=_LINE_COLUMNS)
    except pl.exceptions.PolarsError:
        return None
    is_event = pl.col("kind").is_in(_WORDS)
    has_other = pl.col("other_id").is_not_null() & pl.col("at").is_not_null()
    is_user = pl.col("kind").is_in((PROFILE, ERASE, CONTACTS)) | (is_event & has_other)
    is_entry = is_user & pl.col("user_id").is_not_null() & pl.col("stamp").is_not_null()
    is_removed = pl.all_horizontal(pl.all().exclude("log_position").is_null())
    has_position = pl.col("log_position").str.contains(r"^\d+-\d+$")
    if rows.height != content.count(b"\n"):
        return None
    if not rows.select((has_position & (is_entry | is_removed)).fill_null(value=False).all()).item():
        return None
    parts = pl.col("log_position").str.split_exact("-", 1).struct
    table = rows.select(
        parts.field("field_0").cast(pl.Int64).alias("log_ms"),
        parts.field("field_1").cast(pl.Int64).alias("log_number"),
        *(pl.col("stamp" if name == "timestamp_us" else name).alias(name) for name in _PLAIN),
    )
    # profiles have columns of any name
    places = (table["kind"] == PROFILE).arg_true()
    lines = content.split(b"\n") if len(places) else []
    profiles = [parsed_line(lines[place] + b"\n") for place in places]
    if None in profiles:
        return None
    told = entry_table((one.position, one.entry) for one in profiles if one).select(_JSON)
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, table.height)
    return table.with_columns(nothing.scatter(places, told[name]).alias(name) for name in _JSON)


def entries_of(table: pl.DataFrame) -> Iterator[tuple[str, Entry | None]]:
    """The entries of a table of ENTRY_COLUMNS with their positions; None if one was removed."""
    for row in table.iter_rows(named=True):
        position = f"{row.pop('log_ms')}-{row.pop('log_number')}"
        parsed = {name: None if row[name] is None else orjson.loads(row[name]) for name in _JSON}
        yield position, None if row["kind"] is None else Entry(**(row | parsed))


def write(table: pl.DataFrame, path: Path) -> None:
    """Writes a table of ENTRY_COLUMNS. Raises DiskFullError."""
    with files.writing(path) as file:
        table.write_parquet(file, compression="zstd")


def select(tables: Sequence[pl.DataFrame], paths: Sequence[Path] = (), where: Sequence[pl.Expr] = ()) -> pl.DataFrame:
    """The rows of files, and of the tables that follow, that were not removed and for which all conditions hold."""
    every = pl.concat([_scan(paths), *(table.lazy() for table in tables)])
    return every.filter(pl.col("kind").is_not_null(), *where).collect()


def entries(path: Path) -> Iterator[tuple[str, Entry | None]]:
    """The entries of a file with their positions; None if one was removed."""
    yield from entries_of(_scan([path]).collect())


def last_position(paths: Sequence[Path]) -> str:
    """The last position of files; STREAM_START if they have none."""
    for path in reversed(paths):
        if last := position_of_last(_scan([path]).select(_POSITION).last().collect()):
            return last
    return STREAM_START


def position_of_last(table: pl.DataFrame) -> str | None:
    """The position of the last row; None if there is none."""
    return "-".join(map(str, table.select(_POSITION).row(-1))) if table.height else None


def _scan(paths: Sequence[Path]) -> pl.LazyFrame:
    """The rows of files, one after the other. Columns that this release does not know are left out, and those that a
    file lacks are null.
    """
    if not paths:
        return pl.LazyFrame(schema=ENTRY_COLUMNS)
    found = pl.scan_parquet(
        list(paths), glob=False, schema=ENTRY_COLUMNS, missing_columns="insert", extra_columns="ignore"
    )
    return found.select(ENTRY_COLUMNS.names())


def remove(path: Path, upto: Mapping[str, int]) -> int:
    """Removes the entries of a file that name one of these users, up to a timestamp for each; returns how many.

    A file that has none is left alone.
    """
    users, timestamps_us = list(upto), pl.Series(list(upto.values()), dtype=pl.Int64)

    def names(column: str) -> pl.Expr:
        latest = pl.col(column).replace_strict(users, timestamps_us, default=-1, return_dtype=pl.Int64)
        return (latest >= pl.col("timestamp_us")).fill_null(value=False)

    is_gone = names("user_id") | names("other_id")
    removed = int(_scan([path]).select(is_gone.sum()).collect().item())
    if removed:
        rest = [pl.when(~is_gone).then(pl.col(name)).alias(name) for name in ENTRY_COLUMNS if name not in _POSITION]
        write(_scan([path]).with_columns(rest).collect(), path)
    return removed


def merge_lasting(paths: Sequence[Path], target: Path) -> int:
    """Writes what lasts of some files into one; returns how many entries are not in it.

    What lasts is everything but PASSING, and the last entry of each user; of the last of all at least the position.
    """
    rows = _scan(paths)
    had = int(rows.select(pl.col("kind").count()).collect().item())
    latest = rows.group_by("user_id").agg(pl.col("timestamp_us").max().alias("latest")).drop_nulls()
    lasts = pl.col("kind").is_in(PASSING).not_() | (pl.col("timestamp_us") == pl.col("latest"))
    joined = rows.join(latest, on="user_id", how="left", maintain_order="left")
    lasting = joined.filter(lasts).select(ENTRY_COLUMNS.names()).collect(engine="streaming")
    end = entry_table([(last_position(paths), None)])
    if not lasting.tail(1).select(_POSITION).equals(end.select(_POSITION)):
        lasting = pl.concat([lasting, end])
    write(lasting, target)
    return had - int(lasting["kind"].count())
