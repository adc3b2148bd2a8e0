"""The documents promise nothing that is not there: commands, routes, metrics, settings, files and links exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from models.cli.app import build
from models.errors import GateRefusedError, PymkError, UsageError
from models.settings import Settings
from offline.cli.monitor import RETRAINING_IS_DUE
from offline.night.config import NightConfig
from service.app import create_app
from service.ranking.filters import Rule
from service.worker.metrics import WorkerMetrics
from tests.support.docs.documents import (
    API,
    CONTRIBUTING,
    CURRENT,
    DATA,
    DATED,
    OPERATIONS,
    README,
    ROOT,
    anchors,
    blocks,
    lines_of_code,
    links,
    read,
    spans,
)
from tests.support.docs.reference import metrics_described
from tests.support.memory_store import MemoryStore
from tests.support.worker import MutualFriendsGenerator, make_worker

OTHER_VARIABLES = {"PYMK_CONFIG", "PYMK_LOADTEST_KEY"}
"""read from the environment, and no field of Settings"""
ROOTS = ("models", "offline", "service", "tests", ".github", ".ci")
PLACEHOLDERS = {
    "PACKAGE",
    "ROOM",
    "FILE",
    "NAME",
    "RESOURCE",
    "YOURS",
    "HOME",
    "DATA",
    "KEY",
    "URL",
    "PIP_EXTRA_INDEX_URL",
}
"""words in a document that the reader replaces"""


def _name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


every_document = pytest.mark.parametrize("document", CURRENT, ids=_name)


def test_a_newcomer_reads_the_readme_to_the_end() -> None:
    assert len(read(README).splitlines()) <= 180


def test_the_two_commands_are_one_line_each_and_make_their_own_environment() -> None:
    first, second = (block.strip() for block in blocks(README, "bash")[:2])
    for command in (first, second):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")
    assert first.endswith(" && .venv/bin/pymk demo")
    assert second.endswith(" && .venv/bin/pytest -n 2 --dist worksteal")


def test_ci_finds_the_test_command_in_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -E '([^']*)' README\.md", script)
    assert pattern is not None
    found = [line for line in read(README).splitlines() if re.search(pattern[1], line)]
    assert found == [blocks(README, "bash")[1].strip()]
    assert 'bash -euo pipefail -c "$test_command"' in script


def test_every_document_is_reached_from_the_readme() -> None:
    linked = {(README.parent / link).resolve() for link in links(README)}
    assert {*CURRENT, *DATED} - {README} <= linked


@pytest.mark.parametrize("document", [*CURRENT, *DATED], ids=_name)
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for link in links(document):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def _commands(document: Path) -> Iterator[list[str]]:
    """The words after `pymk` wherever a document calls it, in blocks of shell and in spans of code."""
    for text in lines_of_code(document):
        for called in re.finditer(r"(?:^|[ /])pymk (?:--home \S+ )?([^#|;&)]+)", text):
            yield called[1].split()


@pytest.fixture(scope="module")
def application() -> Any:
    return typer.main.get_command(build())


def _flags(command: Any) -> set[str]:
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


@every_document
def test_every_command_and_flag_exists(document: Path, application: Any) -> None:
    for name, *words in _commands(document):
        assert name in application.commands, f"pymk {name}"
        command = application.commands[name]
        inner = getattr(command, "commands", {})  # such as the formats of pymk import; FORMAT is any of them
        if inner and words and not words[0].startswith("-"):
            command = inner[next(iter(inner)) if words[0].isupper() else words[0]]
        flags = {word for word in words if word.startswith("-")} - {"--help"}
        assert flags <= _flags(command), f"pymk {name} {' '.join(words)}"


def test_every_command_is_documented(application: Any) -> None:
    assert {name for document in CURRENT for name, *_ in _commands(document)} == set(application.commands)


@every_document
def test_every_script_and_flag_of_it_exists(document: Path) -> None:
    for text in lines_of_code(document):
        for path, rest in re.findall(r"python3? ((?:tests|offline|models|service)/\S+\.py)([^#|;&]*)", text):
            source = (ROOT / path).read_text(encoding="utf-8")
            for flag in re.findall(r"--(?:no-)?([a-z][a-z-]*)", rest):
                assert re.search(rf"\b{flag.replace('-', '_')}\b|--{flag}\b", source), f"{path} --{flag}"


@every_document
def test_every_module_that_is_run_exists(document: Path) -> None:
    for text in lines_of_code(document):
        for module in re.findall(r"python3? -m ((?:tests|models|offline|service)\.\S+)", text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@every_document
def test_every_file_that_is_named_exists(document: Path) -> None:
    for span in [*spans(document), *re.findall(r"(?<=[\s])tests/[\w/]+\.py", "\n".join(lines_of_code(document)))]:
        if any(word in span for word in PLACEHOLDERS):
            continue
        if re.fullmatch(rf"(?:{'|'.join(map(re.escape, ROOTS))})/[\w./-]+", span):
            assert (ROOT / span).exists(), span


def test_the_recipes_name_what_the_code_has() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for top in ("models", "offline", "service", "tests")
        for path in (ROOT / top).rglob("*")
        if path.suffix in {".py", ".js", ".toml"} and path.name != Path(__file__).name
    )
    for span in spans(CONTRIBUTING):
        if re.fullmatch(r"[A-Za-z_]{3,}[A-Za-z]", span) and not any(word in span for word in PLACEHOLDERS):
            assert re.search(rf"{span}\b", code), span


def _answered() -> set[str]:
    """Every method and path that the service answers."""
    described = create_app(Settings(keys={})).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in described.items() for method in methods} | {
        "GET /openapi.json"
    }


def _routes(document: Path) -> set[str]:
    """The routes that a document names; a query does not belong to one."""
    return {
        span.partition("?")[0] for span in spans(document) if re.match(r"(?:GET|POST|PUT|DELETE|PATCH|HEAD) /", span)
    }


@every_document
def test_every_route_exists(document: Path) -> None:
    assert _routes(document) <= _answered()


def test_every_route_is_documented() -> None:
    assert _routes(API) == _answered()


@every_document
def test_every_metric_exists(document: Path) -> None:
    named = {span for span in spans(document) if re.fullmatch(r"pymk_[a-z_]+", span)}
    counted = {name for name, *_ in metrics_described()} | _of_a_worker()
    assert named == counted if document == OPERATIONS else named <= counted


def _of_a_worker() -> set[str]:
    """The metrics that a worker answers, without those of every process."""
    text = generate_latest(WorkerMetrics(make_worker(ROOT, MemoryStore(), MutualFriendsGenerator)).registry)  # type: ignore[arg-type]
    families = text_string_to_metric_families(text.decode())
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    return {name for name in names if name.startswith("pymk_")}


def test_the_hard_rules_are_named() -> None:
    listed = re.search(r"`pymk_drops_total` is a hard rule:(.*?)\. A", read(OPERATIONS), re.DOTALL)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == [str(rule.name).lower() for rule in Rule]


@every_document
def test_every_setting_exists(document: Path) -> None:
    known = {f"PYMK_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    assert set(re.findall(r"\bPYMK_[A-Z_]+\b", read(document))) - {"PYMK_"} <= known


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    section = read(OPERATIONS).partition("## Exit statuses")[2].partition("\n## ")[0]
    raised = {error.exit_status for error in (PymkError, UsageError, GateRefusedError)}
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == {
        0,
        RETRAINING_IS_DUE,
        130,
    } | raised


def test_the_sections_of_a_night_are_those_of_its_configuration() -> None:
    generated = read(DATA).partition("<!-- night:")[2].partition("<!-- /night")[0]
    named = set(re.findall(r"^\| `(\w+)\.\w", generated, re.MULTILINE))
    sections = {name for name, field in NightConfig.model_fields.items() if hasattr(field.get_default(), "model_dump")}
    assert named == sections | {"encoder", "suspicion"}
