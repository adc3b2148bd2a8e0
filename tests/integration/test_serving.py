"""`pymk serve`, `worker` and `recommend` as a shell sees them, on the embedded store."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from models.publishing.publish import publish
from models.publishing.serving_processes import served
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from tests.support.clock import wait_for
from tests.support.stores import free_port
from tests.support.versions import make_servable

TIMEOUT_S = 30.0
RECOMMENDATIONS = 'route="/pymk/recommendations"'


def pymk(home: Path, *arguments: str, **settings: str) -> list[str]:
    return [sys.executable, "-m", "models.cli", "--home", str(home), *arguments]


def environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    return {**kept, "PYMK_DRAIN_S": "0", **settings}


def run(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        pymk(home, *arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment(settings),
    )


@contextmanager
def started(home: Path, *arguments: str, **settings: str) -> Iterator[None]:
    """A command in the background; stopped by SIGTERM at the end, and its status is 0."""
    log = home / "stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(pymk(home, *arguments), stderr=stderr, env=environment(settings))
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def opened(home: Path) -> Iterator[SyncStore]:
    store = open_sync(Settings(home=home))
    try:
        yield store
    finally:
        store.close()


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


@pytest.fixture
def home(tmp_path: Path, make_version: Callable[..., str]) -> Path:
    """A home with a version of eight people that is not published yet."""
    make_servable(tmp_path, make_version(tmp_path))
    return tmp_path


def publish_in(home: Path) -> str:
    versions = Versions(home)
    (version,) = versions.ids()
    with opened(home) as store:
        publish(versions.path(version), store, versions, keys=Keys("pymk"))
    return version


def test_it_starts_before_anything_is_published_and_takes_a_version_up(home: Path) -> None:
    port = free_port()
    with started(home, "serve", "--port", str(port)):
        status, body = wait_for(lambda: (found := get(port, "/health/ready"))[0] and found)
        assert status == 503
        assert body["parts"]["store"]["ok"] is True
        assert get(port, "/pymk/recommendations?user_id=cid")[0] == 503
        version = publish_in(home)
        wait_for(lambda: get(port, "/health/ready")[0] == 200)
        status, body = get(port, "/pymk/recommendations?user_id=cid")
        assert (status, body["version"], body["served"]) == (200, version, "ranked")
        assert get(port, "/pymk/users/h%C3%A9lo%C3%AFse") == (200, {})
        assert wait_for(lambda: get(port, "/pymk/recommendations?user_id=cid")[1]["served"] == "cache")
        taken = run(home, "serve", "--port", str(port))
        assert taken.returncode == 1
        assert taken.stderr.count("\n") == 1
        assert f"port {port} of 127.0.0.1 is taken" in taken.stderr
        single = json.loads(run(home, "recommend", "--users", "/dev/null").stdout or "{}")
        assert single == {}
        (home / "ids").write_text("cid\nnobody\n")
        bulk = run(home, "recommend", "--users", str(home / "ids"))
        first, second = map(json.loads, bulk.stdout.splitlines())
        assert first["recommendations"] == body["recommendations"]
        assert second["served"] == "cold_start"
    with opened(home) as store:
        assert served(store, keys=Keys("pymk")) == {}, "a process that stopped is no live one"


AWKWARD = "a/b c 🦊 é %2F?#&=+,;'\"\\|<> why/../."


def test_an_id_of_any_characters_and_the_greatest_length_works_on_every_route(home: Path) -> None:
    user_id = AWKWARD + "x" * (128 - len(AWKWARD.encode()))
    encoded, port = quote(user_id, safe=""), free_port()
    publish_in(home)

    def ask(method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status in {200, 202}, (method, path, answer.status, said)
            return json.loads(said)
        finally:
            connection.close()

    def shown(**query: str) -> list[str]:
        listed = ask("GET", "/pymk/recommendations?" + urlencode({"limit": 100, **query}))
        assert listed["user_id"] == query["user_id"]
        return [one["user_id"] for one in listed["recommendations"]]

    with started(home, "serve", "--port", str(port)):
        wait_for(lambda: get(port, "/health/ready")[0] == 200)
        assert "dan" in shown(user_id=user_id)
        ask("PUT", f"/pymk/users/{encoded}", {"name": user_id, "company": "Acme"})
        assert ask("GET", f"/pymk/users/{encoded}") == {"name": user_id, "company": "Acme"}
        events = [("block", user_id, "dan"), ("connect", "eva", user_id), ("dismiss", user_id, "fay")]
        body = [{"kind": kind, "user_id": one, "other_id": other, "event_id": user_id} for kind, one, other in events]
        assert ask("POST", "/pymk/events", body[:2]) == {"accepted": 2}
        assert ask("POST", "/pymk/events", [{**body[2], "event_id": "2"}]) == {"accepted": 1}
        assert not {"dan", "eva", "fay"} & set(shown(user_id=user_id))
        assert "gus" not in shown(user_id=user_id, exclude=f"{user_id},gus")
        assert "ann" in shown(user_id="gus", exclude=user_id)
        rules = {
            (one, other): ask("GET", f"/pymk/users/{quote(one, safe='')}/why/{quote(other, safe='')}")["rules"]
            for one, other in ((user_id, "dan"), ("dan", user_id), (user_id, user_id))
        }
        assert list(rules.values()) == [["blocked"], ["blocked", "newcomer"], ["self", "newcomer"]]
        receipt = ask("DELETE", f"/pymk/users/{encoded}")["receipt"]
        assert ask("GET", f"/pymk/erasures/{receipt}")["state"] == "hidden"
        assert shown(user_id=user_id) == []
        assert get(port, f"/pymk/users/{encoded}")[0] == 404


def test_two_workers_answer_and_count_together(home: Path) -> None:
    port = free_port()
    publish_in(home)
    with started(home, "serve", "--port", str(port), "--workers", "2"):
        wait_for(lambda: get(port, "/health/ready")[0] == 200)
        with opened(home) as store:
            wait_for(lambda: len(served(store, keys=Keys("pymk"))) == 2)
        for _ in range(20):
            assert get(port, "/pymk/recommendations?user_id=cid")[0] == 200

        def counted() -> float:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            own = [line for line in lines if line.startswith("pymk_requests_total{") and RECOMMENDATIONS in line]
            return sum(float(line.rpartition(" ")[2]) for line in own)

        wait_for(lambda: counted() >= 20)  # what the other process counted is a tenth of a second behind
        assert counted() == 20


def test_workers_do_not_outlive_a_killed_parent(home: Path) -> None:
    port = free_port()
    publish_in(home)
    process = subprocess.Popen(
        pymk(home, "serve", "--port", str(port), "--workers", "2"), stderr=subprocess.DEVNULL, env=environment({})
    )
    try:
        wait_for(lambda: get(port, "/health/ready")[0] == 200)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: get(port, "/health/live")[0] == 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--host", "0.0.0.0"), "without keys the service answers on the loopback address only"),  # noqa: S104
        (("serve", "--host", "no.such.host.invalid"), "is no address of this machine"),
        (("recommend",), "either --users FILE or --all"),
        (("recommend", "--all", "--users", "ids"), "either --users FILE or --all"),
        (("recommend", "--users", "missing"), "cannot be read"),
        (
            ("recommend", "--all", "--context", "radio"),
            "--context radio is no context; there are email, mobile, onboarding, web",
        ),
        (("recommend", "--all", "--limit", "101"), "'--limit': Input should be less than or equal to 100"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_recommend_without_a_version_is_status_1(tmp_path: Path) -> None:
    done = run(tmp_path, "recommend", "--all")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no version is active" in done.stderr


def test_a_worker_stops_when_it_is_told(home: Path) -> None:
    with started(home, "worker"), opened(home) as store:
        wait_for(lambda: served(store, keys=Keys("pymk")))


def test_without_a_worker_readiness_warns_once_the_log_has_waited(home: Path) -> None:
    port = free_port()
    publish_in(home)
    body = json.dumps([{"kind": "connect", "user_id": "ann", "other_id": "fay"}]).encode()
    with started(home, "serve", "--port", str(port)):
        wait_for(lambda: get(port, "/health/ready")[0] == 200)
        assert get(port, "/health/ready")[1]["warnings"] == []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/pymk/events", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 202
        connection.close()
        (warning,) = wait_for(lambda: get(port, "/health/ready")[1]["warnings"])
        assert "no worker is live: start pymk worker; the oldest entry of the event log has waited" in warning


HEAVY = ("torch", "torch_geometric", "faiss", "polars", "pyspark", "sklearn", "scipy.sparse", "pandas", "pyarrow")


def test_the_service_starts_light() -> None:
    code = f"import sys, service.app; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_starting_compiles_nothing() -> None:
    code = """
import gc, service.app
from numba.core.dispatcher import Dispatcher
found = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
kernels = [one for one in found if not one.py_func.__module__.startswith("numba")]
print(len(kernels) > 5, [one.py_func.__name__ for one in kernels if one.signatures])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def test_commands_register_without_numeric_libraries() -> None:
    code = "import sys, service.cli; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
