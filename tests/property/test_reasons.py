"""What is told of people, against the same told one person at a time by sets and sorting."""

from collections import Counter

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from models.schema.candidate_sources import Source
from models.version.tables import Tables
from service.ranking.json_encoder import EXAMPLES, JsonEncoder
from service.ranking.kernels.json_encoder import SHARED_AT_MOST
from service.ranking.reasons import nameable_friends
from tests.support.tables import MakeTables

COLUMNS = ("city", "clubs", "company", "schools")
"""those with a value, and those with several, by turns"""
IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6) | st.sampled_from(
    ['"', "\\", '\\"', "\\u0041", "\U0001f600", "\u2028", "a,b", "</script>"]
)


@st.composite
def networks(draw: st.DrawFn, make_tables: MakeTables) -> Tables:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 40))
    people = {*draw(st.lists(IDS, max_size=6)), *(f"person {at:02}" for at in range(n))}
    n = len(people)
    edges = random.integers(0, n, (draw(st.integers(0, 8 * n)), 2)).tolist()
    return make_tables(
        sorted(people, key=str.encode),
        [(a, b) for a, b in edges if a != b],
        forbidden=[(a, b) for a, b in random.integers(0, n, (n, 2)).tolist() if a != b],
        flags=dict(random.integers(0, [[n], [8]], (2, n // 4)).T.tolist()),
        categories={
            column: [[None, "x", 'y "z"'][code] for code in random.integers(0, 3, n)] for column in COLUMNS[::2]
        },
        sets={
            column: [[f"{column} {code}" for code in random.integers(0, 7, random.integers(0, 7))] for _ in range(n)]
            for column in COLUMNS[1::2]
        },
        reasons=draw(st.lists(st.sampled_from(COLUMNS), unique=True)),
    )


@st.composite
def shown(draw: st.DrawFn, tables: Tables) -> list[int]:
    return draw(st.lists(st.integers(0, tables.n - 1), max_size=30))


def named(tables: Tables, viewer: int, other: int) -> list[int]:
    """Mutual connections who may be named, those with the fewest connections first."""
    barred = set(tables.forbidden.neighbours(viewer).tolist())
    both = set(tables.graph.neighbours(viewer).tolist()) & set(tables.graph.neighbours(other).tolist())
    allowed = [row for row in both if tables.flags[row] & 6 == 6 and row not in barred]
    return sorted(allowed, key=lambda row: (len(tables.graph.neighbours(row)), row))


def values(tables: Tables, row: int, column: str) -> set[str]:
    """A person's values of a column."""
    if column in tables.categorical_columns:
        at = tables.categorical_columns.index(column)
        code = int(tables.categorical_codes[row, at])
        return {tables.categorical_values[at][code]} if code >= 0 else set()
    codes = tables.multi_codes[tables.multi_indptr[row] : tables.multi_indptr[row + 1]].tolist()
    return {value for own, value in (tables.multi_values[code] for code in codes) if own == column}


def shared(tables: Tables, viewer: int, other: int) -> list[tuple[str, str]]:
    """Shared values in the order of the reason columns; of one with several the rarest, and then by the alphabet."""
    found = []
    for column in tables.reason_columns:
        people = Counter(value for row in range(tables.n) for value in values(tables, row, column))
        both = values(tables, viewer, column) & values(tables, other, column)
        found += [(column, value) for value in sorted(both, key=lambda value: (people[value], value))[:SHARED_AT_MOST]]
    return found


@given(st.data())
def test_what_is_told_is_what_a_plain_count_finds(make_tables: MakeTables, data: st.DataObject) -> None:
    tables = data.draw(networks(make_tables))
    viewer = data.draw(st.integers(0, tables.n - 1))
    others = data.draw(shown(tables))
    encoder, rows = JsonEncoder(tables), np.array(others, dtype=np.uint32)
    scores, bits = np.full(len(rows), 0.5, np.float32), np.full(len(rows), Source.FRIENDS_OF_FRIENDS, np.uint8)
    made = encoder.entries(viewer, nameable_friends(tables, viewer), rows, scores, bits)
    people = tables.vocabulary.user_ids()
    assert len(made) == len(others)
    for at, (entry, other) in enumerate(zip(orjson.loads(b"[" + made.text + b"]"), others, strict=True)):
        before, after = made.around_position(at)
        assert orjson.loads(before + b"%d" % (at + 1) + after) == entry
        assert (entry["user_id"], entry["score"], entry["position"]) == (people[other], 0.5, at + 1)
        mutual = named(tables, viewer, other)
        assert entry["sources"] == (["friends_of_friends"] if mutual else ["random_walk"])
        reasons = [reason for reason in entry["reasons"] if reason["code"] == "mutual_connections"]
        assert [reason["examples"] for reason in reasons] == (
            [[people[row] for row in mutual[:EXAMPLES]]] if mutual else []
        )
        assert [reason["count"] for reason in reasons] == ([len(mutual)] if mutual else [])
        attributes = [reason for reason in entry["reasons"] if reason["code"] == "same_attribute"]
        assert [(one["attribute"], one["value"]) for one in attributes] == shared(tables, viewer, other)
        assert entry["reasons"] == reasons + attributes
