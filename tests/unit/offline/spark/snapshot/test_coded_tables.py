"""Snapshots whose tables come from Spark beside those of one machine: equal down to the digest of their files."""

import datetime as dt
import random
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from models.schema.event_kinds import EventKind
from offline.snapshot.snapshot import Snapshot, write_snapshot
from offline.spark.config import SparkConfig
from offline.spark.snapshot.coded_tables import coded_tables

STARTED = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
FEW = SparkConfig(salts=3, salted_above=4)
NAMES = [*(f"p{number}" for number in range(24)), "Zoë", "zoe", "Ω", "é", "z", "𝒳", "~"]
"""ids whose order by bytes is not that by letters"""


def busy_dataset(directory: Path, seed: int) -> Path:
    """Some people between whom everything happened, some of it twice and some with themselves."""
    directory.mkdir()
    draw = random.Random(seed)
    days = [f"2024-0{draw.randint(1, 6)}-{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:00:00Z" for _ in range(12)]
    pairs = [(draw.choice(NAMES), draw.choice(NAMES)) for _ in range(150)]
    dates = [draw.choice([*days, ""]) for _ in pairs]
    events = [
        (draw.choice(NAMES), draw.choice(NAMES), draw.choice(list(EventKind)), draw.choice(days)) for _ in range(900)
    ]
    files = {
        "users.csv": ["user_id,city", *(f"{name},{draw.choice('ABC')}" for name in NAMES[5:])],
        "connections.csv": [
            "user_id,other_id,created_at",
            *(f"{a},{b},{at}" for (a, b), at in zip(pairs, dates, strict=True)),
        ],
        "interactions.csv": [
            "user_id,other_id,kind,at",
            *(f"{one},{other},{kind.name.lower()},{at}" for one, other, kind, at in [*events, *events[:50]]),
        ],
    }
    for name, lines in files.items():
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


def both_snapshots(session: SparkSession, data: Path, place: Path) -> tuple[Snapshot, Snapshot]:
    local = write_snapshot(data, place / "local", started_at=STARTED)
    code = partial(coded_tables, session, FEW, place / "jobs")
    return local, write_snapshot(data, place / "spark", started_at=STARTED, code=code)


def test_snapshots_are_those_of_one_machine(session: SparkSession, tmp_path: Path) -> None:
    local, spark = both_snapshots(session, busy_dataset(tmp_path / "data", seed=1), tmp_path)
    counts = local.description.counts
    assert min(counts.duplicate_connections, counts.self_connections, counts.self_interactions) > 0
    assert counts.duplicate_interactions >= 50
    assert len(set(local.forbidden_kinds().tolist())) > 10
    assert spark.description == local.description
    assert spark.digest == local.digest


def test_connections_alone(session: SparkSession, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "connections.csv").write_text("user_id,other_id\n10,9\n9,2\n", encoding="utf-8")
    local, spark = both_snapshots(session, data, tmp_path)
    assert spark.vocabulary.digest == local.vocabulary.digest
    assert spark.digest == local.digest
