"""What the OpenAPI document says is what is answered."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.publishing.publish import publish
from models.settings import Settings
from models.store.keys import Keys
from models.system import logs
from models.version.local_versions import Versions
from service.api.openapi import EVERYWHERE
from service.app import create_app
from service.container import Stores
from service.web.problems import MEDIA_TYPE
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = 27
URL = "http://localhost"
Ask = Callable[..., httpx2.Response]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, written_version: Path) -> Iterator[Ask]:
    """Sends a request to a service that serves the version of eight people."""
    logs.configure(json=True)
    home = tmp_path_factory.mktemp("home")
    store = MemoryStore()
    directory = home / "versions" / "20260101T000000Z-0a1b2c"
    directory.parent.mkdir()
    directory.symlink_to(written_version)
    publish(directory, store, Versions(home), keys=Keys("pymk"))

    @asynccontextmanager
    async def stores(_: Settings) -> AsyncIterator[Stores]:
        yield Stores(AsyncMemoryStore(store), store)

    class FirstFeature:
        def scores(self, tables: Any, block: Any, context: str, inputs: Any = None) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = block.values()[0] / np.float32(4)
            return scores

    open_scorer: Callable[[Path], FirstFeature] = lambda directory: FirstFeature()  # noqa: E731
    app = create_app(Settings(home=home), open_stores=stores, open_scorer=open_scorer)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        portal.wrap_async_context_manager(
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL)
        ) as opened,
    ):
        yield lambda **request: portal.call(partial(opened.request, **request))


@pytest.fixture(scope="module")
def document(ask: Ask) -> dict[str, Any]:
    return {**ask(method="GET", url="/openapi.json").json(), "servers": [{"url": URL}]}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_answer_is_documented(ask: Ask, document: dict[str, Any], data: st.DataObject) -> None:
    """schemathesis: no 5xx, and no status, type or shape that the document does not name."""
    found = [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(found) == OPERATIONS
    case = data.draw(data.draw(st.sampled_from(found)).as_strategy())
    wanted = case.as_transport_kwargs(base_url=URL)
    request = {name: wanted[name] for name in ("method", "url", "params", "headers", "json") if wanted.get(name)}
    case.validate_response(ask(**request), checks=CHECKS)


def test_the_hot_route_is_documented_like_the_others(document: dict[str, Any]) -> None:
    route = document["paths"]["/pymk/recommendations"]["get"]
    assert {parameter["name"] for parameter in route["parameters"]} >= {"user_id", "limit", "context", "exclude"}
    assert set(route["responses"]) == {"200", "401", "429", "503", *map(str, EVERYWHERE)}
    assert route["security"]


def references(part: Any) -> Iterator[str]:
    """The components that a part of the document refers to, by name."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from [str(value).removeprefix("#/components/schemas/")] if name == "$ref" else references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_schema_is_referred_to_and_every_reference_leads_to_one(document: dict[str, Any]) -> None:
    assert set(references(document)) == set(document["components"]["schemas"])


def test_problems_are_one_component_of_every_status_that_can_occur(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    for path in document["paths"].values():
        for operation in path.values():
            problems = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert {"408", "431"} <= set(problems)
            assert ("429" in problems) == bool(operation.get("security")) == ("401" in problems)
            assert all(one["content"] == {MEDIA_TYPE: {"schema": schema}} for one in problems.values())
            for status in {"429", "503"} & set(problems):
                assert "Retry-After" in problems[status]["headers"]


def test_operation_ids_are_readable_and_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert sorted(ids) == [
        "delete_user",
        "get_admin_audit",
        "get_admin_canary",
        "get_admin_drift",
        "get_admin_experiments",
        "get_admin_nights",
        "get_admin_versions",
        "get_console",
        "get_docs",
        "get_erasure",
        "get_health_live",
        "get_health_ready",
        "get_metrics",
        "get_recommendations",
        "get_user",
        "get_user_why",
        "get_version",
        "post_admin_canary_abort",
        "post_admin_canary_promote",
        "post_admin_rollback",
        "post_admin_version_activate",
        "post_admin_version_approve",
        "post_admin_version_reject",
        "post_events",
        "post_recommendations",
        "put_user",
        "put_user_contacts",
    ]
