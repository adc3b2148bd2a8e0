"""A dataset in the making: what readers of every format add to, and what is written of it."""

import datetime as dt
import errno
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from models.errors import DatasetError
from models.schema.columns import Kind
from models.schema.event_kinds import EventKind
from models.system import files
from offline.dataset.pairs import AT, KIND
from offline.dataset.reader import read_dataset
from offline.dataset.table import OTHER_ID, USER_ID
from offline.importers.cells import dates_of, moments, require_ids
from offline.importers.friendships import Friendships
from offline.importers.origin import PLACE, Origin
from offline.importers.profiles import Profiles
from offline.importers.report import Report
from offline.importers.source_text import Progress
from offline.importers.target import check_target, replacing

MADE_BY = "# made by pymk import"
"""first words of the schema.toml of an imported dataset"""

_PARTS = "parts"
_FULL = f"os error {errno.ENOSPC}"
_KINDS = [kind.word for kind in EventKind]


class Sink:
    """What a reader fills."""

    def __init__(self, directory: Path, report: Report, progress: Progress, *, mutual: bool) -> None:
        self.report = report
        self.progress = progress
        self.friendships = Friendships(mutual=mutual)
        self.staging = directory / _PARTS
        """a directory for files that are removed when the dataset is written"""
        self.staging.mkdir()
        self.profiles = Profiles(self.staging)
        self.kinds: dict[str, Kind] = {}
        """kinds of profile columns that the source states"""
        self.as_of: dt.datetime | None = None
        """moment of the export, if the source states it"""
        self._interactions: list[pl.DataFrame] = []

    def add_interactions(self, block: pl.DataFrame, origin: Origin) -> None:
        """Adds interactions: USER_ID, OTHER_ID, KIND String, AT, PLACE. Raises DatasetError for a bad cell."""
        for column in (USER_ID, OTHER_ID):
            require_ids(block, column, origin)
        unknown = block.filter(~pl.col(KIND).is_in(_KINDS).fill_null(value=False)).head(1)
        if unknown.height:
            fault = f"is not a kind of event ({', '.join(_KINDS)})"
            origin.refuse(unknown[PLACE].item(), KIND, unknown[KIND].item(), fault)
        at = dates_of(moments(block, AT, origin))
        if at.null_count():
            origin.refuse(block[PLACE][int(at.is_null().arg_true()[0])], AT, None, "is empty")
        self._interactions.append(block.select(USER_ID, OTHER_ID, KIND).with_columns(at))

    def write(self, directory: Path, origin: str) -> None:
        """Writes all tables and schema.toml, and reads them back as a night does."""
        self.progress("writing", 0, None)
        users = directory / "users.parquet"
        if not self.profiles.empty:
            self.profiles.write(users, self.report)
        self.friendships.write(directory / "connections.parquet", users if self.profiles.empty else None, self.report)
        if self._interactions:
            interactions = pl.concat(self._interactions)
            interactions.write_parquet(directory / "interactions.parquet")
            self.report.written["interactions"] = interactions.height
        files.remove_tree(self.staging)
        (directory / "schema.toml").write_text(self._schema(origin), encoding="utf-8")
        self.progress("checking", 0, None)
        read_dataset(directory, started_at=dt.datetime.now(dt.UTC))
        self.progress("checking", 1, 1)

    def _schema(self, origin: str) -> str:
        lines = [f"{MADE_BY} {' '.join(origin.split())}"]
        if self.as_of is not None:
            lines.append(f'as_of = "{self.as_of.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"')
        kinds = {column: kind for column, kind in self.kinds.items() if column in self.report.columns}
        lines += ["", "[users]", *(f'{_key(column)} = "{kind.value}"' for column, kind in kinds.items()), ""]
        return "\n".join(lines)


def import_dataset(
    read: Callable[[Sink], None],
    out: Path,
    *,
    source: str,
    origin: str,
    path: Path | None,
    mutual: bool,
    force: bool,
    progress: Progress,
) -> Report:
    """Makes the dataset directory `out` of what `read` adds to a sink: all of it or nothing; returns what was done.

    `source` names the source in messages and `origin` the command in schema.toml; `path` is the source's path, if it
    has one; `mutual` is that of Friendships. Raises UsageError for the target and DatasetError for the source.
    """
    target = check_target(out, path, force=force)
    report = Report(source)
    with replacing(target) as aside:
        sink = Sink(aside, report, progress, mutual=mutual)
        try:
            read(sink)
            sink.write(aside, origin)
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(aside), str(out))) from error
        except pl.exceptions.PolarsError as error:
            if _FULL in str(error):  # Polars has no exception of its own for it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target.parent)) from error
            raise
    return report


def _key(column: str) -> str:
    """A key of TOML."""
    escaped = column.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
