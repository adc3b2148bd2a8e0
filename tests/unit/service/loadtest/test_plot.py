"""A run is plotted whatever its outcome."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from service.loadtest.checks import Checks
from service.loadtest.connection import Request, Response
from service.loadtest.counters import Counters
from service.loadtest.http_requests import Target
from service.loadtest.plot import draw, plot_by_share
from service.loadtest.processes import Load, RunResult
from service.loadtest.report import Judgement, document
from service.loadtest.slo import Slo
from service.loadtest.workload import Mix


def run(answered: int, broken: int, rate: float = 50.0) -> dict[str, Any]:
    """A run of so many requests, a hundredth of a second apart, answered after 2 ms (the last: 9) or never sent."""
    target = Target.of("http://127.0.0.1:8000", None, "web", 20)
    mix = Mix.parse("cached=1")
    load = Load(target, ("ann", "bea"), mix, rate, 1.0, 0.0, 1, 8, 2.0, 1.0, 0, ("view",), 1)
    counters = Counters(planned=answered + broken)
    for number in range(answered + broken):
        request = Request(number / 100, 0, 0, True, number / 100)
        counters.on_started(request, request.start_s)
        if number < answered:
            seconds = 0.009 if number == answered - 1 else 0.002
            counters.on_answered(request, Response(200, b"total;dur=1.0"), request.start_s + seconds)
        else:
            counters.on_failed(request, "connect", request.start_s)
    result, slo = RunResult(counters, False, 1.0, 0.1), Slo(10.0, 0.001)
    checks = Checks()
    return document(load, result, Judgement.of(result, slo, 2.0, checks), slo, checks, {"version": "v"})


@pytest.mark.parametrize("p99_ms", [None, 10.0])
@pytest.mark.parametrize(("answered", "broken"), [(0, 30), (1, 0), (30, 30), (0, 0)])
def test_a_run_is_plotted_whatever_its_outcome(
    tmp_path: Path, answered: int, broken: int, p99_ms: float | None
) -> None:
    one = run(answered, broken)
    draw(tmp_path / "run.png", one, [one], p99_ms)
    assert (tmp_path / "run.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_search_with_an_unanswered_step_is_plotted(tmp_path: Path) -> None:
    runs = [run(30, 0, 50.0), run(0, 30, 100.0)]
    draw(tmp_path / "steps.png", runs[0], runs, 10.0)
    assert (tmp_path / "steps.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("answered", "ticks"),
    [
        (0, ["0", "0.5"]),
        (1, ["0", "0.5"]),
        (9, ["0", "0.5"]),
        (10, ["0", "0.5", "0.9"]),
        (999, ["0", "0.5", "0.9", "0.99"]),
    ],
)
def test_the_scale_of_shares_ends_at_the_number_of_answers(answered: int, ticks: list[str]) -> None:
    panel = Figure().subplots()
    plot_by_share(panel, run(answered, 0), None)
    assert panel.get_xlim() == (1, max(answered, 2))
    assert [label.get_text() for label in panel.get_xticklabels()] == ticks


def test_the_slowest_answer_is_plotted() -> None:
    panel = Figure().subplots()
    plot_by_share(panel, run(100, 0), None)
    (line,) = panel.get_lines()
    assert list(line.get_xdata()) == [1, 100, 100]
    assert list(line.get_ydata()) == pytest.approx([2, 2, 9], rel=0.02)
