"""Checks of what a dataset lost against the active version: people, friendships, blocks, columns, values."""

from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
import structlog
from numpy.typing import NDArray

from models.errors import ArtefactError
from models.graph import Graph
from models.live_state.erased_ids import ErasedPeople
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
)
from models.schema.relationship import Relationship
from models.schema.vocabulary import Vocabulary
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.evaluation.gate_check import GateCheck
from offline.gate.config import GateConfig
from offline.snapshot.snapshot import Snapshot

SAMPLE = 10_000
"""friendships, or users, that are looked for"""
ERRORS = 3.0
"""standard errors by which a share must exceed its limit, so that chance in a small network refuses nothing"""
SHOWN = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
LASTING = (
    Relationship.BLOCKED_BY_VIEWER | Relationship.BLOCKED_BY_OTHER | Relationship.DISMISSED | Relationship.REPORTED
)
"""reasons to show nobody to a viewer that hold until they are lifted: an invite is answered, a refusal expires"""
LEAST_FORBIDDEN = 10
"""pairs below which none can be told to be lost: an export of how things are lacks what was lifted, too"""
LIFTS = (EventKind.UNBLOCK, EventKind.UNDISMISS)
LISTED = 5
"""columns that a sentence names"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ActiveVersion:
    """The version that is served while a night works: what its lists rest on."""

    manifest: Manifest
    tables: Tables | None
    """None if its files are not on this host: then only numbers of people and friendships are compared"""

    @classmethod
    def of(cls, versions: Versions, manifest: Manifest) -> Self:
        """The version of a manifest, with its tables if this host can read them."""
        try:
            return cls(manifest, Tables.open(versions.path(manifest.version) / "tables"))
        except ArtefactError as error:
            log.warning("active_tables_unreadable", version=manifest.version, error=str(error))
            return cls(manifest, None)


def loss_checks(
    active: ActiveVersion | None, snapshot: Snapshot, graph: Graph, erased: ErasedPeople, config: GateConfig
) -> list[GateCheck]:
    """What is missing in a snapshot, whose friendships are `graph`, of what the active version knows."""
    if active is None:
        return [GateCheck.skipped("losses", "nothing is published yet that something could be lost of")]
    if active.tables is None:
        then, now = active.manifest, (snapshot.n, len(graph.indices) // 2)
        return [
            _by_number("people_lost", "people", then.users, now[0], config.most_people_lost, then.version),
            _by_number(
                "friendships_lost", "friendships", then.connections, now[1], config.most_friendships_lost, then.version
            ),
        ]
    tables, version = active.tables, active.manifest.version
    return [
        _people(tables, snapshot, erased, config, version),
        _friendships(tables, snapshot, graph, erased, config, version),
        _forbidden(tables, snapshot, graph, erased, config, version),
        _columns(tables, snapshot, config, version),
        *_values(tables, snapshot, config, version),
    ]


def drawn(n: int) -> NDArray[np.int64]:
    """At most SAMPLE of the numbers 0 to n-1, the same ones for the same n."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.unique(np.random.default_rng(0).integers(n, size=SAMPLE))


def friendships_left(
    tables: Tables, vocabulary: Vocabulary, graph: Graph, erased: ErasedPeople | None = None
) -> NDArray[np.bool_]:
    """Whether each of some friendships of a version is in the graph of another vocabulary; without those of the
    erased.
    """
    edges = drawn(len(tables.graph.indices))
    starts = np.searchsorted(tables.graph.indptr, edges, side="right") - 1
    ends = tables.graph.indices[edges]
    if erased is not None and len(erased):
        kept = ~(_are_erased(tables, starts, erased) | _are_erased(tables, ends, erased))
        starts, ends = starts[kept], ends[kept]
    first, second = (
        vocabulary.rows(tables.vocabulary.user_id(row) for row in rows.tolist()) for rows in (starts, ends)
    )
    there = (first >= 0) & (second >= 0)
    there[there] = graph.contains(first[there], second[there])
    return there


def filled(column: Column) -> NDArray[np.bool_]:
    """(n,) whether each user has a value in a profile column."""
    match column:
        case CategoricalColumn(codes=codes):
            return codes >= 0
        case MultiColumn(indptr=indptr):
            return np.diff(indptr) > 0
        case NumericColumn(numbers=numbers) | TimestampColumn(seconds=numbers):
            return ~np.isnan(numbers)
        case LocationColumn(degrees=degrees):
            return ~np.isnan(degrees[:, 0])
        case TextColumn(texts=texts):
            return np.array([text is not None for text in texts], bool)


def beyond(lost: int, of: int, limit: float) -> bool:
    """Whether a share of lost ones exceeds a limit by more than chance explains; everything lost always does."""
    if not of or lost <= limit * of:
        return False
    return lost == of or lost / of - ERRORS * sqrt(lost / of * (1 - lost / of) / of) > limit


def _are_erased(tables: Tables, rows: NDArray[np.integer], erased: ErasedPeople) -> NDArray[np.bool_]:
    return np.array([erased.timestamp_us(tables.vocabulary.user_id(row)) > 0 for row in rows.tolist()], bool)


def _by_number(name: str, what: str, then: int, now: int, limit: float, version: str) -> GateCheck:
    lost = max(then - now, 0)
    return GateCheck.judged(
        name,
        refused=beyond(lost, then, limit),
        value=lost / max(then, 1),
        threshold=limit,
        sentence=f"there are {now:,} {what}, and {then:,} in the active version {version} "
        f"(gate.most_{name} allows a loss of {limit:.0%})",
    )


