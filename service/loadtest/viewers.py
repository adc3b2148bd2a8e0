"""The viewers to request lists for, and the facts that their lists are checked against.

They come from one of three sources: the version served, in PYMK_HOME on the service's host; the dataset directory that
was exported; or a file of ids.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.errors import PymkError, UsageError
from models.schema.columns import Flag, user_id_fault

if TYPE_CHECKING:
    import polars as pl

    from models.version.tables import Tables

SUFFIXES = (".csv", ".parquet", ".jsonl")


class Facts(Protocol):
    """What a list can be checked against."""

    def forbidden(self, version: str, viewer: str, others: Sequence[str]) -> Mapping[str, str]:
        """The users of `others` who must not be shown to the viewer, as far as this version is known, and why."""
        ...


class NoFacts:
    """No facts beyond the list itself."""

    def forbidden(self, version: str, viewer: str, others: Sequence[str]) -> Mapping[str, str]:
        """No user."""
        return {}


@dataclass(frozen=True)
class VersionFacts:
    """Facts of the tables of the version served."""

    version: str
    tables: "Tables"

    def forbidden(self, version: str, viewer: str, others: Sequence[str]) -> Mapping[str, str]:
        """Connections of the viewer, users forbidden to them, and users who are not shown to anyone."""
        row = self.tables.vocabulary.row(viewer)
        if version != self.version or row is None:
            return {}
        found = {}
        friends = set(self.tables.graph.neighbours(row).tolist())
        never = set(self.tables.forbidden.neighbours(row).tolist())
        for other in others:
            at = self.tables.vocabulary.row(other)
            if at is None:
                continue
            flags = int(self.tables.flags[at])
            if at in friends:
                found[other] = "connected"
            elif at in never:
                found[other] = "blocked, dismissed, invited, reported or declined"
            elif not flags & Flag.DISCOVERABLE or not flags & Flag.ACTIVE:
                found[other] = "not discoverable or not active"
        return found


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of a dataset directory about a few viewers."""

    friends: Mapping[str, frozenset[str]]
    """by viewer"""
    hidden: frozenset[str]
    """not discoverable or not active"""

    def forbidden(self, version: str, viewer: str, others: Sequence[str]) -> Mapping[str, str]:
        """Connections of the viewer, and users who are not shown to anyone."""
        friends = self.friends.get(viewer, frozenset())
        found = {other: "connected" for other in others if other in friends}
        return {**found, **{other: "not discoverable or not active" for other in others if other in self.hidden}}


@dataclass(frozen=True)
class Viewers:
    """The users to request lists for, at least two."""

    ids: Sequence[str]
    origin: str
    """the source of the ids, in words"""
    facts: Facts = field(default_factory=NoFacts)
    checked: Sequence[str] = ()
    """a few of them, whose lists are checked"""


def viewers(users: Path | None, home: Path, version: str, checks: int, seed: int) -> Viewers:
    """The viewers of a file or a dataset directory, else of the version's own files under `home`.

    Raises UsageError if there are fewer than two, or one is not a user id.
    """
    if users is None:
        found = _of_version(home, version, checks, seed)
    elif users.is_dir():
        found = _of_dataset(users, checks, seed)
    else:
        from service.recommend.viewers_file import read_user_ids

        ids = _ids_of(_table(users)) if users.suffix in SUFFIXES else read_user_ids(users)
        found = Viewers(ids, str(users), NoFacts(), _sample(ids, checks, seed))
    if len(found.ids) < 2:
        raise UsageError(f"{found.origin} holds {len(found.ids)} user ids; a load needs two or more")
    for one in found.ids:
        if fault := user_id_fault(one):
            raise UsageError(f"{found.origin}: {one!r} {fault}")
    return found


def _of_version(home: Path, version: str, checks: int, seed: int) -> Viewers:
    from models.version.local_versions import Versions
    from models.version.tables import Tables

    try:
        directory = Versions(home).path(version)
        tables = Tables.open(directory / "tables")
    except PymkError as error:
        raise UsageError(
            f"--users FILE is needed: the service serves version {version}, which is not under PYMK_HOME {home}"
        ) from error
    ids = [tables.vocabulary.user_id(row) for row in (tables.flags & Flag.ACTIVE).nonzero()[0].tolist()]
    return Viewers(ids, str(directory), VersionFacts(version, tables), _sample(ids, checks, seed))


def _of_dataset(directory: Path, checks: int, seed: int) -> Viewers:
    import polars as pl

    tables = {name: _found(directory, name) for name in ("users", "connections")}
    users, connections = (_table(path) if path else None for path in tables.values())
    if users is None:
        raise UsageError(f"{directory} holds no users{'|'.join(SUFFIXES)}")
    hidden_users: set[str] = set()
    inactive: set[str] = set()
    for column in {"discoverable", "active"} & set(users.collect_schema().names()):
        lowered = pl.col(column).cast(pl.String).str.to_lowercase().is_in(["false", "0", "no", "f", "n"])
        hidden = set(_ids_of(users.filter(lowered)))
        hidden_users |= hidden
        inactive |= hidden if column == "active" else set()
    ids = [one for one in _ids_of(users) if one not in inactive]
    sample = _sample(ids, checks, seed)
    friends: dict[str, set[str]] = {one: set() for one in sample}
    if connections is not None:
        pair = connections.select(pl.col("user_id", "other_id").cast(pl.String))
        near = pair.filter(pl.col("user_id").is_in(sample) | pl.col("other_id").is_in(sample)).collect()
        for a, b in near.iter_rows():
            for viewer, other in ((a, b), (b, a)):
                if viewer in friends:
                    friends[viewer].add(other)
    facts = DatasetFacts({one: frozenset(found) for one, found in friends.items()}, frozenset(hidden_users))
    return Viewers(ids, str(directory), facts, sample)


def _found(directory: Path, name: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := directory / f"{name}{suffix}").is_file()), None)


def _table(path: Path) -> "pl.LazyFrame":
    """A table; cells of a format without types are text. Raises UsageError if it cannot be read."""
    import polars as pl

    try:
        if path.suffix == ".csv":
            table = pl.scan_csv(path, infer_schema=False)
        elif path.suffix == ".parquet":
            table = pl.scan_parquet(path)
        else:
            table = pl.scan_ndjson(path)
        if "user_id" not in table.collect_schema().names():
            raise UsageError(f"{path} has no column user_id")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return table


def _ids_of(table: "pl.LazyFrame") -> list[str]:
    import polars as pl

    column = table.select(pl.col("user_id").cast(pl.String)).collect()["user_id"]
    return [str(one) for one in column.drop_nulls().unique(maintain_order=True)]


def _sample(ids: Sequence[str], count: int, seed: int) -> list[str]:
    return random.Random(seed).sample(ids, min(count, len(ids)))  # noqa: S311  # which viewers are checked is no secret
