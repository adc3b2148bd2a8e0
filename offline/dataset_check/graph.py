"""What looks odd in friendships and interactions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.schema.columns import CREATED_AT_COLUMN
from offline.dataset.pairs import AT
from offline.dataset.reader import Dataset
from offline.dataset.table import OTHER_ID, USER_ID
from offline.dataset_check.columns import MOSTLY, USERS, iso
from offline.dataset_check.findings import Finding, note, share, warning

CONNECTIONS, INTERACTIONS = "connections", "interactions"
HUB_SHARE, HUB_MEDIANS = 0.1, 10
"""share of all friendships from which one person is a hub, and how many times the median that has to be"""
FEWEST_FRIENDSHIPS = 50
_SURROUNDED = r"^[\s\x{feff}\x{200b}-\x{200f}]|[\s\x{feff}\x{200b}-\x{200f}]$"
GAP_DAYS, GAP_SHARE = 30, 0.2
"""days without a friendship from which there is a gap, and its share of the whole time"""


@dataclass(frozen=True)
class GraphSummary:
    """The friendship graph in numbers."""

    people: int
    """in any table"""
    friendships: int
    """each counted once"""
    without_friends: int
    unknown_people: int
    """in connections or interactions and not in users"""
    median_friends: float
    """of those who have any"""
    most_friends: int
    largest_part: int
    """people in the largest connected part"""


class _Coded:
    """The people of a dataset by number; those of the users file come first."""

    def __init__(self, dataset: Dataset) -> None:
        self._ids = pl.Categorical(pl.Categories.random())
        self._held = [dataset.users.frame[USER_ID].cast(self._ids)]
        self.first, self.second = (self._codes(dataset.connections[side]) for side in (USER_ID, OTHER_ID))
        self.viewers, self.others = (self._codes(dataset.interactions[side]) for side in (USER_ID, OTHER_ID))
        self.users = len(self._held[0])
        last = [int(codes.max()) for codes in (self.first, self.second, self.viewers, self.others) if len(codes)]
        self.people = max([self.users, *(code + 1 for code in last)])

    def name(self, code: int) -> str:
        return str(pl.Series([code], dtype=pl.UInt32).cat.to(self._ids).cast(pl.String)[0])

    def _codes(self, ids: pl.Series) -> NDArray[np.uint32]:
        coded = ids.cast(self._ids)
        self._held.append(coded.head(1))
        return coded.to_physical().to_numpy()


def check_graph(dataset: Dataset) -> tuple[GraphSummary, list[Finding]]:
    """The numbers of the graph, and what looks odd in it."""
    coded = _Coded(dataset)
    between = coded.first != coded.second
    low = np.minimum(coded.first, coded.second)[between].astype(np.uint64)
    keys = np.unique(low << np.uint64(32) | np.maximum(coded.first, coded.second)[between])
    ends = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    degrees = np.bincount(np.concatenate(ends), minlength=coded.people)
    having = degrees[degrees > 0]
    summary = GraphSummary(
        people=coded.people,
        friendships=len(keys),
        without_friends=int((degrees == 0).sum()),
        unknown_people=coded.people - coded.users,
        median_friends=float(np.median(having)) if len(having) else 0.0,
        most_friends=int(degrees.max(initial=0)),
        largest_part=_largest_part(ends, coded.people),
    )
    findings = [
        *_odd_ids(dataset),
        *_pairs(coded, between, len(keys)),
        *_people(coded, summary, degrees),
        *_dates(dataset, coded),
        *_events(dataset, coded),
    ]
    return summary, findings


def _largest_part(ends: tuple[NDArray[np.int64], NDArray[np.int64]], people: int) -> int:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not people:
        return 0
    ones = np.ones(len(ends[0]), dtype=np.int8)
    _, parts = connected_components(coo_array((ones, ends), shape=(people, people)), directed=False)
    return int(np.bincount(parts).max())


def _odd_ids(dataset: Dataset) -> Iterator[Finding]:
    """Ids that stand for somebody else or for nobody: no caller asks for them in this spelling."""
    tables = {USERS: dataset.users.frame, CONNECTIONS: dataset.connections, INTERACTIONS: dataset.interactions}
    for table, frame in tables.items():
        for column in (USER_ID, OTHER_ID):
            if column not in frame.columns:
                continue
            odd = frame[column].filter(frame[column].str.contains(_SURROUNDED))
            if len(odd):
                sentence = f"{len(odd):,} cells of {column!r} begin or end with a space or an invisible character"
                yield warning("spaces_around_ids", table, column, len(odd), sentence, repr(odd[0]))
            headers = int((frame[column] == column).sum())
            if headers:
                sentence = f"{headers:,} cells of {column!r} say {column!r}: the header of a file put behind another?"
                yield warning("header_among_rows", table, column, headers, sentence)


def _pairs(coded: _Coded, between: NDArray[np.bool_], distinct: int) -> Iterator[Finding]:
    loops = np.flatnonzero(~between)
    if len(loops):
        sentence = f"{len(loops):,} rows connect somebody with themselves; they are dropped"
        yield note("self_connections", CONNECTIONS, None, len(loops), sentence, coded.name(int(coded.first[loops[0]])))
    if not distinct:
        yield warning("no_friendships", CONNECTIONS, None, 0, "nobody has a friend: is the file cut short?")
    repeats = int(between.sum()) - distinct
    if repeats:
        sentence = f"{repeats:,} rows repeat a friendship, in the same or the other direction; they are dropped"
        yield note("duplicate_connections", CONNECTIONS, None, repeats, sentence)


def _people(coded: _Coded, summary: GraphSummary, degrees: NDArray[np.int64]) -> Iterator[Finding]:
    if summary.unknown_people and coded.users:
        sentence = (
            f"{summary.unknown_people:,} people ({share(summary.unknown_people, summary.people)}) are not in users: "
            "they exist, without a profile"
        )
        example = coded.name(coded.users)
        much = summary.unknown_people > MOSTLY * summary.people
        yield (warning if much else note)(
            "unknown_people", CONNECTIONS, None, summary.unknown_people, sentence, example
        )
    if summary.without_friends:
        sentence = (
            f"{summary.without_friends:,} people ({share(summary.without_friends, summary.people)}) have no friends"
        )
        much = summary.without_friends >= MOSTLY * summary.people
        example = coded.name(int(np.flatnonzero(degrees == 0)[0]))
        yield (warning if much else note)(
            "without_friends", CONNECTIONS, None, summary.without_friends, sentence, example
        )
    hub_from = max(HUB_SHARE * summary.friendships, HUB_MEDIANS * summary.median_friends)
    if summary.friendships >= FEWEST_FRIENDSHIPS and summary.most_friends >= hub_from:
        hub = coded.name(int(degrees.argmax()))
        part = share(summary.most_friends, summary.friendships)
        sentence = f"{hub!r} is in {part} of all friendships: an official account, or a placeholder for an empty id?"
        yield warning("hub", CONNECTIONS, None, summary.most_friends, sentence, hub)
    connected = summary.people - summary.without_friends
    if connected >= FEWEST_FRIENDSHIPS and summary.largest_part < MOSTLY * connected:
        sentence = (
            f"the largest connected part holds {share(summary.largest_part, connected)} of those with friends: "
            "are friendships missing?"
        )
        yield warning("separate_parts", CONNECTIONS, None, summary.largest_part, sentence)


def _dates(dataset: Dataset, coded: _Coded) -> Iterator[Finding]:
    dates = dataset.connections[CREATED_AT_COLUMN]
    undated = dates.null_count()
    if undated == len(dates):
        return
    if undated:
        sentence = f"{undated:,} friendships ({share(undated, len(dates))}) have no date and count as the oldest"
        yield note("undated_connections", CONNECTIONS, CREATED_AT_COLUMN, undated, sentence)
    late = (dates > dataset.as_of).fill_null(value=False)
    if late.any():
        at = int(late.arg_true()[0])
        sentence = (
            f"{late.sum():,} friendships are dated after the export ({iso(dataset.as_of)}), and count as made then"
        )
        yield warning(
            "dates_in_future", CONNECTIONS, CREATED_AT_COLUMN, int(late.sum()), sentence, _dated(coded, dates, at)
        )
    users = dataset.users.frame
    if CREATED_AT_COLUMN in users.columns and users[CREATED_AT_COLUMN].dtype == pl.Int64:
        joined = np.full(coded.people, np.iinfo(np.int64).min)
        joined[: coded.users] = users[CREATED_AT_COLUMN].fill_null(int(joined.min())).to_numpy()
        later = np.maximum(joined[coded.first], joined[coded.second])
        early = np.flatnonzero(dates.fill_null(np.iinfo(np.int64).max).to_numpy() < later)
        if len(early):
            sentence = f"{len(early):,} friendships ({share(len(early), len(dates))}) are older than an account in them"
            example = _dated(coded, dates, int(early[0]))
            yield warning("before_joining", CONNECTIONS, CREATED_AT_COLUMN, len(early), sentence, example)
    yield from _gaps(dates)


def _dated(coded: _Coded, dates: pl.Series, at: int) -> str:
    return f"{coded.name(int(coded.first[at]))}, {coded.name(int(coded.second[at]))}: {iso(int(dates[at]))}"


def _gaps(dates: pl.Series) -> Iterator[Finding]:
    days = (dates.drop_nulls() // 86_400).unique().sort().to_numpy()
    if len(days) < 2:
        return
    gaps = np.diff(days)
    longest = int(gaps.argmax())
    if gaps[longest] >= GAP_DAYS and gaps[longest] > GAP_SHARE * (days[-1] - days[0]):
        begin, end = (iso(int(day) * 86_400)[:10] for day in (days[longest], days[longest + 1]))
        sentence = f"no friendship is dated in {int(gaps[longest]):,} days, from {begin} to {end}"
        yield note("gap_in_dates", CONNECTIONS, CREATED_AT_COLUMN, int(gaps[longest]), sentence)


def _events(dataset: Dataset, coded: _Coded) -> Iterator[Finding]:
    events = dataset.interactions
    loops = int((coded.viewers == coded.others).sum())
    if loops:
        sentence = f"{loops:,} interactions are of somebody with themselves; they are dropped"
        yield note("self_interactions", INTERACTIONS, None, loops, sentence)
    repeats = events.height - events.n_unique() if events.height else 0
    if repeats:
        sentence = f"{repeats:,} interactions repeat another; they are dropped"
        yield note("duplicate_interactions", INTERACTIONS, None, repeats, sentence)
    late = events.filter(pl.col(AT) > dataset.as_of)
    if late.height:
        sentence = (
            f"{late.height:,} interactions are dated after the export ({iso(dataset.as_of)}), and count as made then"
        )
        yield warning("dates_in_future", INTERACTIONS, AT, late.height, sentence, iso(late[AT][0]))
