"""Columns that are called like patterns of names go through a snapshot like any other."""

import datetime as dt
import json
from pathlib import Path

from models.live_state.profile_changes import LiveProfile
from offline.dataset.reader import read_dataset
from offline.snapshot.live_events import LiveEvents
from offline.snapshot.merge_live_events import with_live
from offline.snapshot.snapshot import write_snapshot

STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def write(directory: Path) -> None:
    (directory / "users.csv").write_text("user_id,*,^c.*$,city\na,x,31,Oslo\nb,,32,\n")
    (directory / "connections.csv").write_text("user_id,other_id\na,b\n")


def test_profiles_and_features_have_them(tmp_path: Path) -> None:
    write(tmp_path)
    read = write_snapshot(tmp_path, tmp_path / "snapshot", started_at=STARTED)
    text, offsets = read.profile_json()
    stored = [json.loads(text.tobytes()[offsets[row] : offsets[row + 1]]) for row in range(2)]
    assert stored == [{"*": "x", "^c.*$": "31", "city": "Oslo"}, {"^c.*$": "32"}]
    assert sorted(read.profiles.columns) == ["*", "^c.*$", "city"]


def test_what_was_put_since_replaces_them(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = read_dataset(tmp_path, started_at=STARTED)
    later = int(STARTED.timestamp() + 60) * 1_000_000
    live = LiveEvents(later, profiles={"b": LiveProfile({"*": (later, "y"), "^c.*$": (later, None)})})
    merged = with_live(dataset, live).users.sort("user_id").to_dicts()
    assert merged == [
        {"user_id": "a", "*": "x", "^c.*$": "31", "city": "Oslo"},
        {"user_id": "b", "*": "y", "^c.*$": None, "city": None},
    ]
