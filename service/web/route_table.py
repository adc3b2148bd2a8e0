"""The routes by path: the methods that each answers, the scope that they need, the parameters that they take."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from starlette.routing import compile_path

from models.system.known_names import unknown_name
from service.web.problems import invalid_all

_UNRESERVED = re.compile(rb"%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")


def normal_path(raw: bytes) -> str:
    """A path whose percent-encoded unreserved characters are decoded, as RFC 3986 (6.2.2.2) has it; the rest stays."""
    plain = _UNRESERVED.sub(lambda found: bytes.fromhex(found[1].decode()), raw.partition(b"?")[0])
    return plain.decode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path."""

    scope: str | None
    """the scope that a key needs; None: no key is asked for"""
    parameters: frozenset[str]
    """names of its query parameters"""


@dataclass(frozen=True, slots=True)
class RoutedPath:
    """A path and its operations by method."""

    path: str
    operations: Mapping[str, Operation]

    @property
    def allow(self) -> str:
        """The methods that it answers, for the header Allow."""
        methods = {*self.operations, "OPTIONS"} | ({"HEAD"} if "GET" in self.operations else set())
        return ", ".join(sorted(methods))


class RouteTable:
    """Finds the RoutedPath of a path of a request."""

    def __init__(self, routes: Iterable[Any], scopes: Collection[tuple[Any, str]]) -> None:
        """`routes` of an application; `scopes` names by dependency of a route the scope that its key needs."""
        operations: dict[str, dict[str, Operation]] = {}
        for route in _flat(routes):
            needed = [scope for depends, scope in scopes if depends in getattr(route, "dependencies", ())]
            dependant = getattr(route, "dependant", None)
            named = frozenset() if dependant is None else frozenset(_parameters(dependant))
            for method in route.methods - {"HEAD"}:
                operations.setdefault(route.path, {})[method] = Operation(next(iter(needed), None), named)
        paths = {path: RoutedPath(path, found) for path, found in operations.items()}
        self._fixed = {path: found for path, found in paths.items() if "{" not in path}
        self._patterns = [(compile_path(path)[0], found) for path, found in paths.items() if "{" in path]

    def find(self, path: str) -> RoutedPath | None:
        """The entry of a path in its normal form, None if there is no such route."""
        found = self._fixed.get(path)
        if found is None:
            found = next((entry for pattern, entry in self._patterns if pattern.match(path)), None)
        return found


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    """The routes, those of included routers in their place."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _flat(included.routes)
        elif getattr(route, "methods", None):
            yield route


def _parameters(dependant: Any) -> Iterator[str]:
    """The names of the query parameters of a route and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def check_parameters(query: bytes, known: Collection[str]) -> None:
    """Returns if a query string names known parameters, each once. Raises ProblemError 422 that names the nearest."""
    names = [name for pair in query.split(b"&") if (name := parameter_name(pair))]
    faults = [
        (name, "query", unknown_name(name, "parameter of this route", known)) for name in names if name not in known
    ]
    faults += [(name, "query", "must be given once") for name in sorted({*names}) if names.count(name) > 1]
    if faults:
        raise invalid_all(faults)


def parameter_name(pair: bytes) -> str:
    """The decoded name of `name=value`."""
    return unquote_plus(pair.partition(b"=")[0].decode("latin-1"), errors="replace")