def _people(tables: Tables, snapshot: Snapshot, erased: ErasedPeople, config: GateConfig, version: str) -> GateCheck:
    """People whom the active version may show and this one may not."""
    rows = drawn(tables.n)
    rows = rows[(tables.flags[rows] & SHOWN) == SHOWN]
    if len(erased):
        rows = rows[~_are_erased(tables, rows, erased)]
    found = snapshot.vocabulary.rows(tables.vocabulary.user_id(row) for row in rows.tolist())
    missing = int((found < 0).sum())
    hidden = int(((snapshot.flags[found[found >= 0]] & SHOWN) != SHOWN).sum())
    lost, limit = missing + hidden, config.most_people_lost
    return GateCheck.judged(
        "people_lost",
        refused=beyond(lost, len(rows), limit),
        value=lost / max(len(rows), 1),
        threshold=limit,
        sentence=f"{lost / max(len(rows), 1):.1%} of the people of the active version {version} are gone: of "
        f"{len(rows):,} looked for, {missing:,} are missing and {hidden:,} are hidden now "
        f"(gate.most_people_lost allows {limit:.0%})",
    )


def _friendships(
    tables: Tables, snapshot: Snapshot, graph: Graph, erased: ErasedPeople, config: GateConfig, version: str
) -> GateCheck:
    left = friendships_left(tables, snapshot.vocabulary, graph, erased)
    lost, limit = int((~left).sum()), config.most_friendships_lost
    then, now = len(tables.graph.indices) // 2, len(graph.indices) // 2
    return GateCheck.judged(
        "friendships_lost",
        refused=beyond(lost, len(left), limit),
        value=lost / max(len(left), 1),
        threshold=limit,
        sentence=f"{lost / max(len(left), 1):.1%} of the friendships of the active version {version} are gone: "
        f"{then:,} were known, and {now:,} are (gate.most_friendships_lost allows {limit:.0%})",
    )


def _forbidden(
    tables: Tables, snapshot: Snapshot, graph: Graph, erased: ErasedPeople, config: GateConfig, version: str
) -> GateCheck:
    """Pairs that the active version keeps apart and this one would show, though nobody lifted that."""
    # pairs of people who are still there, and were not erased and registered again
    lasting = np.flatnonzero(tables.forbidden_kinds & np.uint8(LASTING))
    edges = lasting[drawn(len(lasting))]
    starts, ends = np.searchsorted(tables.forbidden.indptr, edges, side="right") - 1, tables.forbidden.indices[edges]
    viewers, others = (
        snapshot.vocabulary.rows(tables.vocabulary.user_id(row) for row in rows.tolist()) for rows in (starts, ends)
    )
    there = (viewers >= 0) & (others >= 0)
    if len(erased):
        there &= ~(_are_erased(tables, starts, erased) | _are_erased(tables, ends, erased))
    viewers, others = viewers[there], others[there]
    # of them those that nothing keeps apart any more, and nobody lifted
    done, n = snapshot.interactions(), snapshot.n
    lifts = np.isin(done.kind, LIFTS)
    kept = Graph.from_directed(n, *snapshot.forbidden()).contains(viewers, others) | graph.contains(viewers, others)
    lifted = Graph.from_pairs(n, done.user[lifts], done.other[lifts]).contains(viewers, others)
    lost, limit = int((~kept & ~lifted).sum()), config.most_forbidden_lost
    is_refused = len(viewers) >= LEAST_FORBIDDEN and beyond(lost, len(viewers), limit)
    why = ": is the file of interactions whole?" if lost else ""
    return GateCheck.judged(
        "forbidden_lost",
        refused=is_refused,
        value=lost / max(len(viewers), 1),
        threshold=limit,
        sentence=f"{lost / max(len(viewers), 1):.1%} of {len(viewers):,} blocks, dismissals and reports of the active "
        f"version {version} are gone and were not lifted{why} "
        f"(gate.most_forbidden_lost allows {limit:.0%})",
    )


def _columns(tables: Tables, snapshot: Snapshot, config: GateConfig, version: str) -> GateCheck:
    gone = sorted(tables.column_kinds.keys() - snapshot.description.kinds.keys() - set(config.columns_dropped))
    limit = config.most_columns_lost
    named = ", ".join(gone[:LISTED]) + (f" and {len(gone) - LISTED} more" if len(gone) > LISTED else "")
    sentence = f"all {len(tables.column_kinds)} profile columns of the active version {version} are still there"
    if gone:
        sentence = (
            f"profile columns of the active version {version} are gone: {named} "
            f"(gate.most_columns_lost allows {limit}; list those given up in gate.columns_dropped)"
        )
    return GateCheck.judged(
        "columns_lost", refused=len(gone) > limit, value=len(gone), threshold=limit, sentence=sentence
    )


def _values(tables: Tables, snapshot: Snapshot, config: GateConfig, version: str) -> list[GateCheck]:
    """By profile column that is still there: filled cells that are empty now, of people who are still there."""
    rows = drawn(tables.n)
    now = snapshot.vocabulary.rows(tables.vocabulary.user_id(row) for row in rows.tolist())
    rows, now = rows[now >= 0], now[now >= 0]
    stored = [tables.profile(row) for row in rows.tolist()]
    checks, limit = [], config.most_values_lost
    for name, column in snapshot.profiles.columns.items():
        if name not in tables.column_kinds:
            continue
        had = np.array([profile.get(name) not in (None, []) for profile in stored], bool)
        lost, of = int((had & ~filled(column)[now]).sum()), int(had.sum())
        checks.append(
            GateCheck.judged(
                f"values_lost_{name}",
                refused=beyond(lost, of, limit),
                value=lost / max(of, 1),
                threshold=limit,
                sentence=f"{lost / max(of, 1):.1%} of {of:,} people with a value of {name} in the active version "
                f"{version} have none now (gate.most_values_lost allows {limit:.0%})",
            )
        )
    return checks
