"""The real friendship graphs are read in full, if they are available."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from offline.snapshot.snapshot import write_snapshot

ROOT = Path(__file__).resolve().parents[4]
DATA = next((data for data in (ROOT / "shared" / "data", ROOT.parent / "shared" / "data") if data.is_dir()), None)
GRAPHS = sorted(path.name for path in DATA.iterdir() if (path / "users.csv").is_file()) if DATA else []
REASONS = {"amherst41", "caltech36", "cornell5", "johnshopkins55"}

pytestmark = pytest.mark.skipif(not GRAPHS, reason="the real graphs are not at hand")


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_user_and_every_friendship(tmp_path: Path, graph: str) -> None:
    assert DATA is not None
    read = write_snapshot(DATA / graph, tmp_path / "out", started_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    users = pl.read_csv(DATA / graph / "users.csv", infer_schema=False)
    assert read.vocabulary.user_ids() == sorted(users["user_id"], key=str.encode)
    assert len(read.connections()[0]) == pl.read_csv(DATA / graph / "connections.csv").height
    assert sorted(read.profiles.columns) == sorted(set(users.columns) - {"user_id"})
    assert read.description.inferred == {}
    assert read.reason_columns == (["high_school"] if graph in REASONS else [])
