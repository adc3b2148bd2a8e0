"""The console in Chromium, on a service that serves a real night of a network small enough to know by heart."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.support.console import TIMEOUT_S, ConsoleService, Tab, chromium_path, serving_console, write_network
from tests.support.homes import Home

WAIT_MS = 15_000
"""for anything to be seen, beside other tests on a busy machine"""


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a night has published the network; not to be served from."""
    chromium_path()
    home, data = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("network")
    write_network(data)
    ran = Home(home, timeout_s=TIMEOUT_S).run("nightly", str(data), "--force")
    assert ran.returncode == 0, ran.stderr
    return home


@pytest.fixture(scope="session")
def serve(night: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Serves a copy of the night: `with serve(PYMK_KEYS=...) as service`."""

    def serving(**settings: str) -> Any:
        home = tmp_path_factory.mktemp("served") / "home"
        shutil.copytree(night, home)
        # a page is tested here, not the deadline of a store beside other tests
        return serving_console(home, {"PYMK_REDIS_TIMEOUT_MS": "5000", **settings})

    return serving


@pytest.fixture(scope="module")
def service(serve: Callable[..., Any]) -> Iterator[ConsoleService]:
    """A service without keys."""
    with serve() as serving:
        yield serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: its event loop runs in this thread while it is open, and other modules need theirs."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as opened:
        opened.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        yield opened


@pytest.fixture
def open_tab(context: BrowserContext) -> Iterator[Callable[[str], Tab]]:
    """Opens an address. At the end, asserts that no page had a fault or sent a request to another host."""
    tabs: list[tuple[Tab, str]] = []

    def opened(url: str) -> Tab:
        tab = Tab(context.new_page(), [], [])
        tab.watch()
        tab.page.goto(url)
        tabs.append((tab, url))
        return tab

    yield opened
    for tab, url in tabs:
        assert tab.faults == []
        base = "/".join(url.split("/")[:3]) + "/"
        assert [one for one in tab.requests if not one.startswith(base)] == []


@pytest.fixture
def tab(service: ConsoleService, open_tab: Callable[[str], Tab]) -> Tab:
    """The console of the service without keys."""
    return open_tab(service.url)


@pytest.fixture
def taking_events(service: ConsoleService) -> None:
    """For tests that write events: asserts that the service takes them."""
    assert service.documents("/pymk/events")
