"""The page of the API: everything of the document is on it, every link leads somewhere, and nothing is loaded."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest

from models.settings import Settings
from service.app import create_app
from service.console.api_page import POLICY, api_page

VOID = {"meta", "br"}


class Page(HTMLParser):
    """The parts of a page; fails on tags that are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open += [] if tag in VOID else [tag]
        for name, value in attrs:
            assert name not in {"src", "style"}
            assert not name.startswith("on")
            self.ids += [value or ""] if name == "id" else []
            self.links += [value or ""] if name == "href" else []

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> Page:
    return Page(api_page(document).decode())


def test_every_operation_parameter_and_schema_is_on_the_page(document: dict[str, Any], page: Page) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    schemas = document["components"]["schemas"]
    assert set(page.ids) == {*(one["operationId"] for one in operations), *(f"schema-{one}" for one in schemas)} | {
        "schemas"
    }
    assert len(set(page.ids)) == len(page.ids)
    names = {parameter["name"] for operation in operations for parameter in operation.get("parameters", ())}
    names |= {name for schema in schemas.values() for name in schema.get("properties", {})}
    assert {*names, *document["paths"]} <= set(page.text)


def test_every_link_leads_to_a_part_of_the_page_or_to_the_document(page: Page) -> None:
    assert {link.removeprefix("#") for link in page.links} <= {*page.ids, "openapi.json"}
    assert "#schema-Problem" in page.links


def test_the_page_loads_nothing_and_its_policy_allows_its_style_alone(document: dict[str, Any], page: Page) -> None:
    assert not page.tags & {"script", "link", "img", "iframe", "form"}
    text = api_page(document).decode()
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url\(|@import|https?:", style)
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in POLICY
    assert POLICY.startswith("default-src 'none'; ")


def test_what_the_document_says_is_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    operation = {
        "operationId": "get_it",
        "tags": [evil],
        "description": f"`{evil}` {evil}",
        "parameters": [
            {"name": evil, "in": "query", "schema": {"type": "string", "default": evil}, "description": evil}
        ],
        "requestBody": {"content": {"application/json": {"schema": {"type": "object", "example": {evil: evil}}}}},
        "responses": {"200": {"description": evil, "content": {"text/plain": {"schema": {"enum": [evil]}}}}},
    }
    document = {
        "info": {"title": evil, "version": evil},
        "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {"A": {"description": evil, "properties": {evil: {"const": evil}}}}},
    }
    assert "script" not in Page(api_page(document).decode()).tags
