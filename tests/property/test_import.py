"""Friendships from edges, in any order and any number of blocks, against a few lines of plain Python."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DatasetError
from offline.importers.friendships import Friendships
from offline.importers.origin import PLACE, Origin
from offline.importers.report import Report

Edge = tuple[str, str, int | None]
EDGES = st.lists(
    st.tuples(st.sampled_from("abcdé"), st.sampled_from("abcdé"), st.none() | st.integers(0, 9)),
    min_size=1,
    max_size=30,
)


def made(edges: list[Edge], size: int, *, mutual: bool) -> tuple[dict[frozenset[str], int | None], Report]:
    """The friendships with their dates, and the report."""
    report = Report("edges")
    friendships = Friendships(mutual=mutual)
    for begin in range(0, len(edges), size):
        block = pl.DataFrame(edges[begin : begin + size], schema=["user_id", "other_id", "created_at"], orient="row")
        block = block.with_columns(pl.col("created_at").cast(pl.Int64))
        places = pl.int_range(begin + 1, begin + 1 + block.height, dtype=pl.UInt32, eager=True).alias(PLACE)
        friendships.add(block.with_columns(places), Origin("edges"))
    with TemporaryDirectory() as folder:
        friendships.write(Path(folder) / "c.parquet", Path(folder) / "u.parquet", report)
        rows = pl.read_parquet(Path(folder) / "c.parquet").with_columns(pl.col("created_at").dt.epoch("s")).rows()
        people = pl.read_parquet(Path(folder) / "u.parquet")["user_id"].to_list()
    assert sorted(people) == sorted({end for first, second, _ in edges for end in (first, second)})
    assert len({frozenset(row[:2]) for row in rows}) == len(rows)
    return {frozenset((first, second)): at for first, second, at in rows}, report


def expected(edges: list[Edge], *, mutual: bool) -> dict[frozenset[str], int | None]:
    dates: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for first, second, at in edges:
        if first != second:
            dates[first, second].append(at)
    earliest = {arc: min((at for at in found if at is not None), default=None) for arc, found in dates.items()}
    friendships: dict[frozenset[str], int | None] = {}
    for first, second in earliest:
        both = [earliest[arc] for arc in ((first, second), (second, first)) if arc in earliest]
        known = [at for at in both if at is not None]
        if len(both) == 2 or not mutual:
            friendships[frozenset((first, second))] = (max if mutual else min)(known, default=None)
    return friendships


@given(EDGES, st.integers(1, 7), st.booleans())
def test_friendships_are_those_of_plain_python(edges: list[Edge], size: int, mutual: bool) -> None:
    wanted = expected(edges, mutual=mutual)
    if not wanted:
        try:
            made(edges, size, mutual=mutual)
        except DatasetError:
            return
        raise AssertionError("an import without a friendship has to be refused")
    found, report = made(edges, size, mutual=mutual)
    assert found == wanted
    if not mutual:
        assert len(found) + sum(dropped.count for dropped in report.dropped) == len(edges)


@given(EDGES, st.integers(1, 7))
def test_blocks_and_their_order_change_nothing(edges: list[Edge], size: int) -> None:
    if not expected(edges, mutual=False):
        return
    assert made(edges, size, mutual=False)[0] == made(edges[::-1], len(edges), mutual=False)[0]
