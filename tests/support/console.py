"""The console in Chromium, on a service that serves a network small enough to know by heart."""

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request

from tests.support.homes import Home, Service

TIMEOUT_S = 600.0
"""of a night, which takes minutes on a busy machine"""
PEOPLE = ("ada", "bob", "cyd", "a/b 🦊 ?#%", "dee", "eve", "fay", "x" * 128)
EVERYBODY = PEOPLE + tuple(
    f"{name}{clique}" for clique in (2, 3) for name in ("ann", "ben", "cat", "dan", "eli", "fin", "gil", "hal")
)
MARKUP = """<img src=x onerror="document.title='executed'"><script>document.title='executed'</script>"""
NAMES = {"cyd": MARKUP, "ada": "Ada Lark", "bob": "Bob Finch"}


def chromium_path() -> str:
    """Returns the path of Chromium. Skips the test if there is none, or fails it in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "Chromium is not installed: apt install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@dataclass(frozen=True)
class ConsoleService(Service):
    """A service whose console is tested."""

    def shown_to(self, user_id: str) -> list[str]:
        """Returns the ids of a viewer's list, ranked afresh."""
        path = f"/pymk/recommendations?{urlencode({'user_id': user_id})}"
        status, body = self.get(path, **{"Cache-Control": "no-cache"})
        assert status == 200
        return [one["user_id"] for one in body["recommendations"]]

    def documents(self, path: str) -> bool:
        """Whether the service documents a route."""
        _, document = self.get("/openapi.json")
        return path in document["paths"]


@contextmanager
def serving_console(home: Path, settings: dict[str, str]) -> Iterator[ConsoleService]:
    """A service in a home, as of Home.serving."""
    with Home(home, settings, TIMEOUT_S).serving() as service:
        yield ConsoleService(service.port)


def write_network(data: Path) -> None:
    """Writes three cliques of eight with gaps, in a ring; some ids and a name would break a careless page."""
    ids = EVERYBODY
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


@dataclass
class Tab:
    """A page of the console, and the faults and requests that it made."""

    page: Page
    faults: list[str]
    requests: list[str]

    def look_up(self, user_id: str) -> None:
        """Looks a user up by the form, and waits for the list and for the names, which move what is below them."""
        self.page.get_by_label("User id", exact=True).fill(user_id)
        self.page.get_by_role("button", name="Look up", exact=True).click()
        self.page.wait_for_function(
            """id => document.querySelector('#viewer code')?.textContent === id
                && !document.body.classList.contains('waiting')
                && document.querySelector('#people').ariaBusy !== 'true'""",
            arg=user_id,
        )

    @property
    def listed(self) -> list[str]:
        """The ids on the cards, in order."""
        found: list[str] = self.page.eval_on_selector_all(
            ".card:not(.leaving)", "cards => cards.map(one => one.dataset.user)"
        )
        return found

    def card(self, user_id: str) -> Any:
        at = self.listed.index(user_id)
        return self.page.locator(".card").nth(at)

    def watch(self) -> None:
        """Records faults and requests of the page from here on."""

        def on_message(message: ConsoleMessage) -> None:
            if message.type == "error" and "Failed to load resource" not in message.text:
                self.faults.append(message.text)

        def on_request(request: Request) -> None:
            self.requests.append(request.url)

        self.page.on("console", on_message)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", on_request)


def encoded(user_id: str) -> str:
    """Returns the fragment that the console's address has for a user's list."""
    return "#" + urlencode({"user": user_id}, quote_via=quote)
