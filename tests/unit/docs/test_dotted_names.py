"""Docstrings and comments name modules, classes and functions that exist where they say."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.docs.documents import ROOT

PACKAGES = ("models", "offline", "service")
DOTTED = re.compile(rf"(?<![\w.])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
OF_BEFORE = ROOT / "models/networks/checkpoint.py"
"""has the names under which older checkpoints hold their classes"""


@cache
def defined(module: Path) -> dict[str, set[str]]:
    """The names at the top of a module, each with those in the body of its class."""
    found = dict[str, set[str]]()
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.ClassDef(name=name):
                inner = {name for line in node.body for name in names_of(line)}
                found[name] = inner | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
            case ast.If():
                found |= {name: set() for line in node.body for name in names_of(line)}
            case _:
                found |= {name: set() for name in names_of(node)}
    return found


def names_of(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
        case _:
            return []


def exists(dotted: str) -> bool:
    """Whether a dotted name leads to a package, a module, or something that a module defines."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        path, rest = ROOT.joinpath(*parts[:end]), parts[end:]
        if path.is_dir():
            return not rest
        if (module := path.with_suffix(".py")).is_file():
            names = defined(module)
            return not rest or (rest[0] in names and (len(rest) == 1 or rest[1] in names[rest[0]]))
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_named_in_the_sources_exists(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {dotted}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package) and path != OF_BEFORE
        for dotted in sorted(set(DOTTED.findall(path.read_text())))
        if not exists(dotted)
    ]
    assert not wrong


def test_a_name_that_is_not_there_is_found() -> None:
    assert exists("models.ranker.ranker.Ranker.calibrated")
    assert not exists("models.ranker.ranker.calibrated")
    assert not exists("models.outcomes.erased_people")
