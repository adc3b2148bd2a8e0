"""What came of the lists of a home, as a night and the monitor read it."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from models.event_log.event import Entry
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.schema import EXPOSURE_COLUMNS
from models.store.keys import Keys, shard_of
from models.store.transaction import Append, Commit
from models.system.clock import DAY_US, now_us
from offline.monitor.compare_outcomes import NOTHING_KEPT, TOO_FEW
from offline.monitor.curves import curves
from offline.monitor.html import as_html
from offline.monitor.outcomes import OutcomeLog, first_needed, outcome_reference
from offline.monitor.reference import GraphReference, ReferenceStatistics
from offline.night.monitor import report_of
from offline.night.outcomes.watch import Watched, watch_outcomes
from offline.outcomes.join import Windows
from tests.support.memory_store import MemoryStore
from tests.support.offline.exposure_logs import Habits, at_day, outcome_log

KEYS = Keys("pymk")
NIGHT, LATER, VIEWERS = 28, 49, 60
GRAPH = GraphReference(people=0, friendships=0, isolated=0, components=0, largest=0)
PLAIN = ReferenceStatistics(cut=0, columns={}, graph=GRAPH, features={})


def moved(log: OutcomeLog) -> OutcomeLog:
    """The log as if it ended now."""
    by = now_us() - log.now
    exposures = log.exposures.with_columns(pl.col("at") + pl.duration(microseconds=by))
    return OutcomeLog(exposures, log.events.with_columns(pl.col("acknowledged") + by), log.windows, log.now + by)


def filed(home: Path, store: MemoryStore, log: OutcomeLog) -> None:
    """Files the lists of a log as the worker does, and writes its events as the service does."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in EXPOSURE_COLUMNS.items()]
    lists = log.exposures.with_columns(own for own in missing if own.meta.output_name() not in log.exposures.columns)
    files = ExposureFiles(home)
    with files.locked():
        for (day,), own in lists.group_by(pl.col("at").dt.date(), maintain_order=True):
            first, last = (own["at"].dt.epoch("ms")[at] for at in (0, -1))
            assert str(day) in str(files.write(own.select(EXPOSURE_COLUMNS.names()), f"{first}-0", f"{last}-9"))
    entries = [
        Entry(row["kind"], row["user_id"], row["acknowledged"], row["other_id"], 0, request_id=row["request_id"])
        for row in log.events.iter_rows(named=True)
    ]
    store.commit([Commit(appends=[Append(KEYS.log(shard_of(one.user_id)), one.encode()) for one in entries])])


def watched(
    home: Path,
    store: MemoryStore,
    then: ReferenceStatistics | None,
    windows: Windows | None = None,
    most_rows: int = 1_000_000,
) -> Watched:
    return watch_outcomes(home, store, KEYS, windows or Windows(), then, most_rows)


def test_without_a_log_nothing_is_looked_at_and_nothing_said(tmp_path: Path) -> None:
    assert watched(tmp_path, MemoryStore(), PLAIN) == Watched()
    assert watched(tmp_path, MemoryStore(), None) == Watched()


def test_filed_lists_are_compared_with_those_that_the_version_keeps(tmp_path: Path) -> None:
    log = moved(outcome_log(LATER, 3, Habits(), Habits(of_source=("embedding", 0.2)), drifted=NIGHT, viewers=VIEWERS))
    store = MemoryStore()
    filed(tmp_path, store, log)
    night = log.now - (LATER - NIGHT) * DAY_US
    before = OutcomeLog(
        log.exposures.filter(pl.col("at").dt.epoch("us") <= night),
        log.events.filter(pl.col("acknowledged") <= night),
        log.windows,
        night,
    )
    then = PLAIN.model_copy(update={"outcomes": outcome_reference(before)})
    found = watched(tmp_path, store, then)
    assert "acceptance_embedding" in {check.name for check in found.checks if check.verdict == "alarm"}
    assert found.note is None
    assert found.kept is not None
    assert found.later is not None
    assert found.kept.sources.keys() == {"embedding", "friends_of_friends", "random_walk"}
    assert 0.6 < found.later.lists / (VIEWERS * 7 * 0.9) < 1.1, "those of the last seven days"
    # the page shows them
    now = PLAIN.model_copy(update={"outcomes": found.later})
    page = as_html(report_of("v", log.exposures["at"][0], found.checks), then, now)
    assert "What came of lists" in page
    assert all(f">{check.name}<" in page for check in found.checks)
    assert [curve.name for curve in curves(then, now)] == ["acceptance"]
    assert page.count("<svg") == 1


