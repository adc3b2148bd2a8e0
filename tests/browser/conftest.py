"""The console in Chromium, on a service that serves a real night of a network small enough to know by heart."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

PATIENCE_S = 600.0
"""long: where others are at work a night may take minutes"""
PEOPLE = ("ada", "bob", "cyd", "a/b 🦊 ?#%", "dee", "eve", "fay", "x" * 128)
MORE = tuple(
    f"{name}{clique}" for clique in (2, 3) for name in ("ann", "ben", "cat", "dan", "eli", "fin", "gil", "hal")
)
MARKUP = """<img src=x onerror="document.title='executed'"><script>document.title='executed'</script>"""
NAMES = {"cyd": MARKUP, "ada": "Ada Lark", "bob": "Bob Finch"}


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "Chromium is not installed: apt install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@dataclass(frozen=True)
class Service:
    """A service on this machine."""

    url: str

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON; (0, None) where nothing listens."""
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310  # this machine
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return 0, None

    def shown_to(self, user_id: str) -> list[str]:
        """The ids of a viewer's list, ranked afresh."""
        path = f"pymk/recommendations?{urlencode({'user_id': user_id})}"
        status, body = self.get(path, **{"Cache-Control": "no-cache"})
        assert status == 200
        return [one["user_id"] for one in body["recommendations"]]

    def takes(self, path: str) -> bool:
        """Whether the service documents a route."""
        _, document = self.get("openapi.json")
        return path in document["paths"]


def _environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    return {**kept, "OMP_NUM_THREADS": "1", "PYMK_HOME": str(home), **settings}


def _pymk(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "models.cli", *arguments]


def _write_network(data: Path) -> None:
    """Three cliques of eight with gaps, each bound to the next; ids and a name that a careless page would trip over."""
    ids = PEOPLE + MORE
    with (data / "users.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "name", "company", "city"])
        for at, user_id in enumerate(ids):
            rows.writerow([user_id, NAMES.get(user_id, f"{user_id[:12].title()} Person"), f"Firm {at // 8}", "Elm"])
    pairs = {(clique * 8 + end, (clique * 8 + 8 + end) % len(ids)) for clique in range(3) for end in (0, 1)}
    for clique in range(3):
        members = range(clique * 8, clique * 8 + 8)
        pairs |= {(a, b) for a, b in combinations(members, 2) if (a * 7 + b * 3) % 5 > 1}
    with (data / "connections.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "other_id"])
        rows.writerows((ids[a], ids[b]) for a, b in sorted(pairs))


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a night has published the network; not to be served from."""
    _chromium()
    home, data = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("network")
    _write_network(data)
    subprocess.run(
        _pymk("nightly", str(data), "--force"),
        check=True,
        capture_output=True,
        env=_environment(home, {}),
        timeout=PATIENCE_S,
    )
    return home


@contextmanager
def _serving(home: Path, settings: dict[str, str], command: str = "serve") -> Iterator[Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = home / "service.log"
    environment = _environment(home, settings)
    with log.open("w") as stderr:
        process = subprocess.Popen(_pymk(command, "--port", str(port)), stderr=stderr, env=environment)
    service = Service(f"http://127.0.0.1:{port}/")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while service.get("health/ready")[0] != 200:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield service
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def serve(night: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Serves a copy of the night: `with serve(PYMK_KEYS=...) as service`."""

    def serving(**settings: str) -> Any:
        home = tmp_path_factory.mktemp("served") / "home"
        shutil.copytree(night, home)
        return _serving(home, settings)

    return serving


@pytest.fixture(scope="module")
def service(serve: Callable[..., Any]) -> Iterator[Service]:
    """A service without keys."""
    with serve() as serving:
        yield serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: an event loop runs in this thread as long as it is open, and others want their own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Tab:
    """A page and what it did that no page of ours may do."""

    page: Page
    faults: list[str]
    requests: list[str]

    def look_up(self, user_id: str) -> None:
        """Looks a user up as a person would, and waits for the list."""
        self.page.get_by_label("User id", exact=True).fill(user_id)
        self.page.get_by_role("button", name="Look up", exact=True).click()
        self.page.wait_for_function(
            """id => document.querySelector('#viewer code')?.textContent === id
                && !document.body.classList.contains('waiting')""",
            arg=user_id,
        )

    @property
    def listed(self) -> list[str]:
        """The ids on the cards, in their order."""
        found: list[str] = self.page.eval_on_selector_all(
            ".card:not(.leaving)", "cards => cards.map(one => one.dataset.user)"
        )
        return found

    def card(self, user_id: str) -> Any:
        at = self.listed.index(user_id)
        return self.page.locator(".card").nth(at)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as opened:
        opened.set_default_timeout(15_000)
        yield opened


@pytest.fixture
def open_tab(context: BrowserContext) -> Iterator[Callable[[str], Tab]]:
    """Opens an address; at the end, nothing failed on any page and no other host was asked for anything."""
    tabs: list[tuple[Tab, str]] = []

    def opened(url: str) -> Tab:
        tab = Tab(context.new_page(), [], [])

        def said(message: ConsoleMessage) -> None:
            if message.type == "error" and "Failed to load resource" not in message.text:
                tab.faults.append(message.text)

        def asked(request: Request) -> None:
            tab.requests.append(request.url)

        tab.page.on("console", said)
        tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.page.on("request", asked)
        tab.page.goto(url)
        tabs.append((tab, url))
        return tab

    yield opened
    for tab, url in tabs:
        assert tab.faults == []
        base = "/".join(url.split("/")[:3]) + "/"
        assert [one for one in tab.requests if not one.startswith(base)] == []


@pytest.fixture
def tab(service: Service, open_tab: Callable[[str], Tab]) -> Tab:
    """The console of the service without keys."""
    return open_tab(service.url)


@pytest.fixture
def taking_events(service: Service) -> None:
    """Whoever asks for this writes events."""
    assert service.takes("/pymk/events")


@pytest.fixture(scope="session")
def people() -> tuple[str, ...]:
    """The ids of the network, the first clique first."""
    return PEOPLE + MORE


@pytest.fixture(scope="session")
def encoded() -> Callable[[str], str]:
    """A user id as it stands in the address of its list."""
    return lambda user_id: "#" + urlencode({"user": user_id}, quote_via=quote)
