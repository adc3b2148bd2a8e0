"""The rooms of each package and the imports between them, as grimp reads them from the code."""

import ast
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter

import grimp

from tests.support.docs.documents import ROOT

PACKAGES = ("service", "models", "offline")


@dataclass(frozen=True)
class Rooms:
    """The rooms of one package: a room is the second part of a module's dotted name, a folder or a file."""

    package: str
    imports: dict[str, frozenset[str]]
    """by room, the rooms of the same package that it imports"""

    @property
    def floors(self) -> list[list[str]]:
        """The rooms by floor, the highest first: a floor is one above the highest room that its rooms import.

        Raises graphlib.CycleError if two rooms import each other.
        """
        floor: dict[str, int] = {}
        for room in TopologicalSorter(self.imports).static_order():
            floor[room] = 1 + max((floor[other] for other in self.imports[room]), default=0)
        return [sorted(room for room in floor if floor[room] == at) for at in range(max(floor.values()), 0, -1)]

    @property
    def reduced(self) -> list[tuple[str, str]]:
        """The imports that no path over other rooms implies (the transitive reduction), by floor and name."""
        reached: dict[str, set[str]] = {}
        for room in TopologicalSorter(self.imports).static_order():
            reached[room] = set().union(*({other} | reached[other] for other in self.imports[room]))
        order = [room for floor in self.floors for room in floor]
        return [
            (room, other)
            for room in order
            for other in order
            if other in self.imports[room] and not any(other in reached[via] for via in self.imports[room])
        ]

    def label(self, room: str) -> str:
        """The name of the room's folder or file."""
        return f"{room}/" if (ROOT / self.package / room).is_dir() else f"{room}.py"

    def description(self, room: str) -> str:
        """The first sentence of the room's docstring."""
        path = ROOT / self.package / room
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        sentence, _, _ = text.split("\n\n")[0].replace("\n", " ").partition(". ")
        return sentence.rstrip(".")


@cache
def rooms_of(package: str) -> Rooms:
    """The rooms of a package."""
    graph = _graph()
    imports: dict[str, set[str]] = {}
    for module in graph.modules:
        top, _, rest = module.partition(".")
        if top != package or not rest:
            continue
        room = rest.partition(".")[0]
        own = imports.setdefault(room, set())
        for imported in graph.find_modules_directly_imported_by(module):
            other_top, _, other_rest = imported.partition(".")
            other = other_rest.partition(".")[0]
            if other_top == package and other and other != room:
                own.add(other)
    return Rooms(package, {room: frozenset(others) for room, others in imports.items()})


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)
