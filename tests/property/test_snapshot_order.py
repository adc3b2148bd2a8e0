"""The order of input rows changes nothing."""

import datetime as dt
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from models.schema.event_kinds import EventKind
from offline.snapshot.snapshot import write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
DAY = 86_400
PEOPLE = ["a", "b", "c", "é", "10", "9"]

person = st.sampled_from(PEOPLE)
town = st.sampled_from(["", "Oslo", "Bern"])
days_ago = st.integers(0, 120).map(lambda days: str(int(STARTED.timestamp()) - days * DAY))
users = st.dictionaries(person, st.tuples(town, st.sampled_from(["", "x", "y|x"])), max_size=6)
connections = st.lists(st.tuples(person, person, st.just("") | days_ago), max_size=12)
kind = st.sampled_from([kind.word for kind in EventKind])
interactions = st.lists(st.tuples(person, person, kind, days_ago), max_size=20)


def digest(rows: dict[str, tuple[str, list[tuple[str, ...]]]]) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for table, (header, lines) in rows.items():
            (directory / f"{table}.csv").write_text("\n".join([header, *(",".join(line) for line in lines)]) + "\n")
        read = write_snapshot(directory, directory / "snapshot", started_at=STARTED)
        a, b, _ = read.connections()
        viewer, other = read.forbidden()
        assert (a < b).all()
        assert (viewer != other).all()
        assert read.vocabulary.user_ids() == sorted(read.vocabulary.user_ids(), key=str.encode)
        return read.digest, list(read.description.files.values())


@settings(max_examples=25, deadline=None)
@given(users, connections, interactions, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(
    profiles: dict[str, tuple[str, str]],
    friendships: list[tuple[str, str, str]],
    events: list[tuple[str, str, str, str]],
    shuffle: random.Random,
) -> None:
    tables: dict[str, tuple[str, list[tuple[str, ...]]]] = {
        "users": ("user_id,town,likes", [(user_id, *cells) for user_id, cells in profiles.items()]),
        "connections": ("user_id,other_id,created_at", list(friendships)),
        "interactions": ("user_id,other_id,kind,at", list(events)),
    }
    first = digest(tables)
    turned = {name: (header, shuffle.sample(rows, len(rows))) for name, (header, rows) in tables.items()}
    header, rows = turned["connections"]
    turned["connections"] = (header, [(b, a, at) if shuffle.random() < 0.5 else (a, b, at) for a, b, at in rows])
    assert digest(turned) == first
