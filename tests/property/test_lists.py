"""Whatever the network: nobody who must not be shown, nobody twice, no rising score, the same list always."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.schema.relationship import Relationship
from models.version.candidate_block import Block, quantise
from models.version.manifest import Manifest
from models.version.tables import Tables
from service.ranking.cached_list import CachedList
from service.ranking.page import CACHED, PageRequest
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, Fatigue, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.ranking.viewer_state import ViewerState
from service.recommend import responses
from service.recommend.cursor import LONGEST, Cursor, owner_of
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.state.served_version import ServedVersion
from tests.support.tables import MakeTables

VERSION = "20260101T000000Z-0a1b2c"


class FirstFeature:
    """Scores a candidate by its first pair feature."""

    def scores(self, tables: Tables, block: Block, context: str, inputs: object = None) -> NDArray[np.float32]:
        return block.values()[0].clip(0, 1)


def fail(reason: str, error: Exception) -> None:
    raise error


@dataclass(frozen=True)
class ListCase:
    """A version, a viewer of it and the viewer's block."""

    version: ServedVersion
    block: Block
    viewer: str

    @property
    def person(self) -> Viewer:
        return Viewer(self.viewer, self.block.viewer)

    def fresh(self, **query: Any) -> tuple[Answer, CachedList]:
        asked = Query(**self.asked(query))
        answer = responses.from_block(asked, self.version, self.person, self.block, Trace(), fail, cacheable=True)
        assert answer is not None
        assert answer.cacheable is not None
        return answer, answer.cacheable

    def cached(self, made: CachedList, **query: Any) -> Answer | None:
        record, row = made.pack(CACHED), self.block.viewer
        return responses.from_cache(Query(**self.asked(query)), self.version, self.person, row, record, Trace(), fail)

    def asked(self, query: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": self.viewer, "limit": 20, "context": "web", **query}


def shown(answer: Answer) -> list[dict[str, Any]]:
    return list(orjson.loads(b"[" + answer.entries + b"]"))


IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@st.composite
def list_cases(draw: st.DrawFn, make_tables: MakeTables) -> ListCase:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    special = draw(st.lists(IDS, max_size=4))
    n = draw(st.integers(2, 260))
    people = sorted({*special, *(f"person/{at} ☃" for at in range(n))}, key=str.encode)
    n = len(people)
    edges = random.integers(0, n, (draw(st.integers(0, 3 * n)), 2)).tolist()
    tables = make_tables(
        people,
        [(a, b) for a, b in edges],
        forbidden=random.integers(0, n, (n // 2, 2)).tolist(),
        flags=dict(random.integers(0, [[n], [8]], (2, n // 4)).T.tolist()),
        categories={"company": [[None, "Acme", "Bolt", "Cog"][code] for code in random.integers(0, 4, n)]},
        sets={"schools": [[f"S{code}" for code in random.integers(0, 3, 2)] for _ in range(n)]},
        reasons=["company", "schools"],
    )
    levels = draw(st.sampled_from([1, 3, 256]))
    rows = random.permutation(n).astype(np.uint32)
    values = (random.integers(0, levels, (1, n)) / max(levels, 2)).astype(np.float32)
    viewer = int(random.integers(0, n))
    block = quantise(viewer, rows, random.integers(1, 128, n).astype(np.uint8), values)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    manifest = Manifest(version=VERSION, created_at=now, cut=now, users=n)
    ranking = Ranking(tables, FirstFeature(), RerankSettings(Diversity("company", 5)))
    return ListCase(ServedVersion(VERSION, manifest, ranking), block, people[viewer])


@given(st.data())
def test_a_list_keeps_every_promise(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    tables, viewer = case.version.tables, case.block.viewer
    limit = data.draw(st.integers(1, 100))
    excluded = tuple(data.draw(st.lists(st.sampled_from(tables.vocabulary.user_ids()), max_size=100, unique=True)))
    answer, _ = case.fresh(limit=limit, excluded=excluded)
    people = shown(answer)
    ids = [person["user_id"] for person in people]
    rows = tables.vocabulary.rows(ids)
    assert len(people) <= limit
    assert len(set(ids)) == len(ids)
    assert case.viewer not in ids
    assert not set(ids) & set(excluded)
    assert not set(rows.tolist()) & set(tables.graph.neighbours(viewer).tolist())
    assert not set(rows.tolist()) & set(tables.forbidden.neighbours(viewer).tolist())
    assert all(flag & 3 == 3 for flag in tables.flags[rows].tolist())
    assert [person["position"] for person in people] == list(range(1, len(people) + 1))
    scores = [person["score"] for person in people]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    allowed = set(range(tables.n)) - {viewer, *tables.graph.neighbours(viewer), *tables.forbidden.neighbours(viewer)}
    allowed -= {*np.flatnonzero(tables.flags & 3 != 3), *tables.vocabulary.rows(excluded)}
    assert len(people) == min(limit, len(allowed)), "a soft rule never shortens a list"


@given(st.data())
def test_a_mutual_connection_is_a_visible_friend_of_both(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    tables, viewer = case.version.tables, case.block.viewer
    forbidden = set(tables.forbidden.neighbours(viewer).tolist())
    own = {row for row in tables.graph.neighbours(viewer).tolist() if tables.flags[row] & 6 == 6} - forbidden
    for person in shown(case.fresh()[0]):
        row = tables.vocabulary.row(person["user_id"])
        assert row is not None
        both = own & set(tables.graph.neighbours(row).tolist())
        told = [reason for reason in person["reasons"] if reason["code"] == "mutual_connections"]
        assert sum(reason["count"] for reason in told) == len(both)
        assert len(told) == bool(both)
        for reason in told:
            assert set(tables.vocabulary.rows(reason["examples"]).tolist()) <= both
            assert len(reason["examples"]) == min(3, len(both))


@given(st.data())
def test_a_cached_list_answers_what_a_fresh_one_does(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    _, listed = case.fresh(limit=data.draw(st.integers(1, 100)))
    people = case.version.tables.vocabulary.user_ids()
    excluded = tuple(data.draw(st.lists(st.sampled_from(people), max_size=100, unique=True)))
    limit = data.draw(st.integers(1, min(100, CACHED - len(excluded))))
    fresh, _ = case.fresh(limit=limit, excluded=excluded)
    cached = case.cached(listed, limit=limit, excluded=excluded)
    assert cached is None or cached.entries == fresh.entries
    assert cached is not None or len(listed.listed) > CACHED, "nobody is missing from a whole list"


@given(st.data())
def test_the_order_of_a_block_changes_nothing(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    block = case.block
    order = np.random.default_rng(data.draw(st.integers(0, 2**32))).permutation(len(block))
    reordered = Block(
        block.viewer, block.rows[order], block.sources[order], block.codes[:, order], block.low, block.high
    )
    again = ListCase(case.version, reordered, case.viewer)
    assert again.fresh()[0].entries == case.fresh()[0].entries


@given(st.data())
def test_pages_never_hold_more_of_one_value_while_others_are_left(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    people = shown(case.fresh(limit=100)[0])
    codes = case.version.tables.categorical_codes[:, 0]
    rows = case.version.tables.vocabulary.rows([person["user_id"] for person in people])
    for begin in range(0, len(rows), 20):
        page = codes[rows[begin : begin + 20]].tolist()
        over = {code for code in page if code >= 0 and page.count(code) > 5}
        later = codes[rows[begin + 20 :]].tolist()
        assert not over or all(code >= 0 and page.count(code) >= 5 for code in later)


@given(st.data())
def test_cold_lists_keep_the_promises_too(make_tables: MakeTables, data: st.DataObject) -> None:
    case = data.draw(list_cases(make_tables))
    tables = case.version.tables
    row = data.draw(st.sampled_from([None, case.block.viewer]))
    query = Query(case.viewer if row is not None else "nobody at all", data.draw(st.integers(1, 100)), "web")
    people = shown(responses.from_cold_start(query, case.version, Viewer(query.user_id, row), Trace()))
    ids = [person["user_id"] for person in people]
    rows = tables.vocabulary.rows(ids)
    assert len(set(ids)) == len(ids) <= query.limit
    assert all(flag & 3 == 3 for flag in tables.flags[rows].tolist())
    scores = [person["score"] for person in people]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    if row is not None:
        assert not set(rows.tolist()) & {row, *tables.graph.neighbours(row), *tables.forbidden.neighbours(row)}


def pages(case: ListCase, answers: Callable[[Query], Answer | None], limits: Iterator[int]) -> Iterator[Answer]:
    """The pages of a list to its end, each of the next limit."""
    cursor = Cursor(owner_of(case.viewer, "web"))
    while True:
        answer = answers(Query(**case.asked({"limit": next(limits), "cursor": cursor})))
        assert answer is not None
        yield answer
        if answer.next is None:
            return
        assert len(answer.next) <= LONGEST
        cursor = Cursor.unpack(answer.next)


@given(st.data())
def test_the_pages_of_a_cursor_are_the_whole_list(make_tables: MakeTables, data: st.DataObject) -> None:
    """Cut anywhere, from the block or from the cached list: the same people with the same scores in the same order."""
    case = data.draw(list_cases(make_tables))
    ranking = case.version.ranking
    scored = ranking.score(case.block, "web", case.person, Trace())
    whole = ranking.page(scored, PageRequest("web", case.version.tables.n), case.person, Trace())
    assert whole is not None
    expected = [(one["user_id"], one["score"], one["reasons"]) for one in orjson.loads(b"[%b]" % whole.text)]
    limits = cycle(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)))
    kept = data.draw(st.booleans())
    cached, row = case.fresh()[1].pack(CACHED), case.block.viewer

    def answered(query: Query) -> Answer | None:
        answer = responses.from_cache(query, case.version, case.person, row, cached, Trace(), fail) if kept else None
        return answer or responses.from_block(
            query, case.version, case.person, case.block, Trace(), fail, cacheable=not kept
        )

    found = [one for page in pages(case, answered, limits) for one in shown(page)]
    assert [(one["user_id"], one["score"], one["reasons"]) for one in found] == expected


@given(st.data())
def test_whatever_changes_between_pages_no_one_is_shown_twice_or_against_a_rule(
    make_tables: MakeTables, data: st.DataObject
) -> None:
    """Between two pages people are blocked, lose their fatigue or gain it, and candidates are made anew."""
    case = data.draw(list_cases(make_tables))
    tables = case.version.tables
    settings = RerankSettings(Diversity("company", data.draw(st.integers(1, 5))), Fatigue(0.5, 2))
    version = ServedVersion(VERSION, case.version.manifest, Ranking(tables, FirstFeature(), settings))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    blocked: set[int] = set()
    seen: list[dict[str, Any]] = []

    def answered(query: Query) -> Answer | None:
        others = np.unique(random.integers(0, tables.n, 2)).astype(np.int32)
        blocked.update(others.tolist())
        own = np.array(sorted(blocked), np.int32)
        shown_rows = np.unique(random.integers(0, tables.n, tables.n // 2 + 1)).astype(np.int32)
        view = ViewerState(
            revision=len(seen) + 1,
            relation_version=0,
            others=own,
            bits=np.full(len(own), Relationship.BLOCKED_BY_VIEWER, np.uint8),
            friends=tables.graph.neighbours(case.block.viewer),
            shown=shown_rows,
            times=random.integers(0, 3, len(shown_rows)).astype(np.float32),
        )
        some = random.permutation(len(case.block))[: max(1, int(len(case.block) * 0.9))]
        block = case.block
        anew = Block(block.viewer, block.rows[some], block.sources[some], block.codes[:, some], block.low, block.high)
        viewer = Viewer(case.viewer, block.viewer, view)
        answer = responses.from_block(query, version, viewer, anew, Trace(), fail)
        assert answer is not None
        rows = tables.vocabulary.rows([one["user_id"] for one in shown(answer)])
        assert not set(rows.tolist()) & (blocked | {case.block.viewer})
        seen.extend(shown(answer))
        return answer

    list(pages(case, answered, cycle([data.draw(st.integers(1, 20))])))
    ids = [one["user_id"] for one in seen]
    assert len(set(ids)) == len(ids)
    scores = [one["score"] for one in seen]
    assert scores == sorted(scores, reverse=True)
