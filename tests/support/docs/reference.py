"""The sections of the documents that are generated from the code: settings, a night's, metrics, routes and rooms.

    python -m tests.support.docs.reference           says which sections differ from the code; exit status 1 if any does
    python -m tests.support.docs.reference --write   writes them

A section stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`. tests/unit/docs/test_reference.py compares.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from models.settings import Settings
from models.system.field_docs import field_docs
from offline.night.config_listing import settings as night_settings
from offline.night.config_listing import toml_value
from service.api.dependencies import MAY_ADMINISTER, MAY_READ, MAY_WRITE
from service.api.openapi import EVERYWHERE
from service.app import create_app
from service.metrics import Metrics
from service.web.problems import STATUS_BY_KIND, Kind
from tests.support.docs.documents import API, ARCHITECTURE, DATA, OPERATIONS, ROOT, read
from tests.support.docs.rooms import PACKAGES, Rooms, rooms_of

_SCOPES = ((MAY_READ, "read"), (MAY_WRITE, "write"), (MAY_ADMINISTER, "admin"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


# Settings


def settings() -> str:
    """The settings with their defaults and the docstrings under their fields."""
    documented = settings_documented()
    rows = [
        (f"`PYMK_{name.upper()}`", _default(field.get_default(call_default_factory=True)), documented[name])
        for name, field in Settings.model_fields.items()
    ]
    return table(["setting", "default", "meaning"], rows)


def settings_documented() -> dict[str, str]:
    """By setting, the docstring under its field."""
    return field_docs(Settings)


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | frozenset):
        return "none"
    if isinstance(value, tuple):  # shares, which are given in percent
        return f"`{','.join(f'{100 * share:g}' for share in value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def night() -> str:
    """The settings of a night with their defaults, limits and the docstrings under their fields."""
    rows = [
        (f"`{one.path}`", "unset" if one.default is None else f"`{toml_value(one.default)}`", one.limits, one.meaning)
        for one in night_settings()
    ]
    return table(["setting", "default", "values", "meaning"], rows)


# Metrics


def metrics() -> str:
    """The metrics with their types, labels and help texts."""
    rows = [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text)
        for name, kind, labels, text in metrics_described()
    ]
    return table(["metric", "type", "labels", "meaning"], rows)


def metrics_described() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and help text of every metric, as the exposition text has them once each was counted."""
    counted = Metrics()
    counted.listed("ranked", {"rank": 0.001}, {"self": 1}, {"fatigue": 1})
    counted.posted(accepted=1)
    counted.answered("/", 200, 0.001)
    counted.degraded.labels("store").inc()
    counted.closed.labels("limit").inc()
    counted.store.observe("get", 0.001)
    found = []
    for family in text_string_to_metric_families(counted.text().decode()):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found.append((name, family.type, tuple(sorted(labels)), family.documentation))
    return found


# Routes


def routes() -> str:
    """The routes with their scopes, what they do and the problems they may answer with."""
    app = create_app(Settings(keys={}))
    scopes = _scopes(app)
    rows = [
        (f"`{method.upper()} {path}`", scopes[method.upper(), path], _first_paragraph(described), _problems(described))
        for path, methods in app.openapi()["paths"].items()
        for method, described in methods.items()
    ]
    rows.append((f"`GET {app.openapi_url}`", "none", "The OpenAPI document of these routes.", ""))
    return table(["route", "scope", "what it does", "problems"], rows)


def _scopes(app: FastAPI) -> dict[tuple[str, str], str]:
    """By method and path, the scope that a key needs."""
    found: dict[tuple[str, str], str] = {}
    for entry in app.routes:
        included = getattr(entry, "original_router", None)
        for route in [entry] if included is None else included.routes:
            needed = [scope for depends, scope in _SCOPES if depends in getattr(route, "dependencies", ())]
            for method in getattr(route, "methods", None) or ():
                found[method, getattr(route, "path", "")] = " and ".join(needed) or "none"
    return found


