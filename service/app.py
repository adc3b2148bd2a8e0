"""The HTTP application: `create_app(settings)`."""

import asyncio
import gc
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from secrets import token_hex
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from models.errors import PymkError
from models.ranker.ranker import Ranker
from models.settings import Settings
from models.system import logs
from models.system.memory import collect_seldom, return_large_blocks
from models.system.parent_death import end_with_parent
from service.api import admin, contacts, erasures, events, experiments, health, openapi, recommendation_batches, users
from service.api.dependencies import SCOPES
from service.api.recommendation_params import PATH
from service.api.recommendations import Recommendations
from service.console.pages import console
from service.container import StoreOpener, build, open_store_clients
from service.explain import route as explain
from service.metrics import METRICS, Metrics
from service.state.served_version import OpenScorer
from service.web.exception_handlers import answer_error, answer_http_error, answer_validation_error
from service.web.middleware import Requests
from service.web.route_table import RouteTable


class Service(FastAPI):
    """A FastAPI application whose requests all pass through service.web.middleware.Requests first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lifespan goes to FastAPI, HTTP to the Requests built in it."""
        if scope["type"] == "http":
            requests: Requests = self.state.requests
            await requests(scope, receive, send)
        else:
            await self.dispatch(scope, receive, send)

    def setup(self) -> None:
        """Adds the route of the OpenAPI document, which is encoded once, since anybody may ask for it.

        That takes a tenth of a second, beside the event loop.
        """
        encoded: list[bytes] = []

        async def document(_: Request) -> Response:
            if not encoded:
                encoded.append(await asyncio.to_thread(lambda: orjson.dumps(self.openapi())))
            return Response(encoded[0], media_type="application/json")

        assert self.openapi_url is not None  # noqa: S101  # for the type checker: the default stands
        self.add_route(self.openapi_url, document, include_in_schema=False)

    async def dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of FastAPI to a request."""
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self)
        return self.openapi_schema


def create_app(
    settings: Settings,
    *,
    open_stores: StoreOpener = open_store_clients,
    open_scorer: OpenScorer = Ranker.open,
    follow_signals: bool = False,
) -> FastAPI:
    """The application of these settings. Nothing is opened before it starts, and everything is closed when it ends.

    `open_stores` and `open_scorer` replace the store and the ranker. `follow_signals`: SIGTERM drains before it stops.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Metrics]]:
        async with build(settings, open_stores, open_scorer) as container:
            app.state.container = container
            if follow_signals:
                container.draining.follow_signals()
            app.state.recommendations = Recommendations(
                container.versions,
                container.recommender,
                container.profiles,
                container.access,
                container.metrics,
                container.compression,
                settings.all_contexts,
                container.exposure_log,
            )
            secret = settings.log_secret.get_secret_value() if settings.log_secret else token_hex(16)
            app.state.requests = Requests(
                {PATH: app.state.recommendations},
                app.dispatch,
                RouteTable(app.routes, SCOPES),
                container.access,
                container.metrics,
                settings,
                log_secret=secret,
            )
            # what exists after the start lives as long as the process: the garbage collector need not scan it again
            gc.collect()
            gc.freeze()
            try:
                yield {METRICS: container.metrics}
            finally:
                app.state.requests.close()

    # the application, with its exception handlers
    app = Service(
        title="People You May Know",
        summary="Whom may this person know?",
        version=metadata.version("pymk"),
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body_bytes,
        exception_handlers={
            RequestValidationError: answer_validation_error,
            HTTPException: answer_http_error,
            PymkError: answer_error,
            Exception: answer_error,
        },
    )
    # routes
    openapi.add_recommendations(app)
    for part in (recommendation_batches, users, contacts, explain, events, erasures, admin, experiments, health):
        app.include_router(part.router)
    app.include_router(console(settings.all_contexts), responses=openapi.problems())
    return app


def from_environment() -> FastAPI:
    """The application of a serving process, whose settings are in the environment; it ends with its parent."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)
    return_large_blocks()
    collect_seldom()
    logs.unblock()
    logs.configure()
    return create_app(Settings(), follow_signals=True)
