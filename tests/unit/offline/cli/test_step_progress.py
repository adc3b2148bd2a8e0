"""Progress where there is no terminal: plain lines, one for each finished step."""

from itertools import count

import pytest
from structlog.testing import capture_logs

from offline.cli.step_progress import step_progress


def test_a_step_is_told_once_when_it_is_done() -> None:
    with capture_logs() as lines, step_progress("pymk.test") as progress:
        for done in (0, 50, 100, 100):
            progress("reading", done, 100)
        progress("copying", 7, None)
    assert [(line["event"], line["step"], line["percent"]) for line in lines] == [("step_done", "reading", 100)]


def test_a_long_step_is_told_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(0.0, 6.0)
    monkeypatch.setattr("offline.cli.step_progress.time.monotonic", lambda: next(seconds))
    with capture_logs() as lines, step_progress("pymk.test") as progress:
        for done in (10, 20, 30):
            progress("reading", done, 100)
    assert [(line["event"], line["percent"]) for line in lines] == [("step_progress", 20)]