def _first_paragraph(described: dict[str, Any]) -> str:
    return " ".join(described.get("description", "").split("\n\n")[0].split())


def _problems(described: dict[str, Any]) -> str:
    return " ".join(
        sorted(status for status in described["responses"] if status >= "400" and int(status) not in EVERYWHERE)
    )


# Problems


def problem_types() -> str:
    """The types of problem documents with their statuses and the docstrings under the members of Kind."""
    documented = field_docs(Kind)
    rows = [
        (f"`{kind.uri}`", str(STATUS_BY_KIND[kind].value), documented[kind.name])
        for kind in sorted(Kind, key=lambda kind: STATUS_BY_KIND[kind])
    ]
    return table(["type", "status", "meaning"], rows)


# Rooms


def rooms(package: str) -> str:
    """The drawing of a package's rooms, and the table of all imports between them."""
    found = rooms_of(package)
    return f"{_drawing(found)}\n\n{_rooms_table(found)}"


def _drawing(found: Rooms) -> str:
    """A flowchart of the imports that no path over other rooms implies."""
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'  {found.package}_{room}["{found.label(room)}"]' for floor in found.floors for room in floor]
    lines += [f"  {found.package}_{room} --> {found.package}_{other}" for room, other in found.reduced]
    return "\n".join([*lines, "```"])


def _rooms_table(found: Rooms) -> str:
    """The rooms from the highest floor to the lowest, with everything that each imports."""
    floors = found.floors
    order = [room for floor in floors for room in floor]
    rows = []
    for at, floor in enumerate(floors):
        for room in floor:
            others = ", ".join(other for other in order if other in found.imports[room])
            rows.append((str(len(floors) - at), f"`{found.label(room)}`", found.description(room), others or "–"))
    return table(["floor", "room", "what is in it", "imports"], rows)


# The marked sections

SECTIONS: dict[str, tuple[Path, Callable[[], str]]] = {
    "settings": (OPERATIONS, settings),
    "night": (DATA, night),
    "metrics": (OPERATIONS, metrics),
    "routes": (API, routes),
    "problems": (API, problem_types),
    **{f"rooms-{package}": (ARCHITECTURE, partial(rooms, package)) for package in PACKAGES},
}
"""by name, the document that holds the section and what generates it"""


def section_pattern(name: str) -> re.Pattern[str]:
    """Matches a marked section: its opening mark, its text and its closing mark."""
    return re.compile(rf"(<!-- {re.escape(name)}: [^\n]*-->\n)(.*?)(<!-- /{re.escape(name)} -->)", re.DOTALL)


def written(name: str) -> str | None:
    """The text of a section as it stands in its document; None if the document has no such marks."""
    found = section_pattern(name).search(read(SECTIONS[name][0]))
    return None if found is None else found[2].strip()


def stale() -> Iterator[str]:
    """The names of the sections that differ from the code."""
    return (name for name, (_, generated) in SECTIONS.items() if written(name) != generated())


def write() -> None:
    """Writes every section into its document. Raises ValueError if a document has no marks for a section."""
    for name, (document, generated) in SECTIONS.items():
        content = "\n" + generated() + "\n\n" if name.startswith("rooms-") else generated() + "\n"
        before, *others = section_pattern(name).split(read(document))
        if len(others) != 4:
            raise ValueError(f"{document} has {len(others) // 4} sections called {name}")
        opening, _, closing, after = others
        document.write_text(before + opening + content + closing + after, encoding="utf-8")


def main() -> int:
    """Runs the command of the module's docstring and returns its exit status."""
    if sys.argv[1:] == ["--write"]:
        write()
        return 0
    differing = list(stale())
    for name in differing:
        sys.stderr.write(f"{SECTIONS[name][0].relative_to(ROOT)}: the section {name!r} differs from the code\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
