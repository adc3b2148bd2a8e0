"""Where code lies: tests mirror the rooms of the product, folders and files stay small, tests share tests.support."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "offline", "service")
MOST_FILES = 16
"""Python files of a folder, __init__.py included"""
MOST_LINES = 400
"""lines of a file of the product"""
SUPPORT = "tests.support"


def python_files(*folders: str) -> list[Path]:
    """Returns the Python files below these folders, relative to the repository."""
    found = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert found, folders
    return sorted(found)


def test_unit_tests_lie_in_rooms_that_exist() -> None:
    rooms = {path.parent for path in python_files(*PACKAGES)}
    tested = python_files(*(f"tests/unit/{package}" for package in PACKAGES))
    lost = [str(path) for path in tested if path.parent.relative_to("tests/unit") not in rooms]
    assert not lost, "no room of the product has the name of these tests' folder"


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_folder_holds_too_many_files(package: str) -> None:
    counts = Counter(str(path.parent) for path in python_files(package))
    assert not {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_no_file_of_the_product_is_too_long() -> None:
    lines = {str(path): len((ROOT / path).read_text().splitlines()) for path in python_files(*PACKAGES)}
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}


def imported(path: Path) -> Iterator[str]:
    """Yields the dotted names that a file imports; those of a relative import begin with a dot."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_tests_share_nothing_but_tests_support() -> None:
    """Fixtures come from conftest.py by their name. The scripts of tests/load share a module beside them."""
    wrong = [
        f"{path}: {name}"
        for path in python_files("tests")
        for name in imported(path)
        if name.split(".")[0] in {"", "conftest", "tests"} and not name.startswith(f"{SUPPORT}.")
    ]
    assert not wrong


def test_conftests_hold_fixtures_alone() -> None:
    """Builders and doubles lie in tests.support, where they are typed."""
    wrong = [
        f"{path}: {node.name}"
        for path in python_files("tests")
        if path.name == "conftest.py"
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(ast.unparse(decorator).startswith("pytest.fixture") for decorator in node.decorator_list)
    ]
    assert not wrong


def test_the_product_imports_no_tests() -> None:
    wrong = [
        f"{path}: {name}" for path in python_files(*PACKAGES) for name in imported(path) if "tests" in name.split(".")
    ]
    assert not wrong


def test_what_tests_share_is_used() -> None:
    """A builder that no test imports is dead code."""
    names = [f"{name}." for path in python_files("tests") for name in imported(path)]
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in python_files("tests/support")}
    assert not {module for module in modules if not any(name.startswith(f"{module}.") for name in names)}
