"""The immutable input of one night."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ArtefactError
from models.schema.columns import ALL_FLAGS, FLAG_COLUMNS, Kind
from models.schema.event_kinds import FORBIDDEN_DAYS, EventKind
from models.schema.profiles import Profiles
from models.schema.vocabulary import Vocabulary
from models.system import disk, files
from offline.dataset.reader import Dataset, read_dataset
from offline.dataset.table import column_named
from offline.snapshot.coded_tables import CodeTables, code_tables
from offline.snapshot.live_events import LiveEvents
from offline.snapshot.merge_live_events import with_live
from offline.snapshot.profile_columns import code_profiles, concatenated, profile_json

DESCRIPTION = "snapshot.json"
LAYOUT = 1
UNDATED = int(np.iinfo(np.int64).min)
"""date of a friendship without a known date: before all others"""

log = structlog.get_logger(__name__)


class Counts(BaseModel):
    """Row counts, and what was dropped or changed."""

    model_config = ConfigDict(frozen=True)

    users: int
    connections: int
    interactions: int
    forbidden: int
    without_profile: int
    """users known only from connections or interactions"""
    duplicate_users: int
    duplicate_connections: int
    self_connections: int
    duplicate_interactions: int
    self_interactions: int
    connections_after_cut: int
    """friendships dated after the cut, kept with the cut as date"""
    interactions_after_cut: int
    """interactions dated after the cut, kept with the cut as date"""
    live_events: int = 0
    """interactions from the event log"""


class Description(BaseModel):
    """snapshot.json, which is written last."""

    model_config = ConfigDict(frozen=True)

    layout: Annotated[int, Field(ge=1, le=LAYOUT)] = LAYOUT
    cut: int
    """latest time covered, seconds since 1970 UTC"""
    live_cut: int | None = None
    """the snapshot includes every live event up to this timestamp, microseconds since 1970 UTC; None without live
    events"""
    erasures: dict[str, int] = {}
    """users erased after that timestamp who are excluded too: keyed hash of the id and time, microseconds"""
    erased_in_dataset: list[str] = []
    """keyed hashes of the erased users whom the dataset names"""
    forbidden_days: int
    vocabulary: str
    """digest of the vocabulary"""
    kinds: dict[str, Kind]
    """the feature columns of profiles"""
    inferred: dict[str, Kind]
    reason_columns: list[str]
    counts: Counts
    files: dict[str, str]
    """SHA-256 by name"""


@dataclass(frozen=True)
class Interactions:
    """All interactions, sorted by time, then user, other and kind; each array (events,)."""

    user: NDArray[np.int32]
    other: NDArray[np.int32]
    kind: NDArray[np.uint8]
    """codes of models.schema.event_kinds.EventKind"""
    at: NDArray[np.int64]
    """seconds since 1970 UTC, none after the cut"""


class Snapshot:
    """A snapshot on disk, read lazily; rows are dense and sorted by user id."""

    def __init__(self, directory: Path, description: Description) -> None:
        self.directory = directory
        self.description = description

    @classmethod
    def open(cls, directory: Path) -> "Snapshot":
        """The snapshot in a directory. Raises ArtefactError if a file is missing, truncated or altered."""
        path = directory / DESCRIPTION
        try:
            description = Description.model_validate(files.read_json(path))
        except ValidationError as error:
            raise ArtefactError(
                f"{path} is truncated or altered: {error.errors(include_url=False)[0]['msg']}"
            ) from error
        for name, wanted in description.files.items():
            if files.sha256(directory / name) != wanted:
                raise ArtefactError(f"{directory / name} is truncated or altered")
        return cls(directory, description)

    @property
    def n(self) -> int:
        return self.description.counts.users

    @property
    def cut(self) -> int:
        """Latest time covered, seconds since 1970 UTC."""
        return self.description.cut

    @property
    def live_cut(self) -> int | None:
        """The snapshot includes every live event up to this timestamp, microseconds; None without live events."""
        return self.description.live_cut

    @property
    def reason_columns(self) -> list[str]:
        """The columns that may be shown as a reason, sorted by name."""
        return list(self.description.reason_columns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: equal for equal content, whatever the format and order of the input rows."""
        return files.json_digest(
            self.description.model_dump(mode="json", exclude={"live_cut", "erasures", "erased_in_dataset"})
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The user ids by row."""
        return Vocabulary(*concatenated(self._users(["user_id"])["user_id"]))

    @cached_property
    def profiles(self) -> Profiles:
        """The feature columns of profiles, coded."""
        kinds = self.description.kinds
        return code_profiles(self._users(["user_id", *kinds]), kinds)

    @cached_property
    def flags(self) -> NDArray[np.uint8]:
        """(n,) uint8 of models.schema.columns.Flag bits; all set by default."""
        flags = np.full(self.n, ALL_FLAGS, dtype=np.uint8)
        present = pl.read_parquet_schema(self.directory / "users.parquet")
        for column, flag in FLAG_COLUMNS.items():
            if column in present:
                flags[~self._users([column])[column].fill_null(value=True).to_numpy()] &= ~np.uint8(flag)
        return flags

    def profile_json(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The stored profiles as concatenated JSON objects: (bytes,) uint8 and (n + 1,) int64 offsets."""
        return profile_json(self._users())

    def connections(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64] | None]:
        """The friendships (a, b) with a < b, sorted, two (m,) int32, and their dates, (m,) int64 epoch seconds.

        A date is UNDATED if unknown; the dates are None if all are unknown.
        """
        pairs = pl.read_parquet(self.directory / "connections.parquet")
        dates = pairs["created_at"]
        seconds = None if dates.null_count() == len(dates) else dates.fill_null(UNDATED).to_numpy()
        return pairs["a"].to_numpy(), pairs["b"].to_numpy(), seconds

    def forbidden(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pairs of a viewer and another who must not be shown to them, two (k,) int32, sorted."""
        pairs = pl.read_parquet(self.directory / "forbidden.parquet")
        return pairs["viewer"].to_numpy(), pairs["other"].to_numpy()

    def forbidden_kinds(self) -> NDArray[np.uint8]:
        """(k,) uint8 of models.schema.relationship.Relationship: the reasons, in the order of `forbidden`."""
        return pl.read_parquet(self.directory / "forbidden.parquet", columns=["kinds"])["kinds"].to_numpy()

    def interactions(self) -> Interactions:
        """All interactions."""
        done = pl.read_parquet(self.directory / "interactions.parquet")
        return Interactions(*(done[column].to_numpy() for column in ("user", "other", "kind", "at")))

    def activity(self) -> NDArray[np.int64]:
        """Event counts of each user by kind, (n, kinds) int64, columns by the code of EventKind."""
        done, kinds = self.interactions(), len(EventKind)
        cells = done.user.astype(np.int64) * kinds + done.kind
        return np.bincount(cells, minlength=self.n * kinds).reshape(self.n, kinds)

    def _users(self, columns: list[str] | None = None) -> pl.DataFrame:
        every = pl.scan_parquet(self.directory / "users.parquet", glob=False)
        return (every if columns is None else every.select(map(column_named, columns))).collect()


def write_snapshot(
    data: Path | Dataset,
    out: Path,
    *,
    started_at: dt.datetime,
    forbidden_days: int = FORBIDDEN_DAYS,
    live: LiveEvents | None = None,
    code: CodeTables = code_tables,
) -> Snapshot:
    """Reads and checks a dataset directory, unless it was read, and writes its snapshot to `out`, all of it or nothing.

    `started_at` is the start of the run, with a time zone. A decline or a disconnect forbids for `forbidden_days`
    before the cut. `live` holds the events acknowledged since; None: the dataset alone. `code` computes the tables
    by rows. Dropped rows are counted and logged. Raises DatasetError before anything is written.
    """
    dataset = data if isinstance(data, Dataset) else read_dataset(data, started_at=started_at)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.aside")
    files.remove_tree(aside)
    aside.mkdir()
    try:
        counts = _write(dataset, live, aside, forbidden_days, code)
        files.put_in_place(aside, out)
    finally:
        files.remove_tree(aside)
    changed = {name: count for name, count in counts if count and "_" in name}
    log.info("snapshot_written", users=counts.users, connections=counts.connections, **changed)
    return Snapshot.open(out)


def _write(dataset: Dataset, live: LiveEvents | None, directory: Path, forbidden_days: int, code: CodeTables) -> Counts:
    # ids to rows, deduplication, and the state of every pair
    merged = with_live(dataset, live or LiveEvents(0))
    coded = code(merged, dataset.as_of, forbidden_days)
    ids, state, events = coded.ids, coded.state, coded.interactions
    # counts
    late = pl.col("created_at") > merged.until
    counts = Counts(
        users=ids.height,
        connections=state.connections.height,
        interactions=events.height,
        forbidden=state.forbidden.height,
        without_profile=ids.height - merged.users.height,
        duplicate_users=dataset.users.duplicates,
        duplicate_connections=coded.duplicate_connections,
        self_connections=coded.self_connections,
        duplicate_interactions=coded.duplicate_interactions,
        self_interactions=coded.self_interactions,
        connections_after_cut=state.connections.filter(late).height,
        interactions_after_cut=events.filter(pl.col("at") > merged.until).height,
        live_events=0 if live is None else live.events.height,
    )
    # tables, then the description that seals them
    cut = pl.lit(merged.until, dtype=pl.Int64)
    tables = {
        "users": ids.select("user_id").join(merged.users, on="user_id", how="left", maintain_order="left"),
        "connections": state.connections.with_columns(
            pl.when(late).then(cut).otherwise("created_at").alias("created_at")
        ),
        "interactions": events.drop("order")
        .with_columns(pl.min_horizontal("at", cut).alias("at"))
        .sort("at", "user", "other", "kind"),
        "forbidden": state.forbidden,
    }
    for name, frame in tables.items():
        with disk.room(directory / f"{name}.parquet"):
            frame.write_parquet(directory / f"{name}.parquet", mkdir=False)
    description = Description(
        cut=merged.until,
        live_cut=None if live is None else live.cut,
        erasures={} if live is None else live.erased.since(live.cut),
        erased_in_dataset=[] if live is None else live.erased.names(merged.erased),
        forbidden_days=forbidden_days,
        vocabulary=Vocabulary(*concatenated(ids["user_id"])).digest,
        kinds=dict(dataset.users.kinds),
        inferred=dict(dataset.users.inferred),
        reason_columns=dataset.reason_columns,
        counts=counts,
        files={f"{name}.parquet": files.sha256(directory / f"{name}.parquet") for name in tables},
    )
    files.write_json(directory / DESCRIPTION, description.model_dump(mode="json"))
    return counts
