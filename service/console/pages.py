"""The routes of the console, its page, style sheet and scripts, and of the page of the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from service.console.api_page import POLICY as API_POLICY
from service.console.api_page import api_page
from service.web.problems import ProblemError

PAGE = "index.html"
API = "/docs"
_CONTEXTS = b"<!-- contexts -->"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of the page: nothing from another host, nothing inline, no text parsed as markup"""

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str

    def response(self, request: Request) -> Response:
        """The file, or 304 if the caller has it."""
        headers = {**_HEADERS, "ETag": self.tag}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(None, HTTPStatus.NOT_MODIFIED, headers)
        return Response(self.content, HTTPStatus.OK, headers, self.media_type)


def console(contexts: Sequence[str]) -> APIRouter:
    """The routes of the console, whose page offers these contexts, the first as the default."""
    options = "".join(f"<option>{context}</option>" for context in contexts).encode()
    pages = {name: _file(name, content.replace(_CONTEXTS, options)) for name, content in _contents().items()}
    router = APIRouter(tags=["console"])

    @router.get("/", response_class=HTMLResponse)
    async def page(request: Request) -> Response:
        """The console: a page without data, which asks for a key if keys are configured."""
        return pages[PAGE].response(request)

    @router.get("/docs", response_class=HTMLResponse)
    async def docs(request: Request) -> Response:
        """This API as a page for people: every route, parameter, answer and schema."""
        if API not in pages:
            pages[API] = _file(f"{API}.html", api_page(request.app.openapi()))
        answer = pages[API].response(request)
        answer.headers["Content-Security-Policy"] = API_POLICY
        return answer

    @router.get("/console/{name}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in pages:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"the console has no file {name}")
        return pages[name].response(request)

    return router


def _contents() -> dict[str, bytes]:
    """Every file of the page by name."""
    directory = files("service.console") / "page"
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.name.rpartition(".")[2] in _TYPES}


def _file(name: str, content: bytes) -> _File:
    return _File(content, _TYPES[name.rpartition(".")[2]], f'"{sha256(content).hexdigest()[:20]}"')
