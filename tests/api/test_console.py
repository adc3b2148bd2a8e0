"""GET / and what the page is made of: without data, without a key, and without a request to any other host."""

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from service.console.api_page import POLICY
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PAGE = files("service.console") / "page"
NAMES = sorted(one.name for one in PAGE.iterdir())
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


async def test_the_page_asks_for_no_key_and_keeps_to_its_host(open_place: Callable[..., Any]) -> None:
    async with open_place(keys="reader:read", published=False) as service:
        answer = await service.client.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", NAMES)
async def test_every_file_is_served_whole_once(service: ApiHarness, name: str) -> None:
    answer = await service.client.get(f"/console/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == TYPES[name.rpartition(".")[2]]
    if name != "index.html":
        assert answer.content == (PAGE / name).read_bytes()
    again = await service.client.get(f"/console/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", NAMES)
def test_files_name_no_other_host_and_nothing_that_is_missing(name: str) -> None:
    content = (PAGE / name).read_text(encoding="utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", content))
    assert {one for one in addresses if "www.w3.org" not in one} == set(), "XML namespaces are names, not addresses"
    for found in re.findall(r'from "\./([^"]+)"|(?:href|src)="console/([^"]+)"', content):
        assert (found[0] or found[1]) in NAMES
    assert "innerHTML" not in content
    assert not re.search(r"\bstyle=|\son\w+=\"", content), "the policy allows nothing inline"


async def test_the_page_offers_the_contexts_of_the_settings(open_place: Callable[..., Any]) -> None:
    async with open_place(contexts="sidebar,feed,web") as service:
        page = (await service.client.get("/")).text
        options = re.search(r'<select id="context"[^>]*>(.*?)</select>', page)
        assert options is not None
        found = re.findall(r"<option>([^<]+)</option>", options[1])
        assert found == ["web", "mobile", "email", "onboarding", "feed", "sidebar"]


@pytest.mark.parametrize("path", ["/console/none.js", "/console/pages.py", "/console/%2e%2e%2fpages.py", "/console/"])
async def test_nothing_else_is_served(service: ApiHarness, path: str) -> None:
    answer = await service.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_page_of_the_api_is_served_without_a_key_and_whole_once(open_place: Callable[..., Any]) -> None:
    async with open_place(keys="reader:read", published=False) as service:
        answer = await service.client.get("/docs")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        for path in service.app.openapi()["paths"]:
            assert path in answer.text
        again = await service.client.get("/docs", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
