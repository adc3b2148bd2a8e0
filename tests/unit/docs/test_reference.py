"""The generated sections of the documents say what the code says."""

import re

import pytest

from models.settings import Settings
from tests.support.docs.documents import ARCHITECTURE, read
from tests.support.docs.reference import SECTIONS, metrics_described, routes, settings_documented, written
from tests.support.docs.rooms import PACKAGES, Rooms, rooms_of


@pytest.mark.parametrize("name", SECTIONS)
def test_a_marked_section_is_what_the_code_says(name: str) -> None:
    document, generated = SECTIONS[name]
    assert written(name) == generated(), f"run `python -m tests.support.docs.reference --write` for {document}"


def test_every_setting_has_a_docstring() -> None:
    assert set(settings_documented()) == set(Settings.model_fields)


def test_every_metric_has_a_help_text() -> None:
    described = metrics_described()
    assert all(text for _, _, _, text in described)
    assert {name for name, *_ in described} >= {"pymk_requests_total", "pymk_request_seconds", "pymk_in_flight"}
    assert {name: labels for name, _, labels, _ in described}["pymk_requests_total"] == ("method", "route", "status")


def test_scopes_are_those_that_the_routes_ask_for() -> None:
    scopes = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", routes(), re.MULTILINE))
    assert scopes["GET /pymk/recommendations"] == scopes["GET /pymk/version"] == "read"
    assert scopes["PUT /pymk/users/{user_id}"] == scopes["DELETE /pymk/users/{user_id}"] == "write"
    assert scopes["POST /admin/rollback"] == scopes["GET /pymk/users/{user_id}/why/{other_id}"] == "admin"
    assert scopes["GET /metrics"] == scopes["GET /health/ready"] == "none"
    assert set(scopes.values()) == {"read", "write", "admin", "none"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_of_rooms_has_every_import_and_a_description(package: str) -> None:
    found = rooms_of(package)
    shown = re.findall(
        r"^\| \d+ \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", written(f"rooms-{package}") or "", re.MULTILINE
    )
    rows = {
        label.removesuffix("/").removesuffix(".py"): (what, frozenset(others.replace("–", "").split(", ")) - {""})
        for label, what, others in shown
    }
    assert {room: others for room, (_, others) in rows.items()} == found.imports
    assert all(len(what.split()) > 1 for what, _ in rows.values()), "every room is described"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_drawing_implies_the_imports_and_nothing_else(package: str) -> None:
    found = rooms_of(package)
    drawn = re.findall(rf"^  {package}_(\w+) --> {package}_(\w+)$", read(ARCHITECTURE), re.MULTILINE)
    assert set(drawn) <= {(room, other) for room, others in found.imports.items() for other in others}
    reached = {room: {room} for room in found.imports}
    for _ in found.imports:
        for room, other in drawn:
            reached[room] |= reached[other]
    for room, others in found.imports.items():
        assert others <= reached[room]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_leads_to_a_lower_floor(package: str) -> None:
    found = rooms_of(package)
    floor = {room: at for at, rooms in enumerate(found.floors) for room in rooms}
    assert all(floor[other] > floor[room] for room, others in found.imports.items() for other in others)
    assert set(floor) == set(found.imports)


def test_floors_and_drawing_of_a_chain_with_a_short_cut() -> None:
    made = Rooms("any", {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset(), "d": frozenset("c")})
    assert made.floors == [["a"], ["b", "d"], ["c"]]
    assert made.reduced == [("a", "b"), ("b", "c"), ("d", "c")]