def test_of_a_large_log_a_sample_of_the_viewers_is_read(tmp_path: Path) -> None:
    log = moved(outcome_log(LATER, 3, Habits(), Habits(of_source=("embedding", 0.2)), drifted=NIGHT, viewers=600))
    store = MemoryStore()
    filed(tmp_path, store, log)
    rows = ExposureFiles(tmp_path).rows_since(first_needed(Windows(), log.now, None))
    every, half = watched(tmp_path, store, None), watched(tmp_path, store, None, most_rows=rows // 2)
    assert every.kept is not None
    assert half.kept is not None
    assert every.kept.scored is not None
    assert half.kept.scored is not None
    assert half.kept.viewers / every.kept.viewers == pytest.approx(0.5, abs=0.06)
    assert half.kept.scored.shown / half.kept.scored.viewers == pytest.approx(
        every.kept.scored.shown / every.kept.scored.viewers, rel=0.1
    ), "of each of them all lists"
    rates = [one.scored.accepted / one.scored.shown for one in (every.kept, half.kept)]
    assert rates[0] == pytest.approx(rates[1], rel=0.1)


def test_a_version_that_keeps_no_outcomes_is_said(tmp_path: Path) -> None:
    log = moved(at_day(outcome_log(14, 3, Habits(), viewers=30), 14))
    filed(tmp_path, MemoryStore(), log)
    found = watched(tmp_path, MemoryStore(), PLAIN)
    assert (found.checks, found.note) == ([], NOTHING_KEPT)
    assert found.kept is not None
    assert found.kept.scored is None, "there are no events, so nothing was accepted"
    first = watched(tmp_path, MemoryStore(), None)
    assert (first.checks, first.note) == ([], None)
    again = watched(tmp_path, MemoryStore(), PLAIN.model_copy(update={"outcomes": found.kept}))
    assert again.note == TOO_FEW


@pytest.mark.parametrize("ignored", [2, 20])
def test_lists_are_followed_for_as_long_as_those_that_the_version_keeps(tmp_path: Path, ignored: int) -> None:
    log = moved(outcome_log(40, 3, Habits(), viewers=VIEWERS))
    store = MemoryStore()
    filed(tmp_path, store, log)
    kept = outcome_reference(replace(log, now=log.now - 12 * DAY_US))
    then = PLAIN.model_copy(update={"outcomes": kept})
    counts = []
    for windows in (Windows(), replace(Windows(), ignored=ignored * DAY_US)):
        later = watched(tmp_path, store, then, windows).later
        assert later is not None
        assert later.scored is not None
        counts.append((later.scored.shown, later.scored.accepted))
    assert counts[0] == pytest.approx(counts[1], rel=0.02), "the setting of today holds for what is kept today"


def test_a_reference_of_before_outcomes_were_kept_is_read(tmp_path: Path) -> None:
    PLAIN.write(tmp_path)
    path = tmp_path / "monitor" / "reference.json"
    assert '"outcomes":null' in path.read_text()
    path.write_text(path.read_text().replace(',"outcomes":null', ""))
    assert ReferenceStatistics.read(tmp_path) == PLAIN


def test_a_damaged_file_is_said_and_stops_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    filed(tmp_path, store, moved(outcome_log(3, 3, Habits(), viewers=8)))
    (path, *_) = [one.path for one in ExposureFiles(tmp_path).all()]
    path.write_bytes(path.read_bytes()[:100])
    found = watched(tmp_path, store, PLAIN)
    assert (found.kept, found.checks) == (None, [])
    assert found.note is not None
    assert str(path) in found.note
