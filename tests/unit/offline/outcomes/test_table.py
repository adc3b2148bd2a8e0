"""The outcomes of a home, from its files and its event log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import numpy as np
import polars as pl
import pytest

from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.schema import EXPOSURE_COLUMNS
from models.outcomes.viewer_sample import ViewerSample
from models.schema.event_kinds import EventKind
from models.settings import Settings
from models.store.keys import Keys
from models.system.clock import DAY_US
from offline.outcomes.join import Windows
from offline.outcomes.table import outcomes_around, outcomes_of
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("t")
START = datetime(2026, 11, 10, tzinfo=UTC)


def us(days: float) -> int:
    """Microseconds of so many days after the start."""
    return round((START + timedelta(days=days)).timestamp() * 1e6)


def test_what_came_after_the_start_is_no_past(tmp_path: Path) -> None:
    """Both accept an invite of before the start: bea before it, cid after it, where an arm may have changed that."""
    columns = {"viewer": "ann", "version": "v", "context": "web", "position": 1, "offset": 0, "score": 0.5}
    rows = [
        {"request_id": request, "at": START + timedelta(days=day), "candidate": candidate, **columns}
        for request, day, candidate in (("r0", -12, "dan"), ("r1", -2, "bea"), ("r1", -2, "cid"), ("r2", 1, "dan"))
    ]
    frame = pl.DataFrame(rows, schema={name: EXPOSURE_COLUMNS[name] for name in rows[0]})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items() if name not in rows[0]]
    files = ExposureFiles(tmp_path)
    frame = frame.with_columns(missing).select(EXPOSURE_COLUMNS.names())
    with files.locked():
        files.write(frame, f"{us(1) // 1000}-0", f"{us(1) // 1000}-3")
    memory = MemoryStore()

    async def write() -> None:
        for kind, user, other, day in (
            (EventKind.INVITE, "ann", "bea", -1.9),
            (EventKind.INVITE, "ann", "cid", -1.9),
            (EventKind.ACCEPT, "bea", "ann", -1.0),
            (EventKind.ACCEPT, "cid", "ann", 0.5),
            (EventKind.INVITE, "ann", "dan", 1.1),
        ):
            request = {"request_id": "r1"} if day < -1.5 else {}
            event = Event(kind, user, other, **request)  # type: ignore[arg-type]
            await write_events(AsyncMemoryStore(memory), KEYS, [event], clock=lambda day=day: us(day))  # type: ignore[misc]

    anyio.run(write)
    settings = Settings(home=tmp_path)
    found = outcomes_around(settings, memory, KEYS, start=us(0), span=5 * DAY_US, now=us(5))
    before = {row["candidate"]: (row["invited"], row["accepted"]) for row in found.before.rows(named=True)}
    assert before == {"bea": (True, True), "cid": (True, False)}
    assert found.after.select("candidate", "invited").rows() == [("dan", True)]


def test_of_a_sample_of_viewers_is_told_what_is_told_of_them_among_all(tmp_path: Path) -> None:
    """Events without a request, answers of candidates who are viewers themselves, and lists in several files."""
    random = np.random.default_rng(7)
    people = [f"p{number}" for number in range(40)]
    lists = [
        {"request_id": f"r{day}-{viewer}", "at": START + timedelta(days=day), "viewer": viewer, "candidate": candidate}
        for day in range(4)
        for viewer in people
        for candidate in random.permutation(people)[:5].tolist()
    ]
    frame = pl.DataFrame(lists, schema={name: EXPOSURE_COLUMNS[name] for name in lists[0]})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items() if name not in lists[0]]
    frame = frame.with_columns(missing).select(EXPOSURE_COLUMNS.names())
    exposures = ExposureFiles(tmp_path)
    with exposures.locked():
        for day in range(4):
            own = frame.filter(pl.col("at").dt.epoch("us") == us(day))
            exposures.write(own, f"{us(day) // 1000}-0", f"{us(day) // 1000}-3")
    memory = MemoryStore()

    async def write() -> None:
        for shown in (one for one in lists if random.random() < 0.3):
            viewer, candidate, day = shown["viewer"], shown["candidate"], (shown["at"] - START).days
            named = {"request_id": shown["request_id"]} if random.random() < 0.5 else {}
            done = [Event(EventKind.INVITE, viewer, candidate, **named), Event(EventKind.ACCEPT, candidate, viewer)]
            for hours, event in zip((2, 9), done, strict=True):
                at = us(day + hours / 24)
                await write_events(AsyncMemoryStore(memory), KEYS, [event], clock=lambda at=at: at)  # type: ignore[misc]

    anyio.run(write)
    assert exposures.rows_since(us(0)) == len(lists)
    assert exposures.rows_since(us(9)) == 0
    every = outcomes_of(tmp_path, memory, KEYS, Windows(), now=us(5))
    assert every["accepted"].sum() > 100
    seen = set()
    for share in (0.3, 0.6, 1.0):
        sample = ViewerSample(share)
        found = outcomes_of(tmp_path, memory, KEYS, Windows(), now=us(5), sample=sample)
        viewers = set(found["viewer"])
        assert len(viewers) / 40 == pytest.approx(share, abs=0.2)
        assert found.equals(every.filter(pl.col("viewer").is_in(viewers)))
        assert viewers >= seen, "a larger sample has those of a smaller one"
        seen = viewers
    assert seen == set(people)
