"""`pymk demo` and its processes, with fake commands of the other packages."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

PYMK = [sys.executable, "-P", "-m", "models.cli"]

STAND_INS = """
import typer
import http.server, json, os, pathlib, shutil, signal, sys, time

def note(name):
    with open(os.environ["NOTES"], "a") as notes:
        print(name, os.getpid(), file=notes)

def synth(users: int = typer.Option(), seed: int = typer.Option(), out: pathlib.Path = typer.Option()):
    note("synth")
    out.mkdir(parents=True)
    (out / "users.csv").write_text("user_id")

def nightly(data: pathlib.Path, force: bool = typer.Option(False, "--force")):
    note("forced" if force else "nightly")
    if os.environ.get("NIGHT"):
        sys.exit(int(os.environ["NIGHT"]))
    assert (data / "users.csv").exists()
    version = "20260101T000000Z-0a1b2c"
    home = pathlib.Path(os.environ["PYMK_HOME"])
    shutil.copytree(os.environ["WRITTEN"], home / "versions" / version, dirs_exist_ok=True)
    print("what the gate saw")
    print(version)

def recommend(users: pathlib.Path = typer.Option(), limit: int = typer.Option()):
    for viewer in users.read_text().split():
        shown = {"user_id": "eva", "score": 0.83, "position": 1, "sources": ["friends_of_friends"],
                 "reasons": [{"text": "2 mutual connections"}]}
        print(json.dumps({"user_id": viewer, "recommendations": [shown]}))

def worker():
    note("worker")
    time.sleep(float(os.environ.get("WORKER_S", "60")))

def serve(port: int = typer.Option()):
    note("serve")
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()

def register(app):
    for command in (synth, recommend, nightly, worker, serve):
        app.command(command.__name__)(command)
"""


@pytest.fixture
def environment(tmp_path: Path, written_version: Path) -> dict[str, str]:
    """The environment of `pymk demo`: fake commands are registered after the real ones and replace them."""
    rooms = tmp_path / "rooms"
    metadata = rooms / "stand_ins-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-ins\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[pymk.commands]\nzzz = stand_ins:register\n")
    (rooms / "stand_ins.py").write_text(STAND_INS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(rooms), os.environ.get("PYTHONPATH", "")]),
        "PYMK_HOME": str(tmp_path / "home"),
        "WRITTEN": str(written_version),
        "NOTES": str(tmp_path / "notes"),
    }


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PYMK, "demo", "--users", "50", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def _noted(environment: dict[str, str]) -> dict[str, int]:
    """The processes that ran, by command."""
    lines = Path(environment["NOTES"]).read_text().splitlines()
    return {name: int(process) for name, process in map(str.split, lines)}


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_the_demo_shows_examples_and_keeps_its_network(environment: dict[str, str]) -> None:
    shown = _run(environment, "--no-serve")
    assert shown.returncode == 0, shown.stderr
    assert "what the gate saw" in shown.stdout
    assert "may know:\n  1. Eva (eva)  0.830  2 mutual connections" in shown.stdout
    assert set(_noted(environment)) == {"synth", "nightly"}
    Path(environment["NOTES"]).unlink()
    assert _run(environment, "--no-serve").returncode == 0
    assert set(_noted(environment)) == {"nightly"}, "a network of this size is there"
    Path(environment["NOTES"]).unlink()
    assert _run(environment, "--no-serve", "--users", "60").returncode == 0
    assert set(_noted(environment)) == {"synth", "forced"}, "the gate would miss the people of the one before"


def test_a_step_that_fails_ends_the_demo_with_its_status(environment: dict[str, str]) -> None:
    failed = _run({**environment, "NIGHT": "3"}, "--no-serve")
    assert failed.returncode == 3
    assert "pymk:" not in failed.stderr.replace("pymk: warning", ""), "the step has said why"


def test_a_home_that_serves_a_network_is_refused(environment: dict[str, str], make_version: Callable[..., str]) -> None:
    make_version(Path(environment["PYMK_HOME"]))
    refused = _run(environment, "--no-serve")
    assert refused.returncode == 2
    assert "serves a network already" in refused.stderr
    assert not Path(environment["NOTES"]).exists()


def test_a_taken_port_is_named_before_anything_is_made(environment: dict[str, str], port: int) -> None:
    with closing(socket.create_server(("127.0.0.1", port))):
        refused = _run(environment, "--port", str(port))
    assert refused.returncode == 1
    assert f"port {port} is taken" in refused.stderr
    assert "--port" in refused.stderr
    assert not Path(environment["NOTES"]).exists()


@pytest.fixture
def serving(environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """A demo that has printed its address."""
    command = [*PYMK, "demo", "--users", "50", "--port", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    with running:
        assert running.stdout is not None
        told = []
        for line in running.stdout:
            told.append(line)
            if "Ctrl-C stops" in line:
                break
        assert f"console  http://127.0.0.1:{port}/\n" in told
        assert _wait(lambda: {"worker", "serve"} <= set(_noted(environment))), (
            "the worker may be slower than the service"
        )
        yield running
        running.kill()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
    ids=str,
)
def test_nothing_outlives_the_demo(
    serving: subprocess.Popen[str], environment: dict[str, str], number: signal.Signals, status: int
) -> None:
    children = [_noted(environment)[name] for name in ("worker", "serve")]
    assert all(map(_is_alive, children))
    serving.send_signal(number)
    assert serving.wait(timeout=30) == status
    assert _wait(lambda: not any(map(_is_alive, children)))


def test_a_child_that_dies_ends_the_demo(serving: subprocess.Popen[str], environment: dict[str, str]) -> None:
    children = _noted(environment)
    os.kill(children["worker"], signal.SIGKILL)
    assert serving.wait(timeout=30) == 1
    assert not _is_alive(children["serve"])
