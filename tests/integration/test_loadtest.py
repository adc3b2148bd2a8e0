"""`pymk loadtest` as a shell sees it, against a real service on a small version of full shape."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.homes import Home

MAKE = Path(__file__).parents[1] / "load" / "make_version.py"
BRIEF = ("--duration", "1", "--warm-up", "0.3", "--timeout", "10", "--max-lateness-ms", "1000")
KEYS = "reader:read,writer:read+write"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("loaded")
    command = [sys.executable, str(MAKE), "--home", str(path), "--users", "120", "--candidates", "60"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    return Home(path, {"PYMK_KEYS": KEYS, "PYMK_LOADTEST_KEY": "reader", "PYMK_REDIS_TIMEOUT_MS": "5000"})


@pytest.fixture(scope="module")
def url(home: Home) -> Iterator[str]:
    with home.serving() as service:
        yield service.url


def test_a_run_reports_every_kind_every_stage_and_itself(home: Home, url: str, tmp_path: Path) -> None:
    out, picture = tmp_path / "run.json", tmp_path / "run.png"
    done = home.run(
        "loadtest", url, "--rate", "80", "--processes", "2", *BRIEF, "--json", str(out), "--plot", str(picture)
    )
    assert done.returncode == 0, done.stderr
    assert "latency from the intended start, ms" in done.stdout
    assert "0 faults" in done.stdout
    run = json.loads(out.read_text())
    assert run["all"]["asked"] == run["all"]["answered"] == run["harness"]["planned"] > 40
    assert run["all"]["unanswered_share"] == 0
    assert set(run["kinds"]) == {"cached", "no-cache", "cold"}
    assert run["kinds"]["no-cache"]["served"] == {"ranked": run["kinds"]["no-cache"]["asked"]}
    assert run["kinds"]["cold"]["served"] == {"cold_start": run["kinds"]["cold"]["asked"]}
    assert {"store", "rank", "rules", "total"} <= set(run["kinds"]["no-cache"]["stages_ms"])
    named = run["kinds"]["cached"]["latency_ms"]
    assert 0 < named["p50"] <= named["p90"] <= named["p99"] <= named["p99.9"] <= named["max"]
    assert run["harness"]["lateness_ms"]["count"] == run["all"]["asked"]
    assert run["checks"]["answers"] >= 25
    assert run["version"]["version"] == home.active()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_missed_objective_is_status_1(home: Home, url: str) -> None:
    done = home.run("loadtest", url, "--rate", "40", *BRIEF, "--slo-p99-ms", "0.02")
    assert done.returncode == 1
    assert "objective missed: p99 shall be 0.02 ms at most" in done.stderr
    assert "latency from the intended start" in done.stdout


def test_a_harness_that_was_held_up_vouches_for_nothing(home: Home, url: str) -> None:
    process = home.begin(
        *("loadtest", url, "--rate", "100", "--duration", "8", "--warm-up", "0", "--no-check"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        for line in process.stderr:
            if "load_test_progress" in line:
                break
        senders = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for sender in senders:
                os.kill(sender, number)
            time.sleep(0.7)
        printed, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1, said
    assert "no result: the harness itself was late" in said
    assert printed.startswith("the harness was the bottleneck: lateness")
    assert "latency" not in printed


def test_wrong_answers_are_status_1(home: Home, url: str, tmp_path: Path) -> None:
    ids = (home.path / "load" / "ids.txt").read_text().split()
    (tmp_path / "users.csv").write_text("\n".join(["user_id", *ids]))
    pairs = [f"{a},{b}" for a in ids for b in ids if a < b]
    (tmp_path / "connections.csv").write_text("\n".join(["user_id,other_id", *pairs]))
    done = home.run("loadtest", url, "--users", str(tmp_path), "--rate", "20", *BRIEF)
    assert done.returncode == 1
    assert "wrong answers" in done.stderr
    assert "is shown, who is connected" in done.stderr


def test_the_steps_end_where_they_may_not_go_on(home: Home, url: str, tmp_path: Path) -> None:
    out = tmp_path / "steps.json"
    options = ("--step", "--slo-p99-ms", "5000", "--rate", "20", "--max-rate", "40", "--json", str(out))
    done = home.run("loadtest", url, *BRIEF, *options)
    assert done.returncode == 0, done.stderr
    assert "highest rate: at least 40 requests/s" in done.stdout
    assert [step["load"]["rate_per_s"] for step in json.loads(out.read_text())["steps"]] == [20, 40]


def test_ctrl_c_leaves_a_report_that_says_it_is_partial(home: Home, url: str) -> None:
    process = home.begin(
        *("loadtest", url, "--rate", "50", "--duration", "60", "--warm-up", "0", "--max-lateness-ms", "1000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        for line in process.stderr:
            if "load_test_progress" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        printed, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert printed.startswith("PARTIAL, interrupted")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mix", "warm=1"), "--mix is KIND=WEIGHT"),
        (("--step",), "--slo-p99-ms"),
        (("--users", "missing"), "--users missing: there is no such file"),
        (("--processes", "8", "--connections", "4"), "need as many --connections"),
        (("--plot", "run.pdf"), "--plot draws PNG"),
        (("--json", "no/such/run.json"), "there is no directory"),
        (("--event-kinds", "like"), "--event-kinds is KIND"),
        (("--rate", "inf"), "'--rate'"),
        (("--max-rate", "inf"), "'--max-rate'"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(home: Home, url: str, arguments: tuple[str, ...], said: str) -> None:
    done = home.run("loadtest", url, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_does_not_answer_or_wants_a_key_is_said(home: Home, url: str) -> None:
    without = Home(home.path, {"PYMK_KEYS": KEYS})
    done = without.run("loadtest", url)
    assert done.returncode == 1
    assert "PYMK_LOADTEST_KEY" in done.stderr
    begun = time.monotonic()
    done = home.run("loadtest", "http://127.0.0.1:9", *BRIEF)
    assert done.returncode == 1
    assert "no service answers at http://127.0.0.1:9" in done.stderr
    assert time.monotonic() - begun < 30
