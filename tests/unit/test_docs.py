"""The README promises nothing that is not there: its commands, flags, routes, metrics and settings exist."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client.parser import text_string_to_metric_families

from models.cli.app import build
from models.settings import Settings
from service.app import create_app
from service.metrics import Metrics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, frozenset)):
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _settings_table() -> str:
    """The settings with their defaults and the docstrings under their fields, as Markdown."""
    module = ast.parse((ROOT / "models" / "settings.py").read_text(encoding="utf-8"))
    body = next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    documented = {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    assert set(documented) == set(Settings.model_fields), "every setting has a docstring"
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines.append(f"| `PYMK_{name.upper()}` | {_default(default)} | {documented[name]} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_complete() -> None:
    shown = re.search(r"<!-- settings: [^>]*-->\n(.*?)<!-- /settings -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == _settings_table(), f"put this between the marks:\n\n{_settings_table()}\n"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _spans() -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE))


def test_the_two_commands_are_one_line_each_and_make_their_own_environment() -> None:
    first, second = (block.strip() for block in _blocks("bash")[:2])
    for command in (first, second):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")
    assert first.endswith(" && .venv/bin/pymk demo")
    assert second.endswith(" && .venv/bin/pytest -n 2 --dist worksteal")


def test_ci_finds_the_test_command_in_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -E '([^']*)' README\.md", script)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [_blocks("bash")[1].strip()]
    assert 'bash -euo pipefail -c "$test_command"' in script


def _command_lines() -> Iterator[list[str]]:
    """The words after `pymk` wherever the README calls it, in blocks of shell and in spans of code."""
    for text in [*(line for block in _blocks("bash") for line in block.splitlines()), *_spans()]:
        for called in re.finditer(r"(?:^|[ /])pymk (?:--home \S+ )?([^#|;&]+)", text):
            yield called[1].split()


@pytest.fixture(scope="module")
def application() -> Any:
    return typer.main.get_command(build())


def _flags(command: Any) -> set[str]:
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def test_every_command_and_flag_of_the_readme_exists(application: Any) -> None:
    named = set()
    for name, *words in _command_lines():
        assert name in application.commands, f"pymk {name}"
        flags = {word for word in words if word.startswith("-")}
        assert flags <= _flags(application.commands[name]), f"pymk {name} {' '.join(words)}"
        named.add(name)
    assert named == set(application.commands), "the README names every command"


def test_every_route_of_the_readme_exists() -> None:
    described = create_app(Settings(keys={})).openapi()["paths"]
    answered = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    named = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", README))
    assert named == answered | {"GET /openapi.json"}


def test_every_metric_of_the_readme_exists() -> None:
    metrics = Metrics()
    metrics.listed("ranked", {"rank": 0.001}, {"self": 1}, {"fatigue": 1})
    metrics.posted(accepted=1)
    metrics.answered("/", 200, 0.001)
    metrics.degraded.labels("store").inc()
    families = text_string_to_metric_families(metrics.text().decode())
    kinds = {family.name: family.type for family in families if not family.name.endswith("_created")}
    counted = {f"{name}_total" if kind == "counter" else name for name, kind in kinds.items()}
    assert set(re.findall(r"`(pymk_[a-z_]+)`", README)) == counted
