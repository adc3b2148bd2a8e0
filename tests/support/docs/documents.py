"""The documents of the repository, and what they name."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / ".github" / "ARCHITECTURE.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
API = ROOT / "service" / "API.md"
OPERATIONS = ROOT / "service" / "OPERATIONS.md"
DATA = ROOT / "offline" / "DATA.md"
SPARK = ROOT / "offline" / "SPARK.md"
AB_TESTS = ROOT / "offline" / "AB_TESTS.md"
TRAINING = ROOT / "offline" / "TRAINING.md"
RESULTS = ROOT / "offline" / "RESULTS.md"
LOAD_RESULTS = ROOT / "tests" / "load" / "RESULTS.md"

CURRENT = (
    README,
    ARCHITECTURE,
    CONTRIBUTING,
    API,
    OPERATIONS,
    DATA,
    SPARK,
    TRAINING,
    AB_TESTS,
    RESULTS,
    LOAD_RESULTS,
)
"""the documents that describe the code as it is"""
DATED = (ROOT / "CHANGELOG.md", ROOT / "offline" / "EXPERIMENTS.md")
"""the documents that describe what was: they may name what is gone"""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(document: Path) -> str:
    """The text of a document."""
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of one language."""
    return [code for name, code in _BLOCK.findall(read(document)) if name == language]


def spans(document: Path) -> list[str]:
    """The spans of code outside of blocks."""
    return re.findall(r"`([^`\n]+)`", _BLOCK.sub("", read(document)))


def lines_of_code(document: Path) -> Iterator[str]:
    """The lines of shell and the spans: wherever a document may give a command."""
    for block in blocks(document, "bash"):
        yield from block.replace("\\\n", " ").splitlines()
    yield from spans(document)


def links(document: Path) -> list[str]:
    """The targets of the links outside of blocks."""
    return re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", read(document)))


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", read(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
